//! A prediction in CDeep3M's geometry, package by package.
//!
//! In `out` are afterwards `1fm/Segmented_0001.png` and so on for each model, and `ensembled/`, their mean. While it
//! runs, each package's result lies in `1fm/Pkg001_Z01/` as 16-bit PNG; a section that is there is not computed again.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deep3m_net::Frames;
use deep3m_volume::formats::slices::SliceWriter;
use deep3m_volume::{
    Block, Extent, Format, Index, OpenOptions, Region, Volume, VolumeSpec, VolumeWriter, VoxelSize, VoxelType, Voxels,
    absolute, fs, is_remote, open, open_with,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bytes::{mean, plane_to_8_bits, to_16_bits};
use super::packages::{Axis, LEAST, PATCH, Reading, along, mirrored_in, z_blocks};
use crate::forward::{Forward, Member};
use crate::grey::Normalise;
use crate::identity::differences;
use crate::lock::Lock;
use crate::run_note::{RUN_FILE, RunNote};
use crate::{
    Ensemble, ModelIdentity, PredictConfig, PredictError, PredictEvent, PredictSummary, RunIdentity, VariationCount,
};

/// What decides the bytes of such a prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Identity {
    program: String,
    layout: String,
    model: ModelIdentity,
    normalisation: Value,
    volume: PathBuf,
    extent: Extent,
    variations: VariationCount,
}

/// Predicts a volume as CDeep3M 1.6 does, or goes on with such a prediction.
///
/// `out` becomes a folder with a folder of `Segmented_NNNN.png` for each model and one for the ensemble. Of `config`,
/// the variations and [`PredictConfig::overwrite`] are used. Memory: one section of
/// the volume, and a dozen patches of 1024 × 1024.
///
/// # Errors
/// As [`crate::predict`]; [`PredictError::Layout`] for what the reference cannot do: binned models, regions, volumes
/// of fewer than 3 sections or 14 rows or columns.
pub fn predict(
    ensemble: &Ensemble,
    volume: &dyn Volume,
    out: &Path,
    config: &PredictConfig,
    stop: &AtomicBool,
    observer: &mut dyn FnMut(PredictEvent),
) -> Result<PredictSummary, PredictError> {
    let started = Instant::now();
    let info = volume.info();
    if is_remote(out) {
        return Err(PredictError::RemoteOutput { path: out.to_owned(), found: "CDeep3M's folders" });
    }
    check(ensemble, volume, config)?;
    let grey = ensemble.grey(volume)?;
    let identity = Identity {
        program: RunIdentity::this_program(),
        layout: "cdeep3m".to_owned(),
        model: ensemble.identity().clone(),
        normalisation: grey.description,
        volume: absolute(&info.path),
        extent: info.extent,
        variations: config.variations,
    };
    let mut summary = PredictSummary { voxels: info.extent.len() as u64, ..PredictSummary::default() };
    let note = out.join(RUN_FILE);
    if settle(out, &note, &identity, config.overwrite)? {
        observer(PredictEvent::Notice(format!("{}: already complete, nothing to do", out.display())));
        return Ok(summary);
    }
    for notice in grey.notice.into_iter().chain(ensemble.doubts(info)).chain(empty_band(info.extent)) {
        observer(PredictEvent::Notice(notice));
    }
    fs::create_dir(out)?;
    RunNote::begin(identity.clone()).write_file(&note)?;
    // Two processes in one folder would write over each other.
    let alone = Lock::take(&out.join(LOCK))?.ok_or_else(|| in_use(out))?;
    let forward = ensemble.forward(config);
    let packages = Packages::of(volume);
    let mut work = Work {
        volume,
        normalise: &*grey.apply,
        stop,
        progress: Progress::new(&packages, &forward, summary.voxels),
        network: Duration::ZERO,
    };
    summary.blocks = (packages.list.len() * packages.blocks.len() * forward.members.len()) as u64;
    observer(PredictEvent::Planned {
        blocks: summary.blocks,
        done: 0,
        voxels: summary.voxels,
        voxels_done: 0,
        passes: forward.passes(),
    });
    let mut done = 0;
    for member in &forward.members {
        let folder = out.join(member.model.frames().name());
        if is_merged(&folder) {
            done += packages.places().count() as u64;
            work.progress.skip(&packages, member);
        } else {
            for place in packages.places() {
                if !work.package(member, &folder, place, observer)? {
                    return Err(PredictError::Interrupted { path: out.to_owned(), done, blocks: summary.blocks });
                }
                done += 1;
            }
            packages.merge(&folder, info.voxel_size)?;
        }
        packages.remove(&folder)?;
    }
    let models: Vec<Frames> = forward.members.iter().map(|member| member.model.frames()).collect();
    ensemble_of(out, &models, info.extent, info.voxel_size)?;
    RunNote { finished: true, ..RunNote::begin(identity) }.write_file(&note)?;
    drop(alone);
    fs::remove_file(&out.join(LOCK))?;
    summary.voxels_now = summary.voxels;
    summary.blocks_now = summary.blocks;
    summary.complete = true;
    summary.network_seconds = work.network.as_secs_f64();
    summary.seconds = started.elapsed().as_secs_f64();
    Ok(summary)
}

/// The file that is locked while a process predicts into the folder.
const LOCK: &str = "deep3m.lock";

fn in_use(out: &Path) -> PredictError {
    PredictError::InUse { path: out.to_owned(), by: "one that is still running".to_owned() }
}

/// Refuses what the reference cannot do.
fn check(ensemble: &Ensemble, volume: &dyn Volume, config: &PredictConfig) -> Result<(), PredictError> {
    let extent = volume.info().extent;
    let fail = |found: String, expected: &'static str| Err(PredictError::Layout { found, expected });
    if !ensemble.binning().is_none() {
        let b = ensemble.binning();
        return fail(format!("a model that bins {} × {} pixels", b.y, b.x), "one without binning, as CDeep3M's are");
    }
    if config.region.is_some() {
        return fail("a region".to_owned(), "the whole volume, as CDeep3M predicts it");
    }
    if extent.z < LEAST.0 || extent.y < LEAST.1 || extent.x < LEAST.1 {
        return fail(
            format!("{}: a volume of {extent}", volume.info().path.display()),
            "at least 3 sections of 14 × 14 pixels, to be mirrored",
        );
    }
    Ok(())
}

/// Looks at what is in `out`: true where this run is complete.
fn settle(out: &Path, note: &Path, run: &Identity, overwrite: bool) -> Result<bool, PredictError> {
    let problem = match RunNote::<Identity>::read_file(note) {
        Ok(Some(found)) => match differences(&found.run, run) {
            same if same.is_empty() && !(overwrite && found.finished) => return Ok(found.finished),
            same if same.is_empty() => None,
            differs => Some(PredictError::AnotherRun { path: out.to_owned(), differs }),
        },
        Ok(None) if !out.exists() => return Ok(false),
        Ok(None) if out.is_dir() && fs::list(out)?.is_empty() => return Ok(false),
        Ok(None) => return Err(PredictError::Occupied { path: out.to_owned() }),
        Err(damaged) => Some(damaged),
    };
    match problem {
        Some(problem) if !overwrite => Err(problem),
        _ => {
            if Lock::is_held(&out.join(LOCK)) == Some(true) {
                return Err(in_use(out));
            }
            for name in Frames::ALL.iter().map(|frames| frames.name()).chain(["ensembled"]) {
                fs::remove_dir(&out.join(name))?;
            }
            fs::remove_file(note)?;
            Ok(false)
        }
    }
}

/// What the reference leaves empty, said.
fn empty_band(extent: Extent) -> Option<String> {
    let patch = PATCH as u64;
    let band = match (extent.y > patch, extent.x > patch) {
        (false, true) => "rows",
        (true, false) => "columns",
        _ => return None,
    };
    Some(format!("CDeep3M leaves the first 13 {band} of such images empty, and so does its layout"))
}

/// A package: its rows and columns, its number, and its block of sections with its number. Numbers count from 1.
#[derive(Clone, Copy)]
struct PackagePlace<'a> {
    y: &'a Axis,
    x: &'a Axis,
    number: usize,
    block: &'a Range<u64>,
    block_number: usize,
}

impl PackagePlace<'_> {
    fn folder(&self, model: &Path) -> PathBuf {
        model.join(format!("Pkg{:03}_Z{:02}", self.number, self.block_number))
    }

    fn kept(&self) -> Extent {
        let length = |range: &Range<u64>| range.end - range.start;
        Extent::new(length(self.block), length(&self.y.kept), length(&self.x.kept))
    }
}

/// All packages of a volume.
struct Packages {
    extent: Extent,
    list: Vec<(Axis, Axis)>,
    blocks: Vec<Range<u64>>,
}

impl Packages {
    fn of(volume: &dyn Volume) -> Self {
        let info = volume.info();
        let reading = match info.format {
            Format::PngFolder | Format::TiffFolder => Reading::Folder,
            _ => Reading::Stack,
        };
        let alone = info.extent.y <= PATCH as u64 && info.extent.x <= PATCH as u64;
        let columns = along(info.extent.x, alone, reading);
        let list = along(info.extent.y, alone, reading)
            .into_iter()
            .flat_map(|y| columns.iter().map(move |x| (y.clone(), x.clone())).collect::<Vec<_>>())
            .filter(|(y, x)| !y.kept.is_empty() && !x.kept.is_empty())
            .collect();
        Self { extent: info.extent, list, blocks: z_blocks(info.extent.z) }
    }

    fn places(&self) -> impl Iterator<Item = PackagePlace<'_>> {
        self.list.iter().zip(1..).flat_map(|((y, x), number)| {
            self.blocks.iter().zip(1..).map(move |(block, block_number)| PackagePlace {
                y,
                x,
                number,
                block,
                block_number,
            })
        })
    }

    /// Joins a model's packages, plane by plane.
    fn merge(&self, model: &Path, voxel_size: Option<VoxelSize>) -> Result<(), PredictError> {
        let writer = segmented(model, self.extent, voxel_size)?;
        for (block, number) in self.blocks.iter().zip(1_usize..) {
            let open_package = |place: PackagePlace<'_>| -> Result<_, PredictError> {
                // Each section is read once.
                let options = OpenOptions::default().cache_bytes(0);
                Ok((open_with(&place.folder(model), &options)?, place.y.kept.start, place.x.kept.start))
            };
            let parts =
                self.places().filter(|p| p.block_number == number).map(open_package).collect::<Result<Vec<_>, _>>()?;
            for z in block.clone() {
                let mut plane = Block::zeros(Extent::new(1, self.extent.y, self.extent.x), VoxelType::U16);
                for (part, y, x) in &parts {
                    let section = Region::section(part.info().extent, z - block.start);
                    let values = part.read(section)?;
                    plane.paste(Index { z: 0, y: *y, x: *x }, &values, Region::whole(values.extent()));
                }
                let values: Vec<u16> = plane.voxels().iter().map(|v| v as u16).collect();
                let bytes = Block::new(plane.extent(), Voxels::U8(plane_to_8_bits(&values)));
                writer.write(Index { z, y: 0, x: 0 }, &bytes)?;
            }
        }
        writer.finish()?;
        Ok(fs::write_atomic(&model.join(MERGED), b"0\n")?)
    }

    /// Removes a model's packages, once they are joined.
    fn remove(&self, model: &Path) -> Result<(), PredictError> {
        for place in self.places() {
            fs::remove_dir(&place.folder(model))?;
        }
        Ok(())
    }
}

/// The reference's mark of a model that is done.
const MERGED: &str = "DONE";

fn is_merged(model: &Path) -> bool {
    model.join(MERGED).is_file()
}

/// A writer of `Segmented_0001.png` and so on.
fn segmented(folder: &Path, extent: Extent, voxel_size: Option<VoxelSize>) -> Result<SliceWriter, PredictError> {
    let spec = VolumeSpec { extent, voxel_type: VoxelType::U8, voxel_size, chunk: None, provenance: None };
    Ok(SliceWriter::png(folder, &spec)?.named("Segmented_", 1))
}

/// The mean of the models' bytes.
fn ensemble_of(
    out: &Path,
    models: &[Frames],
    extent: Extent,
    voxel_size: Option<VoxelSize>,
) -> Result<(), PredictError> {
    let writer = segmented(&out.join("ensembled"), extent, voxel_size)?;
    for z in 0..extent.z {
        let plane = |frames: &Frames| -> Result<Vec<u8>, PredictError> {
            let source = segmented(&out.join(frames.name()), extent, voxel_size)?.path(z);
            let volume = open(&source)?;
            let values = volume.read(Region::whole(volume.info().extent))?;
            Ok(values.voxels().iter().map(|v| v as u8).collect())
        };
        let planes = models.iter().map(plane).collect::<Result<Vec<_>, _>>()?;
        let block = Block::new(Extent::new(1, extent.y, extent.x), Voxels::U8(mean(&planes)));
        writer.write(Index { z, y: 0, x: 0 }, &block)?;
    }
    Ok(writer.finish()?)
}

/// The part of a run that is done, in voxels of the whole.
struct Progress {
    done: u64,
    all: u64,
    voxels: u64,
}

impl Progress {
    fn new(packages: &Packages, forward: &Forward<'_>, voxels: u64) -> Self {
        let sections = packages.list.len() as u64 * packages.extent.z;
        Self { done: 0, all: sections * forward.passes(), voxels }
    }

    fn add(&mut self, passes: u64) -> PredictEvent {
        self.done += passes;
        let share = self.done as f64 / self.all.max(1) as f64;
        PredictEvent::Progress { voxels_done: (share * self.voxels as f64) as u64 }
    }

    fn skip(&mut self, packages: &Packages, member: &Member<'_>) {
        self.done += packages.list.len() as u64 * packages.extent.z * member.variations.len() as u64;
    }
}

/// A run at work.
struct Work<'a> {
    volume: &'a dyn Volume,
    normalise: &'a Normalise,
    stop: &'a AtomicBool,
    progress: Progress,
    network: Duration,
}

impl Work<'_> {
    /// Predicts a package's sections that are not there yet; false when stopped.
    fn package(
        &mut self,
        member: &Member<'_>,
        model: &Path,
        place: PackagePlace<'_>,
        observer: &mut dyn FnMut(PredictEvent),
    ) -> Result<bool, PredictError> {
        let spec = VolumeSpec {
            extent: place.kept(),
            voxel_type: VoxelType::U16,
            voxel_size: None,
            chunk: None,
            provenance: None,
        };
        let writer = SliceWriter::png(&place.folder(model), &spec)?;
        let mut patches = Patches { place, kept: VecDeque::new() };
        let margin = member.model.frames().margin() as i64;
        for z in place.block.clone() {
            if writer.path(z - place.block.start).is_file() {
                observer(self.progress.add(member.variations.len() as u64));
                continue;
            }
            let sections: Vec<u64> = (-margin..=margin).map(|o| mirrored_in(place.block, z, o)).collect();
            let stack = patches.stack(&sections, self.volume, self.normalise)?;
            let mut sum = vec![0.0_f64; PATCH * PATCH];
            for variation in &member.variations {
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(false);
                }
                let input = variation.apply(&stack, sections.len(), PATCH, PATCH);
                let started = Instant::now();
                let answer = member.model.foreground(&input, 1, PATCH, PATCH)?;
                self.network += started.elapsed();
                if !answer.iter().all(|p| p.is_finite()) {
                    let start = Index { z, y: place.y.kept.start, x: place.x.kept.start };
                    let extent = Extent { z: 1, ..place.kept() };
                    return Err(PredictError::NotFinite { block: Region { start, extent } });
                }
                for (sum, p) in sum.iter_mut().zip(variation.inverse().apply(&answer, 1, PATCH, PATCH)) {
                    *sum += f64::from(p);
                }
                observer(self.progress.add(1));
            }
            let count = member.variations.len() as f64;
            let kept = place.kept();
            let rows = sum.chunks_exact(PATCH).skip(place.y.at).take(kept.y as usize);
            let values =
                rows.flat_map(|row| &row[place.x.at..][..kept.x as usize]).map(|p| to_16_bits(p / count)).collect();
            let block = Block::new(Extent { z: 1, ..kept }, Voxels::U16(values));
            writer.write(Index { z: z - place.block.start, y: 0, x: 0 }, &block)?;
        }
        Ok(true)
    }
}

/// The last sections of a package, padded to the patch and normalised.
struct Patches<'a> {
    place: PackagePlace<'a>,
    kept: VecDeque<(u64, Vec<f32>)>,
}

impl Patches<'_> {
    /// The sections asked for, one after another.
    fn stack(
        &mut self,
        sections: &[u64],
        volume: &dyn Volume,
        normalise: &Normalise,
    ) -> Result<Vec<f32>, PredictError> {
        let mut stack = Vec::with_capacity(sections.len() * PATCH * PATCH);
        for &z in sections {
            if let Some((_, patch)) = self.kept.iter().find(|(at, _)| *at == z) {
                stack.extend_from_slice(patch);
                continue;
            }
            let patch = self.read(z, volume, normalise)?;
            stack.extend_from_slice(&patch);
            self.kept.push_back((z, patch));
            if self.kept.len() > Frames::Five.count() {
                self.kept.pop_front();
            }
        }
        Ok(stack)
    }

    fn read(&self, z: u64, volume: &dyn Volume, normalise: &Normalise) -> Result<Vec<f32>, PredictError> {
        let (y, x) = (self.place.y, self.place.x);
        let start = Index { z, y: y.read.start, x: x.read.start };
        let extent = Extent::new(1, y.read.end - y.read.start, x.read.end - x.read.start);
        let values: Vec<f32> = volume.read(Region { start, extent })?.voxels().to_f32();
        let columns = extent.x as usize;
        let mut patch = vec![0.0; PATCH * PATCH];
        for (row, source) in patch.chunks_exact_mut(PATCH).zip(&y.source) {
            let Some(source) = source else { continue };
            for (pixel, column) in row.iter_mut().zip(&x.source) {
                if let Some(column) = column {
                    *pixel = values[source * columns + column];
                }
            }
        }
        normalise(&mut patch);
        Ok(patch)
    }
}
