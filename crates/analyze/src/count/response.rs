//! How well an object fits at each voxel of a block.

use super::field::Field;
use super::template::{Template, Templates};

/// Where the field lies in the part of the volume that is looked at, in averaged voxels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    /// The field's first voxel.
    pub(super) start: [usize; 3],
    /// Size of all that is looked at.
    pub(super) all: [usize; 3],
}

/// The best fit at each voxel of a box of the field.
pub(super) struct Response {
    /// The box's first voxel in the field.
    pub(super) start: [usize; 3],
    /// The box's size.
    pub(super) size: [usize; 3],
    /// How much an object here explains, in averaged voxels of probability 1.
    pub(super) gain: Vec<f32>,
    /// The share of a whole object's response, 0 to 1.
    pub(super) share: Vec<f32>,
    /// The template.
    pub(super) template: Vec<u8>,
}

impl Response {
    /// Of the box from `start` on. The field reaches as far around the box as the templates do, or to the end of what is
    /// looked at; of a template that sticks out, the part inside counts.
    ///
    /// Sums are taken in the templates' order, so that a voxel's response is the same to the last bit in every block.
    pub(super) fn new(
        field: &Field,
        position: Position,
        templates: &Templates,
        start: [usize; 3],
        size: [usize; 3],
    ) -> Self {
        let voxels = size.iter().product();
        let mut response = Self {
            start,
            size,
            gain: vec![f32::NEG_INFINITY; voxels],
            share: vec![0.0; voxels],
            template: vec![0; voxels],
        };
        let (mut found, mut whole) = (vec![0.0_f32; size[2]], vec![0.0_f32; size[2]]);
        for (z, y) in (0..size[0]).flat_map(|z| (0..size[1]).map(move |y| (z, y))) {
            for (number, template) in templates.all.iter().enumerate() {
                let at = [start[0] + z, start[1] + y, start[2]];
                sums(field, template, at, &mut found);
                wholes(position, templates, template, at, &mut whole);
                let first = (z * size[1] + y) * size[2];
                for x in 0..size[2] {
                    let (found, whole) = (found[x], whole[x]);
                    if whole <= 0.0 {
                        continue;
                    }
                    let share = (found / whole).clamp(0.0, 1.0);
                    // What of the squares of the probability an object of this share explains; a share is at most 1.
                    let gain = share * (2.0 * found - share * whole);
                    if gain > response.gain[first + x] {
                        response.gain[first + x] = gain;
                        response.share[first + x] = share;
                        response.template[first + x] = number as u8;
                    }
                }
            }
        }
        response
    }

    /// The place of a voxel of the field in the box.
    pub(super) fn index(&self, at: [usize; 3]) -> Option<usize> {
        let mut index = 0;
        for ((at, start), size) in at.into_iter().zip(self.start).zip(self.size) {
            let inside = at.checked_sub(start).filter(|&v| v < size)?;
            index = index * size + inside;
        }
        Some(index)
    }
}

/// The template's sums over the field along a row.
fn sums(field: &Field, template: &Template, [z, y, x]: [usize; 3], out: &mut [f32]) {
    out.fill(0.0);
    for weight in &template.weights {
        let (Some(z), Some(y)) = (inside(z, weight.at[0], field.size[0]), inside(y, weight.at[1], field.size[1]))
        else {
            continue;
        };
        if field.empty[z * field.size[1] + y] {
            continue;
        }
        let row = field.row(z, y);
        let (from, to) = overlap(x as i64 + weight.at[2], out.len(), row.len());
        let shift = x as i64 + weight.at[2];
        if from < to {
            let values = &row[(from as i64 + shift) as usize..(to as i64 + shift) as usize];
            for (sum, &value) in out[from..to].iter_mut().zip(values) {
                *sum += weight.share * value;
            }
        }
    }
}

/// The response that a whole object would have along a row: less where the template sticks out of all that is looked at.
fn wholes(position: Position, templates: &Templates, template: &Template, [z, y, x]: [usize; 3], out: &mut [f32]) {
    let global = [position.start[0] + z, position.start[1] + y, position.start[2] + x];
    let reach = templates.reach.map(|r| r as usize);
    let clear = |i: usize, len: usize| global[i] >= reach[i] && global[i] + len + reach[i] <= position.all[i];
    if clear(0, 1) && clear(1, 1) && clear(2, out.len()) {
        out.fill(template.whole);
        return;
    }
    out.fill(0.0);
    for weight in &template.weights {
        let there = inside(global[0], weight.at[0], position.all[0]).is_some()
            && inside(global[1], weight.at[1], position.all[1]).is_some();
        if there {
            let (from, to) = overlap(global[2] as i64 + weight.at[2], out.len(), position.all[2]);
            for sum in out.get_mut(from..to).unwrap_or_default() {
                *sum += weight.whole;
            }
        }
    }
}

fn inside(at: usize, by: i64, len: usize) -> Option<usize> {
    let place = at as i64 + by;
    (0..len as i64).contains(&place).then_some(place as usize)
}

/// The part of a row of `len` voxels that, shifted, lies in 0..`all`.
fn overlap(shift: i64, len: usize, all: usize) -> (usize, usize) {
    let from = (-shift).clamp(0, len as i64);
    let to = (all as i64 - shift).clamp(from, len as i64);
    (from as usize, to as usize)
}
