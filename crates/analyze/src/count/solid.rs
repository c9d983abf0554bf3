//! Foreground that is far larger than an object: a nucleus among vesicles, a band of false foreground.
//!
//! Balls fit everywhere inside it, most of all along its rim. What tells it from objects that lie as close as they can is that it
//! fills a disc nearly twice as wide as an object: discs of one size cannot cover a plane, not even packed as honeycombs are (0.91 of it),
//! and sections through packed balls show far less.

use super::field::Field;
use super::scale::Scale;

/// The radius of the disc, in diameters.
const RADIUS: f64 = 0.9;
/// The share of the object's own level from which the disc is filled.
const FILLED: f64 = 0.9;
/// The least mean that is filled: an object that lies between two sections shows a small, pale disc itself, and packed ones around it
/// have means up to two thirds.
const LEAST: f64 = 0.75;
/// Directions in which the disc's centre is sought, beside the place itself.
const DIRECTIONS: u32 = 16;

/// Rows of a disc: how far from the centre, and how many pixels to each side.
type Rows = Vec<(i64, i64)>;

/// The discs that are looked at around a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Solid {
    wide: Rows,
    /// The middle of an object: full also where its centre lies between two sections.
    core: Rows,
    centres: Vec<[i64; 2]>,
    /// How many rows and columns around a place they take.
    pub(super) reach: [usize; 2],
}

impl Solid {
    pub(super) fn new(scale: &Scale) -> Self {
        let [_, height, width] = scale.pitch();
        let radius = RADIUS * scale.diameter;
        // All discs that hold the place: some of them lie inside what is filled, wherever the place lies in it.
        let mut centres = vec![[0, 0]];
        for (share, i) in [0.5, 1.0].into_iter().flat_map(|share| (0..DIRECTIONS).map(move |i| (share, i))) {
            let (sin, cos) = (std::f64::consts::TAU * f64::from(i) / f64::from(DIRECTIONS)).sin_cos();
            centres.push([(share * radius * sin / height) as i64, (share * radius * cos / width) as i64]);
        }
        centres.sort_unstable();
        centres.dedup();
        let reach = [height, width].map(|side| 2 * (radius / side) as usize);
        Self { wide: disc(radius, [height, width]), core: disc(scale.radius() / 2.0, [height, width]), centres, reach }
    }

    /// Whether a place of the field lies in foreground that is far larger than an object.
    pub(super) fn holds(&self, field: &Field, [z, y, x]: [usize; 3]) -> bool {
        let mean = |rows: &Rows, by: [i64; 2]| mean(field, z, [y as i64 + by[0], x as i64 + by[1]], rows);
        let level = (FILLED * mean(&self.core, [0, 0])).max(LEAST);
        self.centres.iter().any(|&by| mean(&self.wide, by) >= level)
    }
}

fn disc(radius: f64, [height, width]: [f64; 2]) -> Rows {
    let rows = (radius / height) as i64;
    let half = |row: i64| {
        let away = row as f64 * height;
        ((radius * radius - away * away).max(0.0).sqrt() / width) as i64
    };
    (-rows..=rows).map(|row| (row, half(row))).collect()
}

/// The mean of a disc; beyond the field is nothing, and no foreground is invented there.
fn mean(field: &Field, z: usize, [y, x]: [i64; 2], rows: &Rows) -> f64 {
    let (mut sum, mut pixels) = (0.0, 0);
    for &(row, half) in rows {
        pixels += 2 * half + 1;
        let Some(y) = usize::try_from(y + row).ok().filter(|&y| y < field.size[1]) else { continue };
        let low = (x - half).clamp(0, field.size[2] as i64) as usize;
        let high = (x + half + 1).clamp(0, field.size[2] as i64) as usize;
        sum += field.row(z, y)[low..high].iter().map(|&v| f64::from(v)).sum::<f64>();
    }
    sum / pixels as f64
}
