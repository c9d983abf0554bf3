//! Where an output stands: new, begun, or finished, and by which conversion.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::log::Log;
use super::{Conversion, ConvertError, Identity};
use crate::files::{self, Files, LARGEST_METADATA};
use crate::formats::slices::SliceWriter;
use crate::formats::{hdf5, precomputed};
use crate::pyramid::{self, Level};
use crate::{Extent, Format, VolumeError, VolumeSpec, VolumeWriter, absolute, fs, is_remote, open, same_place};

const NOTE: &str = ".deep3m-convert.json";
const LOG: &str = ".deep3m-convert.log";
/// A file that nobody has written to for so long is abandoned: a conversion writes all the time.
const ABANDONED: Duration = Duration::from_mins(5);

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
    /// Its file, where it is one: the address of an HDF5 dataset goes on behind it.
    file: PathBuf,
    identity: Identity,
    is_folder: bool,
    /// Where the notes lie.
    files: Arc<dyn Files>,
}

impl State {
    pub(super) fn new(out: &Path, identity: Identity) -> Result<Self, VolumeError> {
        let is_folder = identity.conversion.format.is_folder();
        let file = hdf5::Address::of(out).map_or_else(|| out.to_owned(), |address| address.file);
        let files = if is_folder { files::at(out)? } else { files::at(fs::parent(&file))? };
        Ok(Self { out: out.to_owned(), file, identity, is_folder, files })
    }

    /// The note's name: in the folder of the output, or beside its file.
    fn note(&self) -> String {
        if self.is_folder {
            return NOTE.to_owned();
        }
        format!(".{}{NOTE}", self.file.file_name().unwrap_or_default().to_string_lossy())
    }

    /// What is there, and whether it may stay.
    pub(super) fn settle(&self, overwrite: bool) -> Result<Found, ConvertError> {
        let source = &self.identity.source;
        let out = absolute(&self.out);
        if same_place(&self.out, source) || source.starts_with(out) {
            return Err(ConvertError::OutputIsInput { path: self.out.clone() });
        }
        let name = self.note();
        let note = self.files.get(&name, LARGEST_METADATA)?.filter(|_| self.is_folder || self.file.exists());
        let Some(note) = note else { return Ok(Found::Nothing) };
        let damaged = |e: serde_json::Error| ConvertError::Damaged {
            path: self.files.address(&name),
            found: e.to_string(),
            expected: "the description of a conversion as deep3m writes it".into(),
        };
        match serde_json::from_slice::<Note>(&note).map_err(damaged) {
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
        if found == Found::Begun && format.has_levels() {
            for metadata in ["zarr.json", ".zattrs", precomputed::INFO] {
                if self.files.size(metadata)?.is_some() {
                    return Ok(pyramid::reopen_levels(&self.out)?);
                }
            }
        }
        let slices = matches!(format, Format::PngFolder | Format::TiffFolder);
        if !(slices && found == Found::Begun) {
            if found == Found::Begun && self.is_folder && !is_remote(&self.out) {
                // Killed before its metadata were whole, a conversion begins anew. All that is there is its own.
                fs::remove_dir(&self.out)?;
            }
            open::make_room(&self.out, format, overwrite || found == Found::Begun)?;
            self.write_note(false)?;
        }
        Ok(match format {
            Format::PngFolder => vec![Box::new(SliceWriter::png(&self.out, spec)?)],
            Format::TiffFolder => vec![Box::new(SliceWriter::tiff(&self.out, spec)?)],
            _ => pyramid::create_levels(&self.out, format, spec, levels, zarr, !format.is_folder())?,
        })
    }

    /// Removes what killed conversions left half-written. The log is locked, so that nobody writes into a folder now; a
    /// file may be written by another process.
    pub(super) fn sweep(&self) -> Result<(), VolumeError> {
        match (is_remote(&self.out), self.is_folder) {
            (true, _) => Ok(()),
            (false, true) => fs::sweep(&self.out, Duration::ZERO).map(drop),
            (false, false) => fs::sweep_file(&self.file, ABANDONED),
        }
    }

    /// The boxes that are done; `None` where the output is one file, which is written anew.
    pub(super) fn log(&self, extents: &[Extent], grains: &[Extent]) -> Result<Option<Log>, ConvertError> {
        self.is_folder.then(|| Log::open(&self.out, &self.files, LOG, extents, grains)).transpose()
    }

    /// Notes that everything is there.
    pub(super) fn finish(&self) -> Result<(), VolumeError> {
        self.write_note(true)?;
        if self.is_folder { self.files.remove(LOG) } else { Ok(()) }
    }

    fn write_note(&self, finished: bool) -> Result<(), VolumeError> {
        let name = self.note();
        let note = Note { finished, conversion: self.identity.clone() };
        let address = || self.files.address(&name);
        let mut text = serde_json::to_vec_pretty(&note).map_err(|e| VolumeError::io(address(), "write", e.into()))?;
        text.push(b'\n');
        self.files.put(&[(name.clone(), text)])
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
