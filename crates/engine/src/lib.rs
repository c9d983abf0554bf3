//! Runs folded convolutional networks on CPUs.
//!
//! The caller describes a network as a list of [`Layer`]s (batch normalisation folded into the weights) and gets an
//! [`Engine`].
#![deny(unsafe_code)]
#![allow(
    clippy::inline_always,
    reason = "a function that is not inlined into one of an instruction set is compiled without it"
)]

#[cfg(test)]
extern crate self as deep3m_engine;

mod aligned;
#[cfg(test)]
mod checks;
mod combine;
mod conv;
mod engine;
mod error;
mod grid;
mod head;
mod layer;
mod layout;
mod memory;
mod pack;
mod plan;
mod planes;
mod pool;
mod scratch;
mod simd;
mod tile;
mod unfold;
mod winograd;
mod workspace;

pub use engine::{Engine, Sketch, Timing};
pub use error::EngineError;
pub use layer::{Conv, Head, Layer, Op, Tap};
pub use workspace::Memory;
