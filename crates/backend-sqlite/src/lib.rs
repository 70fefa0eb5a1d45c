#![doc = include_str!("../README.md")]

mod moment;
pub mod rows;

/// The engine's name in locations.
const ENGINE: &str = "sqlite";
