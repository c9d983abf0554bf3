//! The folder that a run writes: what is in it, and whether it is this run's.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use deep3m_net::Frames;
use deep3m_volume::{VolumeError, VolumeInfo, fs as files};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fingerprint::sha256_of_voxels;
use crate::{LabelledVolume, TrainConfig, TrainError, TrainingSet};

/// Settings that do not change what is learned: they may differ when a run goes on.
const FREE: [&str; 2] = ["config.add_iterations", "config.snapshot_interval"];
/// Settings that may also differ when iterations are added to what a run had.
const FREE_WHEN_EXTENDED: &str = "config.budget";

/// A file that is not complete is written to more often than this while its process lives.
const SURELY_DEAD: Duration = Duration::from_hours(1);

/// What makes a run this run: its settings and its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// All settings.
    pub(crate) config: TrainConfig,
    /// What is trained on.
    pub(crate) training: Vec<Pair>,
    /// What progress is measured on.
    pub(crate) validation: Vec<Pair>,
}

/// Images and labels of a labelled volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pair {
    /// The images.
    pub(crate) images: VolumeInfo,
    /// SHA-256 of the images' voxels.
    pub(crate) images_sha256: String,
    /// The labels.
    pub(crate) labels: VolumeInfo,
    /// SHA-256 of the labels' voxels.
    pub(crate) labels_sha256: String,
}

impl Identity {
    /// The identity of a run. Reads all data once.
    pub(crate) fn new(set: &TrainingSet, config: &TrainConfig) -> Result<Self, TrainError> {
        let pairs = |volumes: &[LabelledVolume]| -> Result<Vec<Pair>, TrainError> {
            let pair = |v: &LabelledVolume| {
                Ok(Pair {
                    images: v.images.info().clone(),
                    images_sha256: sha256_of_voxels(v.images.as_ref())?,
                    labels: v.labels.info().clone(),
                    labels_sha256: sha256_of_voxels(v.labels.as_ref())?,
                })
            };
            volumes.iter().map(pair).collect()
        };
        Ok(Self { config: config.clone(), training: pairs(&set.training)?, validation: pairs(&set.validation)? })
    }

    /// What another run has otherwise, setting by setting with both values; empty where it is the same run.
    fn differences(&self, stored: &Value) -> Vec<String> {
        let extended = self.config.add_iterations > 0;
        let mut found = Vec::new();
        let own = serde_json::to_value(self).unwrap_or_default();
        compare("", stored, &own, &mut |name, old, new| {
            let free = FREE.contains(&name) || (extended && name.starts_with(FREE_WHEN_EXTENDED));
            if !free {
                found.push(format!("{} was {old}, is {new}", name.trim_start_matches("config.")));
            }
        });
        found
    }
}

/// Tells the names of all values that differ.
fn compare(name: &str, old: &Value, new: &Value, tell: &mut dyn FnMut(&str, &Value, &Value)) {
    let inner = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match (old, new) {
        (Value::Object(a), Value::Object(b)) if a.len() > 1 || b.len() > 1 || a.keys().eq(b.keys()) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                compare(&inner(key), a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), tell);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{name}[{i}]"), a, b, tell);
            }
        }
        (Value::Array(a), Value::Array(b)) if name == "training" || name == "validation" => {
            tell(&format!("number of {name} volumes"), &a.len().into(), &b.len().into());
        }
        _ if old != new => tell(name, old, new),
        _ => {}
    }
}

/// A run's folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Opens a folder for a run: an empty or absent one for a new run, or the run's own; else an error that says what is
    /// there.
    ///
    /// Returns the folder and the settings that the run was started with before, if it was.
    pub(crate) fn open(path: &Path, identity: &Identity) -> Result<(Self, Option<TrainConfig>), TrainError> {
        let folder = Self::at(path);
        let settings = folder.settings();
        let before = if settings.exists() {
            let text = files::read_to_string(&settings)?;
            let damaged = |e: serde_json::Error| TrainError::Damaged {
                path: settings.clone(),
                found: e.to_string(),
                expected: "the settings of a training run".into(),
                hint: "Give --overwrite to start the run anew",
            };
            let stored: Value = serde_json::from_str(&text).map_err(damaged)?;
            let differences = identity.differences(&stored);
            if !differences.is_empty() {
                return Err(TrainError::OtherRun { path: path.to_owned(), differences: differences.join("; ") });
            }
            Some(serde_json::from_value(stored["config"].clone()).map_err(damaged)?)
        } else {
            if let Some(other) = occupant(path)? {
                return Err(TrainError::Occupied { path: path.to_owned(), found: other });
            }
            None
        };
        Ok((folder, before))
    }

    /// A folder for a new run, whatever is in it.
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Keeps the folder for this process as long as the answer is kept, and sweeps away what killed ones left half-written.
    pub(crate) fn hold(&self) -> Result<File, TrainError> {
        let path = self.path.join("checkpoints/lock");
        files::create_dir(&self.path.join("checkpoints"))?;
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(|e| VolumeError::io(&path, "open", e))?;
        let age = match file.try_lock() {
            Ok(()) => Duration::ZERO,
            Err(TryLockError::WouldBlock) => return Err(TrainError::InUse { path: self.path.clone() }),
            // A file system without locks: two trainings in one folder are the user's to avoid.
            Err(TryLockError::Error(_)) => SURELY_DEAD,
        };
        files::sweep(&self.path, age)?;
        Ok(file)
    }

    /// Writes down what run this is.
    pub(crate) fn claim(&self, identity: &Identity) -> Result<(), TrainError> {
        let text = serde_json::to_string_pretty(identity).unwrap_or_default() + "\n";
        Ok(files::write_atomic(&self.settings(), text.as_bytes())?)
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the settings of the run are kept.
    pub(crate) fn settings(&self) -> PathBuf {
        self.path.join("checkpoints").join("run.json")
    }

    /// Where a model's checkpoints lie.
    pub(crate) fn checkpoints(&self, frames: Frames) -> PathBuf {
        self.path.join("checkpoints").join(frames.name())
    }

    /// The log.
    pub(crate) fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The plot of the curves.
    pub(crate) fn curves(&self) -> PathBuf {
        self.path.join("curves.svg")
    }

    /// The last weights of a model.
    pub(crate) fn last(&self, frames: Frames) -> PathBuf {
        self.path.join(format!("{frames}.last.safetensors"))
    }
}

/// Removes everything that training writes from a folder, and nothing else: what `--overwrite` does.
pub fn discard(out: &Path) -> Result<(), TrainError> {
    files::remove_dir(&out.join("checkpoints"))?;
    for name in ["model.json", "metrics.jsonl", "curves.svg"] {
        files::remove_file(&out.join(name))?;
    }
    for frames in Frames::ALL {
        for ending in ["safetensors", "safetensors.next", "last.safetensors"] {
            files::remove_file(&out.join(format!("{frames}.{ending}")))?;
        }
    }
    Ok(())
}

/// A file that is in the way of a new run.
fn occupant(path: &Path) -> Result<Option<String>, TrainError> {
    if !path.exists() {
        return Ok(None);
    }
    if !path.is_dir() {
        return Ok(Some("a file of that name".into()));
    }
    // An empty folder of checkpoints is a run that was stopped before it began.
    let name = |p: PathBuf| p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(files::list(path)?.into_iter().map(name).find(|n| n != "checkpoints" && !n.starts_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Budget, Loss};

    fn identity(config: TrainConfig) -> Identity {
        Identity { config, training: Vec::new(), validation: Vec::new() }
    }

    #[test]
    fn the_same_run_goes_on_and_another_is_refused_by_name() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("model");
        let first = identity(TrainConfig::cdeep3m());
        let (folder, before) = Folder::open(&out, &first).unwrap();
        assert_eq!(before, None);
        folder.claim(&first).unwrap();
        assert_eq!(Folder::open(&out, &first).unwrap().1, Some(first.config.clone()));

        let other = TrainConfig {
            seed: 7,
            loss: Loss::Overlap { dice: 1.0, jaccard: 0.0, hardest: 1.0 },
            ..first.config.clone()
        };
        let error = Folder::open(&out, &identity(other)).unwrap_err().to_string();
        assert!(
            error.contains("seed was 0, is 7") && error.contains("loss was") && error.contains("--overwrite"),
            "{error}"
        );

        let pair = || {
            let volume = crate::testing::volume("a", deep3m_volume::Extent::new(1, 2, 2), |_| 0);
            Pair {
                images: volume.info().clone(),
                images_sha256: String::new(),
                labels: volume.info().clone(),
                labels_sha256: String::new(),
            }
        };
        let with_data = Identity { validation: vec![pair()], ..first.clone() };
        let error = Folder::open(&out, &with_data).unwrap_err().to_string();
        assert!(error.contains("number of validation volumes was 0, is 1"), "{error}");

        let more = TrainConfig {
            add_iterations: 10,
            budget: Budget::Minutes(3.0),
            snapshot_interval: Some(5),
            ..first.config
        };
        Folder::open(&out, &identity(more)).unwrap();
        discard(&out).unwrap();
        assert_eq!(files::list(&out).unwrap().len(), 0);
    }

    #[test]
    fn one_process_at_a_time_trains_into_a_folder() {
        let out = tempfile::tempdir().unwrap();
        let folder = Folder::at(&out.path().join("model"));
        let held = folder.hold().unwrap();
        let error = folder.hold().unwrap_err();
        assert!(matches!(error, TrainError::InUse { .. }), "{error}");
        drop(held);
        let left = folder.path().join(".1fm.safetensors.12-3.part");
        std::fs::write(&left, "half").unwrap();
        folder.hold().unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn a_folder_with_something_else_is_refused() {
        let out = tempfile::tempdir().unwrap();
        std::fs::write(out.path().join("thesis.tex"), "x").unwrap();
        let error = Folder::open(out.path(), &identity(TrainConfig::deep3m())).unwrap_err().to_string();
        assert!(error.contains("thesis.tex"), "{error}");
        discard(out.path()).unwrap();
        assert!(out.path().join("thesis.tex").exists());
    }
}
