//! Neuroglancer's single-resolution meshes:
//! <https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/meshes.md>.

use crate::mesh::ObjectMesh;

pub(super) fn info() -> String {
    serde_json::json!({ "@type": "neuroglancer_legacy_mesh" }).to_string()
}

/// The number of corners, the corners in nm, the triangles.
pub(super) fn encode(object: &ObjectMesh) -> Vec<u8> {
    let Some(level) = object.levels.first() else { return 0_u32.to_le_bytes().to_vec() };
    let mut bytes = (level.mesh.places.len() as u32).to_le_bytes().to_vec();
    bytes.extend(level.mesh.places.as_flattened().iter().flat_map(|v| v.to_le_bytes()));
    bytes.extend(level.mesh.triangles.as_flattened().iter().flat_map(|v| v.to_le_bytes()));
    bytes
}
