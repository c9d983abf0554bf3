//! What was made, for people and for machines.

use std::collections::BTreeSet;
use std::fmt;

use deep3m_analyze::{MeshConfig, ObjectMesh};
use deep3m_volume::VoxelSize;
use serde::Serialize;

/// All meshes.
#[derive(Serialize)]
pub(super) struct Summary {
    objects: usize,
    /// Of the finest level.
    corners: usize,
    triangles: usize,
    area_um2: f64,
    volume_um3: f64,
    /// The largest distance of a corner of a smooth surface from the one that is written.
    error_nm: f64,
    max_error_nm: f64,
    smooth: u32,
    /// How far smoothing may move a corner along z, y and x.
    smoothing_bound_nm: [f64; 3],
    meshes: Vec<Row>,
}

/// One object.
#[derive(Serialize)]
struct Row {
    id: u32,
    voxels: u64,
    corners: usize,
    triangles: usize,
    area_um2: f64,
    volume_um3: f64,
    error_nm: f64,
    levels: usize,
}

impl Summary {
    pub(super) fn new(config: &MeshConfig, size: VoxelSize) -> Self {
        let half = if config.smooth > 0 { 0.5 } else { 0.0 };
        Self {
            objects: 0,
            corners: 0,
            triangles: 0,
            area_um2: 0.0,
            volume_um3: 0.0,
            error_nm: 0.0,
            max_error_nm: config.max_error_nm,
            smooth: config.smooth,
            smoothing_bound_nm: [size.z_nm, size.y_nm, size.x_nm].map(|side| side * half),
            meshes: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, object: &ObjectMesh) {
        self.meshes.extend(object.levels.first().map(|level| Row {
            id: object.id,
            voxels: object.voxels,
            corners: level.mesh.places.len(),
            triangles: level.mesh.triangles.len(),
            area_um2: level.area_nm2 / 1e6,
            volume_um3: level.volume_nm3 / 1e9,
            error_nm: level.error_nm,
            levels: object.levels.len(),
        }));
    }

    /// Sums up, in the order of the numbers, so that sums are the same however the objects came.
    pub(super) fn finish(mut self) -> Self {
        self.meshes.sort_by_key(|row| row.id);
        self.objects = self.meshes.len();
        self.corners = self.meshes.iter().map(|row| row.corners).sum();
        self.triangles = self.meshes.iter().map(|row| row.triangles).sum();
        self.area_um2 = self.meshes.iter().map(|row| row.area_um2).sum();
        self.volume_um3 = self.meshes.iter().map(|row| row.volume_um3).sum();
        self.error_nm = self.meshes.iter().map(|row| row.error_nm).fold(0.0, f64::max);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.meshes.is_empty()
    }

    /// The objects that were asked for and are not there, as a list; a few of them.
    pub(super) fn missing(&self, wanted: Option<&BTreeSet<u32>>) -> String {
        let there: BTreeSet<u32> = self.meshes.iter().map(|row| row.id).collect();
        let missing: Vec<String> =
            wanted.into_iter().flatten().filter(|id| !there.contains(id)).take(12).map(u32::to_string).collect();
        missing.join(", ")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects = if self.objects == 1 { "object" } else { "objects" };
        write!(f, "{} {objects}, {} corners, {} triangles", self.objects, self.corners, self.triangles)?;
        if self.objects > 0 {
            write!(f, "\narea {:.4} µm², volume {:.4} µm³", self.area_um2, self.volume_um3)?;
        }
        if self.smooth > 0 {
            let [z, y, x] = self.smoothing_bound_nm;
            write!(f, "\nsmoothed: no corner moved by more than {z} × {y} × {x} nm (z, y, x)")?;
        }
        if self.max_error_nm > 0.0 {
            let (error, most) = (self.error_nm, self.max_error_nm);
            write!(
                f,
                "\nsimplified: no corner of the smooth surface is farther than {error:.2} nm ({most:.2} allowed)"
            )?;
        }
        Ok(())
    }
}
