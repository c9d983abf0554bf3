//! Cell processes: space divided among them, with the plasma membrane where two meet.
//!
//! Each process has a seed; a place belongs to the seed that is nearest in that seed's own stretched metric (a Voronoi
//! division with elongated cells). The distance from the border between the two nearest seeds is, to first order,
//! (d2 − d1) / |∇d2 − ∇d1|.

use crate::grid::{Cell, Grid};
use crate::hash::{self, Draw};
use crate::noise::Noise;
use crate::vector::{Bounds, Vec3};

/// Where a place lies among the processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The process that it belongs to.
    pub(crate) process: u64,
    /// Distance from the nearest plasma membrane, in nm; capped at [`FAR`].
    pub(crate) border: f64,
}

/// Borders further than this do not matter.
pub(crate) const FAR: f64 = 1000.0;

impl Place {
    /// Lets a body at signed distance `s` belong to process `host`, whatever was there: the process of a
    /// mitochondrion widens around it, a cell body around its nucleus.
    pub(crate) const fn claim(&mut self, host: u64, s: f64) {
        if s < 0.0 {
            self.border = if self.process == host { self.border.max(-s) } else { -s };
            self.process = host;
        } else if self.process != host {
            self.border = self.border.min(s);
        }
    }
}

/// One seed of the division.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed {
    id: u64,
    at: Vec3,
    axis: Vec3,
    /// 1 − 1/elongation².
    stretch: f64,
    /// Square of the weight: the higher, the smaller the process.
    weight2: f64,
}

impl Seed {
    /// Square of the distance in the seed's metric.
    fn distance2(&self, p: Vec3) -> f64 {
        let v = p - self.at;
        let along = v.dot(self.axis);
        self.weight2 * (v.dot(v) - self.stretch * along * along)
    }

    fn gradient(&self, p: Vec3, distance: f64) -> Vec3 {
        let v = p - self.at;
        (v - self.axis * (self.stretch * v.dot(self.axis))) * (self.weight2 / distance.max(1e-6))
    }
}

/// The process that a place belongs to, among candidate seeds.
pub(crate) fn nearest<'a>(seeds: impl Iterator<Item = &'a Seed>, p: Vec3) -> Place {
    let (mut first, mut second) = ((f64::INFINITY, None), (f64::INFINITY, None));
    for seed in seeds {
        let d = seed.distance2(p);
        if d < second.0 {
            if d < first.0 {
                second = first;
                first = (d, Some(seed));
            } else {
                second = (d, Some(seed));
            }
        }
    }
    match (first, second) {
        ((d1, Some(a)), (d2, Some(b))) => {
            let (d1, d2) = (d1.sqrt(), d2.sqrt());
            let slope = b.gradient(p, d2) - a.gradient(p, d1);
            Place { process: a.id, border: ((d2 - d1) / slope.norm().max(1e-6)).min(FAR) }
        }
        ((_, a), _) => Place { process: a.map_or(0, |a| a.id), border: FAR },
    }
}

/// The seeds around a block.
#[derive(Debug)]
pub(crate) struct Processes {
    seeds: Grid<Seed>,
}

/// How many lattice cells away a seed may still own a place.
const RING: i64 = 3;

impl Processes {
    /// The seeds that matter to places in `bounds`.
    pub(crate) fn over(seed: u64, pitch: f64, course: &Course, bounds: Bounds) -> Self {
        let stream = hash::stream(seed, 11);
        let make = |c: Cell| {
            let id = hash::at(stream, c.z, c.y, c.x);
            let mut draw = Draw::new(id);
            let inside = Vec3::new(draw.between(0.05, 0.95), draw.between(0.05, 0.95), draw.between(0.05, 0.95));
            let at = c.corner(pitch) + inside * pitch;
            let elongation = draw.between(1.2, 2.0);
            // Some processes are much thinner than others.
            let weight = draw.between(0.76, 1.12) + if draw.chance(0.35) { draw.between(0.0, 0.55) } else { 0.0 };
            Seed {
                id,
                at,
                axis: course.direction(at, 0.5, &mut draw),
                stretch: 1.0 - 1.0 / (elongation * elongation),
                weight2: weight * weight,
            }
        };
        Self { seeds: Grid::over(bounds, pitch, RING, make) }
    }

    /// The seeds that may own a place near `anchor`.
    fn around(&self, anchor: Vec3) -> impl Iterator<Item = &Seed> {
        self.seeds.around(anchor, RING).map(|i| &self.seeds.items()[i])
    }

    /// The process that a place belongs to.
    pub(crate) fn place(&self, p: Vec3) -> Place {
        nearest(self.around(p), p)
    }

    /// Collects the seeds that can be first or second anywhere in a ball.
    ///
    /// `anchor` must be the same for all places that are compared, whatever the block: it says which seeds exist.
    pub(crate) fn candidates(&self, anchor: Vec3, centre: Vec3, radius: f64, out: &mut Vec<Seed>) {
        out.clear();
        let distances: Vec<(f64, f64, &Seed)> = self
            .around(anchor)
            .map(|s| (s.distance2(centre).max(0.0).sqrt(), s.weight2.sqrt() * (radius + 1.0), s))
            .collect();
        let (mut first, mut second) = (f64::INFINITY, f64::INFINITY);
        for (d, reach, _) in &distances {
            let highest = d + reach;
            if highest < first {
                second = first;
                first = highest;
            } else if highest < second {
                second = highest;
            }
        }
        out.extend(distances.iter().filter(|(d, reach, _)| d - reach <= second).map(|(_, _, s)| **s));
    }
}

/// The direction in which processes and mitochondria run: it changes slowly, so that they form bundles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    parts: [Noise; 3],
}

impl Course {
    pub(crate) fn new(seed: u64) -> Self {
        Self { parts: [1, 2, 3].map(|i| Noise::new(seed, 20 + i, 3500.0)) }
    }

    /// The direction at a place, with a share of chance.
    pub(crate) fn direction(&self, p: Vec3, chance: f64, draw: &mut Draw) -> Vec3 {
        let [z, y, x] = self.parts.map(|n| f64::from(n.value(p)));
        (Vec3::new(z, y, x).unit() + draw.direction() * chance).unit()
    }
}
