//! The surface of objects as voxels, each with its part of the area.

use deep3m_volume::{Extent, VoxelSize};

use crate::ids::{Beyond, cut};
use crate::surface::{REACH, SurfaceArea};
use crate::walk::Part;

/// How far the area of a voxel depends on others: shares lie up to [`REACH`] off the surface, depend on as much around them,
/// and go to the nearest voxel of the surface, which is known by its neighbours.
pub(super) const AROUND: u64 = 2 * REACH + 1;
const SIDE: i64 = 2 * REACH as i64 + 1;

/// How the area of a surface is dealt out to its voxels.
pub(super) struct Faces {
    area: SurfaceArea,
    /// Ways to the voxels around one, the shortest first.
    ways: Vec<[i64; 3]>,
}

/// A voxel of a block's core on the surface of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Face {
    /// Its place (z, y, x) in the core.
    pub(super) at: [usize; 3],
    pub(super) object: u32,
    /// Its part of the object's surface.
    pub(super) shares: u64,
}

impl Faces {
    pub(super) fn new(size: VoxelSize) -> Self {
        let way = |i: i64| [i / SIDE / SIDE, i / SIDE % SIDE, i % SIDE].map(|at| at - REACH as i64);
        let mut ways: Vec<[i64; 3]> = (0..SIDE.pow(3)).map(way).collect();
        let pitch = [size.z_nm, size.y_nm, size.x_nm];
        let square = |way: &[i64; 3]| (0..3).map(|i| (way[i] as f64 * pitch[i]).powi(2)).sum::<f64>();
        // A stable sort: of ways as long the first stays first.
        ways.sort_by(|a, b| square(a).total_cmp(&square(b)));
        Self { area: SurfaceArea::new(size), ways }
    }

    /// The area in nm² of a sum of shares.
    pub(super) fn nm2(&self, shares: u64) -> f64 {
        self.area.nm2(shares)
    }

    /// The voxels of a block that have a neighbour of another object, or of none, across a face, in order. Beyond the end of what is
    /// looked at all goes on as it is: where an object is cut there, it has no surface.
    pub(super) fn of(&self, labels: &[u32], part: Part) -> Vec<Face> {
        let core = part.inside();
        let around = AROUND as i64;
        let first = [core.start.z, core.start.y, core.start.x].map(|at| at as i64);
        let wide = core.extent.to_array().map(|side| side + 2 * AROUND);
        let wide = Extent::new(wide[0], wide[1], wide[2]);
        let field = cut(labels, part.around.extent, first.map(|at| at - around), wide, Beyond::Same);
        let sides = core.extent.to_array().map(|side| side as i64);
        let steps = [(wide.y * wide.x) as i64, wide.x as i64, 1];
        // Places count from the core's first voxel.
        let index = |at: [i64; 3]| (0..3).map(|i| (at[i] + around) * steps[i]).sum::<i64>() as usize;
        let is_face = |at: usize| {
            let other = |way: i64| field[(at as i64 + way) as usize] != field[at];
            steps.iter().any(|&step| other(step) || other(-step))
        };
        let in_core = |at: [i64; 3]| (0..3).all(|i| (0..sides[i]).contains(&at[i]));
        // What was read, and so is looked at.
        let known: [_; 3] = std::array::from_fn(|i| -first[i]..part.around.extent.to_array()[i] as i64 - first[i]);
        let in_known = |at: [i64; 3]| (0..3).all(|i| known[i].contains(&at[i]));
        let mut faces = Vec::new();
        let mut number = vec![u32::MAX; core.extent.len()];
        let place = |at: [i64; 3]| ((at[0] * sides[1] + at[1]) * sides[2] + at[2]) as usize;
        for (z, y) in (0..sides[0]).flat_map(|z| (0..sides[1]).map(move |y| (z, y))) {
            for x in 0..sides[2] {
                let (at, i) = ([z, y, x], index([z, y, x]));
                if field[i] != 0 && is_face(i) {
                    number[place(at)] = faces.len() as u32;
                    faces.push(Face { at: at.map(|at| at as usize), object: field[i], shares: 0 });
                }
            }
        }
        let reach = REACH as i64;
        self.area.shares(&field, wide, &mut |object, at, share| {
            let at: [i64; 3] = at.map(|at| at as i64 + reach - around);
            if !in_known(at) || (0..3).any(|i| at[i] < -reach || at[i] >= sides[i] + reach) {
                return;
            }
            let nearest = self.ways.iter().map(|way| std::array::from_fn(|i| at[i] + way[i])).find(|&to| {
                let i = index(to);
                in_known(to) && field[i] == object && is_face(i)
            });
            if let Some(to) = nearest.filter(|&to| in_core(to)) {
                faces[number[place(to)] as usize].shares += share;
            }
        });
        faces
    }
}
