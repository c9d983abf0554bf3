//! A number for each voxel of a volume, kept in memory or in a file to work in.

use std::fs::File;
use std::path::{Path, PathBuf};

use deep3m_volume::{Extent, Index, Region, VolumeError, fs};

use crate::AnalyzeError;

/// Bytes of a number.
pub(crate) const NUMBER_BYTES: u64 = 4;

/// A number of four bytes.
pub(crate) trait Number: Copy + Default {
    fn to_bytes(self) -> [u8; 4];
    fn from_bytes(bytes: [u8; 4]) -> Self;
}

impl Number for f32 {
    fn to_bytes(self) -> [u8; 4] {
        self.to_le_bytes()
    }

    fn from_bytes(bytes: [u8; 4]) -> Self {
        Self::from_le_bytes(bytes)
    }
}

impl Number for u32 {
    fn to_bytes(self) -> [u8; 4] {
        self.to_le_bytes()
    }

    fn from_bytes(bytes: [u8; 4]) -> Self {
        Self::from_le_bytes(bytes)
    }
}

/// A number for each voxel of a volume.
pub(crate) struct Scratch<T> {
    extent: Extent,
    kept: Kept<T>,
}

enum Kept<T> {
    Memory(Vec<T>),
    File(Temporary),
}

/// A file to work in, removed in the end.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What stays is replaced by the next run.
        let _ = fs::remove_file(&self.path);
    }
}

impl<T: Number> Scratch<T> {
    /// Zeros: in a file, or in memory where there is none.
    pub(crate) fn new(extent: Extent, scratch: Option<&Path>) -> Result<Self, AnalyzeError> {
        let kept = match scratch {
            None => Kept::Memory(vec![T::default(); extent.len()]),
            Some(path) => {
                let bytes = extent.checked_voxels().unwrap_or(u64::MAX).saturating_mul(NUMBER_BYTES);
                Kept::File(Temporary { path: path.to_owned(), file: fs::create_scratch(path, bytes)? })
            }
        };
        Ok(Self { extent, kept })
    }

    pub(crate) const fn extent(&self) -> Extent {
        self.extent
    }

    /// All of them, where they are in memory.
    pub(crate) const fn in_memory(&mut self) -> Option<&mut Vec<T>> {
        match &mut self.kept {
            Kept::Memory(numbers) => Some(numbers),
            Kept::File(_) => None,
        }
    }

    /// Copies those of a part into a block of the size `shape`, with the first at `at`.
    pub(crate) fn read(&self, part: Region, block: &mut [T], shape: Extent, at: Index) -> Result<(), AnalyzeError> {
        match &self.kept {
            Kept::Memory(numbers) => self.for_runs(part, shape, at, |from, to, len| {
                block[to..to + len].copy_from_slice(&numbers[from..from + len]);
                Ok(())
            }),
            Kept::File(scratch) => {
                let mut bytes = Vec::new();
                self.for_runs(part, shape, at, |from, to, len| {
                    bytes.resize(len * NUMBER_BYTES as usize, 0);
                    fs::read_at(&scratch.file, from as u64 * NUMBER_BYTES, &mut bytes)
                        .map_err(|e| VolumeError::io(&scratch.path, "read", e))?;
                    let numbers = bytes.as_chunks().0.iter().map(|&number| T::from_bytes(number));
                    block[to..to + len].iter_mut().zip(numbers).for_each(|(into, number)| *into = number);
                    Ok(())
                })
            }
        }
    }

    /// Replaces those of a part.
    pub(crate) fn write(&mut self, part: Region, block: &[T]) -> Result<(), AnalyzeError> {
        let (extent, shape) = (self.extent, part.extent);
        match &mut self.kept {
            Kept::Memory(numbers) => runs(extent, part, shape, Index::default(), |from, to, len| {
                numbers[from..from + len].copy_from_slice(&block[to..to + len]);
                Ok(())
            }),
            Kept::File(scratch) => {
                let mut bytes = Vec::new();
                runs(extent, part, shape, Index::default(), |from, to, len| {
                    bytes.clear();
                    bytes.extend(block[to..to + len].iter().flat_map(|number| number.to_bytes()));
                    fs::write_at(&scratch.file, from as u64 * NUMBER_BYTES, &bytes)
                        .map_err(|e| VolumeError::io(&scratch.path, "write", e).into())
                })
            }
        }
    }

    /// Changes the volume piece by piece: pieces are whole along some axes, and as large along the others as `room` bytes
    /// allow. `go_on` is asked before each.
    pub(crate) fn change(
        &mut self,
        whole: [bool; 3],
        room: u64,
        go_on: &mut dyn FnMut() -> bool,
        mut change: impl FnMut(&mut [T], Extent),
    ) -> Result<(), AnalyzeError> {
        let extent = self.extent;
        if let Some(all) = self.in_memory() {
            change(all, extent);
            return if go_on() { Ok(()) } else { Err(AnalyzeError::Interrupted) };
        }
        let mut block = Vec::new();
        for part in Region::whole(extent).tiles(piece(extent, whole, room / NUMBER_BYTES)) {
            if !go_on() {
                return Err(AnalyzeError::Interrupted);
            }
            block.resize(part.extent.len(), T::default());
            self.read(part, &mut block, part.extent, Index::default())?;
            change(&mut block, part.extent);
            self.write(part, &block)?;
        }
        Ok(())
    }

    fn for_runs(
        &self,
        part: Region,
        shape: Extent,
        at: Index,
        run: impl FnMut(usize, usize, usize) -> Result<(), AnalyzeError>,
    ) -> Result<(), AnalyzeError> {
        runs(self.extent, part, shape, at, run)
    }
}

/// The size of a piece of so many voxels that is whole along some axes; at least one line, rows before sections.
fn piece(extent: Extent, whole: [bool; 3], voxels: u64) -> Extent {
    let all = extent.to_array();
    let mut sides = [0, 1, 2].map(|axis| if whole[axis] { all[axis].max(1) } else { 1 });
    for axis in [2, 1, 0] {
        let others = sides.iter().fold(1_u64, |n, &side| n.saturating_mul(side)) / sides[axis];
        sides[axis] = sides[axis].max((voxels / others).min(all[axis]));
    }
    Extent::new(sides[0], sides[1], sides[2])
}

/// Goes through the runs of voxels of a part that lie together both in a volume and in a block: place in the volume, place in
/// the block, length.
fn runs(
    extent: Extent,
    part: Region,
    shape: Extent,
    at: Index,
    mut run: impl FnMut(usize, usize, usize) -> Result<(), AnalyzeError>,
) -> Result<(), AnalyzeError> {
    let Extent { z: depth, y: height, x: width } = part.extent;
    let rows_together = width == extent.x && width == shape.x;
    let sections_together = rows_together && height == extent.y && height == shape.y;
    let (depth, height, len) = match (sections_together, rows_together) {
        (true, _) => (1, 1, depth * height * width),
        (_, true) => (depth, 1, height * width),
        _ => (depth, height, width),
    };
    let start = part.start;
    for z in 0..depth {
        for y in 0..height {
            let from = extent.offset(Index::new(start.z + z, start.y + y, start.x));
            run(from, shape.offset(Index::new(at.z + z, at.y + y, at.x)), len as usize)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_are_read_as_written_in_memory_and_in_a_file(
            (z, y, x) in (1_u64..4, 1_u64..5, 1_u64..6),
            (bz, by, bx) in (1_u64..4, 1_u64..5, 1_u64..6),
            (whole, room) in (prop::array::uniform3(any::<bool>()), 0_u64..200),
        ) {
            let extent = Extent::new(z, y, x);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("scratch");
            let value = |at: Index| (extent.offset(at) + 1) as f32;
            for scratch in [None, Some(path.as_path())] {
                let mut heights = Scratch::<f32>::new(extent, scratch).unwrap();
                for part in Region::whole(extent).tiles(Extent::new(bz, by, bx)) {
                    let of_part = part.tiles(Extent::new(1, 1, 1)).map(|voxel| value(voxel.start));
                    heights.write(part, &of_part.collect::<Vec<f32>>()).unwrap();
                }
                let mut seen = 0;
                heights.change(whole, room, &mut || true, |block, shape| {
                    assert!((0..3).all(|axis| !whole[axis] || shape.to_array()[axis] == extent.to_array()[axis]));
                    seen += shape.len();
                    for height in block.iter_mut() {
                        *height *= 2.0;
                    }
                }).unwrap();
                prop_assert_eq!(seen, extent.len());
                let shape = Extent::new(z + 2, y + 1, x + 3);
                let mut block = vec![0.0; shape.len()];
                heights.read(Region::whole(extent), &mut block, shape, Index::new(1, 0, 2)).unwrap();
                for voxel in Region::whole(extent).tiles(Extent::new(1, 1, 1)) {
                    let at = voxel.start;
                    let found = block[shape.offset(Index::new(at.z + 1, at.y, at.x + 2))];
                    prop_assert_eq!(found, 2.0 * value(at));
                }
                prop_assert_eq!(block.iter().filter(|&&height| height > 0.0).count(), extent.len());
            }
            prop_assert!(!path.exists());
        }
    }

    #[test]
    fn pieces_grow_along_rows_first() {
        let extent = Extent::new(10, 20, 30);
        assert_eq!(piece(extent, [true, false, false], 400), Extent::new(10, 1, 30));
        assert_eq!(piece(extent, [true, false, false], 700), Extent::new(10, 2, 30));
        assert_eq!(piece(extent, [false, true, true], 1300), Extent::new(2, 20, 30));
        assert_eq!(piece(extent, [false, true, false], 0), Extent::new(1, 20, 1));
    }
}
