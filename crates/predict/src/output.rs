//! Where a prediction is written, so that nothing half done is ever taken for a result.
//!
//! Blocks go to an OME-Zarr volume of the whole volume's size, whose chunks lie as the blocks do. Where that is what is
//! asked for (`OUT.zarr`, no region), it is the output itself, to look at while it grows. Otherwise it lies in a scratch
//! folder `OUT.partial/` beside the output, and is copied into the wanted format (and cut to the region) in the end.
//!
//! In object storage nothing can be renamed: there the blocks go straight to the output only.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use deep3m_volume::formats::ome_zarr::ZarrWriter;
use deep3m_volume::{
    Extent, Format, Notes, OpenOptions, Region, Volume, VolumeError, VolumeSpec, VolumeWriter, VoxelSize, VoxelType,
    create, crop, fs, is_remote, open_with, remove_folder_volume,
};
use serde_json::json;

use crate::disagreement::DISAGREEMENT;
use crate::parts::Parts;
use crate::run_note::{RUN_FILE, RunNote};
use crate::workers::{FOLDER, Presence, check_unused};
use crate::{PredictError, RunIdentity};

/// The places of an output.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// What was asked for.
    out: PathBuf,
    /// The scratch folder; `None` where blocks go straight to the output.
    scratch: Option<PathBuf>,
    /// Whether it lies in object storage.
    remote: bool,
    /// Beside the blocks.
    notes: Arc<Notes>,
    presence: Presence,
}

/// Whether a prediction can be written to an address, as far as its name says.
///
/// # Errors
/// [`PredictError::RemoteOutput`]; an address that cannot be written to.
pub fn check_output(out: &Path, region: Option<Region>) -> Result<(), PredictError> {
    Output::new(out, region).map(|_| ())
}

/// What is at an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// This run, complete.
    Finished,
    /// This run, not complete, or nothing.
    Open,
}

impl Output {
    /// # Errors
    /// [`PredictError::RemoteOutput`]; an address that cannot be written to.
    pub(crate) fn new(out: &Path, region: Option<Region>) -> Result<Self, PredictError> {
        let (zarr, remote) =
            (out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zarr")), is_remote(out));
        let refuse = |found| Err(PredictError::RemoteOutput { path: out.to_owned(), found });
        match region {
            _ if remote && !zarr => return refuse("another format than OME-Zarr"),
            Some(_) if remote => return refuse("the prediction of a region"),
            _ => {}
        }
        let mut name = out.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let scratch = (!zarr || region.is_some()).then(|| out.with_file_name(name));
        let store = store(out, scratch.as_deref());
        let presence = if remote { Presence::Processes } else { Presence::beside(&store) };
        Ok(Self { out: out.to_owned(), scratch, remote, notes: Arc::new(Notes::at(&store)?), presence })
    }

    /// The volume that blocks are written to.
    pub(crate) fn store(&self) -> PathBuf {
        store(&self.out, self.scratch.as_deref())
    }

    /// The notes beside the blocks.
    pub(crate) fn notes(&self) -> Arc<Notes> {
        self.notes.clone()
    }

    /// Where processes of one machine know of each other.
    pub(crate) const fn presence(&self) -> &Presence {
        &self.presence
    }

    /// The run that is here, as far as it is, if any can be read.
    pub(crate) fn begun(&self) -> Option<RunIdentity> {
        let of_blocks = RunNote::read(&self.notes, RUN_FILE).ok().flatten();
        let note = of_blocks.or_else(|| self.result().ok().flatten())?;
        Some(note.run)
    }

    /// The note of a finished output.
    fn result(&self) -> Result<Option<RunNote>, PredictError> {
        match self.scratch {
            None => RunNote::read(&self.notes, RUN_FILE),
            Some(_) => RunNote::read_file(&self.note_of_result()),
        }
    }

    /// Whether the disagreement of the passes can be kept here.
    ///
    /// # Errors
    /// [`PredictError::NoDisagreement`].
    pub(crate) fn check_disagreement(&self) -> Result<(), PredictError> {
        let found = match (self.remote, self.is_copied()) {
            (true, _) => "object storage",
            (false, true) => "a region, or another format than OME-Zarr,",
            (false, false) => return Ok(()),
        };
        Err(PredictError::NoDisagreement { path: self.out.clone(), found })
    }

    /// Whether the output is made from the blocks in the end.
    pub(crate) const fn is_copied(&self) -> bool {
        self.scratch.is_some()
    }

    /// The note of a finished output: inside a folder, beside a file.
    fn note_of_result(&self) -> PathBuf {
        if self.out.is_file() || self.out.extension().is_some_and(is_tiff) {
            let mut name = self.out.file_name().unwrap_or_default().to_owned();
            name.push(format!(".{RUN_FILE}"));
            return self.out.with_file_name(name);
        }
        self.out.join(RUN_FILE)
    }

    /// Looks at what is there, and clears away what may be replaced; nothing is removed without `overwrite`.
    pub(crate) fn settle(&self, run: &RunIdentity, overwrite: bool) -> Result<Found, PredictError> {
        let found = self.look(&self.out, run, overwrite)?;
        if found == Found::Finished && !overwrite {
            return Ok(Found::Finished);
        }
        if self.scratch.is_some() {
            let blocks = self.look(&self.store(), run, overwrite)?;
            // The old result stays until the new one takes its place.
            if blocks == Found::Finished {
                return Ok(Found::Open);
            }
        } else if found == Found::Finished {
            self.remove(&self.out)?;
        }
        Ok(Found::Open)
    }

    /// Whether the output is this run's, complete: another worker may have ended it.
    pub(crate) fn is_finished(&self, run: &RunIdentity) -> Result<bool, PredictError> {
        // The note of a file comes before the file: whoever was killed between the two has left the note alone.
        if self.is_copied() && !self.out.exists() {
            return Ok(false);
        }
        Ok(self.result()?.is_some_and(|note| note.finished && note.run.differences(run).is_empty()))
    }

    /// What is at one place. With `overwrite`, another run in the place of the blocks is removed.
    fn look(&self, place: &Path, run: &RunIdentity, overwrite: bool) -> Result<Found, PredictError> {
        let is_store = place == self.store();
        if !self.remote && !place.exists() {
            return Ok(Found::Open);
        }
        let read = || if is_store { RunNote::<RunIdentity>::read(&self.notes, RUN_FILE) } else { self.result() };
        let is_empty = || if self.remote { self.notes.is_empty() } else { Ok(is_empty_folder(place)) };
        let mut found = read();
        // Looked at once: whoever begins after that is met when the note is made.
        let empty = matches!(found, Ok(None)) && is_empty()?;
        if matches!(found, Ok(None)) && !empty {
            // Another worker may have begun since: its note is the first thing there.
            found = read();
        }
        let problem = match found {
            Ok(Some(note)) => match note.run.differences(run) {
                same if same.is_empty() => return Ok(if note.finished { Found::Finished } else { Found::Open }),
                differs => PredictError::AnotherRun { path: place.to_owned(), differs },
            },
            Ok(None) if empty || (!self.remote && !place.exists()) => return Ok(Found::Open),
            Ok(None) => PredictError::Occupied { path: place.to_owned() },
            Err(damaged) => damaged,
        };
        if !overwrite {
            return Err(problem);
        }
        if !self.remote {
            self.check_replaceable(place)?;
        }
        if is_store {
            self.remove(place)?;
        }
        Ok(Found::Open)
    }

    /// Only volumes and predictions are ever removed.
    fn check_replaceable(&self, place: &Path) -> Result<(), PredictError> {
        let image =
            |path: &Path| path.extension().is_some_and(|ending| is_tiff(ending) || ending.eq_ignore_ascii_case("png"));
        let replaceable = if place.is_dir() {
            let volume = place.join(RUN_FILE).is_file() || place.join("zarr.json").is_file();
            volume || fs::list(place)?.iter().all(|entry| entry.is_file() && image(entry))
        } else {
            image(place)
        };
        if replaceable { Ok(()) } else { Err(PredictError::NotReplaced { path: self.out.clone() }) }
    }

    fn remove(&self, place: &Path) -> Result<(), PredictError> {
        if self.remote {
            check_unused(&self.notes, &self.presence)?;
            self.notes.remove_folder(FOLDER)?;
            Parts::remove(&self.notes)?;
            return Ok(remove_folder_volume(place, Format::OmeZarr)?);
        }
        self.check_replaceable(place)?;
        check_unused(&Notes::at(place)?, &Presence::beside(place))?;
        Ok(remove(place)?)
    }

    /// Opens the volume for the blocks, or starts it; whether it was there before. The note comes first: a folder with a
    /// note and no volume yet is this run's beginning. Several workers may do this at once.
    pub(crate) fn open_store(
        &self,
        run: &RunIdentity,
        chunk: Extent,
        voxel_size: Option<VoxelSize>,
    ) -> Result<(ZarrWriter, bool), PredictError> {
        let (store, notes) = (self.store(), &self.notes);
        if !self.remote {
            fs::create_dir(&store)?;
        }
        let begins = RunNote::begin(run.clone()).create(notes, RUN_FILE)?;
        if let (false, Some(note)) = (begins, RunNote::<RunIdentity>::read(notes, RUN_FILE)?) {
            let differs = note.run.differences(run);
            if !differs.is_empty() {
                return Err(PredictError::AnotherRun { path: store, differs });
            }
        }
        if notes.read("zarr.json")?.is_some() {
            return Ok((ZarrWriter::reopen(&store)?, !begins));
        }
        // Two that do this at once write the same bytes.
        Ok((ZarrWriter::create(&store, &spec(run, run.plan.extent, chunk, voxel_size))?, !begins))
    }

    /// Opens the volume for the disagreement of the passes, in the folder of that for the blocks, or starts it.
    pub(crate) fn open_disagreement(
        &self,
        run: &RunIdentity,
        chunk: Extent,
        voxel_size: Option<VoxelSize>,
    ) -> Result<ZarrWriter, PredictError> {
        let store = self.store().join(DISAGREEMENT);
        if self.notes.read(&format!("{DISAGREEMENT}/zarr.json"))?.is_some() {
            return Ok(ZarrWriter::reopen(&store)?);
        }
        let provenance =
            json!({ "kind": "disagreement", "scale": "standard deviation of p = value / 255", "run": run });
        let spec = VolumeSpec { provenance: Some(provenance), ..spec(run, run.plan.extent, chunk, voxel_size) };
        Ok(ZarrWriter::create(&store, &spec)?)
    }

    /// Notes that all blocks are done, and makes the output from them, holding about `bytes` of them, where they are not
    /// the output itself. False when stopped before the output was complete, or when `go_on` says no because another makes
    /// it now.
    pub(crate) fn complete(
        &self,
        note: &RunNote,
        attempt: &str,
        chunk: Extent,
        bytes: u64,
        go_on: &mut dyn FnMut() -> bool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<bool, PredictError> {
        let (store, run) = (self.store(), &note.run);
        note.write(&self.notes, RUN_FILE)?;
        let Some(scratch) = &self.scratch else { return Ok(true) };
        let blocks = open_with(&store, &OpenOptions::default().cache_bytes(bytes as usize))?;
        let voxel_size = blocks.info().voxel_size;
        let region = run.region.unwrap_or(Region::whole(run.plan.extent));
        let made = scratch.join(attempt).join(self.out.file_name().unwrap_or_default());
        // What an earlier attempt left.
        remove(&made)?;
        fs::create_dir(&scratch.join(attempt))?;
        let writer = create(&made, &spec(run, region.extent, chunk, voxel_size), false)?;
        progress(0);
        if !copy(&crop(blocks, region)?, writer.as_ref(), chunk.z, bytes, go_on, progress)? {
            return Ok(false);
        }
        drop(writer);
        if made.is_dir() {
            note.write_file(&made.join(RUN_FILE))?;
        }
        if !go_on() {
            return Ok(false);
        }
        if self.out.exists() {
            self.remove(&self.out)?;
        }
        if made.is_file() {
            note.write_file(&self.note_of_result())?;
        }
        std::fs::rename(&made, &self.out).map_err(|e| VolumeError::io(&self.out, "rename into place", e))?;
        Ok(true)
    }

    /// Removes temporary files of killed processes that were last written at least `age` ago.
    pub(crate) fn sweep(&self, age: Duration) -> Result<(), PredictError> {
        if !self.remote {
            fs::sweep(&self.store(), age)?;
        }
        Ok(())
    }

    /// As [`Self::clear_up`], unless somebody makes the output anew in this moment, or still waits for it.
    pub(crate) fn clear_up_unused(&self) -> Result<(), PredictError> {
        if check_unused(&self.notes, &self.presence).is_err() {
            return Ok(());
        }
        self.clear_up()
    }

    /// Removes what only a run that is not finished needs.
    pub(crate) fn clear_up(&self) -> Result<(), PredictError> {
        if let Some(scratch) = &self.scratch {
            return Ok(clear(scratch)?);
        }
        Parts::remove(&self.notes)?;
        if self.remote {
            return Ok(self.notes.remove_folder(FOLDER)?);
        }
        Ok(clear(&self.out.join(FOLDER))?)
    }
}

fn store(out: &Path, scratch: Option<&Path>) -> PathBuf {
    scratch.map_or_else(|| out.to_owned(), |scratch| scratch.join("blocks.zarr"))
}

/// Removes a file or a folder, if it is there.
fn remove(path: &Path) -> Result<(), VolumeError> {
    if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) }
}

/// Removes a folder in which another worker may just write its last note.
fn clear(folder: &Path) -> Result<(), VolumeError> {
    for _ in 0..20 {
        if fs::remove_dir(folder).is_ok() {
            return Ok(());
        }
        sleep(Duration::from_millis(50));
    }
    fs::remove_dir(folder)
}

/// What a probability volume is.
fn spec(run: &RunIdentity, extent: Extent, chunk: Extent, voxel_size: Option<VoxelSize>) -> VolumeSpec {
    let origin = run.region.map(|region| region.start).unwrap_or_default();
    let provenance = json!({ "kind": "probability", "scale": "p = value / 255", "origin": origin, "run": run });
    VolumeSpec { extent, voxel_type: VoxelType::U8, voxel_size, chunk: Some(chunk), provenance: Some(provenance) }
}

/// Copies a volume, as many sections at once as `bytes` hold; false when stopped.
fn copy(
    source: &Arc<dyn Volume>,
    target: &dyn VolumeWriter,
    slab: u64,
    bytes: u64,
    go_on: &mut dyn FnMut() -> bool,
    progress: &mut dyn FnMut(u64),
) -> Result<bool, PredictError> {
    let (grain, extent) = (target.grain(), source.info().extent);
    let sections = (bytes / (grain.y * grain.x).max(1)).clamp(1, slab.max(1));
    let step = Extent::new((sections / grain.z).max(1) * grain.z, grain.y, grain.x);
    for tile in Region::whole(extent).tiles(step) {
        if !go_on() {
            return Ok(false);
        }
        target.write(tile.start, &source.read(tile)?)?;
        progress(tile.extent.len() as u64);
    }
    target.finish()?;
    Ok(true)
}

fn is_tiff(ending: &std::ffi::OsStr) -> bool {
    ending.eq_ignore_ascii_case("tif") || ending.eq_ignore_ascii_case("tiff")
}

fn is_empty_folder(path: &Path) -> bool {
    // Another worker may begin in this moment.
    let begins = |entry: &PathBuf| entry.file_name().is_some_and(fs::is_temporary);
    path.is_dir() && fs::list(path).is_ok_and(|entries| entries.iter().all(begins))
}
