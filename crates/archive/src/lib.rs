#![doc = include_str!("../README.md")]

pub mod boundary;
pub mod catalog;
pub mod directory;
mod error;
pub mod leaf;
pub mod limits;
pub mod manifest;
pub mod node;
pub mod object;
pub mod portable;
pub mod sort;
mod versioned;
pub mod wire;

pub use error::{Error, Result};
