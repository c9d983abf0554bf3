//! How objects that touch are told apart, as it is typed.

use std::str::FromStr;

use deep3m_analyze::{Connectivity, Landscape, Watershed};
use deep3m_volume::VoxelSize;
use miette::Result;

use crate::console::notice;
use crate::parse::{self, Length};

/// What is high where objects are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum By {
    /// The distance to the background
    Distance,
    /// The probability, smoothed
    Probability,
}

/// How far a peak rises at least above the pass to a higher one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rise {
    Length(Length),
    Probability(f64),
}

impl FromStr for Rise {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = || {
            format!(
                "'{text}' found; expected a length (20nm, 2vx) with distances, or a number from 0 to 1 with probabilities"
            )
        };
        match parse::fraction(text) {
            Ok(difference) => Ok(Self::Probability(difference)),
            Err(_) => parse::length(text).map(Self::Length).map_err(|_| fail()),
        }
    }
}

/// The rise where none is given: a voxel in the plane, or so much probability.
const USUAL_RISE: (Length, f64) = (Length::Voxels(1.0), 0.05);
/// The rises that are tried where none is given: voxels in the plane, or probabilities.
const TRIED_RISES: ([f64; 5], [f64; 5]) = ([0.5, 1.0, 2.0, 4.0, 8.0], [0.01, 0.02, 0.05, 0.1, 0.2]);
/// The smoothing where none is given.
const USUAL_SMOOTHING: Length = Length::Voxels(1.0);

/// What was typed of a watershed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parting {
    pub(super) by: By,
    pub(super) h: Option<Rise>,
    pub(super) smooth: Option<Length>,
}

impl Parting {
    /// What it means for voxels of a size.
    pub(super) fn watershed(self, size: Option<VoxelSize>, connectivity: Connectivity) -> Result<Watershed> {
        let rise = self.h.unwrap_or(match self.by {
            By::Distance => Rise::Length(USUAL_RISE.0),
            By::Probability => Rise::Probability(USUAL_RISE.1),
        });
        self.with_rise(rise, size, connectivity)
    }

    /// Watersheds to choose from.
    pub(super) fn tried(self, size: Option<VoxelSize>, connectivity: Connectivity) -> Result<Vec<Watershed>> {
        if self.h.is_some() {
            return Ok(vec![self.watershed(size, connectivity)?]);
        }
        let rises: Vec<Rise> = match self.by {
            By::Distance => TRIED_RISES.0.map(|voxels| Rise::Length(Length::Voxels(voxels))).to_vec(),
            By::Probability => TRIED_RISES.1.map(Rise::Probability).to_vec(),
        };
        rises.into_iter().map(|rise| self.with_rise(rise, size, connectivity)).collect()
    }

    fn with_rise(self, rise: Rise, size: Option<VoxelSize>, connectivity: Connectivity) -> Result<Watershed> {
        let (landscape, h) = match (self.by, rise) {
            (By::Distance, Rise::Length(length)) => (Landscape::Distance, in_units(length, size, "--h")?),
            (By::Probability, Rise::Probability(h)) => {
                let sigmas = sigmas(self.smooth.unwrap_or(USUAL_SMOOTHING), size, connectivity)?;
                (Landscape::Probability { sigmas }, h)
            }
            (By::Distance, Rise::Probability(h)) => {
                miette::bail!("--h: found {h} with distances; expected a length: 20nm, 0.1um, 2vx")
            }
            (By::Probability, Rise::Length(_)) => {
                miette::bail!("--h: found a length with probabilities; expected a number from 0 to 1: 0.05")
            }
        };
        Ok(Watershed { landscape, h })
    }

    /// Says what is taken for granted.
    pub(super) fn warn(self, size: Option<VoxelSize>) {
        if size.is_none() && self.by == By::Distance {
            notice(
                "the volume does not state how large its voxels are: distances are measured as if they were cubes. Sections that \
                 are thicker than pixels are wide need --voxel-size z,y,x",
            );
        }
    }
}

/// In nm, or in voxels where their size is not known.
fn in_units(length: Length, size: Option<VoxelSize>, option: &str) -> Result<f64> {
    if size.is_some() { length.nm(size, option) } else { length.voxels(size, option) }
}

/// Standard deviations in voxels along z, y and x; sections that are looked at one by one are smoothed one by one.
fn sigmas(length: Length, size: Option<VoxelSize>, connectivity: Connectivity) -> Result<[f64; 3]> {
    let sigma = in_units(length, size, "--smooth")?;
    let pitch = size.map_or([1.0; 3], |size| [size.z_nm, size.y_nm, size.x_nm]);
    let [z, y, x] = pitch.map(|pitch| sigma / pitch);
    Ok([if connectivity.is_flat() { 0.0 } else { z }, y, x])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_and_smoothing_are_lengths_of_voxels_that_are_no_cubes() {
        let size = VoxelSize::new(30.0, 10.0, 10.0);
        let parting = |by, h: &str, smooth| Parting { by, h: Some(h.parse().unwrap()), smooth: Some(smooth) };
        let distance = parting(By::Distance, "2vx", Length::Nm(1.0));
        assert_eq!(distance.watershed(size, Connectivity::Corners).unwrap().h, 20.0);
        assert_eq!(distance.watershed(None, Connectivity::Corners).unwrap().h, 2.0);
        let probability = parting(By::Probability, "0.1", Length::Nm(15.0));
        let found = probability.watershed(size, Connectivity::Corners).unwrap();
        assert_eq!(found.landscape, Landscape::Probability { sigmas: [0.5, 1.5, 1.5] });
        let flat = probability.watershed(size, Connectivity::SectionCorners).unwrap();
        assert_eq!(flat.landscape, Landscape::Probability { sigmas: [0.0, 1.5, 1.5] });
        assert!(probability.watershed(None, Connectivity::Corners).is_err(), "nm of voxels of no known size");
        for (by, h) in [(By::Distance, "0.5"), (By::Probability, "3nm")] {
            let error = parting(by, h, Length::Voxels(1.0)).watershed(size, Connectivity::Corners).unwrap_err();
            assert!(error.to_string().contains("--h"), "{error}");
        }
        assert!("2".parse::<Rise>().unwrap_err().contains("2vx"));
        let usual = Parting { by: By::Distance, h: None, smooth: None };
        assert_eq!(usual.tried(size, Connectivity::Corners).unwrap().len(), 5);
    }
}
