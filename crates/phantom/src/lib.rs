//! A synthetic electron-microscopy volume with exact truth, made block by block at any size.
//!
//! It looks like brain tissue under a serial block-face scanning electron microscope: cell processes with dark plasma
//! membranes, mitochondria with cristae, synaptic vesicles, nuclei; and, so that telling mitochondria is not trivial,
//! myelin, lysosomes, stacks of cisternae and dark processes, none of which are mitochondria. Sections are shifted and
//! differ in contrast; images are blurred and noisy; voxels are anisotropic.
//!
//! Objects lie on jittered lattices, one site per cell, and each voxel is a function of the settings and its place.
//! Blocks therefore agree wherever they are cut, on every machine and with any number of threads.

mod annotator;
mod camera;
mod config;
mod error;
mod grid;
mod hash;
mod noise;
mod organelle;
mod phantom;
mod process;
mod scene;
mod section;
mod shade;
mod shape;
mod truth;
mod vector;
mod write;

pub use config::PhantomConfig;
pub use error::PhantomError;
pub use phantom::{Phantom, PhantomBlock};
pub use truth::{Census, Class, Point, TrueObject};
pub use write::{ClassTotal, Truth, annotator_name, write};
