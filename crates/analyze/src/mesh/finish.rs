//! From the pieces of an object's surface to its mesh.

use deep3m_volume::VoxelSize;

use super::assemble::assemble;
use super::extract::{Piece, edge_place};
use super::relax::relax;
use super::simplify::Simplifier;
use super::vector::{Vector, add, cross, dot, length, normal};
use super::{Level, Mesh, MeshConfig, ObjectMesh};

/// What is the same for all objects.
pub(super) struct Finish<'a> {
    pub(super) config: &'a MeshConfig,
    pub(super) size: VoxelSize,
    /// Points of the region's lattice along z, y, x.
    pub(super) points: [u64; 3],
    /// The region's first voxel: z, y, x.
    pub(super) start: [u64; 3],
}

/// Triangles of which nobody needs fewer.
const SMALL: usize = 500;

impl Finish<'_> {
    /// Joins, smooths and simplifies the surface of an object of so many voxels.
    pub(super) fn object(&self, id: u32, voxels: u64, pieces: Vec<Piece>) -> ObjectMesh {
        let surface = assemble(pieces);
        // Numbers stay small, and exact, where they are counted from the object's own first point.
        let mut first = [u64::MAX; 3];
        for &edge in &surface.corners {
            let (point, _) = edge_place(self.points, edge);
            first = std::array::from_fn(|i| first[i].min(point[i]));
        }
        let mut places: Vec<[f32; 3]> = Vec::with_capacity(surface.corners.len());
        places.extend(surface.corners.iter().map(|&edge| {
            let (point, axis) = edge_place(self.points, edge);
            // The middle of the edge; from (z, y, x) to (x, y, z).
            std::array::from_fn(|i| (point[2 - i] - first[2 - i]) as f32 + if axis == i as u64 { 0.5 } else { 0.0 })
        }));
        drop(surface.corners);
        relax(&mut places, &surface.triangles, self.config.smooth);
        let pitch = [self.size.x_nm, self.size.y_nm, self.size.z_nm];
        let local: Vec<Vector> =
            places.iter().map(|place| std::array::from_fn(|i| f64::from(place[i]) * pitch[i])).collect();
        drop(places);
        // Point n is the middle of voxel n − 1, half a voxel behind where that begins.
        let offset: Vector = std::array::from_fn(|i| (self.start[2 - i] as f64 + first[2 - i] as f64 - 0.5) * pitch[i]);
        let level = |places: &[Vector], triangles: Vec<[u32; 3]>, error_nm| {
            let (area_nm2, volume_nm3) = measure(places, &triangles);
            let places = places.iter().map(|&place| add(place, offset).map(|v| v as f32)).collect();
            Level { mesh: Mesh { places, triangles }, area_nm2, volume_nm3, error_nm }
        };
        if self.config.max_error_nm <= 0.0 {
            return ObjectMesh { id, voxels, levels: vec![level(&local, surface.triangles, 0.0)] };
        }
        let mut simplifier = Simplifier::new(local, &surface.triangles);
        drop(surface.triangles);
        let mut levels: Vec<Level> = Vec::new();
        for number in 0..self.config.levels.max(1) {
            simplifier.simplify(self.config.max_error_nm * f64::from(1_u32 << number.min(31)));
            let (places, triangles) = simplifier.surface();
            // A coarser level that is hardly smaller is not worth having.
            if levels.last().is_some_and(|finer| 4 * triangles.len() > 3 * finer.mesh.triangles.len()) {
                break;
            }
            let small = triangles.len() <= SMALL;
            levels.push(level(&places, triangles, simplifier.error()));
            if small {
                break;
            }
        }
        ObjectMesh { id, voxels, levels }
    }
}

/// Area and enclosed volume of a closed surface.
fn measure(places: &[Vector], triangles: &[[u32; 3]]) -> (f64, f64) {
    triangles.iter().fold((0.0, 0.0), |(area, volume), triangle| {
        let [a, b, c] = triangle.map(|corner| places[corner as usize]);
        (area + length(normal([a, b, c])) / 2.0, volume + dot(a, cross(b, c)) / 6.0)
    })
}
