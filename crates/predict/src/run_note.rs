//! Which run an output belongs to, and whether it is done: `deep3m-run.json`, whole or not at all.

use std::path::Path;

use deep3m_volume::{Notes, VolumeError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{PredictError, RunIdentity};

/// The name of the file that says what run a folder holds.
pub(crate) const RUN_FILE: &str = "deep3m-run.json";

/// What `deep3m-run.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunNote<R = RunIdentity> {
    /// Whether all is done.
    pub(crate) finished: bool,
    /// Which run it is.
    pub(crate) run: R,
    /// The kinds of devices that computed it, once all is done. They decide nothing: the rounding of another kind is
    /// its own, but it is the same prediction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) devices: Vec<String>,
}

impl<R: Serialize + DeserializeOwned> RunNote<R> {
    /// The note of a run that begins.
    pub(crate) const fn begin(run: R) -> Self {
        Self { finished: false, run, devices: Vec::new() }
    }

    /// A note; `None` where there is none.
    pub(crate) fn read(notes: &Notes, name: &str) -> Result<Option<Self>, PredictError> {
        let Some(note) = notes.read(name)? else { return Ok(None) };
        let damaged = |e: serde_json::Error| PredictError::DamagedRun {
            path: notes.address(name),
            found: e.to_string(),
            expected: "the description of a prediction as deep3m writes it".to_owned(),
        };
        serde_json::from_slice(&note.bytes).map(Some).map_err(damaged)
    }

    /// The note in a file.
    pub(crate) fn read_file(path: &Path) -> Result<Option<Self>, PredictError> {
        let (notes, name) = beside(path)?;
        Self::read(&notes, &name)
    }

    /// Writes the note, whole or not at all.
    pub(crate) fn write(&self, notes: &Notes, name: &str) -> Result<(), PredictError> {
        Ok(notes.write(name, &self.text(&notes.address(name))?)?)
    }

    /// Writes the note to a file.
    pub(crate) fn write_file(&self, path: &Path) -> Result<(), PredictError> {
        let (notes, name) = beside(path)?;
        self.write(&notes, &name)
    }

    /// Writes the note where there is none; false where there is one.
    pub(crate) fn create(&self, notes: &Notes, name: &str) -> Result<bool, PredictError> {
        let text = self.text(&notes.address(name))?;
        if !notes.create_new(name, &text)? {
            return Ok(false);
        }
        // Again, so that it lasts through a power cut.
        notes.write(name, &text)?;
        Ok(true)
    }

    fn text(&self, path: &Path) -> Result<Vec<u8>, VolumeError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| VolumeError::io(path, "write", e.into()))?;
        text.push(b'\n');
        Ok(text)
    }
}

fn beside(path: &Path) -> Result<(Notes, String), VolumeError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok((Notes::at(folder)?, path.file_name().unwrap_or_default().to_string_lossy().into_owned()))
}
