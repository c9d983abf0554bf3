//! People who draw mitochondria by hand: each moves the borders in a way of their own, misses some and takes something
//! else for one. What they drew is a function of the settings and the place, as the tissue is.

use std::ops::Range;

use crate::config::PhantomConfig;
use crate::hash::{self, Draw};
use crate::noise::{Columns, Noise};
use crate::organelle::{Lysosome, Mitochondrion};
use crate::scene::Nearby;
use crate::vector::Vec3;

/// All annotators of a phantom.
#[derive(Clone, Debug)]
pub(crate) struct Annotators(Vec<Annotator>);

#[derive(Clone, Debug)]
struct Annotator {
    seed: u64,
    /// How far outside of the true border this one usually draws, in nm.
    habit: f64,
    /// How unsteady the hand is.
    hand: Noise,
    /// Share of the mitochondria that are missed: of long ones; short ones are missed three times as often.
    misses: f64,
    /// Share of the lysosomes that are taken for mitochondria.
    takes: f64,
}

/// Farthest that a habit moves a border, in nm: with [`HAND`] less than half the gap between two mitochondria.
const HABIT: f64 = 10.0;
/// Farthest that an unsteady hand moves it.
const HAND: f32 = 12.0;
/// Length along the border over which the hand swerves, in nm.
const SWERVE: f64 = 90.0;
/// Half length under which a mitochondrion is short, in nm.
const SHORT: f64 = 330.0;

impl Annotators {
    pub(crate) fn new(config: &PhantomConfig) -> Self {
        let annotator = |number: u32| {
            let seed = hash::at(hash::stream(config.seed, 81), i64::from(number), 0, 0);
            let mut draw = Draw::new(seed);
            Annotator {
                seed,
                habit: draw.between(-HABIT, HABIT),
                hand: Noise::new(seed, 82, SWERVE),
                misses: draw.between(0.01, 0.05),
                takes: draw.between(0.02, 0.10),
            }
        };
        Self((0..config.annotators).map(annotator).collect())
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Annotator {
    fn sees(&self, m: &Mitochondrion) -> bool {
        let missed = if m.spine.reach() < SHORT { 3.0 * self.misses } else { self.misses };
        hash::unit(hash::mix(self.seed ^ m.rank)) >= missed
    }

    fn mistakes(&self, l: &Lysosome) -> bool {
        let c = l.body.centre;
        hash::unit(hash::at(self.seed, c.z as i64, c.y as i64, c.x as i64)) < self.takes
    }
}

/// How far outside of the true borders the annotators draw, along a run of pixels of a row.
#[derive(Debug)]
pub(crate) struct Strokes<'a> {
    annotators: &'a Annotators,
    outside: Vec<Vec<f32>>,
}

impl<'a> Strokes<'a> {
    /// `pixels` are those of `columns`. Each section is drawn anew, so hands swerve in each in another way.
    pub(crate) fn new(
        annotators: &'a Annotators,
        section: i64,
        y_nm: f64,
        columns: Columns,
        pixels: Range<usize>,
    ) -> Self {
        let columns = Columns { first: columns.first + pixels.start as i64, ..columns };
        let along = |a: &Annotator| {
            let mut outside = vec![a.habit as f32; pixels.len()];
            a.hand.add_row(section as f64 * SWERVE, y_nm, columns, HAND, &mut outside);
            outside
        };
        Self { annotators, outside: annotators.0.iter().map(along).collect() }
    }

    /// Which annotators take pixel `i` of the run, which looks at `p`, for mitochondrion: a bit for each.
    pub(crate) fn at(&self, near: &Nearby<'_>, p: Vec3, i: usize) -> u16 {
        const FARTHEST: f64 = HABIT + HAND as f64;
        let mut drawn = 0;
        let mut inside = |d: f64, who: &dyn Fn(&Annotator) -> bool| {
            for (bit, (a, outside)) in self.annotators.0.iter().zip(&self.outside).enumerate() {
                if d < f64::from(outside[i]) && who(a) {
                    drawn |= 1 << bit;
                }
            }
        };
        for m in &near.mitochondria {
            let d = m.spine.distance(p);
            if d < FARTHEST {
                inside(d, &|a| a.sees(m));
            }
        }
        for l in &near.lysosomes {
            let d = l.body.distance(p);
            if d < FARTHEST {
                inside(d, &|a| a.mistakes(l));
            }
        }
        drawn
    }
}
