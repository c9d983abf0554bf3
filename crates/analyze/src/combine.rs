//! Predictions of one class each into one volume of classes.

use std::path::PathBuf;

use deep3m_volume::{Block, Extent, Region, Volume, VolumeWriter, VoxelType, Voxels};
use serde::Serialize;

use crate::walk::Walk;
use crate::{AnalyzeError, lowest_value};

/// The largest number of classes: they are written as 8-bit labels.
const MOST_CLASSES: usize = 255;
/// 1 as a probability of 16 bits.
const ONE: u32 = 65535;

/// A class: its prediction, and what it is worth.
pub struct Class<'a> {
    /// Probabilities of 8 or 16 bits.
    pub prediction: &'a dyn Volume,
    /// For each value of the prediction the true share of foreground (a calibration); `None` takes the value for what it says.
    pub calibration: Option<&'a [f64]>,
    /// Classes of a lower rank win, whatever the probability; those of one rank by probability.
    pub rank: usize,
}

/// How many voxels each class has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Combined {
    /// Voxels of the volume, or of the part that was looked at.
    pub voxels: u64,
    /// Voxels of each class.
    pub of_class: Vec<u64>,
    /// Voxels where more than one class reached the threshold.
    pub disputed: u64,
}

/// Gives each voxel of a region the number of a class, from 1 in the order of `classes`, or 0, and writes the numbers as 8-bit labels.
///
/// Of the classes whose calibrated probability is at least `threshold` the one of the lowest rank has the voxel; of one rank the most
/// probable; of equal probability (in steps of 1/65535) the one that stands first.
///
/// Memory is some blocks per thread for each class. `progress` hears the voxels of each block; with a false it ends.
///
/// # Errors
/// Predictions of different size, or none; a calibration for another kind of numbers; [`AnalyzeError::Memory`] where not even one block
/// fits the budget; [`AnalyzeError::Interrupted`] when told to stop; what reading and writing met.
pub fn combine(
    classes: &[Class<'_>],
    writer: &dyn VolumeWriter,
    region: Region,
    threshold: f64,
    budget: u64,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Combined, AnalyzeError> {
    let scales = classes.iter().map(scale).collect::<Result<Vec<_>, _>>()?;
    check(classes, region)?;
    let level = lowest_value(threshold, ONE).max(1);
    let bytes = 2 + classes.iter().map(|class| class.prediction.info().voxel_type.bytes() as u64 + 2).sum::<u64>();
    let first = classes[0].prediction.info();
    let walk = Walk::fit(first, region, Extent::new(0, 0, 0), bytes, 0, budget)?.in_grains(writer.grain());
    let mut result = Combined { voxels: region.extent.len() as u64, of_class: vec![0; classes.len()], disputed: 0 };
    let work = |part: crate::walk::Part| -> Result<(Vec<u8>, Vec<u64>, u64), AnalyzeError> {
        // The best so far: its class from 1, and its probability.
        let mut best = vec![(0_u8, 0_u16); part.core.extent.len()];
        let (mut of_class, mut disputed) = (vec![0; classes.len()], 0);
        let mut twice = vec![false; best.len()];
        for (i, (class, scale)) in classes.iter().zip(&scales).enumerate() {
            let block = class.prediction.read(part.core)?;
            for ((best, twice), value) in best.iter_mut().zip(&mut twice).zip(block.voxels().iter()) {
                let probability = scale[value as usize];
                if u32::from(probability) < level {
                    continue;
                }
                let before = (best.0 as usize).checked_sub(1).map(|other| classes[other].rank);
                *twice |= before.is_some();
                let wins = before.is_none_or(|rank| class.rank < rank || class.rank == rank && probability > best.1);
                if wins {
                    *best = (i as u8 + 1, probability);
                }
            }
        }
        let numbers: Vec<u8> = best.into_iter().map(|(class, _)| class).collect();
        for class in numbers.iter().filter_map(|&class| usize::from(class).checked_sub(1)) {
            of_class[class] += 1;
        }
        disputed += twice.into_iter().filter(|&twice| twice).count() as u64;
        Ok((numbers, of_class, disputed))
    };
    walk.run(
        work,
        |part, (numbers, of_class, disputed)| {
            let start = part.core.start;
            let at =
                deep3m_volume::Index::new(start.z - region.start.z, start.y - region.start.y, start.x - region.start.x);
            writer.write(at, &Block::new(part.core.extent, Voxels::U8(numbers)))?;
            result.of_class.iter_mut().zip(of_class).for_each(|(sum, n)| *sum += n);
            result.disputed += disputed;
            Ok(())
        },
        progress,
    )?;
    writer.finish()?;
    Ok(result)
}

/// For each value of a prediction its probability in steps of 1/65535.
fn scale(class: &Class<'_>) -> Result<Vec<u16>, AnalyzeError> {
    let info = class.prediction.info();
    let one = match info.voxel_type {
        VoxelType::U8 => 255,
        VoxelType::U16 => ONE,
        found => return Err(AnalyzeError::NotProbabilities { path: PathBuf::from(&info.path), found }),
    };
    let steps = |share: f64| (share.clamp(0.0, 1.0) * f64::from(ONE)).round() as u16;
    match class.calibration {
        None => Ok((0..=one).map(|value| steps(f64::from(value) / f64::from(one))).collect()),
        Some(shares) if shares.len() == one as usize + 1 => Ok(shares.iter().map(|&share| steps(share)).collect()),
        Some(shares) => Err(AnalyzeError::Setting {
            name: "the calibration",
            found: format!("one for values up to {}, for {}", shares.len().saturating_sub(1), info.path.display()),
            expected: format!("one for values up to {one}, made of a prediction of the same kind of numbers"),
        }),
    }
}

fn check(classes: &[Class<'_>], region: Region) -> Result<(), AnalyzeError> {
    let count = classes.len();
    if count == 0 || count > MOST_CLASSES {
        let (found, expected) = (format!("{count} predictions"), format!("1 to {MOST_CLASSES}"));
        return Err(AnalyzeError::Setting { name: "classes", found, expected });
    }
    let first = classes[0].prediction.info();
    for other in classes.iter().map(|class| class.prediction.info()) {
        if other.extent != first.extent {
            return Err(AnalyzeError::ShapeMismatch {
                first: first.path.clone(),
                first_extent: first.extent,
                second: other.path.clone(),
                second_extent: other.extent,
            });
        }
    }
    if !region.fits(first.extent) {
        let place = deep3m_volume::Place::file(&first.path);
        return Err(deep3m_volume::VolumeError::OutOfBounds { place, region, extent: first.extent }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::{InMemory, Index};

    const LINE: Extent = Extent::new(1, 1, 5);

    fn numbers(classes: &[Class<'_>], region: Region) -> (Vec<u32>, Combined) {
        let out = InMemory::new("out", region.extent, Voxels::zeros(VoxelType::U8, region.extent.len()));
        let found = combine(classes, &out, region, 0.5, u64::MAX, &mut |_| true).unwrap();
        (out.voxels().iter().collect(), found)
    }

    #[test]
    fn the_most_probable_class_has_a_voxel_unless_another_ranks_before_it() {
        let a = InMemory::new("a", LINE, Voxels::U8(vec![0, 127, 128, 200, 255]));
        let b = InMemory::new("b", LINE, Voxels::U16(vec![0, 65535, 128 * 257, 60000, 40000]));
        let class = |prediction, rank| Class { prediction, calibration: None, rank };
        let whole = Region::whole(LINE);
        let (found, counts) = numbers(&[class(&a, 0), class(&b, 0)], whole);
        assert_eq!(found, [0, 2, 1, 2, 1], "equal ones go to the first");
        assert_eq!(counts, Combined { voxels: 5, of_class: vec![2, 2], disputed: 3 });
        assert_eq!(numbers(&[class(&a, 1), class(&b, 0)], whole).0, [0, 2, 2, 2, 2]);
        assert_eq!(numbers(&[class(&a, 0), class(&b, 1)], whole).0, [0, 2, 1, 1, 1]);
        let part = Region::new(Index::new(0, 0, 3), Extent::new(1, 1, 2));
        assert_eq!(numbers(&[class(&a, 0), class(&b, 0)], part).0, [2, 1]);
    }

    #[test]
    fn a_calibration_says_what_a_value_is_worth() {
        let a = InMemory::new("a", LINE, Voxels::U8(vec![0, 127, 128, 200, 255]));
        let shares: Vec<f64> = (0..256).map(|value| f64::from(value) / 512.0).collect();
        let mut half = Class { prediction: &a, calibration: Some(&shares), rank: 0 };
        assert_eq!(numbers(std::slice::from_ref(&half), Region::whole(LINE)).0, [0; 5], "255 is just below one half");
        half.calibration = Some(&shares[1..]);
        let out = InMemory::new("out", LINE, Voxels::U8(vec![0; 5]));
        let error = combine(&[half], &out, Region::whole(LINE), 0.5, u64::MAX, &mut |_| true).unwrap_err();
        assert!(error.to_string().contains("up to 254"), "{error}");
    }
}
