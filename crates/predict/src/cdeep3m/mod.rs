//! Predictions in CDeep3M's geometry, to reproduce an old result: packages of 1000 + 2 × 12 pixels, blocks of 100
//! sections, its padding, its bytes and its folders. Its seams and its plane-wise scales come with it; [`crate::predict`]
//! has neither.

mod bytes;
mod packages;
mod run;

pub use run::predict;
