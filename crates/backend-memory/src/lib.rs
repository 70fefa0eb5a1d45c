#![doc = include_str!("../README.md")]

mod key_value;
mod records;
mod source;
mod store;
mod target;

pub use store::MemoryStore;
