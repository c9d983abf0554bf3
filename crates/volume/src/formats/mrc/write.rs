//! Writes MRC2014: sections in any order.

use std::collections::BTreeMap;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::header::{self, HEADER, Statistics};
use crate::formats::checks;
use crate::formats::stored;
use crate::{Block, Extent, Index, Place, Region, VolumeError, VolumeSpec, VolumeWriter, VoxelType, Voxels, fs};

/// Writes an MRC file, in any order and from several threads.
///
/// The file appears under its name when it is finished; until then it has a temporary one. 8-bit voxels are written as
/// 16 bits (mode 6): programs do not agree on whether bytes have a sign.
pub struct MrcWriter {
    path: PathBuf,
    spec: VolumeSpec,
    mode: i32,
    state: Mutex<State>,
}

struct State {
    file: Option<fs::AtomicFile>,
    /// What is written, by section.
    sections: BTreeMap<u64, Sums>,
}

impl MrcWriter {
    /// Starts a file. 32-bit labels have no mode, and are refused.
    pub fn create(path: &Path, spec: &VolumeSpec) -> Result<Self, VolumeError> {
        checks::spec(path, spec)?;
        checks::section(path, spec)?;
        let unsupported = |found: String, expected: &str| VolumeError::Unsupported {
            place: Place::file(path),
            found,
            expected: expected.into(),
            hint: "Write OME-Zarr (a name ending in .zarr) or HDF5 (.h5) instead.".into(),
        };
        if spec.extent.z > i32::MAX as u64 {
            return Err(unsupported(format!("{} sections", spec.extent.z), "at most 2³¹ - 1 sections in MRC"));
        }
        let mode = match spec.voxel_type {
            VoxelType::U8 | VoxelType::U16 => 6,
            VoxelType::I16 => 1,
            VoxelType::F32 => 2,
            VoxelType::U32 => {
                return Err(unsupported(
                    format!("{} voxels", spec.voxel_type),
                    "8 or 16 bits, or floating point: MRC has no 32-bit labels",
                ));
            }
        };
        let file = Some(fs::AtomicFile::create(path)?);
        let state = Mutex::new(State { file, sections: BTreeMap::new() });
        Ok(Self { path: path.to_owned(), spec: spec.clone(), mode, state })
    }

    fn unaligned(&self, region: Region) -> VolumeError {
        VolumeError::Unaligned { place: Place::file(&self.path), region, grain: self.grain() }
    }
}

impl VolumeWriter for MrcWriter {
    fn grain(&self) -> Extent {
        Extent { z: 1, ..self.spec.extent }
    }

    fn in_order(&self) -> bool {
        false
    }

    fn write(&self, start: Index, block: &Block) -> Result<(), VolumeError> {
        checks::block(&self.path, &self.spec, self.grain(), start, block)?;
        for z in 0..block.extent().z {
            let section = block.crop(Region::section(block.extent(), z));
            let sums = Sums::of(section.voxels());
            let bytes = match section.voxels() {
                Voxels::U8(v) => v.iter().flat_map(|&x| u16::from(x).to_le_bytes()).collect(),
                voxels => stored::to_bytes(voxels),
            };
            // A section of what is checked to fit the file.
            let at = HEADER as u64 + (start.z + z) * bytes.len() as u64;
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(file) = &mut state.file else {
                return Err(self.unaligned(Region::new(start, block.extent())));
            };
            put(file, at, &bytes).map_err(|e| VolumeError::io(&self.path, "write", e))?;
            state.sections.insert(start.z + z, sums);
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), VolumeError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = (0..self.spec.extent.z).zip(state.sections.keys()).find(|(z, key)| z != *key).map(|(z, _)| z);
        let next = state.sections.len() as u64;
        if let Some(z) = missing.or_else(|| (next < self.spec.extent.z).then_some(next)) {
            return Err(self.unaligned(Region::section(self.spec.extent, z)));
        }
        let Some(mut file) = state.file.take() else { return Ok(()) };
        let statistics = Sums::statistics(state.sections.values());
        let header = header::encode(self.spec.extent, self.mode, self.spec.voxel_size, statistics);
        put(&mut file, 0, &header).map_err(|e| VolumeError::io(&self.path, "write", e))?;
        file.commit()
    }
}

fn put(file: &mut fs::AtomicFile, at: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

/// What the statistics of a section are made of. They are added up by section, so that the header does not depend on the
/// order of writing.
#[derive(Clone, Copy, Debug)]
struct Sums {
    voxels: f64,
    min: f32,
    max: f32,
    sum: f64,
    squares: f64,
}

impl Sums {
    fn of(voxels: &Voxels) -> Self {
        match voxels {
            Voxels::U8(v) => Self::of_values(v.iter().map(|&x| f32::from(x))),
            Voxels::U16(v) => Self::of_values(v.iter().map(|&x| f32::from(x))),
            Voxels::I16(v) => Self::of_values(v.iter().map(|&x| f32::from(x))),
            Voxels::U32(v) => Self::of_values(v.iter().map(|&x| x as f32)),
            Voxels::F32(v) => Self::of_values(v.iter().copied()),
        }
    }

    fn of_values(values: impl Iterator<Item = f32>) -> Self {
        let none = Self { voxels: 0.0, min: f32::INFINITY, max: f32::NEG_INFINITY, sum: 0.0, squares: 0.0 };
        values.fold(none, |s, x| Self {
            voxels: s.voxels + 1.0,
            min: s.min.min(x),
            max: s.max.max(x),
            sum: s.sum + f64::from(x),
            squares: s.squares + f64::from(x) * f64::from(x),
        })
    }

    /// Unknown where a value is no number.
    fn statistics<'a>(all: impl Iterator<Item = &'a Self>) -> Statistics {
        let Some(s) = all.copied().reduce(|a, b| Self {
            voxels: a.voxels + b.voxels,
            min: a.min.min(b.min),
            max: a.max.max(b.max),
            sum: a.sum + b.sum,
            squares: a.squares + b.squares,
        }) else {
            return Statistics::UNKNOWN;
        };
        let mean = s.sum / s.voxels;
        let rms = (s.squares / s.voxels - mean * mean).max(0.0).sqrt();
        if !(mean.is_finite() && rms.is_finite()) {
            return Statistics::UNKNOWN;
        }
        Statistics { min: s.min, max: s.max, mean: mean as f32, rms: rms as f32 }
    }
}
