//! STL, binary: triangles by their corners' places, each with its normal.

use std::path::Path;

use super::too_large;
use crate::AnalyzeError;
use crate::mesh::ObjectMesh;
use crate::mesh::vector::{length, normal};

const HEADER: usize = 80;

pub(super) fn encode(path: &Path, objects: &[ObjectMesh]) -> Result<Vec<u8>, AnalyzeError> {
    let meshes = || objects.iter().filter_map(|object| Some(&object.levels.first()?.mesh));
    let triangles: usize = meshes().map(|mesh| mesh.triangles.len()).sum();
    let count = u32::try_from(triangles).map_err(|_| too_large(path, "STL holds at most 4,294,967,295 triangles"))?;
    // A header that begins with "solid" would be taken for text.
    let mut bytes = b"deep3m mesh; x, y, z in nm".to_vec();
    bytes.resize(HEADER, b' ');
    bytes.extend(count.to_le_bytes());
    bytes.reserve(50 * triangles);
    for mesh in meshes() {
        for triangle in &mesh.triangles {
            let places = triangle.map(|corner| mesh.places[corner as usize]);
            let n = normal(places.map(|place| place.map(f64::from)));
            let size = length(n);
            let n = if size > 0.0 { n.map(|v| (v / size) as f32) } else { [0.0; 3] };
            bytes.extend([n, places[0], places[1], places[2]].as_flattened().iter().flat_map(|v| v.to_le_bytes()));
            bytes.extend([0, 0]);
        }
    }
    Ok(bytes)
}
