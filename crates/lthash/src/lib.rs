#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod accumulator;
mod batch;
mod checksum;
mod element;
mod error;
mod hasher;
mod hex;
mod kernel;
mod key;
mod lanes;
#[cfg(feature = "std")]
mod parallel;
#[cfg(feature = "serde")]
mod serialize;
mod sum;

pub use accumulator::Accumulator;
pub use checksum::Checksum;
pub use element::Element;
pub use error::LtHashError;
pub use hasher::Hasher;
pub use key::Key;
pub use sum::LtHash;
