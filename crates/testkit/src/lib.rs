#![doc = include_str!("../README.md")]

pub mod beside;
pub mod conformance;
pub mod contents;
pub mod crash;
mod error;
pub mod faults;
pub mod filler;
pub mod generate;
pub mod matrix;
mod noise;
pub mod program;
pub mod proxy;
pub mod s3;
pub mod seed;
pub mod transfer;
pub mod tree;

pub use noise::noise;

/// The page's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/BACKENDS.md")]
mod backends_page {}
