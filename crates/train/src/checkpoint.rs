//! Everything that a run needs to go on, in one file that is there whole or not at all.
//!
//! A checkpoint is a safetensors file `iteration-000001234.safetensors`: weights with batch statistics, the solver's
//! state, averaged weights, the best weights so far, and as its metadata the numbers in [`State`]. It is written under
//! another name, flushed and renamed; only then older ones are removed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use deep3m_net::{NamedTensor, NetConfig};
use deep3m_volume::fs as files;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, View};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::metrics::Scores;

/// The key of [`State`] in the file's metadata.
const STATE: &str = "state";
/// What to do about a damaged checkpoint.
const HINT: &str = "Remove the file to start this model anew, or give --overwrite to start the whole run anew";

/// The numbers of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Updates made.
    pub iteration: u64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// The last iterations: summed cross-entropy of their batches, pixels labelled right, pixels with a known label.
    pub recent: Vec<Recent>,
    /// How often and on how many sections is validated, once that is known.
    pub plan: Option<Plan>,
    /// Validations that were due so far and made.
    pub validated: u64,
    /// The iteration of the last validation.
    pub last_validated: Option<u64>,
    /// The best validation so far.
    pub best: Option<(u64, Scores)>,
    /// Once the model is done: the number of updates that its budget came to (without iterations added later).
    pub finished: Option<u64>,
    /// The iteration after which its weights were last written into the model directory.
    pub kept: Option<u64>,
}

/// How a run is validated; the same sections all along, so that scores can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// How often in the run.
    pub validations: u64,
    /// On how many sections.
    pub sections: u32,
}

/// What one iteration's batches said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    /// Mean cross-entropy of its batches.
    pub loss: f64,
    /// Pixels labelled right.
    pub correct: u64,
    /// Pixels with a known label.
    pub known: u64,
}

/// A run between two iterations.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The numbers.
    pub state: State,
    /// Weights and batch statistics.
    pub weights: Vec<NamedTensor>,
    /// For each trained tensor the solver's moments.
    pub solver: Vec<Vec<Vec<f32>>>,
    /// For each trained tensor its average.
    pub average: Option<Vec<Vec<f32>>>,
    /// The weights of the best validation.
    pub best: Option<Vec<NamedTensor>>,
}

impl Checkpoint {
    /// Writes the checkpoint into a model's folder, then removes the older ones there.
    pub fn save(&self, folder: &Path) -> Result<PathBuf, TrainError> {
        let path = folder.join(format!("iteration-{:09}.safetensors", self.state.iteration));
        files::write_atomic(&path, &self.to_bytes(&path)?)?;
        // Older ones, and what a killed run left half-written.
        for other in files::list(folder)?.into_iter().filter(|p| *p != path && is_ours(p)) {
            files::remove_file(&other)?;
        }
        Ok(path)
    }

    /// The newest checkpoint in a model's folder; `None` where there is none.
    pub fn load(folder: &Path, config: &NetConfig) -> Result<Option<Self>, TrainError> {
        match stored(folder)?.pop() {
            Some(path) => Self::from_bytes(&files::read(&path)?, config, &path).map(Some),
            None => Ok(None),
        }
    }

    fn to_bytes(&self, path: &Path) -> Result<Vec<u8>, TrainError> {
        let mut tensors: Vec<(String, Vec<usize>, &[f32])> = Vec::new();
        for (part, named) in [("weights", Some(&self.weights)), ("best", self.best.as_ref())] {
            for tensor in named.into_iter().flatten() {
                tensors.push((format!("{part}/{}", tensor.name), tensor.shape.clone(), &tensor.values));
            }
        }
        for (place, moments) in self.solver.iter().enumerate() {
            for (moment, values) in moments.iter().enumerate() {
                tensors.push((format!("solver/{place}/{moment}"), vec![values.len()], values));
            }
        }
        for (place, values) in self.average.iter().flatten().enumerate() {
            tensors.push((format!("average/{place}"), vec![values.len()], values));
        }
        let failed = |e: String| TrainError::io(path, "write", std::io::Error::other(e));
        let views = tensors.into_iter().map(|(name, shape, values)| (name, Floats { shape, values }));
        let state = serde_json::to_string(&self.state).map_err(|e| failed(e.to_string()))?;
        safetensors::serialize(views, Some(HashMap::from([(STATE.to_owned(), state)])))
            .map_err(|e| failed(e.to_string()))
    }

    fn from_bytes(bytes: &[u8], config: &NetConfig, path: &Path) -> Result<Self, TrainError> {
        let damaged = |found: String, expected: &str| TrainError::Damaged {
            path: path.to_owned(),
            found,
            expected: expected.to_owned(),
            hint: HINT,
        };
        let (_, metadata) =
            SafeTensors::read_metadata(bytes).map_err(|e| damaged(e.to_string(), "a safetensors file"))?;
        let state = metadata.metadata().as_ref().and_then(|m| m.get(STATE)).map_or("", String::as_str);
        let state: State = serde_json::from_str(state).map_err(|e| damaged(e.to_string(), "a checkpoint's state"))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(e.to_string(), "a safetensors file"))?;
        let values = |name: &str| -> Option<Vec<f32>> {
            let view = file.tensor(name).ok().filter(|v| v.dtype() == Dtype::F32)?;
            Some(view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        };
        let named = |part: &str| -> Option<Vec<NamedTensor>> {
            config
                .parameters()
                .into_iter()
                .map(|spec| {
                    let values = values(&format!("{part}/{}", spec.name)).filter(|v| v.len() == spec.len())?;
                    Some(NamedTensor { name: spec.name, shape: spec.shape, values })
                })
                .collect()
        };
        let listed = |name: &dyn Fn(usize) -> String| -> Vec<Vec<f32>> {
            (0..file.len()).map_while(|i| values(&name(i))).collect()
        };
        let solver = (0..file.len())
            .map(|place| listed(&|moment| format!("solver/{place}/{moment}")))
            .take_while(|moments| !moments.is_empty())
            .collect();
        let average = listed(&|place| format!("average/{place}"));
        Ok(Self {
            best: if state.best.is_some() { named("best") } else { None },
            weights: named("weights")
                .ok_or_else(|| damaged("tensors of another network".into(), "this run's tensors"))?,
            solver,
            average: (!average.is_empty()).then_some(average),
            state,
        })
    }
}

/// A tensor that becomes bytes when its turn comes: all of them at once would be a second copy of the whole state.
struct Floats<'a> {
    shape: Vec<usize>,
    values: &'a [f32],
}

impl View for Floats<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::with_capacity(self.data_len());
        self.values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        4 * self.values.len()
    }
}

/// Whether a file is a checkpoint, whole or half-written.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    path.is_file() && name.trim_start_matches('.').starts_with("iteration-")
}

/// The checkpoints in a folder, oldest first; none where the folder is absent.
fn stored(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let is_checkpoint = |path: &PathBuf| {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        path.is_file() && name.starts_with("iteration-") && path.extension().is_some_and(|e| e == "safetensors")
    };
    Ok(files::list(folder)?.into_iter().filter(is_checkpoint).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_net::Frames;

    fn checkpoint(iteration: u64) -> (Checkpoint, NetConfig) {
        let config = NetConfig::with_width(Frames::One, 0.01).unwrap();
        let weights: Vec<NamedTensor> = config
            .parameters()
            .into_iter()
            .map(|s| NamedTensor { values: vec![0.25; s.len()], name: s.name, shape: s.shape })
            .collect();
        let scores = Scores::new(0.1, &deep3m_analyze::Confusion { tp: 3, fp: 4, fn_: 3, tn: 0 }, None);
        let recent = vec![Recent { loss: 0.1 + 0.2, correct: 3, known: 7 }];
        let state = State {
            iteration,
            seconds: 1.5,
            recent,
            plan: Some(Plan { validations: 6, sections: 8 }),
            validated: 2,
            last_validated: Some(8),
            best: Some((5, scores)),
            finished: Some(iteration),
            kept: None,
        };
        let solver = vec![vec![vec![1.0, 2.0], vec![3.0, 4.0]], vec![vec![5.0], vec![f32::MIN_POSITIVE]]];
        let best = Some(weights.clone());
        (Checkpoint { state, weights, solver, average: Some(vec![vec![1.0], vec![2.0, 3.0]]), best }, config)
    }

    #[test]
    fn everything_is_read_back_and_older_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let (first, config) = checkpoint(9);
        assert!(Checkpoint::load(folder.path(), &config).unwrap().is_none());
        first.save(folder.path()).unwrap();
        let (second, _) = checkpoint(10);
        let path = second.save(folder.path()).unwrap();
        assert_eq!(files::list(folder.path()).unwrap(), [path]);
        assert_eq!(Checkpoint::load(folder.path(), &config).unwrap(), Some(second));
    }

    #[test]
    fn a_damaged_checkpoint_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (checkpoint, config) = checkpoint(9);
        let path = checkpoint.save(folder.path()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = Checkpoint::load(folder.path(), &config).unwrap_err().to_string();
        assert!(error.contains("iteration-000000009.safetensors: damaged"), "{error}");
    }

    #[test]
    fn a_half_written_file_is_not_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let (checkpoint, config) = checkpoint(9);
        checkpoint.save(folder.path()).unwrap();
        std::fs::write(folder.path().join(".iteration-000000010.safetensors.1-1.part"), b"half").unwrap();
        assert_eq!(Checkpoint::load(folder.path(), &config).unwrap().unwrap().state.iteration, 9);
        let path = checkpoint.save(folder.path()).unwrap();
        assert_eq!(files::list(folder.path()).unwrap(), [path]);
    }
}
