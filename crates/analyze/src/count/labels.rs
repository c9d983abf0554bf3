//! Counting objects that have numbers already.

use std::collections::BTreeMap;

use deep3m_volume::{Extent, Index, Region, Volume, VoxelType};

use super::frame::Span;
use super::object::{RoundObject, RoundObjects};
use super::{CountConfig, frame_in, part_of, size_of};
use crate::AnalyzeError;
use crate::walk::{Part, Walk};

/// What of an object lies in some sections: whole numbers, so that blocks add up in any order.
#[derive(Clone, Debug, Default)]
struct Tally {
    voxels: u64,
    sums: [u128; 3],
    low: [u64; 3],
    high: [u64; 3],
    /// Voxels of the section that shows most, and that section.
    most: (u64, u64),
}

impl Tally {
    fn at(place: [u64; 3]) -> Self {
        Self { low: place, high: place, ..Self::default() }
    }

    /// Adds a run of voxels along x.
    fn add(&mut self, [z, y, x]: [u64; 3], run: u64) {
        self.voxels += run;
        let last = x + run - 1;
        let middle = u128::from(x) + u128::from(last);
        for (i, sum) in [u128::from(z) * u128::from(run), u128::from(y) * u128::from(run), middle * u128::from(run) / 2]
            .into_iter()
            .enumerate()
        {
            self.sums[i] += sum;
        }
        self.widen([z, y, x], [z, y, last]);
    }

    fn widen(&mut self, low: [u64; 3], high: [u64; 3]) {
        for i in 0..3 {
            self.low[i] = self.low[i].min(low[i]);
            self.high[i] = self.high[i].max(high[i]);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.voxels += other.voxels;
        for i in 0..3 {
            self.sums[i] += other.sums[i];
        }
        self.widen(other.low, other.high);
    }
}

/// What a block holds: tallies by label, and voxels by section and label.
type Held = (BTreeMap<u32, Tally>, BTreeMap<(u64, u32), u64>);

/// One row per label of a volume of labels (8, 16 or 32 bits; 0 is background), with the ball of the same volume. Only the
/// region and the guard of the settings matter.
///
/// Memory is some blocks, at most `budget` bytes, and about 200 bytes per object.
///
/// # Errors
/// [`AnalyzeError::NotLabels`] for another type; as [`count`](super::count).
pub fn count_labels(
    volume: &dyn Volume,
    config: &CountConfig,
    budget: u64,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<RoundObjects, AnalyzeError> {
    let (info, region, size) = (volume.info(), part_of(volume, config.region)?, size_of(volume));
    if !matches!(info.voxel_type, VoxelType::U8 | VoxelType::U16 | VoxelType::U32) {
        return Err(AnalyzeError::NotLabels { path: info.path.clone(), found: info.voxel_type });
    }
    let frame = frame_in(region, config.guard, size)?;
    let bytes = info.voxel_type.bytes() as u64 + 4;
    let walk = Walk::fit(info, region, Extent::default(), bytes, 0, budget)?;
    let mut all: BTreeMap<u32, Tally> = BTreeMap::new();
    let mut sections: BTreeMap<(u64, u32), u64> = BTreeMap::new();
    let take = |part: Part, (tallies, counts): Held| {
        // Sections above this block get no more voxels: what they hold is compared and forgotten.
        let open = sections.split_off(&(part.core.start.z, 0));
        close(std::mem::replace(&mut sections, open), &mut all);
        for (label, tally) in tallies {
            all.entry(label).and_modify(|t| t.merge(&tally)).or_insert(tally);
        }
        for (at, voxels) in counts {
            *sections.entry(at).or_default() += voxels;
        }
        Ok(())
    };
    walk.run(|part| held(volume, part.core), take, progress)?;
    close(sections, &mut all);
    let objects = all.iter().map(|(&label, tally)| {
        let centre = tally.sums.map(|sum| sum as f64 / tally.voxels as f64);
        let volume = tally.voxels as f64 * size.z_nm * size.y_nm * size.x_nm;
        let span = Span { low: tally.low.map(|v| v as f64), high: tally.high.map(|v| v as f64 + 1.0) };
        RoundObject {
            id: u64::from(label),
            z: centre[0],
            y: centre[1],
            x: centre[2],
            radius: (volume * 3.0 / (4.0 * std::f64::consts::PI)).cbrt(),
            plane: tally.most.1,
            confidence: None,
            touches_border: span.touches(region),
            counted: frame.is_none_or(|frame| frame.counts(&span)),
        }
    });
    Ok(RoundObjects { objects: objects.collect(), region, voxel_size: info.voxel_size, frame, diameter: None })
}

/// Of each object the section that shows most; of equal ones the first.
fn close(sections: BTreeMap<(u64, u32), u64>, all: &mut BTreeMap<u32, Tally>) {
    for ((section, label), voxels) in sections {
        if let Some(tally) = all.get_mut(&label).filter(|tally| voxels > tally.most.0) {
            tally.most = (voxels, section);
        }
    }
}

fn held(volume: &dyn Volume, core: Region) -> Result<Held, AnalyzeError> {
    let block = volume.read(core)?;
    let voxels = block.voxels();
    let (mut tallies, mut sections) = (BTreeMap::<u32, Tally>::new(), BTreeMap::new());
    let width = core.extent.x as usize;
    for (z, y) in (0..core.extent.z).flat_map(|z| (0..core.extent.y).map(move |y| (z, y))) {
        let first = core.extent.offset(Index::new(z, y, 0));
        let mut x = 0;
        while x < width {
            let label = voxels.get(first + x);
            let run = (x..width).take_while(|&i| voxels.get(first + i) == label).count();
            if label != 0 {
                let at = [core.start.z + z, core.start.y + y, core.start.x + x as u64];
                tallies.entry(label).or_insert_with(|| Tally::at(at)).add(at, run as u64);
                *sections.entry((at[0], label)).or_default() += run as u64;
            }
            x += run;
        }
    }
    Ok((tallies, sections))
}
