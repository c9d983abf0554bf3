//! Fewer triangles, within an error that is measured.
//!
//! Edges are drawn together, the cheapest by the planes of the first triangles at both ends (Garland and Heckbert, 1997), to a
//! corner that leaves the object's volume as it is (Lindstrom and Turk, 1998). The surface stays a closed 2-manifold: the two ends
//! may share two neighbours only. Every corner of the first surface is assigned to a triangle nearby and never farther from
//! it than the bound, so the stated error holds for each of them, and is no estimate.

mod distance;
mod half_edges;
mod quadric;
mod star;

use super::vector::{Vector, add, times};
#[cfg(test)]
pub(super) use distance::squared;
use half_edges::{GONE, HalfEdges};
use quadric::Quadric;
use star::Star;

/// A surface being simplified.
pub(super) struct Simplifier {
    mesh: HalfEdges,
    places: Vec<Vector>,
    quadrics: Vec<Quadric>,
    points: Points,
    /// Neighbours of the corner being looked at have its number here.
    marks: Vec<u32>,
    mark: u32,
    /// What a corner has to do with the pass that is going on.
    states: Vec<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be looked at.
    Open,
    /// Nothing can be done until a neighbour changes.
    Settled,
    /// Changed in this pass: others first, so that triangles grow evenly.
    Changed,
}

/// The corners of the first surface, each assigned to a triangle.
struct Points {
    places: Vec<Vector>,
    /// The first point of a triangle, [`GONE`] for none.
    first: Vec<u32>,
    /// The point after a point.
    next: Vec<u32>,
}

impl Points {
    fn assign(&mut self, point: u32, triangle: u32) {
        self.next[point as usize] = self.first[triangle as usize];
        self.first[triangle as usize] = point;
    }

    fn of(&self, triangle: u32) -> impl Iterator<Item = u32> + '_ {
        let mut at = self.first[triangle as usize];
        std::iter::from_fn(move || {
            (at != GONE).then(|| {
                let here = at;
                at = self.next[at as usize];
                here
            })
        })
    }
}

/// Root mean square distances from the planes up to which edges are drawn together, as shares of the bound: flat parts first.
const STEPS: [f64; 4] = [0.05, 0.15, 0.3, 0.6];
/// A step ends when a pass removes less than this share of the corners.
const WORTH_A_PASS: f64 = 0.02;

impl Simplifier {
    /// A closed surface with consistent orientation.
    pub(super) fn new(places: Vec<Vector>, triangles: &[[u32; 3]]) -> Self {
        let corners = places.len();
        let mut quadrics = vec![Quadric::default(); corners];
        let mut points =
            Points { places: places.clone(), first: vec![GONE; triangles.len()], next: vec![GONE; corners] };
        let mut assigned = vec![false; corners];
        for (number, triangle) in triangles.iter().enumerate() {
            let quadric = Quadric::of_triangle(triangle.map(|corner| places[corner as usize]));
            for &corner in triangle {
                quadrics[corner as usize] = quadrics[corner as usize].plus(&quadric);
                if !std::mem::replace(&mut assigned[corner as usize], true) {
                    points.assign(corner, number as u32);
                }
            }
        }
        let mesh = HalfEdges::new(corners, triangles);
        Self { mesh, places, quadrics, points, marks: vec![0; corners], mark: 0, states: vec![State::Open; corners] }
    }

    /// Removes what it can so that every corner of the first surface stays within `max_error` of the surface. To be called
    /// again with larger errors for coarser levels.
    pub(super) fn simplify(&mut self, max_error: f64) {
        let mut alive = (0..self.mesh.corners() as u32).filter(|&corner| self.mesh.is_alive(corner)).count();
        for step in STEPS {
            self.states.fill(State::Open);
            loop {
                let removed = self.pass((step * max_error).powi(2), max_error * max_error);
                alive -= removed;
                if (removed as f64) < WORTH_A_PASS * alive as f64 || removed == 0 {
                    break;
                }
            }
        }
    }

    /// Goes over all corners once and says how many it removed. Both bounds are squares.
    fn pass(&mut self, cheap: f64, bound: f64) -> usize {
        let mut removed = 0;
        let mut candidates: Vec<(f64, u32, Vector)> = Vec::new();
        let mut star = Star::default();
        for corner in 0..self.mesh.corners() as u32 {
            if self.states[corner as usize] != State::Open || !self.mesh.is_alive(corner) {
                continue;
            }
            candidates.clear();
            let mut settled = true;
            for h in self.mesh.around(corner) {
                let other = self.mesh.end(h);
                if other < corner {
                    continue;
                }
                if self.states[other as usize] == State::Changed {
                    settled = false;
                    continue;
                }
                let both = self.quadrics[corner as usize].plus(&self.quadrics[other as usize]);
                let middle = times(add(self.places[corner as usize], self.places[other as usize]), 0.5);
                let best = both.best(middle);
                let cost = both.mean(best);
                if cost <= cheap {
                    candidates.push((cost, h, best));
                }
            }
            candidates.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let done = candidates.iter().any(|&(_, h, best)| self.draw_together(h, best, bound, &mut star));
            if done {
                removed += 1;
            } else if settled {
                self.states[corner as usize] = State::Settled;
            }
        }
        for state in &mut self.states {
            if *state == State::Changed {
                *state = State::Open;
            }
        }
        removed
    }

    /// Draws an edge together near `best`, if the surface stays closed and within the bound.
    fn draw_together(&mut self, h: u32, best: Vector, bound: f64, star: &mut Star) -> bool {
        if !self.keeps_manifold(h) {
            return false;
        }
        star.gather(&self.mesh, &self.places, h);
        let place = star.keeping_volume(best, bound);
        if !star.stays_upright(place) || !star.assign(place, &self.points, bound) {
            return false;
        }
        let (kept, gone) = (self.mesh.start(h), self.mesh.end(h));
        self.mesh.collapse(h);
        self.places[kept as usize] = place;
        self.quadrics[kept as usize] = self.quadrics[kept as usize].plus(&self.quadrics[gone as usize]);
        star.hand_over(&mut self.points);
        for h in self.mesh.around(kept) {
            let state = &mut self.states[self.mesh.end(h) as usize];
            if *state == State::Settled {
                *state = State::Open;
            }
        }
        self.states[kept as usize] = State::Changed;
        true
    }

    /// Whether the ends share two neighbours only, which stay corners of three triangles at least (the link condition, Dey et
    /// al., 1999).
    fn keeps_manifold(&mut self, h: u32) -> bool {
        let (kept, gone) = (self.mesh.start(h), self.mesh.end(h));
        self.mark += 1;
        for h in self.mesh.around(kept) {
            self.marks[self.mesh.end(h) as usize] = self.mark;
        }
        let mut shared = 0;
        for h in self.mesh.around(gone) {
            let other = self.mesh.end(h);
            if self.marks[other as usize] == self.mark {
                shared += 1;
                if shared > 2 || self.mesh.around(other).nth(3).is_none() {
                    return false;
                }
            }
        }
        shared == 2
    }

    /// The largest distance of a corner of the first surface from the triangle to which it is assigned.
    pub(super) fn error(&self) -> f64 {
        let mut most = 0.0_f64;
        for triangle in 0..self.mesh.triangles() {
            if let Some(corners) = self.mesh.triangle(triangle) {
                let corners = corners.map(|corner| self.places[corner as usize]);
                for point in self.points.of(triangle) {
                    most = most.max(distance::squared(self.points.places[point as usize], corners));
                }
            }
        }
        most.sqrt()
    }

    /// The surface as it is now.
    pub(super) fn surface(&self) -> (Vec<Vector>, Vec<[u32; 3]>) {
        let mut places = Vec::new();
        let mut numbers = vec![GONE; self.mesh.corners()];
        for corner in 0..self.mesh.corners() as u32 {
            if self.mesh.is_alive(corner) {
                numbers[corner as usize] = places.len() as u32;
                places.push(self.places[corner as usize]);
            }
        }
        let triangles = (0..self.mesh.triangles()).filter_map(|triangle| self.mesh.triangle(triangle));
        (places, triangles.map(|corners| corners.map(|corner| numbers[corner as usize])).collect())
    }
}
