//! Where an output stands: new, begun, or finished, and by which conversion.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::log::Log;
use super::{Conversion, ConvertError, Identity};
use crate::formats::slices::SliceWriter;
use crate::pyramid::{self, Level};
use crate::{Extent, Format, VolumeError, VolumeSpec, VolumeWriter, fs, open};

const NOTE: &str = ".deep3m-convert.json";
const LOG: &str = ".deep3m-convert.log";

/// Whether a file in an output is ours, and no part of the volume.
pub(crate) fn is_state(name: &str) -> bool {
    name == NOTE || name == LOG
}

/// What is at the output's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing of this conversion.
    Nothing,
    /// Some of its boxes.
    Begun,
    /// All of it.
    Finished,
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    finished: bool,
    conversion: Identity,
}

/// An output and its notes.
#[derive(Debug)]
pub(super) struct State {
    out: PathBuf,
    identity: Identity,
    is_folder: bool,
}

impl State {
    pub(super) fn new(out: &Path, identity: Identity) -> Self {
        let is_folder = identity.conversion.format.is_folder();
        Self { out: out.to_owned(), identity, is_folder }
    }

    fn note(&self) -> PathBuf {
        if self.is_folder {
            return self.out.join(NOTE);
        }
        let mut name = std::ffi::OsString::from(".");
        name.push(self.out.file_name().unwrap_or_default());
        name.push(NOTE);
        self.out.with_file_name(name)
    }

    /// What is there, and whether it may stay.
    pub(super) fn settle(&self, overwrite: bool) -> Result<Found, ConvertError> {
        let source = &self.identity.source;
        if std::path::absolute(&self.out).is_ok_and(|out| out == *source || source.starts_with(out)) {
            return Err(ConvertError::OutputIsInput { path: self.out.clone() });
        }
        let path = self.note();
        if !path.is_file() || !self.is_folder && !self.out.exists() {
            return Ok(Found::Nothing);
        }
        let damaged = |e: serde_json::Error| ConvertError::Damaged {
            path: path.clone(),
            found: e.to_string(),
            expected: "the description of a conversion as deep3m writes it".into(),
        };
        let note = serde_json::from_slice::<Note>(&fs::read(&path)?).map_err(damaged);
        match note {
            _ if overwrite => Ok(Found::Nothing),
            Err(damaged) => Err(damaged),
            Ok(note) => match differences(&note.conversion, &self.identity) {
                same if same.is_empty() => Ok(if note.finished { Found::Finished } else { Found::Begun }),
                differs => Err(ConvertError::Another { path: self.out.clone(), differs }),
            },
        }
    }

    /// The writers of all levels. An output is noted as this conversion's before anything of it is written.
    pub(super) fn writers(
        &self,
        spec: &VolumeSpec,
        levels: &[Level],
        found: Found,
        overwrite: bool,
    ) -> Result<Vec<Box<dyn VolumeWriter>>, ConvertError> {
        let Conversion { format, zarr, .. } = self.identity.conversion;
        let has_metadata = ["zarr.json", ".zattrs", "info"].iter().any(|name| self.out.join(name).is_file());
        if found == Found::Begun && format.has_levels() && has_metadata {
            return Ok(pyramid::reopen_levels(&self.out)?);
        }
        let slices = matches!(format, Format::PngFolder | Format::TiffFolder);
        if !(slices && found == Found::Begun) {
            // Stopped before its metadata were whole, a conversion begins anew.
            open::make_room(&self.out, format, overwrite || found == Found::Begun)?;
            self.write_note(false)?;
        }
        Ok(match format {
            Format::PngFolder => vec![Box::new(SliceWriter::png(&self.out, spec)?)],
            Format::TiffFolder => vec![Box::new(SliceWriter::tiff(&self.out, spec)?)],
            _ => pyramid::create_levels(&self.out, format, spec, levels, zarr, !format.is_folder())?,
        })
    }

    /// The boxes that are done; `None` where the output is one file, which is written anew.
    pub(super) fn log(&self, extents: &[Extent], grains: &[Extent]) -> Result<Option<Log>, ConvertError> {
        self.is_folder.then(|| Log::open(&self.out.join(LOG), extents, grains)).transpose()
    }

    /// Notes that everything is there.
    pub(super) fn finish(&self) -> Result<(), VolumeError> {
        self.write_note(true)?;
        if self.is_folder { fs::remove_file(&self.out.join(LOG)) } else { Ok(()) }
    }

    fn write_note(&self, finished: bool) -> Result<(), VolumeError> {
        let path = self.note();
        let note = Note { finished, conversion: self.identity.clone() };
        let mut text = serde_json::to_vec_pretty(&note).map_err(|e| VolumeError::io(&path, "write", e.into()))?;
        text.push(b'\n');
        fs::write_atomic(&path, &text)
    }
}

/// What differs between the conversion that is there and the one that is wanted.
fn differences(found: &Identity, expected: &Identity) -> Vec<String> {
    let fields = |identity: &Identity| match serde_json::to_value(identity) {
        Ok(Value::Object(mut fields)) => {
            if let Some(Value::Object(conversion)) = fields.remove("conversion") {
                fields.extend(conversion);
            }
            fields
        }
        _ => serde_json::Map::new(),
    };
    let (found, expected) = (fields(found), fields(expected));
    let differs = expected.iter().filter(|(name, value)| found.get(*name) != Some(value));
    let none = Value::Null;
    differs
        .map(|(name, value)| format!("{name}: found {}, expected {value}", found.get(name).unwrap_or(&none)))
        .collect()
}
