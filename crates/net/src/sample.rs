//! A small block that a model predicted when it was made, to see later whether it still predicts the same.
//!
//! The block is synthetic, the same for every model: nothing of anybody's images leaves with a model. What is stored
//! are the answers at 64 pixels as log-odds ln(p / (1 − p)), which show a change even where a probability is all but 0
//! or 1.

use serde::{Deserialize, Serialize};

use crate::NetError;
use crate::fold::Inference;
use crate::normalise::Normalisation;

/// Rows and columns of the block.
const SIDE: usize = 64;
/// Every so many rows and columns an answer is stored.
const STEP: usize = 8;
/// The version of the block; another block gets another number.
const BLOCK: u32 = 1;

/// A network's answers to the synthetic block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Which block.
    pub block: u32,
    /// Log-odds of foreground at every 8th row and column, row by row.
    pub log_odds: Vec<f32>,
}

/// How far a network's answers have moved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// The largest difference of a probability.
    pub probability: f64,
    /// The largest difference of log-odds, as a share of 1 + their size.
    pub log_odds: f64,
}

impl Drift {
    /// Above this a network is no longer the same; rounding on other processors stays a hundred times below.
    pub const ALLOWED: f64 = 1e-3;

    /// Whether this is still the network that it was.
    pub fn is_same(&self) -> bool {
        self.log_odds <= Self::ALLOWED
    }
}

impl Sample {
    /// What a network answers now; `None` where an answer is no number, as those of random weights may be.
    ///
    /// # Errors
    /// What the device says.
    pub fn of(net: &Inference, normalisation: Normalisation, largest: f32) -> Result<Option<Self>, NetError> {
        let mut block = block(net.config().frames().count(), largest);
        normalisation.apply(&mut block);
        let log_odds = net.log_odds(&block, 1, SIDE, SIDE)?;
        let at =
            |i: usize| log_odds[(i / (SIDE / STEP) * STEP + STEP / 2) * SIDE + i % (SIDE / STEP) * STEP + STEP / 2];
        let stored: Vec<f32> = (0..(SIDE / STEP).pow(2)).map(at).collect();
        Ok(stored.iter().all(|v| v.is_finite()).then_some(Self { block: BLOCK, log_odds: stored }))
    }

    /// How far `now` is from what was stored; `None` where they are not answers to the same block.
    pub fn drift(&self, now: &Self) -> Option<Drift> {
        if self.block != now.block || self.log_odds.len() != now.log_odds.len() {
            return None;
        }
        let probability = |odds: f64| 1.0 / (1.0 + (-odds).exp());
        let pairs = || self.log_odds.iter().zip(&now.log_odds).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        Some(Drift {
            probability: pairs().map(|(a, b)| (probability(a) - probability(b)).abs()).fold(0.0, f64::max),
            log_odds: pairs().map(|(a, b)| (a - b).abs() / (1.0 + a.abs())).fold(0.0, f64::max),
        })
    }
}

/// Smooth grey blobs from 0 to `largest` with some noise, other in each section: frames × 64 × 64.
fn block(frames: usize, largest: f32) -> Vec<f32> {
    let noise = |key: u64| {
        // SplitMix64 (Steele et al. 2014).
        let mut z = key.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
    };
    let knot = |z: usize, y: usize, x: usize| noise(((z * 100 + y) * 100 + x) as u64);
    let pixel = |i: usize| {
        let (z, y, x) = (i / (SIDE * SIDE), i / SIDE % SIDE, i % SIDE);
        let (ky, kx) = (y / STEP, x / STEP);
        let (ty, tx) = ((y % STEP) as f32 / STEP as f32, (x % STEP) as f32 / STEP as f32);
        let above = knot(z, ky, kx) * (1.0 - tx) + knot(z, ky, kx + 1) * tx;
        let below = knot(z, ky + 1, kx) * (1.0 - tx) + knot(z, ky + 1, kx + 1) * tx;
        let smooth = above * (1.0 - ty) + below * ty;
        ((0.9 * smooth + 0.1 * noise((1 << 32) + i as u64)) * largest).round()
    };
    (0..frames * SIDE * SIDE).map(pixel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_never_changes() {
        let block = block(3, 255.0);
        assert_eq!(block.len(), 3 * 64 * 64);
        assert!(block.iter().all(|v| (0.0..=255.0).contains(v)));
        let sum: f64 = block.iter().enumerate().map(|(i, v)| f64::from(*v) * ((i % 97) as f64 + 1.0)).sum();
        assert_eq!(sum, BLOCK_SUM, "another block needs another number");
    }

    const BLOCK_SUM: f64 = 75_207_245.0;

    #[test]
    fn drift_shows_where_probabilities_are_all_but_one() {
        let sample = |log_odds: [f32; 2]| Sample { block: BLOCK, log_odds: log_odds.to_vec() };
        let drift = sample([20.0, 0.0]).drift(&sample([18.0, 0.0])).unwrap();
        assert!(drift.probability < 1e-7 && drift.log_odds > 0.09 && !drift.is_same());
        assert!(sample([20.0, 0.0]).drift(&sample([20.001, 1e-4])).unwrap().is_same());
        assert_eq!(sample([0.0; 2]).drift(&Sample { block: 2, log_odds: vec![0.0; 2] }), None);
    }
}
