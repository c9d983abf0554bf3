//! From an image's grey values to a network and back to the image's own pixels.

use deep3m_volume::Binning;

use crate::config::NetConfig;
use crate::deepem3d::NetError;
use crate::fold::Inference;
use crate::model_dir::ModelManifest;
use crate::normalise::Normalisation;

/// What stands between an image and a network: bins of pixels are averaged, grey values normalised, and the network's
/// answer is interpolated back to pixels.
///
/// ```
/// # use deep3m_net::{DeviceChoice, Frames, Inference, NetConfig, Normalisation, Preparation};
/// # use deep3m_volume::Binning;
/// let device = DeviceChoice::Cpu.open()?;
/// let net = NetConfig::with_width(Frames::One, 0.05)?.init(&device, 1);
/// let inference = Inference::new(&net, &device)?;
/// let seen = Preparation { normalisation: Normalisation::range(0.0, 255.0)?, binning: Binning::square(2) };
/// assert_eq!(seen.multiple(), [32, 32]);
/// let probability = seen.foreground(&inference, &vec![128.0; 32 * 64], 1, 32, 64)?;
/// assert_eq!(probability.len(), 32 * 64);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preparation {
    /// How binned grey values are brought to what the network was trained on.
    pub normalisation: Normalisation,
    /// How many pixels are averaged to one.
    pub binning: Binning,
}

impl Preparation {
    /// That of a model.
    pub const fn of(manifest: &ModelManifest) -> Self {
        Self { normalisation: manifest.normalisation, binning: manifest.binning }
    }

    /// An image's rows and columns must be whole multiples of these.
    pub fn multiple(&self) -> [usize; 2] {
        self.per_bin().map(|pixels| pixels * NetConfig::MULTIPLE)
    }

    /// How far a pixel can lie, in rows and in columns, from one whose probability it changes.
    ///
    /// With bins of b pixels, a pixel's probability is interpolated from its own bin and a neighbour, each of which
    /// depends on the network's field of view in bins: (view + 1) · b, and what the pixel lies off its bin's nearer edge.
    pub fn reach(&self, config: &NetConfig) -> [usize; 2] {
        let view = config.field_of_view();
        self.per_bin().map(|b| if b == 1 { view } else { (view + 1) * b + (b - 1) / 2 })
    }

    /// The context on each side, in rows and columns, with which a tile's probabilities are those of the whole image.
    ///
    /// It is [`Self::reach`] up to the next [`Self::multiple`]: the network looks at a grid of that step, so tiles
    /// must start on it as well.
    pub fn halo(&self, config: &NetConfig) -> [usize; 2] {
        let [rows, columns] = self.multiple();
        let [above, beside] = self.reach(config);
        [above.next_multiple_of(rows), beside.next_multiple_of(columns)]
    }

    /// The probability of foreground, `n` × `height` × `width`, of `n` images: `grey` is `n` × frames × `height` ×
    /// `width` grey values as they are in the files, row-major.
    ///
    /// Nothing is padded: height and width must be multiples of [`Self::multiple`].
    pub fn foreground(
        &self,
        inference: &Inference,
        grey: &[f32],
        n: usize,
        height: usize,
        width: usize,
    ) -> Result<Vec<f32>, NetError> {
        let [rows, columns] = self.multiple();
        if height == 0 || width == 0 || !height.is_multiple_of(rows) || !width.is_multiple_of(columns) {
            return Err(NetError::ImageSize { height, width, rows, columns });
        }
        let frames = inference.config().frames().count();
        let expected = [n, frames, height, width].iter().try_fold(1_usize, |all, &size| all.checked_mul(size));
        if expected != Some(grey.len()) {
            return Err(NetError::Values { found: grey.len(), expected: expected.unwrap_or(usize::MAX) });
        }
        let mut input = self.binning.mean(grey, n * frames, height, width);
        self.normalisation.apply(&mut input);
        let [by, bx] = self.per_bin();
        let (height, width) = (height / by, width / bx);
        let probability = inference.foreground(&input, n, height, width)?;
        Ok(self.binning.interpolate(&probability, n, height, width))
    }

    fn per_bin(&self) -> [usize; 2] {
        [self.binning.y.max(1) as usize, self.binning.x.max(1) as usize]
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Tensor, TensorData};

    use super::*;
    use crate::{DeviceChoice, Frames, Mode};

    fn seen(y: u32, x: u32) -> Preparation {
        Preparation { normalisation: Normalisation::Range { low: 10.0, high: 240.0 }, binning: Binning { y, x } }
    }

    #[test]
    fn a_halo_holds_the_reach_and_keeps_the_grid() {
        let config = NetConfig::with_width(Frames::One, 0.02).unwrap();
        for (y, x) in [(1, 1), (2, 2), (2, 3)] {
            let seen = seen(y, x);
            let (halo, reach, multiple) = (seen.halo(&config), seen.reach(&config), seen.multiple());
            for axis in 0..2 {
                assert!(halo[axis] >= reach[axis] && halo[axis] < reach[axis] + multiple[axis]);
                assert_eq!(halo[axis] % multiple[axis], 0);
            }
        }
        assert_eq!(seen(1, 1).reach(&config), [config.field_of_view(); 2]);
    }

    /// A network with statistics: without, its answer is 0 or 1 whatever it sees.
    fn network() -> Inference {
        let device = DeviceChoice::Cpu.open().unwrap();
        let net = NetConfig::with_width(Frames::One, 0.1).unwrap().init(&device, 3);
        let noise = (0..64 * 64).map(|i| (i * 7919 % 251) as f32 / 125.0 - 1.0).collect();
        let batch = Tensor::from_data(TensorData::new(noise, [1, 1, 1, 64, 64]), &device);
        net.forward(batch, Mode::Train);
        Inference::new(&net, &device).unwrap()
    }

    #[test]
    fn the_reach_is_as_far_as_pixels_count() {
        let inference = network();
        let seen = seen(1, 2);
        let [_, reach] = seen.reach(inference.config());
        let (h, w) = (16, (2 * reach + 64).next_multiple_of(32));
        let grey: Vec<f32> = (0..h * w).map(|i| (i * 7919 % 251) as f32).collect();
        let answer = |grey: &[f32]| seen.foreground(&inference, grey, 1, h, w).unwrap();
        let before = answer(&grey);
        // The first and the last column of a bin.
        for at in [w / 2, w / 2 + 1] {
            let changed_beyond = |distance: usize| {
                let pixel = |(i, &v): (usize, &f32)| if (i % w).abs_diff(at) > distance { 255.0 - v } else { v };
                let after = answer(&grey.iter().enumerate().map(pixel).collect::<Vec<_>>());
                (0..h).any(|y| before[y * w + at] != after[y * w + at])
            };
            assert!(!changed_beyond(reach), "column {at}, reach {reach}");
            assert!(changed_beyond(reach - 32), "column {at}, reach {reach}: no more than needed");
        }
    }

    #[test]
    fn sizes_are_checked() {
        let inference = network();
        let error = |h, w| seen(2, 2).foreground(&inference, &[0.0; 7], 1, h, w).unwrap_err();
        assert!(error(48, 32).to_string().contains("48 × 32 pixels; expected whole multiples of 32 × 32"));
        assert!(matches!(error(32, 0), NetError::ImageSize { .. }));
        assert!(matches!(error(32, 32), NetError::Values { found: 7, expected: 1024 }));
    }
}
