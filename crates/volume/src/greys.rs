//! The grey values of images, gathered for percentiles.

use crate::{VoxelType, Voxels};

/// Floating-point values kept at most; their percentiles are those of this sample.
const SAMPLE: u64 = 4 << 20;

/// Grey values met so far: exact counts of 8- and 16-bit values, an evenly spaced sample of floating-point ones.
///
/// Memory: half a megabyte, or 16 MiB for floating point, whatever is added.
#[derive(Clone, Debug)]
pub struct Greys(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// How often each value occurs, from `lowest` on.
    Counts { lowest: i32, counts: Vec<u64> },
    /// Every `step`-th value that is a number.
    Sample { step: u64, until_next: u64, values: Vec<f32> },
}

impl Greys {
    /// None yet, for about `expected` voxels of a type in all; `None` for 32-bit labels, which are no grey values.
    pub fn new(voxel_type: VoxelType, expected: u64) -> Option<Self> {
        let counts = |lowest, len| Some(Self(Kind::Counts { lowest, counts: vec![0; len] }));
        match voxel_type {
            VoxelType::U8 => counts(0, 1 << 8),
            VoxelType::U16 => counts(0, 1 << 16),
            VoxelType::I16 => counts(i16::MIN.into(), 1 << 16),
            VoxelType::F32 => {
                Some(Self(Kind::Sample { step: expected.div_ceil(SAMPLE).max(1), until_next: 0, values: Vec::new() }))
            }
            VoxelType::U32 => None,
        }
    }

    /// Adds voxels; `false`, and nothing is added, where they are of another type.
    #[must_use]
    pub fn add(&mut self, voxels: &Voxels) -> bool {
        match (&mut self.0, voxels) {
            (Kind::Counts { lowest: 0, counts }, Voxels::U8(values)) => {
                for &v in values {
                    counts[usize::from(v)] += 1;
                }
            }
            (Kind::Counts { lowest: 0, counts }, Voxels::U16(values)) if counts.len() == 1 << 16 => {
                for &v in values {
                    counts[usize::from(v)] += 1;
                }
            }
            (Kind::Counts { lowest: ..0, counts }, Voxels::I16(values)) => {
                for &v in values {
                    counts[(i32::from(v) - i32::from(i16::MIN)) as usize] += 1;
                }
            }
            (Kind::Sample { step, until_next, values: kept }, Voxels::F32(values)) => {
                for &value in values.iter().filter(|v| v.is_finite()) {
                    // Twice the room that was planned for, should more come than was expected.
                    if *until_next == 0 && (kept.len() as u64) < 2 * SAMPLE {
                        kept.push(value);
                        *until_next = *step;
                    }
                    *until_next = until_next.saturating_sub(1);
                }
            }
            _ => return false,
        }
        true
    }

    /// The grey values that `percent` % of the voxels do not exceed, by nearest rank; `None` where no voxel is a number.
    pub fn percentiles<const N: usize>(&self, percent: [f64; N]) -> Option<[f32; N]> {
        let rank = |of: u64, percent: f64| ((of as f64 * percent.clamp(0.0, 100.0) / 100.0).ceil() as u64).clamp(1, of);
        match &self.0 {
            Kind::Counts { lowest, counts } => {
                let all: u64 = counts.iter().sum();
                (all > 0).then(|| {
                    percent.map(|percent| {
                        let (wanted, mut seen) = (rank(all, percent), 0);
                        let reached = |&count: &u64| {
                            seen += count;
                            seen >= wanted
                        };
                        // The last count reaches every rank.
                        let place = counts.iter().position(reached).unwrap_or(counts.len() - 1);
                        (place as i32 + lowest) as f32
                    })
                })
            }
            Kind::Sample { values, .. } => {
                let mut sorted = values.clone();
                sorted.sort_unstable_by(f32::total_cmp);
                let all = sorted.len() as u64;
                (all > 0).then(|| percent.map(|percent| sorted[rank(all, percent) as usize - 1]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_by_nearest_rank_for_every_type() {
        // The textbook example: 15, 20, 35, 40, 50.
        let values = [40_u8, 15, 50, 20, 35];
        let all = [
            Voxels::U8(values.to_vec()),
            Voxels::U16(values.map(u16::from).to_vec()),
            Voxels::I16(values.map(i16::from).to_vec()),
            Voxels::F32(values.map(f32::from).to_vec()),
        ];
        for voxels in all {
            let mut greys = Greys::new(voxels.voxel_type(), 5).unwrap();
            assert_eq!(greys.percentiles([50.0]), None);
            assert!(greys.add(&voxels));
            let at = greys.percentiles([0.0, 5.0, 30.0, 40.0, 50.0, 100.0]).unwrap();
            assert_eq!(at, [15.0, 15.0, 20.0, 20.0, 35.0, 50.0], "{voxels:?}");
            assert!(!greys.add(&Voxels::U32(vec![1])), "labels are no greys");
        }
        assert!(Greys::new(VoxelType::U32, 5).is_none());
    }

    #[test]
    fn values_below_0_and_what_is_no_number() {
        let mut signed = Greys::new(VoxelType::I16, 3).unwrap();
        assert!(signed.add(&Voxels::I16(vec![i16::MIN, -1, i16::MAX])));
        assert_eq!(signed.percentiles([1.0, 50.0, 99.0]), Some([-32768.0, -1.0, 32767.0]));
        let mut float = Greys::new(VoxelType::F32, 4).unwrap();
        assert!(float.add(&Voxels::F32(vec![f32::NAN, -0.25, f32::INFINITY, 0.5])));
        assert_eq!(float.percentiles([1.0, 99.0]), Some([-0.25, 0.5]));
        let mut nothing = Greys::new(VoxelType::F32, 1).unwrap();
        assert!(nothing.add(&Voxels::F32(vec![f32::NAN])));
        assert_eq!(nothing.percentiles([50.0]), None);
    }

    #[test]
    fn a_sample_is_spread_evenly_and_bounded() {
        let many = 3 * SAMPLE;
        let mut greys = Greys::new(VoxelType::F32, many).unwrap();
        for start in (0..many).step_by(1 << 16) {
            assert!(greys.add(&Voxels::F32((start..start + (1 << 16)).map(|v| v as f32).collect())));
        }
        let Kind::Sample { values, .. } = &greys.0 else { panic!("a sample") };
        assert_eq!((values.len() as u64, values[1], values[2]), (SAMPLE, 3.0, 6.0));
        let median = greys.percentiles([50.0]).unwrap()[0];
        assert!((median / many as f32 - 0.5).abs() < 1e-5, "{median}");
    }
}
