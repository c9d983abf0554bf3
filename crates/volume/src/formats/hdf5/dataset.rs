//! A dataset as a volume.

use std::path::Path;

use super::address::Address;
use super::attributes;
use super::chunks::Index;
use super::filters::Pipeline;
use super::group::{self, Listed};
use super::messages::{self, Layout};
use super::object::Object;
use super::source::{REPACK, Source};
use crate::formats::checks;
use crate::formats::linear::{Linear, too_large_a_number};
use crate::formats::pieces::{Cached, Pieces};
use crate::formats::stored::{DoesNotFit, Stored};
use crate::{
    Block, Extent, Format, Index as Position, OpenOptions, Place, Region, Volume, VolumeError, VolumeInfo, Voxels,
};

/// A chunk is decoded whole.
const MOST_CHUNK_BYTES: u64 = 1 << 30;

struct Dataset {
    info: VolumeInfo,
    source: Source,
    stored: Stored,
    big_endian: bool,
    /// One voxel that was never written.
    fill: Voxels,
    storage: Storage,
}

enum Storage {
    /// Nothing was ever written.
    Nothing,
    Linear(Linear),
    Chunked(Chunked),
}

/// A dataset in boxes.
struct Chunked {
    index: Index,
    pipeline: Pipeline,
    /// The sizes of the dataset's axes and of a chunk's; z, y and x are three of them.
    dims: Vec<u64>,
    chunk: Vec<u64>,
    axes: Axes,
    /// Chunks that stick out of the dataset went through no filter.
    partial_unfiltered: bool,
}

/// Which axes of a dataset are z, y and x; `None` for a z that is not there. All others have size 1.
type Axes = [Option<usize>; 3];

/// z, y and x of a dataset of two axes or more: the last three, once axes of size 1 are dropped, first at the beginning,
/// then at the end.
fn axes(dims: &[u64]) -> Option<Axes> {
    let (mut first, mut end) = (0, dims.len());
    while end - first > 3 && dims[first] == 1 {
        first += 1;
    }
    while end - first > 3 && dims[end - 1] == 1 {
        end -= 1;
    }
    match end - first {
        2 => Some([None, Some(first), Some(first + 1)]),
        3 => Some([Some(first), Some(first + 1), Some(first + 2)]),
        _ => None,
    }
}

fn along(axes: Axes, sizes: &[u64], missing: u64) -> [u64; 3] {
    axes.map(|axis| axis.and_then(|axis| sizes.get(axis).copied()).unwrap_or(missing))
}

/// Opens a dataset: the named one, or the only one of three axes.
pub(crate) fn open(path: &Path, address: &Address, options: &OpenOptions) -> Result<Box<dyn Volume>, VolumeError> {
    let source = Source::open(&address.file, path)?;
    let object = match address.names() {
        Some(names) => group::find(&source, names)?,
        None => group::find(&source, &only_volume(&source)?)?,
    };
    let place = source.place(&object.part);
    if !object.is_dataset() {
        let found = format!("a group{}", or_these(&group::datasets(&source)?.0));
        return Err(VolumeError::malformed(place, found, "a dataset"));
    }
    let space = messages::dataspace(&source, &object)?;
    let (stored, big_endian) = messages::datatype_of(&source, &object)?;
    let Some(axes) = axes(&space.dims) else {
        let found = format!("a dataset of {}", words(&space.dims));
        let hint = "Copy one channel or time point into a dataset of its own, for example with h5py.";
        return Err(source.unsupported(&object.part, found, "z × y × x, others of size 1".into(), hint));
    };
    let [z, y, x] = along(axes, &space.dims, 1);
    let extent = Extent::new(z, y, x);
    let bytes = extent.checked_voxels().and_then(|n| n.checked_mul(8)).filter(|&n| i64::try_from(n).is_ok());
    if extent.is_empty() || bytes.is_none() {
        let expected = "at least one voxel, less than 2⁶³ bytes";
        return Err(VolumeError::malformed(place, format!("a dataset of {}", words(&space.dims)), expected));
    }
    let storage = storage(&source, &object, &space, axes, Linear { offset: 0, extent, stored, big_endian })?;
    let grain = match &storage {
        Storage::Chunked(chunked) => {
            let [z, y, x] = along(axes, &chunked.chunk, 1);
            Extent::new(z.min(extent.z), y.min(extent.y), x.min(extent.x))
        }
        _ => Linear { offset: 0, extent, stored, big_endian }.grain(),
    };
    let info = VolumeInfo {
        path: path.to_owned(),
        format: Format::Hdf5,
        extent,
        voxel_type: stored.voxel_type(),
        voxel_size: attributes::voxel_size(&source, &object)?,
        grain,
    };
    let mut fill = Voxels::zeros(stored.voxel_type(), 1);
    if let Some(value) = messages::fill_value(&source, &object)? {
        if value.len() != stored.bytes() {
            let found = format!("a fill value of {} bytes", value.len());
            return Err(VolumeError::malformed(place, found, format!("{}", stored.bytes())));
        }
        stored.decode(&mut fill, 0, &value, big_endian).map_err(|e| too_large_a_number(&place, &e.0))?;
    }
    Ok(Box::new(Cached::new(Dataset { info, source, stored, big_endian, fill, storage }, options.cache_bytes)))
}

fn storage(
    source: &Source,
    object: &Object,
    space: &messages::Dataspace,
    axes: Axes,
    linear: Linear,
) -> Result<Storage, VolumeError> {
    let part = &object.part;
    let bytes = linear.stored.bytes();
    let pipeline = messages::filters(source, object, bytes)?;
    match messages::layout(source, object, space, bytes)? {
        Layout::Contiguous { at: None, .. } => Ok(Storage::Nothing),
        Layout::Contiguous { at: Some(at), size } => {
            let needed = linear.bytes().filter(|&needed| needed <= size);
            let Some(needed) = needed else {
                let found = format!("{size} bytes for {}", words(&space.dims));
                return Err(source.malformed(part, found, format!("{bytes} bytes for each voxel")));
            };
            Ok(Storage::Linear(Linear { offset: source.absolute(part, at, needed)?, ..linear }))
        }
        Layout::Chunked { chunk, index, partial_unfiltered } => {
            let size = chunk.iter().try_fold(bytes as u64, |n, size| n.checked_mul(*size));
            if size.is_none_or(|size| size > MOST_CHUNK_BYTES) {
                let expected = "at most 1 GiB: a chunk is decoded whole".to_owned();
                return Err(source.unsupported(part, format!("chunks of {}", words(&chunk)), expected, REPACK));
            }
            let dims = space.dims.clone();
            Ok(Storage::Chunked(Chunked { index, pipeline, dims, chunk, axes, partial_unfiltered }))
        }
    }
}

/// The dataset that is meant where none is named: the only one of three axes.
fn only_volume(source: &Source) -> Result<Vec<String>, VolumeError> {
    let (all, complete) = group::datasets(source)?;
    let is_volume = |d: &&Listed| d.numbers && d.shape.len() >= 3 && axes(&d.shape).is_some();
    let volumes: Vec<&Listed> = all.iter().filter(is_volume).collect();
    match volumes.as_slice() {
        [one] if complete => Ok(one.path.clone()),
        _ => {
            let found = match volumes.len() {
                0 => format!("no dataset of three axes{}", or_these(&all)),
                n => format!("{n} datasets of three axes{}", or_these(volumes.iter().copied())),
            };
            let expected = "one, or its name".to_owned();
            let hint = "Name the dataset behind the file, as in vol.h5:/group/dataset.";
            Err(source.unsupported("", found, expected, hint))
        }
    }
}

/// Datasets with their shapes, in words.
fn or_these<'a>(datasets: impl IntoIterator<Item = &'a Listed>) -> String {
    let mut listed: Vec<String> =
        datasets.into_iter().take(21).map(|d| format!("{} ({})", d.name(), words(&d.shape))).collect();
    if listed.len() > 20 {
        listed[20] = "…".into();
    }
    if listed.is_empty() { String::new() } else { format!("; there is {}", listed.join(", ")) }
}

fn words(sizes: &[u64]) -> String {
    if sizes.is_empty() {
        return "one value".into();
    }
    sizes.iter().map(u64::to_string).collect::<Vec<_>>().join(" × ")
}

impl Pieces for Dataset {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn decode(&self, region: Region) -> Result<Block, VolumeError> {
        match &self.storage {
            Storage::Nothing => self.unwritten(region),
            Storage::Linear(linear) => {
                let place = Place::part(&self.info.path, format!("section {}", region.start.z));
                linear.read(&self.source.file, &place, region)
            }
            Storage::Chunked(chunked) => self.decode_chunk(chunked, region),
        }
    }
}

impl Dataset {
    fn unwritten(&self, region: Region) -> Result<Block, VolumeError> {
        let mut block = checks::zeros(&self.info.path, region, self.info.voxel_type)?;
        match (block.voxels_mut(), &self.fill) {
            (Voxels::U8(v), Voxels::U8(fill)) => v.fill(fill[0]),
            (Voxels::U16(v), Voxels::U16(fill)) => v.fill(fill[0]),
            (Voxels::U32(v), Voxels::U32(fill)) => v.fill(fill[0]),
            (Voxels::I16(v), Voxels::I16(fill)) => v.fill(fill[0]),
            (Voxels::F32(v), Voxels::F32(fill)) => v.fill(fill[0]),
            // The fill value has the type of the volume.
            _ => {}
        }
        Ok(block)
    }

    /// The region lies in one chunk.
    fn decode_chunk(&self, chunked: &Chunked, region: Region) -> Result<Block, VolumeError> {
        let Chunked { index, pipeline, dims, chunk, axes, partial_unfiltered } = chunked;
        let start = [region.start.z, region.start.y, region.start.x];
        let mut at = vec![0; dims.len()];
        for (axis, first) in axes.iter().zip(start) {
            if let Some(axis) = *axis {
                at[axis] = first / chunk[axis];
            }
        }
        let part = format!("chunk {}", at.iter().map(u64::to_string).collect::<Vec<_>>().join("/"));
        let source = &self.source;
        let bytes = chunk.iter().product::<u64>() * self.stored.bytes() as u64;
        let Some(found) = index.find(source, &part, &at, chunk, bytes)? else { return self.unwritten(region) };
        let size = found.size.unwrap_or(bytes);
        let most = Pipeline::most_stored(bytes);
        if size > most {
            return Err(source.malformed(
                &part,
                format!("{size} bytes for a chunk of {bytes}"),
                format!("at most {most}"),
            ));
        }
        let raw = source.raw(&part, source.absolute(&part, found.address, size)?, size)?;
        let partial = at.iter().zip(chunk).zip(dims).any(|((i, c), n)| (i + 1) * c > *n);
        let mask = if partial && *partial_unfiltered { u32::MAX } else { found.mask };
        let raw = pipeline
            .decode(raw, mask, bytes)
            .map_err(|found| source.malformed(&part, found, "the bytes of a whole chunk"))?;
        self.cut(chunked, &part, &raw, region)
    }

    /// The voxels of a region from the bytes of its chunk.
    fn cut(&self, chunked: &Chunked, part: &str, raw: &[u8], region: Region) -> Result<Block, VolumeError> {
        let mut block = checks::zeros(&self.info.path, region, self.info.voxel_type)?;
        let element = self.stored.bytes();
        // From one voxel to the next along each axis, in voxels.
        let mut steps = vec![1; chunked.chunk.len()];
        for axis in (1..steps.len()).rev() {
            steps[axis - 1] = steps[axis] * chunked.chunk[axis] as usize;
        }
        let step = chunked.axes.map(|axis| axis.map_or(0, |axis| steps[axis]));
        let chunk = along(chunked.axes, &chunked.chunk, 1);
        let first = [region.start.z % chunk[0], region.start.y % chunk[1], region.start.x % chunk[2]];
        let width = region.extent.x as usize;
        let mut row = Vec::new();
        let wrong = |e: DoesNotFit| too_large_a_number(&self.source.place(part), &e.0);
        for z in 0..region.extent.z {
            for y in 0..region.extent.y {
                let from =
                    (first[0] + z) as usize * step[0] + (first[1] + y) as usize * step[1] + first[2] as usize * step[2];
                let bytes = if step[2] == 1 {
                    &raw[from * element..(from + width) * element]
                } else {
                    // Axes behind x, of size 1 in the dataset but not in its chunks.
                    row.clear();
                    for x in 0..width {
                        let at = (from + x * step[2]) * element;
                        row.extend_from_slice(&raw[at..at + element]);
                    }
                    &row
                };
                let to = region.extent.offset(Position::new(z, y, 0));
                self.stored.decode(block.voxels_mut(), to, bytes, self.big_endian).map_err(wrong)?;
            }
        }
        Ok(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_of_size_one_are_dropped() {
        assert_eq!(axes(&[5, 6, 7]), Some([Some(0), Some(1), Some(2)]));
        assert_eq!(axes(&[1, 1, 5, 6, 7]), Some([Some(2), Some(3), Some(4)]));
        assert_eq!(axes(&[5, 6, 7, 1]), Some([Some(0), Some(1), Some(2)]));
        assert_eq!(axes(&[1, 6, 7]), Some([Some(0), Some(1), Some(2)]));
        assert_eq!(axes(&[6, 7]), Some([None, Some(0), Some(1)]));
        assert_eq!(axes(&[2, 5, 6, 7]), None);
        assert_eq!(axes(&[7]), None);
        assert_eq!(axes(&[]), None);
    }
}
