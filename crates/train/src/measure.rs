//! How long an iteration takes here, from a few small ones.

use std::time::Instant;

use deep3m_net::{DeviceChoice, NetConfig};

use crate::patch::{Batch, Patch};
use crate::step::backward;
use crate::{TrainConfig, TrainError};

/// The least that is measured: rows and columns of a patch.
const SMALLEST: usize = 64;

/// Seconds that a weight update takes on a device: forward and backward on synthetic patches for about `seconds`, first a
/// small one, then as large ones as the time allows. The update of the weights itself is not counted.
///
/// # Errors
/// What the network or the device meets.
pub fn measure_step(
    network: &NetConfig,
    config: &TrainConfig,
    device: DeviceChoice,
    seconds: f64,
) -> Result<f64, TrainError> {
    let net = network.init(&device.open()?.autodiff(), config.seed);
    let run = |count: usize, side: usize| -> Result<f64, TrainError> {
        let patch = synthetic(network.frames().count(), side);
        let batch = Batch::new(&vec![patch; count]);
        let started = Instant::now();
        drop(backward(&net, &batch, config)?);
        Ok(started.elapsed().as_secs_f64() / (count * side * side) as f64)
    };
    let (batch, patch) = (config.batch.max(1) as usize, config.patch as usize);
    let started = Instant::now();
    let mut size = (1, patch.min(SMALLEST));
    let mut best = run(size.0, size.1)?;
    loop {
        let pixels = (seconds - started.elapsed().as_secs_f64()).max(0.0) / best;
        let side = (pixels.sqrt() as usize / 16 * 16).min(patch);
        let next = (((pixels / (side * side).max(1) as f64) as usize).clamp(1, batch), side);
        if next.0 * next.1 * next.1 < size.0 * size.1 * size.1 {
            break;
        }
        let again = run(next.0, next.1)?;
        best = if next == size { best.min(again) } else { again };
        size = next;
    }
    Ok(best * (batch * patch * patch) as f64 * f64::from(config.iter_size))
}

/// A patch of stripes, with the stripes to find.
fn synthetic(frames: usize, side: usize) -> Patch {
    let stripe = |i: usize| f32::from(u8::from((i % side / 8).is_multiple_of(2)));
    Patch {
        frames,
        side,
        image: (0..frames * side * side)
            .map(|i| stripe(i) + (i as u32).wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32)
            .collect(),
        target: (0..side * side).map(stripe).collect(),
        known: vec![1.0; side * side],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_net::Frames;

    #[test]
    fn more_patches_take_longer() {
        let config = TrainConfig { batch: 1, patch: 64, ..TrainConfig::deep3m() };
        let network = NetConfig::with_width(Frames::Three, 0.02).unwrap();
        let measure = |config: &TrainConfig| measure_step(&network, config, DeviceChoice::Cpu, 0.3).unwrap();
        let one = measure(&config);
        assert!(one > 0.0);
        let many = measure(&TrainConfig { batch: 4, iter_size: 8, ..config });
        assert!(many > 4.0 * one, "{many} against {one}");
    }
}
