//! The triangles around an edge that is to be drawn together.

use super::super::vector::{Vector, add, cross, dot, length, minus, times};
use super::half_edges::{GONE, HalfEdges, next};
use super::{Points, distance};

/// A triangle that stays: its old third corner and the two others, in order.
#[derive(Clone, Copy)]
struct Staying {
    triangle: u32,
    old: Vector,
    others: [Vector; 2],
}

/// The triangles around both ends of an edge. Made once and used for many edges.
#[derive(Default)]
pub(super) struct Star {
    staying: Vec<Staying>,
    going: [u32; 2],
    middle: Vector,
    /// Six times the volume between the triangles and the middle of the edge.
    volume: f64,
    /// Points, and which of `staying` each goes to.
    assigned: Vec<(u32, u32)>,
}

/// A triangle may turn by so much at most: the cosine.
const TURN: f64 = 0.3;
/// No triangle becomes thinner, unless it is rounder than this: 1 for equal sides, 0 for a line.
const ROUND: f64 = 0.1;
/// A triangle within this share of the bound is near enough: no nearer one is looked for.
const NEAR: f64 = 0.5;

impl Star {
    pub(super) fn gather(&mut self, mesh: &HalfEdges, places: &[Vector], h: u32) {
        let ends = [mesh.start(h), mesh.end(h)];
        self.going = [h / 3, mesh.twin(h) / 3];
        self.middle = times(add(places[ends[0] as usize], places[ends[1] as usize]), 0.5);
        self.staying.clear();
        self.volume = 0.0;
        for (i, end) in ends.into_iter().enumerate() {
            let old = places[end as usize];
            for out in mesh.around(end) {
                let triangle = out / 3;
                let others = [mesh.end(out), mesh.end(next(out))].map(|corner| places[corner as usize]);
                let goes = self.going.contains(&triangle);
                // The two that go lie around both ends.
                if !goes || i == 0 {
                    let [a, b, c] = [old, others[0], others[1]].map(|place| minus(place, self.middle));
                    self.volume += dot(a, cross(b, c));
                }
                if !goes {
                    self.staying.push(Staying { triangle, old, others });
                }
            }
        }
    }

    /// The place next to `best` at which the enclosed volume stays as it is.
    pub(super) fn keeping_volume(&self, best: Vector, bound: f64) -> Vector {
        // Six times the volume is g · p, with g the sum of the cross products of the rim.
        let mut g = [0.0; 3];
        for staying in &self.staying {
            let [b, c] = staying.others.map(|place| minus(place, self.middle));
            g = add(g, cross(b, c));
        }
        let square = dot(g, g);
        let missing = self.volume - dot(g, minus(best, self.middle));
        // On a saddle the volume hardly depends on the place.
        if missing * missing > bound * square {
            return best;
        }
        if square == 0.0 { best } else { add(best, times(g, missing / square)) }
    }

    /// Whether no triangle turns over or becomes a sliver.
    pub(super) fn stays_upright(&self, place: Vector) -> bool {
        let shape = |top: Vector, [b, c]: [Vector; 2]| {
            let (u, v, w) = (minus(b, top), minus(c, top), minus(c, b));
            let n = cross(u, v);
            let double_area = length(n);
            let sides = dot(u, u) + dot(v, v) + dot(w, w);
            (n, double_area, if sides > 0.0 { 12_f64.sqrt() * double_area / sides } else { 0.0 })
        };
        self.staying.iter().all(|staying| {
            let (before, size_before, round_before) = shape(staying.old, staying.others);
            let (after, size_after, round) = shape(place, staying.others);
            dot(before, after) >= TURN * size_before * size_after && (round >= ROUND || round >= round_before)
        })
    }

    /// Finds a near new triangle for each point, from its old triangle on; false where one is too far from all.
    pub(super) fn assign(&mut self, place: Vector, points: &Points, bound: f64) -> bool {
        self.assigned.clear();
        let count = self.staying.len();
        let near = NEAR * NEAR * bound;
        let mut last = 0;
        for k in 0..count + 2 {
            let triangle = if k < count { self.staying[k].triangle } else { self.going[k - count] };
            if k < count {
                last = k;
            }
            for point in points.of(triangle) {
                let at = points.places[point as usize];
                let mut nearest = (f64::INFINITY, 0);
                for i in 0..count {
                    let i = (last + i) % count;
                    let [b, c] = self.staying[i].others;
                    let square = distance::squared(at, [place, b, c]);
                    if square < nearest.0 {
                        nearest = (square, i);
                        if square <= near {
                            break;
                        }
                    }
                }
                if nearest.0 > bound {
                    return false;
                }
                last = nearest.1;
                self.assigned.push((point, nearest.1 as u32));
            }
        }
        true
    }

    /// Gives the points to their new triangles.
    pub(super) fn hand_over(&self, points: &mut Points) {
        for triangle in self.staying.iter().map(|staying| staying.triangle).chain(self.going) {
            points.first[triangle as usize] = GONE;
        }
        for &(point, i) in &self.assigned {
            points.assign(point, self.staying[i as usize].triangle);
        }
    }
}
