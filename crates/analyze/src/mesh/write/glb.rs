//! glTF 2.0 as one binary file: <https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html>.
//!
//! glTF counts in metres, and programs for it lose sight of what is as small as a cell. So the corners are in nm, and the node
//! above all scales them by 1/1000: a metre of the scene is a micrometre. It also turns the scene half around the x axis, as
//! glTF's y goes up and an image's rows go down: seen from the front, the first section is in front, not mirrored.

use std::path::Path;

use serde_json::{Value, json};

use super::{colour, too_large};
use crate::AnalyzeError;
use crate::mesh::{Mesh, ObjectMesh};

/// `FLOAT` and `UNSIGNED_INT`.
const FLOAT: u32 = 5126;
const UNSIGNED_INT: u32 = 5125;
/// `ARRAY_BUFFER` and `ELEMENT_ARRAY_BUFFER`.
const CORNERS: u32 = 34962;
const TRIANGLES: u32 = 34963;

pub(super) fn encode(path: &Path, objects: &[ObjectMesh]) -> Result<Vec<u8>, AnalyzeError> {
    let meshes = objects.iter().filter_map(|object| Some((object.id, &object.levels.first()?.mesh)));
    let mut binary: Vec<u8> = Vec::new();
    let (mut views, mut accessors, mut nodes, mut shapes, mut materials) = (vec![], vec![], vec![], vec![], vec![]);
    for (number, (id, mesh)) in meshes.enumerate() {
        let view = |offset: usize, length: usize, target: u32| json!({ "buffer": 0, "byteOffset": offset, "byteLength": length, "target": target });
        let start = binary.len();
        binary.extend(mesh.places.as_flattened().iter().flat_map(|v| v.to_le_bytes()));
        let middle = binary.len();
        binary.extend(mesh.triangles.as_flattened().iter().flat_map(|v| v.to_le_bytes()));
        views.push(view(start, middle - start, CORNERS));
        views.push(view(middle, binary.len() - middle, TRIANGLES));
        let (min, max) = bounds(mesh);
        accessors.push(json!({
            "bufferView": 2 * number, "componentType": FLOAT, "count": mesh.places.len(), "type": "VEC3",
            "min": min, "max": max,
        }));
        accessors.push(json!({
            "bufferView": 2 * number + 1, "componentType": UNSIGNED_INT, "count": 3 * mesh.triangles.len(), "type": "SCALAR",
        }));
        materials.push(material(id));
        shapes.push(json!({
            "name": id.to_string(),
            "primitives": [{
                "attributes": { "POSITION": 2 * number }, "indices": 2 * number + 1, "material": number,
            }],
        }));
        nodes.push(json!({ "name": id.to_string(), "mesh": number }));
    }
    nodes.push(root(nodes.len()));
    let mut scene = json!({
        "asset": { "version": "2.0", "generator": "deep3m mesh", "extras": { "corners": "nm", "scene": "µm" } },
        "scene": 0,
        "scenes": [{ "nodes": [nodes.len() - 1] }],
        "nodes": nodes,
    });
    // Lists without an entry are not allowed.
    if !shapes.is_empty() {
        scene["meshes"] = Value::Array(shapes);
        scene["materials"] = Value::Array(materials);
        scene["accessors"] = Value::Array(accessors);
        scene["bufferViews"] = Value::Array(views);
        scene["buffers"] = json!([{ "byteLength": binary.len() }]);
    }
    let mut text = scene.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(4), b' ');
    container(&text, &binary).ok_or_else(|| too_large(path, "GLB holds at most 4 GB"))
}

/// The node above all: µm, with y up.
fn root(children: usize) -> Value {
    let mut root = json!({ "name": "volume", "scale": [0.001, 0.001, 0.001], "rotation": [1.0, 0.0, 0.0, 0.0] });
    if children > 0 {
        root["children"] = (0..children).collect();
    }
    root
}

fn material(id: u32) -> Value {
    // Colours of pictures are sRGB, those of glTF linear.
    let linear = |v: u8| (f64::from(v) / 255.0).powf(2.2);
    let [r, g, b] = colour(id).map(linear);
    json!({
        "name": id.to_string(),
        "pbrMetallicRoughness": { "baseColorFactor": [r, g, b, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.8 },
    })
}

fn bounds(mesh: &Mesh) -> ([f32; 3], [f32; 3]) {
    mesh.places.iter().fold(([f32::MAX; 3], [f32::MIN; 3]), |(low, high), place| {
        (std::array::from_fn(|i| low[i].min(place[i])), std::array::from_fn(|i| high[i].max(place[i])))
    })
}

/// Header and chunks; `None` beyond 4 GB.
fn container(text: &[u8], binary: &[u8]) -> Option<Vec<u8>> {
    let chunks = if binary.is_empty() { 0 } else { 8 + binary.len() };
    let length = u32::try_from(12 + 8 + text.len() + chunks).ok()?;
    let mut bytes = Vec::with_capacity(length as usize);
    bytes.extend(b"glTF");
    bytes.extend(2_u32.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(b"JSON");
    bytes.extend(text);
    if !binary.is_empty() {
        bytes.extend((binary.len() as u32).to_le_bytes());
        bytes.extend(b"BIN\0");
        bytes.extend(binary);
    }
    Some(bytes)
}
