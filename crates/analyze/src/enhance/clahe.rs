//! Contrast-limited adaptive histogram equalisation (Zuiderveld, Graphics Gems IV, 1994): in each part of a section grey
//! values are spread evenly, but no contrast is raised beyond a limit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use deep3m_volume::{Block, Extent, Region, Volume, VolumeError, VolumeInfo};
use serde::{Deserialize, Serialize};

use super::layer::by_section;
use crate::check::section::greys;

/// Grey values that are told apart.
const BINS: usize = 256;
/// Tables of so many sections are kept: those of the blocks that are being written, and some more.
const KEPT: usize = 160;

/// Settings of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clahe {
    /// Parts along each side of a section. Default 8.
    pub tiles: u32,
    /// Largest share of a part's pixels that one of 256 grey values may have before equalisation. Default 0.01.
    pub clip: f64,
}

impl Default for Clahe {
    fn default() -> Self {
        Self { tiles: 8, clip: 0.01 }
    }
}

/// The volume below, equalised.
pub(super) struct Equalised {
    below: Arc<dyn Volume>,
    settings: Clahe,
    /// Grey values that become black and white before: the darkest and brightest of the volume.
    range: (f32, f32),
    kept: Mutex<BTreeMap<u64, Arc<Tables>>>,
}

/// For each part of a section the share that each grey value becomes.
struct Tables {
    rows: usize,
    columns: usize,
    /// A part's height and width.
    side: (usize, usize),
    values: Vec<[f32; BINS]>,
}

impl Equalised {
    pub(super) fn new(below: Arc<dyn Volume>, settings: Clahe, range: (f32, f32)) -> Self {
        Self { below, settings, range, kept: Mutex::default() }
    }

    /// Reads the whole section, in strips, once for all blocks in it.
    fn tables(&self, z: u64) -> Result<Arc<Tables>, VolumeError> {
        // A panic elsewhere leaves whole tables behind.
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tables) = kept().get(&z) {
            return Ok(Arc::clone(tables));
        }
        let extent = self.info().extent;
        let parts = u64::from(self.settings.tiles.max(1));
        let side = (extent.y.div_ceil(parts).max(1), extent.x.div_ceil(parts).max(1));
        let (rows, columns) = (extent.y.div_ceil(side.0) as usize, extent.x.div_ceil(side.1) as usize);
        let mut counts = vec![[0_u64; BINS]; rows * columns];
        let section = Region::section(extent, z);
        let mut grey = Vec::new();
        for strip in section.tiles(Extent::new(1, side.0, extent.x)) {
            let block = self.below.read(strip)?;
            greys(block.voxels(), 0..block.voxels().len(), &mut grey);
            let row = (strip.start.y / side.0) as usize * columns;
            for (i, &value) in grey.iter().enumerate() {
                let column = i % extent.x as usize / side.1 as usize;
                counts[row + column][self.bin(value) as usize] += 1;
            }
        }
        let values = counts.iter().map(|counts| table(counts, self.settings.clip)).collect();
        let tables = Arc::new(Tables { rows, columns, side: (side.0 as usize, side.1 as usize), values });
        let mut kept = kept();
        kept.insert(z, Arc::clone(&tables));
        while kept.len() > KEPT {
            kept.pop_first();
        }
        Ok(tables)
    }

    fn bin(&self, value: f32) -> f32 {
        let (low, high) = self.range;
        ((value - low) / (high - low) * (BINS - 1) as f32).clamp(0.0, (BINS - 1) as f32).round()
    }
}

/// The share that each grey value becomes: the cumulated histogram, clipped, what was clipped spread over all values.
fn table(counts: &[u64; BINS], clip: f64) -> [f32; BINS] {
    let all: u64 = counts.iter().sum();
    let limit = (clip * all as f64).max(1.0);
    let clipped = counts.map(|n| (n as f64).min(limit));
    let mut excess = all as f64 - clipped.iter().sum::<f64>();
    let mut clipped = clipped;
    // What is spread may reach the limit again; after some rounds what is left is little.
    for _ in 0..16 {
        let free = clipped.iter().filter(|n| **n < limit).count();
        if excess < 1e-3 * all as f64 || free == 0 {
            break;
        }
        let share = excess / free as f64;
        for n in clipped.iter_mut().filter(|n| **n < limit) {
            let more = share.min(limit - *n);
            *n += more;
            excess -= more;
        }
    }
    for n in &mut clipped {
        *n += excess / BINS as f64;
    }
    let mut sum = 0.0;
    clipped.map(|n| {
        sum += n;
        (sum / all.max(1) as f64) as f32
    })
}

/// The two parts whose middles a pixel lies between, and how far it is towards the second.
fn between(at: u64, side: usize, parts: usize) -> (usize, usize, f32) {
    let place = (at as f32 + 0.5) / side as f32 - 0.5;
    let first = place.floor().max(0.0).min((parts - 1) as f32);
    let second = (first + 1.0).min((parts - 1) as f32);
    (first as usize, second as usize, (place - first).clamp(0.0, 1.0))
}

impl Volume for Equalised {
    fn info(&self) -> &VolumeInfo {
        self.below.info()
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        let block = self.below.read(region)?;
        let sections = region.start.z..region.end().z;
        let tables: Vec<Arc<Tables>> = sections.map(|z| self.tables(z)).collect::<Result<_, _>>()?;
        let full = self.info().voxel_type.full_scale();
        Ok(by_section(&block, self.info().voxel_type, |z, grey, _, width| {
            let tables = &tables[z];
            let columns: Vec<(usize, usize, f32)> =
                (0..width as u64).map(|x| between(region.start.x + x, tables.side.1, tables.columns)).collect();
            for (y, row) in grey.chunks_exact_mut(width.max(1)).enumerate() {
                let (above, below, down) = between(region.start.y + y as u64, tables.side.0, tables.rows);
                for (value, &(left, right, across)) in row.iter_mut().zip(&columns) {
                    let bin = self.bin(*value) as usize;
                    let of = |row: usize, column: usize| tables.values[row * tables.columns + column][bin];
                    let top = of(above, left) + across * (of(above, right) - of(above, left));
                    let bottom = of(below, left) + across * (of(below, right) - of(below, left));
                    *value = full * (top + down * (bottom - top));
                }
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_rises_to_one_and_nowhere_faster_than_the_limit() {
        let mut counts = [0; BINS];
        counts[100] = 9000;
        counts[101] = 1000;
        let table = table(&counts, 0.01);
        assert!((table[BINS - 1] - 1.0).abs() < 1e-5);
        assert!(table.windows(2).all(|pair| pair[1] >= pair[0] && pair[1] - pair[0] < 0.0102));
    }

    #[test]
    fn a_pixel_lies_between_the_middles_of_parts() {
        assert_eq!(between(0, 10, 3), (0, 1, 0.0));
        assert_eq!(between(29, 10, 3), (2, 2, 0.45000005));
        let (first, second, share) = between(12, 10, 3);
        assert_eq!((first, second), (0, 1));
        assert!((share - 0.75).abs() < 1e-6);
    }
}
