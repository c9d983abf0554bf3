//! Volumes in memory and models whose answer is known, for the tests.

use std::path::PathBuf;
use std::sync::Mutex;

use deep3m_net::{Frames, NetError};
use deep3m_volume::{
    Block, Extent, Format, Index, Place, Region, Volume, VolumeError, VolumeInfo, VolumeWriter, VoxelType, Voxels,
};

use crate::ForegroundModel;
use crate::context::reflect;

/// A volume in memory.
pub(crate) struct MemoryVolume {
    info: VolumeInfo,
    block: Block,
}

impl MemoryVolume {
    pub(crate) fn new(extent: Extent, voxels: Voxels) -> Self {
        let info = VolumeInfo {
            path: PathBuf::from("/memory"),
            format: Format::OmeZarr,
            extent,
            voxel_type: voxels.voxel_type(),
            voxel_size: None,
            grain: extent,
        };
        Self { info, block: Block::new(extent, voxels) }
    }

    /// The n-th voxel holds n, modulo 251.
    pub(crate) fn ramp(extent: Extent) -> Self {
        Self::new(extent, Voxels::U8((0..extent.len()).map(|i| (i % 251) as u8).collect()))
    }

    /// Grey values without a pattern.
    pub(crate) fn noise(extent: Extent, seed: u32) -> Self {
        let value = |i: usize| ((i as u32 ^ seed).wrapping_mul(2654435761) >> 13) as u8;
        Self::new(extent, Voxels::U8((0..extent.len()).map(value).collect()))
    }

    pub(crate) const fn block(&self) -> &Block {
        &self.block
    }
}

impl Volume for MemoryVolume {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        if !region.fits(self.info.extent) {
            let place = Place::file(&self.info.path);
            return Err(VolumeError::OutOfBounds { place, region, extent: self.info.extent });
        }
        Ok(self.block.crop(region))
    }
}

/// A writer into memory that checks that every voxel is written once.
pub(crate) struct MemoryWriter {
    grain: Extent,
    written: Mutex<(Block, Vec<bool>)>,
}

impl MemoryWriter {
    pub(crate) fn new(extent: Extent, grain: Extent) -> Self {
        Self { grain, written: Mutex::new((Block::zeros(extent, VoxelType::U8), vec![false; extent.len()])) }
    }

    /// What was written, and whether each voxel was.
    pub(crate) fn into_parts(self) -> (Block, Vec<bool>) {
        self.written.into_inner().unwrap()
    }
}

impl VolumeWriter for MemoryWriter {
    fn grain(&self) -> Extent {
        self.grain
    }

    fn in_order(&self) -> bool {
        false
    }

    fn write(&self, start: Index, block: &Block) -> Result<(), VolumeError> {
        let mut written = self.written.lock().unwrap();
        let (all, seen) = &mut *written;
        all.paste(start, block, Region::whole(block.extent()));
        for voxel in Region::new(start, block.extent()).tiles(Extent::new(1, 1, 1)) {
            let at = all.extent().offset(voxel.start);
            assert!(!seen[at], "voxel {at} written twice");
            seen[at] = true;
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), VolumeError> {
        Ok(())
    }
}

/// The mean over a box of `radius` pixels in the plane and all its frames, −1 to 1 as 0 to 1: a model with a field of
/// view. It gives the same for every orientation.
pub(crate) struct BoxBlur {
    pub(crate) frames: Frames,
    pub(crate) radius: usize,
}

impl ForegroundModel for BoxBlur {
    fn frames(&self) -> Frames {
        self.frames
    }

    fn foreground(&self, input: &[f32], n: usize, height: usize, width: usize) -> Result<Vec<f32>, NetError> {
        assert!(height.is_multiple_of(16) && width.is_multiple_of(16), "{height} × {width}");
        let (frames, r) = (self.frames.count(), self.radius);
        let mut output = Vec::new();
        for stack in input.chunks_exact(frames * height * width) {
            let columns: Vec<f64> = (0..height * width)
                .map(|at| (0..frames).map(|z| f64::from(stack[z * height * width + at]) * 0.5 + 0.5).sum::<f64>())
                .collect();
            // Zero beyond the borders of what it sees, as a convolution has it.
            let near = |p: usize, size: usize| p.saturating_sub(r)..(p + r + 1).min(size);
            let rows: Vec<f64> = (0..height * width)
                .map(|at| near(at % width, width).map(|x| columns[at / width * width + x]).sum())
                .collect();
            output.extend((0..height * width).map(|at| {
                let sum: f64 = near(at / width, height).map(|y| rows[y * width + at % width]).sum();
                (sum / (frames * (2 * r + 1).pow(2)) as f64) as f32
            }));
        }
        assert_eq!(output.len(), n * height * width);
        Ok(output)
    }
}

/// The mean of the middle section over cells of 16 × 16 pixels counted from the first: a model with strides, whose answer
/// depends on where its input begins.
pub(crate) struct Cells;

impl ForegroundModel for Cells {
    fn frames(&self) -> Frames {
        Frames::One
    }

    fn foreground(&self, input: &[f32], _: usize, height: usize, width: usize) -> Result<Vec<f32>, NetError> {
        let cell = |at: usize| (at % (height * width)) / width / 16 * (width / 16) + at % width / 16;
        let mut output = Vec::new();
        for section in input.chunks_exact(height * width) {
            let mut sums = vec![0.0; height * width / 256];
            section.iter().enumerate().for_each(|(at, value)| sums[cell(at)] += value * 0.5 + 0.5);
            output.extend((0..height * width).map(|at| sums[cell(at)] / 256.0));
        }
        Ok(output)
    }
}

/// Its middle section with noise of the place in what it is shown: a model that answers each orientation otherwise.
pub(crate) struct Uneven(pub(crate) Frames);

impl ForegroundModel for Uneven {
    fn frames(&self) -> Frames {
        self.0
    }

    fn foreground(&self, input: &[f32], _: usize, height: usize, width: usize) -> Result<Vec<f32>, NetError> {
        let area = height * width;
        let noise = |at: usize| ((at as u32).wrapping_mul(2_654_435_761) >> 16) as f32 / 65536.0 - 0.5;
        let stacks = input.chunks_exact(self.0.count() * area);
        let sections = stacks.map(|stack| &stack[self.0.margin() * area..][..area]);
        let answer = |(at, value): (usize, &f32)| (value * 0.5 + 0.5 + 0.2 * noise(at)).clamp(0.0, 1.0);
        Ok(sections.flat_map(|section| section.iter().enumerate().map(answer)).collect())
    }
}

/// What [`BoxBlur`] over a whole volume of bytes gives, where the volume is mirrored without end: one piece.
pub(crate) fn blur_in_one_piece(volume: &MemoryVolume, frames: Frames, radius: usize) -> Vec<u8> {
    let (extent, margin, r) = (volume.info().extent, frames.margin() as i64, radius as i64);
    let at = |z: i64, y: i64, x: i64| {
        let index = Index::new(reflect(z, extent.z), reflect(y, extent.y), reflect(x, extent.x));
        f64::from(volume.block().voxels().get(extent.offset(index))) / 255.0
    };
    let mut bytes = Vec::new();
    for voxel in Region::whole(extent).tiles(Extent::new(1, 1, 1)) {
        let (z, y, x) = (voxel.start.z as i64, voxel.start.y as i64, voxel.start.x as i64);
        let mut sum = 0.0;
        for dz in -margin..=margin {
            for dy in -r..=r {
                for dx in -r..=r {
                    sum += at(z + dz, y + dy, x + dx);
                }
            }
        }
        let mean = sum / (frames.count() as i64 * (2 * r + 1).pow(2)) as f64;
        bytes.push((mean * 255.0 + 0.5) as u8);
    }
    bytes
}
