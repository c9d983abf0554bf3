//! PLY, binary: <https://paulbourke.net/dataformats/ply/>.

use std::path::Path;

use super::{colour, too_large};
use crate::AnalyzeError;
use crate::mesh::ObjectMesh;

/// Corners and triangles of all objects; each triangle with its object's number and colour.
pub(super) fn encode(path: &Path, objects: &[ObjectMesh]) -> Result<Vec<u8>, AnalyzeError> {
    let meshes = || objects.iter().filter_map(|object| Some((object.id, &object.levels.first()?.mesh)));
    let corners: usize = meshes().map(|(_, mesh)| mesh.places.len()).sum();
    let triangles: usize = meshes().map(|(_, mesh)| mesh.triangles.len()).sum();
    if corners > i32::MAX as usize {
        return Err(too_large(path, "PLY numbers at most 2,147,483,647 corners"));
    }
    let mut bytes = format!(
        "ply\nformat binary_little_endian 1.0\ncomment deep3m mesh; x, y, z in nm\nelement vertex {corners}\n\
         property float x\nproperty float y\nproperty float z\nelement face {triangles}\n\
         property list uchar int vertex_indices\nproperty uint object\n\
         property uchar red\nproperty uchar green\nproperty uchar blue\nend_header\n"
    )
    .into_bytes();
    bytes.reserve(12 * corners + 20 * triangles);
    for (_, mesh) in meshes() {
        bytes.extend(mesh.places.as_flattened().iter().flat_map(|v| v.to_le_bytes()));
    }
    let mut first = 0;
    for (id, mesh) in meshes() {
        for triangle in &mesh.triangles {
            bytes.push(3);
            bytes.extend(triangle.iter().flat_map(|corner| (first + corner).to_le_bytes()));
            bytes.extend(id.to_le_bytes());
            bytes.extend(colour(id));
        }
        first += mesh.places.len() as u32;
    }
    Ok(bytes)
}
