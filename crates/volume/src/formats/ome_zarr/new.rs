//! The JSON of a new volume.

use serde_json::{Value, json};

use crate::{Extent, VolumeSpec, VoxelType};

/// The `zarr.json` of the group of a new volume.
pub(super) fn group(spec: &VolumeSpec, name: &str) -> Value {
    let size = spec.voxel_size;
    let axis = |name: &str| match size {
        Some(_) => json!({"name": name, "type": "space", "unit": "nanometer"}),
        None => json!({"name": name, "type": "space"}),
    };
    let scale = size.map_or([1.0; 3], |s| [s.z_nm, s.y_nm, s.x_nm]);
    let mut attributes = json!({
        "ome": {
            "version": "0.5",
            "multiscales": [{
                "name": name,
                "axes": [axis("z"), axis("y"), axis("x")],
                "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}],
            }],
        },
    });
    if let Some(provenance) = &spec.provenance {
        attributes["deep3m"] = provenance.clone();
    }
    json!({"zarr_format": 3, "node_type": "group", "attributes": attributes})
}

/// The `zarr.json` of the array of a new volume.
pub(super) fn array(spec: &VolumeSpec, chunk: Extent) -> Value {
    let data_type = match spec.voxel_type {
        VoxelType::U8 => "uint8",
        VoxelType::U16 => "uint16",
        VoxelType::U32 => "uint32",
        VoxelType::I16 => "int16",
        VoxelType::F32 => "float32",
    };
    let bytes = match spec.voxel_type {
        VoxelType::U8 => json!({"name": "bytes"}),
        _ => json!({"name": "bytes", "configuration": {"endian": "little"}}),
    };
    json!({
        "zarr_format": 3,
        "node_type": "array",
        "shape": spec.extent.to_array(),
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk.to_array()}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": if spec.voxel_type == VoxelType::F32 { json!(0.0) } else { json!(0) },
        // Level 1: prediction and labels compress well at any level, and writing should not wait for it. The checksum
        // makes a damaged chunk an error instead of wrong voxels.
        "codecs": [bytes, {"name": "zstd", "configuration": {"level": 1, "checksum": true}}],
        "attributes": {},
        "dimension_names": ["z", "y", "x"],
    })
}
