//! Measures segmentations: how well a prediction agrees with the truth, and pictures that show it.

mod confusion;

pub use confusion::Confusion;
