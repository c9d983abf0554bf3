//! The models that predict together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use burn::tensor::Device;
use deep3m_net::{DeviceChoice, Frames, Inference, ModelDir, NetError, Normalisation};
use deep3m_volume::{Binning, Volume, VolumeInfo, VoxelSize, VoxelType};

use crate::forward::{Forward, Member};
use crate::grey::Grey;
use crate::{ModelIdentity, PredictConfig, PredictError};

/// What a prediction needs of a model.
pub trait ForegroundModel: Send + Sync {
    /// How many sections it sees.
    fn frames(&self) -> Frames;

    /// The probability of the foreground for the middle section of each of `n` stacks.
    ///
    /// `input` is n × frames × `height` × `width`, row-major, normalised; sizes are multiples of 16. The answer is
    /// n × `height` × `width`, between 0 and 1.
    fn foreground(&self, input: &[f32], n: usize, height: usize, width: usize) -> Result<Vec<f32>, NetError>;
}

impl ForegroundModel for Inference {
    fn frames(&self) -> Frames {
        self.config().frames()
    }

    fn foreground(&self, input: &[f32], n: usize, height: usize, width: usize) -> Result<Vec<f32>, NetError> {
        Self::foreground(self, input, n, height, width)
    }
}

/// Answers with the middle section itself, its normalised −1 to 1 as 0 to 1: everything of a prediction but the network,
/// to measure and test the rest.
#[derive(Clone, Copy, Debug)]
pub struct NullModel {
    /// How many sections it is given.
    pub frames: Frames,
}

impl ForegroundModel for NullModel {
    fn frames(&self) -> Frames {
        self.frames
    }

    fn foreground(&self, input: &[f32], n: usize, height: usize, width: usize) -> Result<Vec<f32>, NetError> {
        let (section, frames) = (height * width, self.frames.count());
        let mut output = Vec::with_capacity(n * section);
        for stack in input.chunks_exact(frames * section) {
            let middle = &stack[self.frames.margin() * section..][..section];
            output.extend(middle.iter().map(|v| ((v + 1.0) * 0.5).clamp(0.0, 1.0)));
        }
        Ok(output)
    }
}

/// The models that predict together, and what they have in common: how they see grey values.
pub struct Ensemble {
    models: Vec<Box<dyn ForegroundModel>>,
    /// The same models on further devices.
    more: Vec<Vec<Box<dyn ForegroundModel>>>,
    /// Kinds of devices, where known.
    kinds: Vec<String>,
    binning: Binning,
    normalisation: Normalisation,
    trained_on: VoxelType,
    trained_at: Option<VoxelSize>,
    identity: ModelIdentity,
}

/// Pixels larger or smaller by this factor than in training are worth a word.
const OTHER_SIZE: f64 = 1.3;

impl Ensemble {
    /// The networks of a model directory, ready on a device; `frames` chooses among them, `None` takes all. They are
    /// averaged from the fewest frames on, whatever order is asked for.
    ///
    /// # Errors
    /// [`PredictError::Model`] for damaged weights or a network that is not there, [`PredictError::NoModel`] where the
    /// directory has none yet.
    pub fn load(model: &ModelDir, frames: Option<&[Frames]>, device: &Device) -> Result<Self, PredictError> {
        let mut frames = frames.map_or_else(|| model.frames(), <[Frames]>::to_vec);
        frames.sort_unstable();
        frames.dedup();
        let manifest = &model.manifest;
        let mut models: Vec<Box<dyn ForegroundModel>> = Vec::with_capacity(frames.len());
        let mut weights = BTreeMap::new();
        for frames in frames {
            models.push(Box::new(model.load_inference(frames, device)?));
            let sha256 = manifest.networks.get(&frames).map(|entry| entry.sha256.clone()).unwrap_or_default();
            weights.insert(frames.to_string(), sha256);
        }
        let identity = ModelIdentity { path: model.path().to_owned(), weights };
        let ensemble = Self::new(models, manifest.binning, manifest.normalisation, manifest.voxel_type, identity)?;
        Ok(Self { trained_at: manifest.voxel_size, ..ensemble })
    }

    /// The networks of a model directory on several devices, which share the blocks of a prediction; as [`Self::load`].
    ///
    /// # Errors
    /// [`PredictError::Device`] for a device that is not there, or for none, and those of [`Self::load`].
    pub fn load_on(
        model: &ModelDir,
        frames: Option<&[Frames]>,
        devices: &[DeviceChoice],
    ) -> Result<Self, PredictError> {
        let mut all: Option<Self> = None;
        for choice in devices {
            let one = Self::load(model, frames, &choice.open()?)?;
            let ensemble = match all {
                Some(ensemble) => ensemble.and_on(one.models),
                None => one,
            };
            all = Some(ensemble.of_kind(choice.kind()));
        }
        all.ok_or(PredictError::Setting { name: "device", found: 0, least: 1, most: u64::MAX })
    }

    /// Adds the same models on another device: blocks go to whichever is free.
    ///
    /// # Panics
    /// If they are not as many or see other numbers of sections.
    #[must_use]
    pub fn and_on(mut self, models: Vec<Box<dyn ForegroundModel>>) -> Self {
        let frames: Vec<Frames> = models.iter().map(|model| model.frames()).collect();
        assert_eq!(frames, self.frames(), "models on another device");
        self.more.push(models);
        self
    }

    /// Notes a kind of device that the models are on ("cpu", "cuda"), to be written beside the output.
    #[must_use]
    pub fn of_kind(mut self, kind: &str) -> Self {
        self.kinds.push(kind.to_owned());
        self.kinds.sort();
        self.kinds.dedup();
        self
    }

    /// Kinds of devices that the models are on, where known.
    pub fn kinds(&self) -> &[String] {
        &self.kinds
    }

    /// Models in the order in which they are averaged; `trained_on` is the type of the volumes that they saw.
    ///
    /// # Errors
    /// [`PredictError::NoModel`] for none.
    pub fn new(
        models: Vec<Box<dyn ForegroundModel>>,
        binning: Binning,
        normalisation: Normalisation,
        trained_on: VoxelType,
        identity: ModelIdentity,
    ) -> Result<Self, PredictError> {
        if models.is_empty() {
            return Err(PredictError::NoModel { path: identity.path });
        }
        let (more, kinds) = (Vec::new(), Vec::new());
        Ok(Self { models, more, kinds, binning, normalisation, trained_on, trained_at: None, identity })
    }

    /// Null models in the place of trained ones: the output is the volume's grey values, through all that a prediction
    /// does but the network.
    ///
    /// # Errors
    /// [`PredictError::NoModel`] for no frames.
    pub fn null(frames: &[Frames], binning: Binning) -> Result<Self, PredictError> {
        let models = frames.iter().map(|&frames| Box::new(NullModel { frames }) as Box<dyn ForegroundModel>);
        let weights = frames.iter().map(|frames| (frames.to_string(), "none".to_owned())).collect();
        let identity = ModelIdentity { path: PathBuf::from("null"), weights };
        let normalisation = Normalisation::Range { low: 0.0, high: 255.0 };
        Self::new(models.collect(), binning, normalisation, VoxelType::U8, identity)
    }

    /// Which models there are, in the order of averaging.
    pub fn frames(&self) -> Vec<Frames> {
        self.models.iter().map(|model| model.frames()).collect()
    }

    /// Pixels that are averaged to one before the network.
    pub const fn binning(&self) -> Binning {
        self.binning
    }

    /// Sections on either side that the widest model sees.
    pub fn margin(&self) -> usize {
        self.models.iter().map(|model| model.frames().margin()).max().unwrap_or(0)
    }

    /// What tells these models from others.
    pub const fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    /// The models, in the order of averaging.
    pub(crate) fn models(&self) -> impl ExactSizeIterator<Item = &dyn ForegroundModel> {
        self.models.iter().map(|model| &**model)
    }

    /// The models on the first device.
    pub(crate) fn forward(&self, config: &PredictConfig) -> Forward<'_> {
        self.forward_with(&self.models, config)
    }

    /// The models on each device.
    pub(crate) fn lanes(&self, config: &PredictConfig) -> Vec<Forward<'_>> {
        let more = self.more.iter().map(|models| self.forward_with(models, config));
        std::iter::once(self.forward(config)).chain(more).collect()
    }

    fn forward_with<'a>(&self, models: &'a [Box<dyn ForegroundModel>], config: &PredictConfig) -> Forward<'a> {
        let members = models.iter().map(|m| Member { model: &**m, variations: config.walked(m.frames()) });
        Forward {
            members: members.collect(),
            binning: self.binning,
            margin: self.margin(),
            batch: config.batch.unwrap_or(1).max(1) as usize,
            early_stop: config.early_stop,
            disagreement: config.disagreement,
            made: AtomicU64::new(0),
            saved: AtomicU64::new(0),
        }
    }

    /// What may be wrong with predicting this volume: pixels of another size than the models know.
    pub(crate) fn doubts(&self, info: &VolumeInfo) -> Option<String> {
        let (trained, given) = (self.trained_at?, info.voxel_size?);
        let other = |a: f64, b: f64| a / b > OTHER_SIZE || b / a > OTHER_SIZE;
        (other(trained.y_nm, given.y_nm) || other(trained.x_nm, given.x_nm)).then(|| {
            format!(
                "{}: voxels of {given}, the model was trained on {trained}: structures look larger or smaller to it",
                info.path.display()
            )
        })
    }

    /// How this volume's grey values are normalised.
    pub(crate) fn grey(&self, volume: &dyn Volume) -> Result<Grey, PredictError> {
        Grey::of(volume, self.normalisation, self.trained_on)
    }
}
