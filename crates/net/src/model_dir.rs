//! The model directory: `model.json` and one `NNfm.safetensors` per network. Never code, never pickle.
//!
//! `model.json` is the commit point: weights are written first, under their name with `.next`; then `model.json` with
//! their hash; then they get their name. Whenever a run is stopped, the directory is the old model or the new one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use deep3m_volume::{Binning, VolumeError, VoxelSize, VoxelType, fs};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::NetError;
use crate::config::NetConfig;
use crate::deepem3d::DeepEm3d;
use crate::fold::Inference;
use crate::frames::Frames;
use crate::normalise::Normalisation;
use crate::params::NamedTensor;
use crate::sample::{Drift, Sample};
use crate::weights::{WeightsError, safetensors};

const FORMAT: &str = "deep3m-model";
const VERSION: u64 = 1;
const MANIFEST: &str = "model.json";

/// Everything that must be known to use a model: `model.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelManifest {
    /// Always "deep3m-model".
    pub format: String,
    /// The version of this format.
    pub version: u64,
    /// The program that wrote it, with its version.
    pub program: String,
    /// The network: "DeepEM3D".
    pub architecture: String,
    /// How grey values are brought to what the network was trained on.
    pub normalisation: Normalisation,
    /// How many pixels are averaged to one before the network.
    pub binning: Binning,
    /// The type of the training images' voxels.
    pub voxel_type: VoxelType,
    /// The size of the training images' voxels, where known.
    pub voxel_size: Option<VoxelSize>,
    /// What the output channels mean, background first.
    pub classes: Vec<String>,
    /// The probability from which a voxel counts as foreground.
    pub threshold: f32,
    /// The networks, by their number of frames.
    pub networks: BTreeMap<Frames, ModelEntry>,
    /// How the model was trained: settings, volumes, seed.
    pub training: serde_json::Value,
}

/// One network of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// What it looks like.
    pub config: NetConfig,
    /// The file of its weights, in the model directory.
    pub weights: String,
    /// The SHA-256 of that file, in hexadecimal.
    pub sha256: String,
    /// Updates of the weights so far.
    pub iterations: u64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// What validation measured (loss, F1, Jaccard…), by name.
    #[serde(default)]
    pub validation: serde_json::Map<String, serde_json::Value>,
    /// What it answered to a synthetic block when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
}

/// Why a model directory could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The operating system refused.
    #[error(transparent)]
    File(#[from] VolumeError),
    /// There is no model here.
    #[error("{}: not a model directory: found no {MANIFEST}; expected a folder that `deep3m train` or `deep3m import` made", path.display())]
    NotAModel {
        /// The folder.
        path: PathBuf,
    },
    /// A model of another version of the format.
    #[error("{}: model format version {found}; expected {VERSION}. Use the version of deep3m that made it, or train again", path.display())]
    Version {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// A manifest that cannot be understood.
    #[error("{}: damaged: found {found}; expected the {MANIFEST} that deep3m wrote. Restore it from a copy, or train again", path.display())]
    Damaged {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// A network without its weights.
    #[error("{}: missing; {MANIFEST} names it as the weights of {frames}. Restore it from a copy, or train again", path.display())]
    MissingWeights {
        /// The file.
        path: PathBuf,
        /// The network.
        frames: Frames,
    },
    /// Weights that are not those that were written.
    #[error("{}: altered: found SHA-256 {found}; expected {expected}, as in {MANIFEST}. Restore the file from a copy, or train again", path.display())]
    Altered {
        /// The file.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The manifest's hash.
        expected: String,
    },
    /// A network that the model does not have.
    #[error("{}: has no network {frames}; it has {}", path.display(), list(available))]
    NoSuchNetwork {
        /// The folder.
        path: PathBuf,
        /// What was asked for.
        frames: Frames,
        /// What there is.
        available: Vec<Frames>,
    },
    /// The device failed.
    #[error("{}: {source}", path.display())]
    Net {
        /// The folder.
        path: PathBuf,
        /// What it says.
        source: NetError,
    },
    /// Weights that do not fit the network.
    #[error("{}: {source}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        source: WeightsError,
    },
}

/// Why a network gave no answers.
#[derive(Debug, thiserror::Error)]
enum SampleError {
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Net(#[from] NetError),
}

fn list(frames: &[Frames]) -> String {
    if frames.is_empty() {
        return "none yet".to_owned();
    }
    frames.iter().map(|frames| frames.name()).collect::<Vec<_>>().join(", ")
}

impl ModelManifest {
    /// A model without networks yet, for two classes, background and `foreground`.
    pub fn new(normalisation: Normalisation, binning: Binning, voxel_type: VoxelType) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            program: concat!("deep3m ", env!("CARGO_PKG_VERSION")).to_owned(),
            architecture: "DeepEM3D".to_owned(),
            normalisation,
            binning,
            voxel_type,
            voxel_size: None,
            classes: vec!["background".to_owned(), "foreground".to_owned()],
            threshold: 0.5,
            networks: BTreeMap::new(),
            training: serde_json::Value::Null,
        }
    }

    /// The best threshold that validation found; of several networks, whose probabilities are averaged, the mean.
    pub fn best_threshold(&self, wanted: impl Fn(Frames) -> bool) -> Option<f64> {
        let networks = self.networks.iter().filter(|&(&frames, _)| wanted(frames));
        let found: Vec<f64> =
            networks.filter_map(|(_, entry)| entry.validation.get("best_threshold")?.as_f64()).collect();
        let best = found.iter().sum::<f64>() / found.len().max(1) as f64;
        (best > 0.0 && best <= 1.0).then_some(best)
    }
}

/// A folder with a model.
#[derive(Clone, Debug)]
pub struct ModelDir {
    path: PathBuf,
    /// What the model is. Changes last when [`Self::save_manifest`] is called.
    pub manifest: ModelManifest,
}

impl ModelDir {
    /// Opens a model. Weights are read, and compared with their hash, when a network is loaded.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, ModelError> {
        let path = path.into();
        let file = path.join(MANIFEST);
        if !file.is_file() {
            return Err(ModelError::NotAModel { path });
        }
        let text = fs::read_to_string(&file)?;
        let damaged = |found: String| ModelError::Damaged { path: file.clone(), found };
        let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
        if json["format"] != FORMAT {
            return Err(damaged(format!("format {}", json["format"])));
        }
        if json["version"] != VERSION {
            return Err(ModelError::Version { path: file, found: json["version"].to_string() });
        }
        let manifest: ModelManifest = serde_json::from_value(json).map_err(|e| damaged(e.to_string()))?;
        for (&frames, entry) in &manifest.networks {
            // A name and nothing else: weights lie in the directory itself.
            if Path::new(&entry.weights).file_name() != Some(entry.weights.as_ref()) {
                return Err(damaged(format!("weights of {frames} in \"{}\"", entry.weights)));
            }
            if entry.config.frames() != frames {
                return Err(damaged(format!("a network of {} under {frames}", entry.config.frames())));
            }
        }
        let dir = Self { path, manifest };
        for (&frames, entry) in &dir.manifest.networks {
            if ![dir.file(entry), dir.next(entry)].iter().any(|file| file.is_file()) {
                return Err(ModelError::MissingWeights { path: dir.file(entry), frames });
            }
        }
        Ok(dir)
    }

    /// Starts a model in a folder, which is made where it is missing. Nothing else there is touched.
    pub fn create(path: impl Into<PathBuf>, manifest: ModelManifest) -> Result<Self, ModelError> {
        let dir = Self { path: path.into(), manifest };
        dir.save_manifest()?;
        Ok(dir)
    }

    /// Writes a model of several networks, each with its iterations of training, at once: stopped anywhere, the folder has
    /// its old model or the new one. What an earlier training left there (weights, checkpoints, log) is removed; other files
    /// are not touched.
    pub fn write(
        path: impl Into<PathBuf>,
        manifest: ModelManifest,
        networks: Vec<(NetConfig, Vec<NamedTensor>, u64)>,
    ) -> Result<Self, ModelError> {
        let mut dir = Self { path: path.into(), manifest };
        dir.manifest.networks.clear();
        for (config, tensors, iterations) in networks {
            let entry = dir.write_next(&config, &tensors, iterations, 0.0, serde_json::Map::new())?;
            dir.manifest.networks.insert(config.frames(), entry);
        }
        dir.save_manifest()?;
        for entry in dir.manifest.networks.values() {
            dir.name_next(entry)?;
        }
        dir.discard_others()?;
        fs::sync_dir(&dir.path)?;
        Ok(dir)
    }

    /// Removes what belongs to another model.
    fn discard_others(&self) -> Result<(), ModelError> {
        fs::remove_dir(&self.path.join("checkpoints"))?;
        for name in ["metrics.jsonl", "curves.svg"] {
            fs::remove_file(&self.path.join(name))?;
        }
        for frames in Frames::ALL {
            fs::remove_file(&self.path.join(format!("{frames}.last.safetensors")))?;
            if !self.manifest.networks.contains_key(&frames) {
                for ending in ["safetensors", "safetensors.next"] {
                    fs::remove_file(&self.path.join(format!("{frames}.{ending}")))?;
                }
            }
        }
        Ok(())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The numbers of frames for which it has a network.
    pub fn frames(&self) -> Vec<Frames> {
        self.manifest.networks.keys().copied().collect()
    }

    /// Writes `model.json`, at once or not at all.
    pub fn save_manifest(&self) -> Result<(), ModelError> {
        let path = self.path.join(MANIFEST);
        let mut text = serde_json::to_string_pretty(&self.manifest)
            .map_err(|error| ModelError::Damaged { path: path.clone(), found: error.to_string() })?;
        text.push('\n');
        Ok(fs::write_atomic(&path, text.as_bytes())?)
    }

    /// Writes a network's weights and its entry in `model.json`, replacing an earlier network of as many frames.
    pub fn save_network(
        &mut self,
        net: &DeepEm3d,
        iterations: u64,
        seconds: f64,
        validation: serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), ModelError> {
        self.save_tensors(net.config(), &net.collect(), iterations, seconds, validation)
    }

    /// As [`Self::save_network`], from a network's tensors.
    pub fn save_tensors(
        &mut self,
        config: &NetConfig,
        tensors: &[NamedTensor],
        iterations: u64,
        seconds: f64,
        validation: serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), ModelError> {
        let entry = self.write_next(config, tensors, iterations, seconds, validation)?;
        self.manifest.networks.insert(config.frames(), entry.clone());
        self.save_manifest()?;
        self.name_next(&entry)?;
        Ok(fs::sync_dir(&self.path)?)
    }

    /// Writes a network's weights under their name with `.next`; `model.json` does not know them yet.
    fn write_next(
        &self,
        config: &NetConfig,
        tensors: &[NamedTensor],
        iterations: u64,
        seconds: f64,
        validation: serde_json::Map<String, serde_json::Value>,
    ) -> Result<ModelEntry, ModelError> {
        let weights = format!("{}.safetensors", config.frames());
        let bytes = safetensors::encode_tensors(config, tensors)
            .map_err(|source| ModelError::Weights { path: self.path.join(&weights), source })?;
        let sha256 = sha256(&bytes);
        let answers = self.answers(config, tensors, &Device::flex());
        let sample = answers.map_err(|error| self.failed(config.frames(), error))?;
        let entry = ModelEntry { config: config.clone(), weights, sha256, iterations, seconds, validation, sample };
        fs::write_atomic(&self.next(&entry), &bytes)?;
        Ok(entry)
    }

    /// Gives weights that `model.json` knows their name.
    fn name_next(&self, entry: &ModelEntry) -> Result<(), ModelError> {
        let file = self.file(entry);
        Ok(std::fs::rename(self.next(entry), &file).map_err(|error| VolumeError::io(&file, "rename", error))?)
    }

    /// A network's tensors, after comparing its file with its hash.
    pub fn tensors(&self, frames: Frames) -> Result<(NetConfig, Vec<NamedTensor>), ModelError> {
        let entry = self.entry(frames)?;
        let path = self.file(entry);
        let bytes = self.weights(entry, frames)?;
        let tensors =
            safetensors::decode_as(&bytes, &entry.config).map_err(|source| ModelError::Weights { path, source })?;
        Ok((entry.config.clone(), tensors))
    }

    /// A network to train on, or to look into.
    pub fn load_network(&self, frames: Frames, device: &Device) -> Result<DeepEm3d, ModelError> {
        let (config, tensors) = self.tensors(frames)?;
        DeepEm3d::from_tensors(config, &tensors, device).map_err(|source| self.misfit(frames, source))
    }

    /// A network to predict with.
    pub fn load_inference(&self, frames: Frames, device: &Device) -> Result<Inference, ModelError> {
        let (config, tensors) = self.tensors(frames)?;
        Inference::from_tensors(config, &tensors, device).map_err(|source| self.misfit(frames, source))
    }

    /// The bytes of a network's weight file, after comparing them with their hash.
    pub fn weight_file(&self, frames: Frames) -> Result<Vec<u8>, ModelError> {
        self.weights(self.entry(frames)?, frames)
    }

    /// Compares every weight file with its hash, and what each network answers now with what it answered when it was
    /// made; `None` for a network without a stored answer.
    ///
    /// # Errors
    /// Altered or damaged weights. A network that answers otherwise is no error: see [`Drift::is_same`].
    pub fn verify(&self, device: &Device) -> Result<BTreeMap<Frames, Option<Drift>>, ModelError> {
        let mut found = BTreeMap::new();
        for (&frames, entry) in &self.manifest.networks {
            let (config, tensors) = self.tensors(frames)?;
            let now = match &entry.sample {
                Some(_) => self.answers(&config, &tensors, device).map_err(|e| self.failed(frames, e))?,
                None => None,
            };
            let nothing = Drift { probability: f64::INFINITY, log_odds: f64::INFINITY };
            let drift = entry.sample.as_ref().map(|sample| now.and_then(|now| sample.drift(&now)).unwrap_or(nothing));
            found.insert(frames, drift);
        }
        Ok(found)
    }

    /// What a network answers to the synthetic block.
    fn answers(
        &self,
        config: &NetConfig,
        tensors: &[NamedTensor],
        device: &Device,
    ) -> Result<Option<Sample>, SampleError> {
        let net = Inference::from_tensors(config.clone(), tensors, device)?;
        let largest = self.manifest.voxel_type.full_scale();
        Ok(Sample::of(&net, self.manifest.normalisation, largest)?)
    }

    fn failed(&self, frames: Frames, error: SampleError) -> ModelError {
        match error {
            SampleError::Weights(source) => self.misfit(frames, source),
            SampleError::Net(source) => ModelError::Net { path: self.path.clone(), source },
        }
    }

    /// What `model.json` says about a network.
    pub fn entry(&self, frames: Frames) -> Result<&ModelEntry, ModelError> {
        let missing = || ModelError::NoSuchNetwork { path: self.path.clone(), frames, available: self.frames() };
        self.manifest.networks.get(&frames).ok_or_else(missing)
    }

    /// The bytes of a network's weights, those that `model.json` means.
    fn weights(&self, entry: &ModelEntry, frames: Frames) -> Result<Vec<u8>, ModelError> {
        let path = self.file(entry);
        let mut altered = None;
        // Weights that were written but not yet named when a run was stopped come second.
        for file in [path.clone(), self.next(entry)].into_iter().filter(|file| file.is_file()) {
            let bytes = fs::read(&file)?;
            let found = sha256(&bytes);
            if found == entry.sha256 {
                return Ok(bytes);
            }
            altered.get_or_insert(found);
        }
        Err(match altered {
            Some(found) => ModelError::Altered { path, found, expected: entry.sha256.clone() },
            None => ModelError::MissingWeights { path, frames },
        })
    }

    fn misfit(&self, frames: Frames, source: WeightsError) -> ModelError {
        let path = self.manifest.networks.get(&frames).map_or_else(|| self.path.clone(), |entry| self.file(entry));
        ModelError::Weights { path, source }
    }

    fn file(&self, entry: &ModelEntry) -> PathBuf {
        self.path.join(&entry.weights)
    }

    fn next(&self, entry: &ModelEntry) -> PathBuf {
        self.path.join(format!("{}.next", entry.weights))
    }
}

/// The SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Tensor, TensorData};

    use super::*;
    use crate::{DeviceChoice, Mode};

    /// A model of random weights. One batch gives it statistics, without which its answers may be no numbers.
    fn saved() -> (tempfile::TempDir, ModelDir, DeepEm3d) {
        let folder = tempfile::tempdir().unwrap();
        let device = DeviceChoice::Cpu.open().unwrap();
        let mut net = NetConfig::with_width(Frames::One, 0.02).unwrap().init(&device, 5);
        net.reset_statistics();
        net.set_bn_decay(1.0);
        let grey = (0..64 * 64).map(|i| (i * 7919 % 256) as f32 / 128.0 - 1.0).collect();
        let _ =
            net.forward(Tensor::from_data(TensorData::new::<f32, _>(grey, [1, 1, 1, 64, 64]), &device), Mode::Train);
        let normalisation = Normalisation::range(3.0, 200.0).unwrap();
        let manifest = ModelManifest::new(normalisation, Binning::square(2), VoxelType::U8);
        let mut dir = ModelDir::create(folder.path().join("model"), manifest).unwrap();
        dir.save_network(&net, 100, 12.5, serde_json::Map::new()).unwrap();
        (folder, dir, net)
    }

    fn message(dir: &ModelDir) -> String {
        let opened = ModelDir::open(dir.path());
        opened.and_then(|dir| dir.tensors(Frames::One).map(|_| ())).unwrap_err().to_string()
    }

    #[test]
    fn a_model_comes_back_as_it_was_saved() {
        let (_folder, dir, net) = saved();
        let again = ModelDir::open(dir.path()).unwrap();
        assert_eq!(again.manifest, dir.manifest);
        assert_eq!(again.load_network(Frames::One, net.device()).unwrap().collect(), net.collect());
        again.load_inference(Frames::One, net.device()).unwrap();
        let drift = again.verify(net.device()).unwrap()[&Frames::One].unwrap();
        assert!(drift.log_odds == 0.0, "{drift:?}");
        let text = again.load_network(Frames::Three, net.device()).unwrap_err().to_string();
        assert!(text.contains("no network 3fm; it has 1fm"), "{text}");
        let names: Vec<_> = fs::list(dir.path()).unwrap().iter().map(|p| p.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["1fm.safetensors", "model.json"]);
    }

    #[test]
    fn what_is_wrong_with_a_model_is_said() {
        let (folder, dir, _) = saved();
        let text = ModelDir::open(folder.path()).unwrap_err().to_string();
        assert!(text.contains("not a model directory"), "{text}");

        let manifest = dir.path().join(MANIFEST);
        let good = fs::read_to_string(&manifest).unwrap();
        let with = |from: &str, to: &str| {
            assert!(good.contains(from));
            std::fs::write(&manifest, good.replace(from, to)).unwrap();
            message(&dir)
        };
        assert!(with("\"version\": 1", "\"version\": 7").contains("version 7; expected 1"));
        assert!(with("\"format\": \"deep3m-model\"", "\"format\": \"x\"").contains("damaged"));
        assert!(with("\"threshold\"", "\"other\"").contains("missing field `threshold`"));
        assert!(with("1fm.safetensors", "../1fm.safetensors").contains("../1fm.safetensors"));
        assert!(with("{", "").contains("damaged"));
        assert!(with("\"conv4_1b\": 24", "\"conv4_1b\": 28").contains("conv4_1b"));
        std::fs::write(&manifest, good.replacen('{', "{\"later\": 1,", 1)).unwrap();
        assert_eq!(ModelDir::open(dir.path()).unwrap().manifest, dir.manifest, "unknown fields are passed over");

        let weights = dir.path().join("1fm.safetensors");
        let mut bytes = fs::read(&weights).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&weights, &bytes).unwrap();
        assert!(message(&dir).contains("altered"));
        std::fs::remove_file(&weights).unwrap();
        assert!(message(&dir).contains("1fm.safetensors: missing"));
    }

    #[test]
    fn a_network_that_answers_otherwise_is_noticed() {
        let (_folder, mut dir, net) = saved();
        let entry = dir.manifest.networks.get_mut(&Frames::One).unwrap();
        let answer = &mut entry.sample.as_mut().unwrap().log_odds[17];
        *answer = *answer * 1.01 + 0.01;
        dir.save_manifest().unwrap();
        let verified = ModelDir::open(dir.path()).unwrap().verify(net.device()).unwrap();
        assert!(!verified[&Frames::One].unwrap().is_same());
        dir.manifest.networks.get_mut(&Frames::One).unwrap().sample = None;
        assert_eq!(dir.verify(net.device()).unwrap()[&Frames::One], None);
    }

    #[test]
    fn a_run_stopped_while_saving_leaves_a_model() {
        let (_folder, mut dir, net) = saved();
        let weights = dir.path().join("1fm.safetensors");
        let old = fs::read(&weights).unwrap();
        let newer = net.config().init(net.device(), 6);
        dir.save_network(&newer, 200, 25.0, serde_json::Map::new()).unwrap();
        // Stopped after model.json was written, before the new weights got their name.
        std::fs::rename(&weights, dir.path().join("1fm.safetensors.next")).unwrap();
        std::fs::write(&weights, old).unwrap();
        let again = ModelDir::open(dir.path()).unwrap();
        assert_eq!(again.load_network(Frames::One, net.device()).unwrap().collect(), newer.collect());
    }
}
