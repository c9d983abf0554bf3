//! How much memory a network takes, before it takes it.
//!
//! The steps of the network (`graph.rs`) are walked as they are when it runs, every tensor taken from a [`Heap`]
//! that is only reckoned with, and given back when the run would. Numbers are those of the CPU, whose layers are our own
//! operations; on a GPU the tensors are the same ([`Heap::peak_live`]), the operations' own needs are not known.

mod forward;
mod heap;
mod layers;
mod training;

pub use forward::Blobs;
pub use heap::{Heap, Slot};
