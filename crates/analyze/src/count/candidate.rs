//! Where objects may be: the places that fit better than those around them.

use super::field::Field;
use super::response::{Position, Response};
use super::scale::Scale;
use super::solid::Solid;
use super::template::Templates;

/// Places nearer than this to a better one are none of their own, in diameters.
const NEIGHBOURHOOD: f64 = 0.35;
/// How far from the centre the radius is looked for, in diameters.
const RADIUS_SEARCH: f64 = 0.75;

/// A place that may be an object's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    /// Its voxel, counted from the first of what is looked at.
    pub(super) voxel: [u64; 3],
    /// Its centre in averaged voxels, from the first one's centre.
    pub(super) centre: [f64; 3],
    /// How much it explains.
    pub(super) gain: f32,
    /// The share of a whole object's response.
    pub(super) share: f32,
    /// In the unit of the voxel size.
    pub(super) radius: f64,
    /// The averaged section that shows most of it.
    pub(super) section: u64,
}

/// The neighbourhood of a place, and what must be read around a block.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Around {
    /// Places in it.
    places: Vec<[i64; 3]>,
    /// What tells objects from foreground that is far larger.
    solid: Solid,
    /// How far it reaches.
    pub(super) near: [usize; 3],
    /// How far a block's candidates depend on others' voxels.
    pub(super) halo: [usize; 3],
}

impl Around {
    pub(super) fn new(scale: &Scale, templates: &Templates) -> Self {
        let (pitch, radius) = (scale.pitch(), NEIGHBOURHOOD * scale.diameter);
        // The pixels beside one are always in it.
        let least = [0, 1, 1];
        let near = [0, 1, 2].map(|i| ((radius / pitch[i]) as i64).max(least[i]));
        let mut places = Vec::new();
        for z in -near[0]..=near[0] {
            for (y, x) in (-near[1]..=near[1]).flat_map(|y| (-near[2]..=near[2]).map(move |x| (y, x))) {
                let nm = [z as f64 * pitch[0], y as f64 * pitch[1], x as f64 * pitch[2]];
                let close = nm.iter().map(|v| v * v).sum::<f64>() <= radius * radius;
                let beside = z == 0 && y.abs() <= 1 && x.abs() <= 1;
                if (close || beside) && (z, y, x) != (0, 0, 0) {
                    places.push([z, y, x]);
                }
            }
        }
        let near = near.map(|n| n as usize);
        let solid = Solid::new(scale);
        let halo = [0, 1, 2].map(|i| {
            let ball = (RADIUS_SEARCH * scale.diameter / pitch[i] + 0.5).ceil() as usize;
            let discs = if i == 0 { 0 } else { solid.reach[i - 1] };
            (near[i] + 1 + templates.reach[i] as usize).max(ball).max(discs)
        });
        Self { places, solid, near, halo }
    }
}

/// The candidates of a block, whose core in the field starts at `start` and has `size` voxels.
pub(super) fn candidates(
    field: &Field,
    position: Position,
    scale: &Scale,
    templates: &Templates,
    around: &Around,
    (start, size): ([usize; 3], [usize; 3]),
    least: f32,
) -> Vec<Candidate> {
    if field.empty.iter().all(|&empty| empty) {
        return Vec::new();
    }
    // One voxel more than the neighbourhood, for what lies between voxels.
    let low = [0, 1, 2].map(|i| start[i].saturating_sub(around.near[i] + 1));
    let high = [0, 1, 2].map(|i| (start[i] + size[i] + around.near[i] + 1).min(field.size[i]));
    let response = Response::new(field, position, templates, low, [0, 1, 2].map(|i| high[i] - low[i]));
    let mut found = Vec::new();
    for z in start[0]..start[0] + size[0] {
        for (y, x) in (start[1]..start[1] + size[1]).flat_map(|y| (start[2]..start[2] + size[2]).map(move |x| (y, x))) {
            let at = [z, y, x];
            let Some(i) = response.index(at) else { continue };
            let (gain, share) = (response.gain[i], response.share[i]);
            // Of equal ones the first stays: a strict order, so that blocks agree.
            let beaten = |by: &[i64; 3]| {
                beside(at, *by)
                    .and_then(|other| response.index(other))
                    .is_some_and(|j| response.gain[j] > gain || (response.gain[j] == gain && *by < [0, 0, 0]))
            };
            let fits = share >= least && share > 0.0 && seen(field, at, share) && !around.places.iter().any(beaten);
            if fits && !around.solid.holds(field, at) {
                let template = &templates.all[usize::from(response.template[i])];
                let mut centre = [0.0, between(&response, at, 1), between(&response, at, 2)];
                centre[0] = if templates.all.len() > 1 { template.offset } else { between(&response, at, 0) };
                let (radius, section) = shape(field, scale, at, centre);
                found.push(Candidate {
                    voxel: [0, 1, 2].map(|i| (position.start[i] + at[i]) as u64),
                    centre: [0, 1, 2].map(|i| (position.start[i] + at[i]) as f64 + centre[i]),
                    gain,
                    share,
                    radius,
                    section: position.start[0] as u64 + section,
                });
            }
        }
    }
    found
}

/// Whether an object is seen in its own section: the pixels around its centre have at least a quarter of what it should have.
///
/// A ball that fits the sections before and behind a place can fit there, too, where it lies between two sections.
fn seen(field: &Field, [z, y, x]: [usize; 3], share: f32) -> bool {
    let near = |v: usize, i: usize| v.saturating_sub(1)..(v + 2).min(field.size[i]);
    let (mut sum, mut pixels) = (0.0, 0.0);
    for y in near(y, 1) {
        for &value in &field.row(z, y)[near(x, 2)] {
            (sum, pixels) = (sum + value, pixels + 1.0);
        }
    }
    sum >= 0.25 * share * pixels
}

fn beside(at: [usize; 3], by: [i64; 3]) -> Option<[usize; 3]> {
    let mut place = at;
    for i in 0..3 {
        place[i] = at[i].checked_add_signed(by[i] as isize)?;
    }
    Some(place)
}

/// Where the top of the parabola through a voxel and its two neighbours along an axis lies; 0 at the volume's end.
fn between(response: &Response, at: [usize; 3], axis: usize) -> f64 {
    let gain = |by: i64| {
        let mut step = [0; 3];
        step[axis] = by;
        let index = beside(at, step).and_then(|place| response.index(place))?;
        Some(f64::from(response.gain[index])).filter(|v| v.is_finite())
    };
    match (gain(-1), gain(0), gain(1)) {
        (Some(before), Some(here), Some(behind)) => {
            let bend = before - 2.0 * here + behind;
            if bend < 0.0 { (0.5 * (before - behind) / bend).clamp(-0.5, 0.5) } else { 0.0 }
        }
        _ => 0.0,
    }
}

/// The radius at which the probability falls to half of the core's, and the section (in the field) that shows most.
///
/// The ball is grown voxel by voxel as long as what is added is above half on average: the radius with the largest sum of
/// what is above half. So each voxel counts, not only those at the rim.
///
/// The centre is `at` and a part of a voxel: sums of the two would be rounded as the block lies.
fn shape(field: &Field, scale: &Scale, at: [usize; 3], part: [f64; 3]) -> (f64, u64) {
    let pitch = scale.pitch();
    let most = RADIUS_SEARCH * scale.diameter;
    let range = |i: usize| {
        let reach = (most / pitch[i] + 0.5).ceil() as usize;
        at[i].saturating_sub(reach)..(at[i] + reach + 1).min(field.size[i])
    };
    let from = |i: usize, voxel: usize| ((voxel as i64 - at[i] as i64) as f64 - part[i]) * pitch[i];
    let mut voxels = Vec::new();
    let mut shown = (f64::NEG_INFINITY, 0);
    for z in range(0) {
        let dz = from(0, z);
        let mut mass = 0.0;
        for y in range(1) {
            let dy = from(1, y);
            let row = field.row(z, y);
            for x in range(2) {
                let dx = from(2, x);
                let distance = (dz * dz + dy * dy + dx * dx).sqrt();
                if distance <= most {
                    voxels.push((distance, f64::from(row[x])));
                }
                if distance <= scale.radius() {
                    mass += f64::from(row[x]);
                }
            }
        }
        if mass > shown.0 {
            shown = (mass, z as u64);
        }
    }
    voxels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let volume = pitch.iter().product::<f64>();
    let ball = 4.0 / 3.0 * std::f64::consts::PI * scale.radius().powi(3) / volume;
    let core = ((ball / 4.0) as usize).clamp(1, voxels.len().max(1));
    let level = voxels.iter().take(core).map(|v| v.1).sum::<f64>() / core as f64 / 2.0;
    let (mut sum, mut best, mut radius) = (0.0, f64::NEG_INFINITY, scale.radius());
    for (i, &(distance, probability)) in voxels.iter().enumerate() {
        sum += probability - level;
        let next = voxels.get(i + 1).map_or(most, |v| v.0);
        if sum > best && next > distance {
            (best, radius) = (sum, f64::midpoint(distance, next));
        }
    }
    (radius, shown.1)
}
