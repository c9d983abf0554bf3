//! Annotations for Neuroglancer.

use deep3m_volume::VoxelSize;
use serde_json::{Value, json};

use crate::count::RoundObjects;

/// A state of Neuroglancer with one layer: an ellipsoid per object that counts, with its confidence and plane. The layer's
/// coordinates are voxels of the volume, whose first one reaches from 0 to 1, as Neuroglancer has them.
pub fn neuroglancer_state(found: &RoundObjects, size: VoxelSize, name: &str) -> Value {
    let metres = |nm: f64| nm * 1e-9;
    let dimensions =
        json!({ "x": [metres(size.x_nm), "m"], "y": [metres(size.y_nm), "m"], "z": [metres(size.z_nm), "m"] });
    let annotations: Vec<Value> = found
        .counted()
        .map(|o| {
            let radii = [o.radius / size.x_nm, o.radius / size.y_nm, o.radius / size.z_nm];
            json!({
                "type": "ellipsoid",
                "id": o.id.to_string(),
                "center": [o.x + 0.5, o.y + 0.5, o.z + 0.5],
                "radii": radii,
                "props": [o.confidence.unwrap_or(1.0), o.plane],
            })
        })
        .collect();
    let middle = found.counted().next().map_or([0.0; 3], |o| [o.x + 0.5, o.y + 0.5, o.z + 0.5]);
    json!({
        "dimensions": dimensions,
        "position": middle,
        "layers": [{
            "type": "annotation",
            "name": name,
            "source": {
                "url": "local://annotations",
                "transform": { "outputDimensions": dimensions },
            },
            "annotationProperties": [
                { "id": "confidence", "type": "float32", "default": 1 },
                { "id": "plane", "type": "uint32", "default": 0 },
            ],
            "annotations": annotations,
        }],
    })
}
