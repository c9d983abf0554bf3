//! What is summed up of each object, in whole numbers: so the order of blocks does not matter.

use deep3m_volume::{Extent, Index, Region, Voxels};

use super::exact::ExactSum;
use crate::ids::{IdMap, runs};

/// The sums of a block, places counted from its first voxel.
#[derive(Default)]
pub(super) struct BlockSums {
    at: IdMap<u32, usize>,
    objects: Vec<(u32, InBlock)>,
}

/// What a block has of an object.
#[derive(Clone, Default)]
pub(super) struct InBlock {
    pub(super) voxels: u64,
    /// Sums of z, y, x.
    first: [u64; 3],
    /// Sums of zz, yy, xx, zy, zx, yx.
    second: [u64; 6],
    low: [u64; 3],
    high: [u64; 3],
    /// Surface shares.
    pub(super) shares: u64,
    at_border: bool,
    /// Voxels in each of the block's sections.
    pub(super) sections: Vec<u64>,
    intensity: Option<Box<ExactSum>>,
}

impl BlockSums {
    fn of(&mut self, label: u32, sections: usize) -> &mut InBlock {
        let objects = &mut self.objects;
        let at = *self.at.entry(label).or_insert_with(|| {
            let none = InBlock { low: [u64::MAX; 3], sections: vec![0; sections], ..InBlock::default() };
            objects.push((label, none));
            objects.len() - 1
        });
        &mut objects[at].1
    }

    /// Adds a share of an object's surface.
    pub(super) fn add_share(&mut self, label: u32, share: u64, sections: u64) {
        self.of(label, sections as usize).shares += share;
    }

    /// Adds the voxels of the part `core` of a block of labels, with their grey values, those of the core alone. An object that
    /// reaches one of the `borders` is noted.
    pub(super) fn add_voxels(
        &mut self,
        labels: &[u32],
        extent: Extent,
        core: Region,
        borders: Borders,
        intensity: Option<&Voxels>,
    ) {
        let [depth, height, width] = core.extent.to_array();
        for z in 0..depth {
            for y in 0..height {
                let start = core.start;
                let at = extent.offset(Index::new(start.z + z, start.y + y, start.x));
                let across = borders.reaches(0, z, depth) || borders.reaches(1, y, height);
                runs(&labels[at..at + width as usize], |label, from, to| {
                    let object = self.of(label, depth as usize);
                    object.add_run([z, y], from as u64, to as u64);
                    object.at_border |=
                        across || borders.reaches(2, from as u64, width) || borders.reaches(2, to as u64 - 1, width);
                    if let Some(voxels) = intensity {
                        let first = ((z * height + y) * width) as usize;
                        add(object.intensity.get_or_insert_default(), voxels, first + from, first + to);
                    }
                });
            }
        }
    }

    pub(super) fn into_objects(self) -> Vec<(u32, InBlock)> {
        self.objects
    }
}

/// Which of a block's six sides are the border of what is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Borders {
    before: [bool; 3],
    behind: [bool; 3],
}

impl Borders {
    /// Those of a block of a region. A single section has no border above and below.
    pub(super) fn of(core: Region, region: Region) -> Self {
        let start = |region: Region| [region.start.z, region.start.y, region.start.x];
        let end = |region: Region| [region.end().z, region.end().y, region.end().x];
        let thick = |axis: usize| axis > 0 || region.extent.z > 1;
        Self {
            before: std::array::from_fn(|axis| thick(axis) && start(core)[axis] == start(region)[axis]),
            behind: std::array::from_fn(|axis| thick(axis) && end(core)[axis] == end(region)[axis]),
        }
    }

    fn reaches(self, axis: usize, at: u64, size: u64) -> bool {
        (self.before[axis] && at == 0) || (self.behind[axis] && at + 1 == size)
    }
}

/// Adds grey values `from..to`.
fn add(sum: &mut ExactSum, voxels: &Voxels, from: usize, to: usize) {
    let whole: i64 = match voxels {
        Voxels::U8(v) => v[from..to].iter().map(|&v| i64::from(v)).sum(),
        Voxels::U16(v) => v[from..to].iter().map(|&v| i64::from(v)).sum(),
        Voxels::U32(v) => v[from..to].iter().map(|&v| i64::from(v)).sum(),
        Voxels::I16(v) => v[from..to].iter().map(|&v| i64::from(v)).sum(),
        other => {
            (from..to).for_each(|i| sum.add_real(other.value(i) as f32));
            return;
        }
    };
    sum.add_whole(whole, (to - from) as u64);
}

impl InBlock {
    fn add_run(&mut self, [z, y]: [u64; 2], from: u64, to: u64) {
        let n = to - from;
        let x = (from + to - 1) * n / 2;
        let squares = |n: u64| if n == 0 { 0 } else { n * (n - 1) * (2 * n - 1) / 6 };
        self.voxels += n;
        let add = |sums: &mut [u64], more: &[u64]| sums.iter_mut().zip(more).for_each(|(a, b)| *a += b);
        add(&mut self.first, &[z * n, y * n, x]);
        add(&mut self.second, &[z * z * n, y * y * n, squares(to) - squares(from), z * y * n, z * x, y * x]);
        for (axis, (low, high)) in [(z, z), (y, y), (from, to - 1)].into_iter().enumerate() {
            self.low[axis] = self.low[axis].min(low);
            self.high[axis] = self.high[axis].max(high);
        }
        self.sections[z as usize] += n;
    }
}

/// The sums of an object, places counted from the volume's first voxel.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    pub(super) voxels: u64,
    pub(super) first: [u128; 3],
    second: [u128; 6],
    pub(super) low: [u64; 3],
    pub(super) high: [u64; 3],
    pub(super) shares: u64,
    pub(super) at_border: bool,
    /// The section with most voxels, the first of several, and how many.
    pub(super) largest_section: (u64, u64),
    pub(super) intensity: Option<Box<ExactSum>>,
}

impl Sums {
    /// Adds what a block that begins at `start` has. Volumes with a side of more than 2³² voxels are refused before: no sum
    /// overflows.
    pub(super) fn add(&mut self, block: &InBlock, start: Index) {
        self.shares += block.shares;
        if block.voxels == 0 {
            return;
        }
        let n = u128::from(block.voxels);
        let from = [start.z, start.y, start.x];
        let (origin, first) = (from.map(u128::from), block.first.map(u128::from));
        for axis in 0..3 {
            self.first[axis] += n * origin[axis] + first[axis];
        }
        for (i, (a, b)) in [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)].into_iter().enumerate() {
            self.second[i] +=
                n * origin[a] * origin[b] + origin[a] * first[b] + origin[b] * first[a] + u128::from(block.second[i]);
        }
        for (axis, &from) in from.iter().enumerate() {
            let (low, high) = (from + block.low[axis], from + block.high[axis]);
            self.low[axis] = if self.voxels == 0 { low } else { self.low[axis].min(low) };
            self.high[axis] = self.high[axis].max(high);
        }
        self.voxels += block.voxels;
        self.at_border |= block.at_border;
        if let Some(intensity) = &block.intensity {
            self.intensity.get_or_insert_default().join(intensity);
        }
    }

    /// The middle (z, y, x) in voxels.
    pub(super) fn centroid(&self) -> [f64; 3] {
        self.first.map(|sum| {
            let (whole, rest) = (sum / u128::from(self.voxels), sum % u128::from(self.voxels));
            whole as f64 + rest as f64 / self.voxels as f64
        })
    }

    /// The covariance of the voxels' places in voxels², as zz, yy, xx, zy, zx, yx.
    ///
    /// Places are first counted from the voxel at the centroid, in whole numbers, so that no digits cancel.
    pub(super) fn covariance(&self) -> [f64; 6] {
        let n = i128::from(self.voxels);
        let sum = self.first.map(|sum| sum as i128);
        let middle = sum.map(|sum| (2 * sum + n).div_euclid(2 * n));
        let rest: [i128; 3] = std::array::from_fn(|axis| sum[axis] - n * middle[axis]);
        std::array::from_fn(|i| {
            let (a, b) = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)][i];
            // Overflows where the sum of squares itself does; what is added and taken away again may wrap.
            let moved = (self.second[i] as i128)
                .wrapping_sub(middle[a].wrapping_mul(sum[b]))
                .wrapping_sub(middle[b].wrapping_mul(sum[a]))
                .wrapping_add(n.wrapping_mul(middle[a]).wrapping_mul(middle[b]));
            let n = n as f64;
            moved as f64 / n - (rest[a] as f64 / n) * (rest[b] as f64 / n)
        })
    }
}
