//! Every setting of a training run, with its default in one place.

use std::path::PathBuf;

use deep3m_net::Frames;
use deep3m_volume::Binning;
use serde::{Deserialize, Serialize};

use crate::augment::Augmentation;
use crate::sampler::{Border, Sampling};

/// Which set of defaults a run starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// CDeep3M's: raw grey values, class-balanced gradient, SGD with momentum.
    Cdeep3m,
    /// Deep3M's own: normalised intensities, strong augmentation, Muon and AdamW with one cycle,
    /// averaged weights.
    Deep3m,
}

/// How long to train.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// So many weight updates for each model.
    Iterations(u64),
    /// So many minutes for the whole run, shared equally among the models that are trained; validation and saving are
    /// inside.
    Minutes(f64),
}

/// How the learning rate goes over the run; `t` is the share of the run that is done, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// base · (1 − t)^power
    Poly,
    /// Linear warm-up from base / 20, then half a cosine down to base / 200.
    OneCycle,
    /// Half a cosine from base to 0, without warm-up.
    Cosine,
    /// base all the time
    Fixed,
    /// base, a tenth of it after half and a hundredth after three quarters of the run.
    Step,
}

/// How gradients become weight updates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimiser {
    /// Caffe's stochastic gradient descent with momentum, its multipliers for biases included.
    Sgd,
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019); `momentum` is its first decay rate.
    AdamW {
        /// Decay rate of the mean squared gradient.
        beta2: f64,
    },
    /// Muon (Jordan et al. 2024) for the convolutions between the first layer and the heads: momentum whose every matrix
    /// is made orthogonal before it is applied, so that rare directions learn as fast as common ones. AdamW for all else.
    Muon {
        /// AdamW's decay rate of the mean squared gradient.
        beta2: f64,
        /// Muon's highest learning rate; it follows the same course.
        learning_rate: f64,
        /// Muon's momentum (Nesterov's).
        momentum: f64,
        /// Muon's decoupled weight decay.
        weight_decay: f64,
    },
}

/// What the network is trained to make small.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Cross-entropy; its gradient is weighted so that the rarer class of each batch of patches counts as much as the
    /// other (the reference's).
    ClassBalanced,
    /// Mean cross-entropy plus a multiple of an overlap loss over the batch.
    Overlap {
        /// Weight of 1 − Dice (soft, over the whole batch).
        dice: f64,
        /// Weight of 1 − Jaccard (soft, over the whole batch).
        jaccard: f64,
        /// The share of hardest pixels whose cross-entropy counts; 1 is all.
        hardest: f64,
    },
}

/// Everything that a training run depends on, written beside its output.
///
/// [`TrainConfig::deep3m`] and [`TrainConfig::cdeep3m`] give each recipe's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// The recipe that the defaults came from.
    pub recipe: Recipe,
    /// The models to train, in order: how many consecutive sections each sees.
    pub frames: Vec<Frames>,
    /// Channels as a multiple of the original's.
    pub width: f64,
    /// How long to train.
    pub budget: Budget,
    /// Iterations to add to [`Self::budget`] (or to what a finished run had): extends a run.
    pub add_iterations: u64,
    /// Gradient to update.
    pub optimiser: Optimiser,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Course of the learning rate.
    pub policy: Policy,
    /// Exponent of [`Policy::Poly`].
    pub power: f64,
    /// Share of the run that [`Policy::OneCycle`] warms up for.
    pub warm_up: f64,
    /// Momentum (SGD) or first decay rate (AdamW).
    pub momentum: f64,
    /// Weight decay; coupled for SGD, decoupled for AdamW.
    pub weight_decay: f64,
    /// Largest norm of the whole gradient; longer ones are scaled down. `None` leaves them.
    pub clip: Option<f64>,
    /// Batches whose gradients are added for one update.
    pub iter_size: u32,
    /// Patches per batch.
    pub batch: u32,
    /// Height and width of a patch as the network sees it, a multiple of 16.
    pub patch: u32,
    /// The loss.
    pub loss: Loss,
    /// Iterations that a displayed loss is the mean of.
    pub average_loss: u32,
    /// Iterations between checkpoints; `None` is 2000 (CDeep3M's) or, under [`Budget::Minutes`], about one a minute.
    pub snapshot_interval: Option<u64>,
    /// Iterations between validations; `None` is 6 in the run.
    pub validation_interval: Option<u64>,
    /// At most so many sections, evenly spaced over the validation volumes, are validated on.
    pub validation_sections: u32,
    /// Where all random choices start.
    pub seed: u64,
    /// Label value of voxels that nobody labelled: they take no part.
    pub ignore: Option<u32>,
    /// Label value that is foreground; everything else (but `ignore`) is background. `None`: the larger of two values.
    pub foreground: Option<u32>,
    /// A model directory to start from (transfer learning).
    pub from: Option<PathBuf>,
    /// Pixels averaged to one before the network. `None`: the recipe's choice for these images.
    pub binning: Option<Binning>,
    /// Which patches are drawn.
    pub sampling: Sampling,
    /// How patches are changed.
    pub augmentation: Augmentation,
    /// Whether intensities are brought to a common scale by the training images' percentiles; else raw grey values.
    pub normalise: bool,
    /// Averaged weights: the length of the average as a share of the run so far asked for (0.1: the last tenth counts
    /// most). 0 is no averaging.
    pub average_share: f64,
    /// Decay of the running batch statistics per batch; 0.999 is Caffe's.
    pub statistics_decay: f64,
    /// Batches over which the batch statistics are estimated anew for averaged weights before they are validated or
    /// kept; 0 averages the running statistics as they are.
    pub statistics_batches: u32,
    /// What the network sees beyond the first and last section.
    pub border: Border,
    /// First value of the shift before the last ReLU of each head; above 0 no head starts out dead.
    pub output_shift: f64,
}

impl TrainConfig {
    /// The published system's settings (Haberl et al. 2018, Zeng et al. 2017).
    pub fn cdeep3m() -> Self {
        Self {
            recipe: Recipe::Cdeep3m,
            frames: Frames::ALL.to_vec(),
            width: 1.0,
            budget: Budget::Iterations(30_000),
            add_iterations: 0,
            optimiser: Optimiser::Sgd,
            learning_rate: 0.01,
            policy: Policy::Poly,
            power: 0.8,
            warm_up: 0.0,
            momentum: 0.9,
            weight_decay: 5e-4,
            clip: None,
            iter_size: 8,
            batch: 5,
            patch: 320,
            loss: Loss::ClassBalanced,
            average_loss: 16,
            snapshot_interval: None,
            validation_interval: None,
            validation_sections: 8,
            seed: 0,
            ignore: None,
            foreground: None,
            from: None,
            binning: Some(Binning::NONE),
            sampling: Sampling::Accept { background: 0.25 },
            augmentation: Augmentation::VARIATIONS,
            normalise: false,
            average_share: 0.0,
            statistics_decay: 0.999,
            statistics_batches: 0,
            border: Border::Zero,
            output_shift: 0.0,
        }
    }

    /// Deep3M's own settings, chosen by short runs on one volume of electron microscopy.
    pub fn deep3m() -> Self {
        Self {
            recipe: Recipe::Deep3m,
            frames: Frames::ALL.to_vec(),
            width: 0.25,
            budget: Budget::Minutes(30.0),
            optimiser: Optimiser::Muon { beta2: 0.99, learning_rate: 0.02, momentum: 0.95, weight_decay: 0.0 },
            learning_rate: 3e-3,
            policy: Policy::OneCycle,
            warm_up: 0.1,
            weight_decay: 1e-2,
            clip: Some(5.0),
            iter_size: 1,
            batch: 4,
            patch: 256,
            loss: Loss::Overlap { dice: 1.0, jaccard: 0.0, hardest: 1.0 },
            average_loss: 16,
            binning: None,
            sampling: Sampling::NearForeground { share: 0.3 },
            augmentation: Augmentation::deep3m(),
            normalise: true,
            average_share: 0.1,
            statistics_decay: 0.9,
            statistics_batches: 8,
            border: Border::Mirror,
            output_shift: 0.5,
            ..Self::cdeep3m()
        }
    }

    /// The recipe's defaults.
    pub fn of(recipe: Recipe) -> Self {
        match recipe {
            Recipe::Cdeep3m => Self::cdeep3m(),
            Recipe::Deep3m => Self::deep3m(),
        }
    }

    /// Names the first setting that cannot work, with what is expected.
    pub fn validate(&self) -> Result<(), crate::TrainError> {
        let fail = |setting: &'static str, found: String, expected: &'static str| {
            Err(crate::TrainError::Setting { setting, found, expected })
        };
        let positive = |v: f64| v.is_finite() && v > 0.0;
        let share = |v: f64| (0.0..=1.0).contains(&v);
        if self.frames.is_empty() {
            return fail("frames", "none".into(), "at least one of 1, 3, 5");
        }
        if self.frames.iter().enumerate().any(|(i, f)| self.frames[..i].contains(f)) {
            return fail("frames", format!("{:?}", self.frames), "each of 1, 3, 5 at most once");
        }
        if !positive(self.width) || self.width > 8.0 {
            return fail("width", self.width.to_string(), "a number above 0, at most 8");
        }
        match self.budget {
            Budget::Iterations(0) => return fail("iterations", "0".into(), "at least 1"),
            Budget::Minutes(m) if !positive(m) => return fail("minutes", m.to_string(), "a number above 0"),
            _ => {}
        }
        if !positive(self.learning_rate) {
            return fail("learning-rate", self.learning_rate.to_string(), "a number above 0");
        }
        if !self.power.is_finite() || self.power < 0.0 {
            return fail("power", self.power.to_string(), "0 or more");
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return fail("momentum", self.momentum.to_string(), "0 or more, below 1");
        }
        if !self.weight_decay.is_finite() || self.weight_decay < 0.0 {
            return fail("weight-decay", self.weight_decay.to_string(), "0 or more");
        }
        if self.iter_size == 0 || self.batch == 0 || self.average_loss == 0 {
            return fail("iter-size, batch, average-loss", "0".into(), "at least 1");
        }
        if self.patch == 0 || !self.patch.is_multiple_of(16) || self.patch > 4096 {
            return fail("patch", self.patch.to_string(), "a multiple of 16, at most 4096");
        }
        if self.snapshot_interval == Some(0) || self.validation_interval == Some(0) {
            return fail("snapshot-interval, validation-interval", "0".into(), "at least 1");
        }
        if self.binning.is_some_and(|b| b.y == 0 || b.x == 0 || b.y > 64 || b.x > 64) {
            return fail("binning", format!("{:?}", self.binning), "1 to 64 pixels");
        }
        if self.ignore.is_some() && self.ignore == self.foreground {
            return fail(
                "foreground",
                format!("{:?}, the same as ignore", self.foreground),
                "another value than ignore",
            );
        }
        for (setting, v) in [
            ("warm-up", self.warm_up),
            ("statistics-decay", self.statistics_decay),
            ("average-share", self.average_share),
        ] {
            if !share(v) {
                return fail(setting, v.to_string(), "0 to 1");
            }
        }
        if self.average_share > 0.0 && self.statistics_batches == 0 {
            return fail("statistics-batches", "0".into(), "at least 1 where weights are averaged");
        }
        Ok(())
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self::deep3m()
    }
}
