#![doc = include_str!("../README.md")]

mod file;
mod moment;
pub mod pages;
mod version;

/// The engine's name in locations.
const ENGINE: &str = "sqlite";
