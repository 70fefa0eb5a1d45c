#![doc = include_str!("../README.md")]

mod moment;

/// The engine's name in locations.
const ENGINE: &str = "sqlite";
