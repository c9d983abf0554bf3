//! Wavefront OBJ: text, one group of each object. Numbers of corners count from 1 through the whole file.

use std::io::Write as _;

use crate::mesh::ObjectMesh;

pub(super) fn encode(objects: &[ObjectMesh]) -> Vec<u8> {
    let mut text = b"# deep3m mesh; x, y, z in nm\n".to_vec();
    let mut first = 1_u64;
    for object in objects {
        let Some(level) = object.levels.first() else { continue };
        // Writing to memory does not fail.
        let _ = writeln!(text, "o {}", object.id);
        for [x, y, z] in &level.mesh.places {
            let _ = writeln!(text, "v {x} {y} {z}");
        }
        for triangle in &level.mesh.triangles {
            let [a, b, c] = triangle.map(|corner| first + u64::from(corner));
            let _ = writeln!(text, "f {a} {b} {c}");
        }
        first += level.mesh.places.len() as u64;
    }
    text
}
