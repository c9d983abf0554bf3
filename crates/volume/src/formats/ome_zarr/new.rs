//! The JSON of a new volume.

use serde_json::{Value, json};

use super::{ZarrLayout, ZarrVersion};
use crate::pyramid::Level;
use crate::{Extent, VolumeSpec, VoxelType};

/// The metadata files of a new volume with their keys, in the order in which they are written: the last makes it one.
///
/// Level `n` has the folder `n`, and chunks of `chunk` (or the level, where that is smaller).
pub(super) fn metadata(
    spec: &VolumeSpec,
    name: &str,
    levels: &[Level],
    chunk: Extent,
    layout: ZarrLayout,
) -> Vec<(String, Value)> {
    let mut files = Vec::new();
    for (number, level) in levels.iter().enumerate() {
        let size = |wanted: u64, limit: u64| wanted.clamp(1, limit);
        let extent = level.extent;
        let chunk = Extent::new(size(chunk.z, extent.z), size(chunk.y, extent.y), size(chunk.x, extent.x));
        files.push(match layout.version {
            ZarrVersion::V3 => {
                let shard = layout.shard.map(|shard| whole_chunks(shard, chunk, extent));
                (format!("{number}/zarr.json"), array_v3(spec.voxel_type, extent, chunk, shard))
            }
            ZarrVersion::V2 => (format!("{number}/.zarray"), array_v2(spec.voxel_type, extent, chunk)),
        });
    }
    let axes = ["z", "y", "x"].map(|name| match spec.voxel_size {
        Some(_) => json!({"name": name, "type": "space", "unit": "nanometer"}),
        None => json!({"name": name, "type": "space"}),
    });
    let datasets: Vec<_> = levels.iter().enumerate().map(|(number, level)| dataset(spec, number, level)).collect();
    let mut image = json!({"name": name, "axes": axes, "datasets": datasets});
    let mut attributes = match layout.version {
        ZarrVersion::V3 => json!({"ome": {"version": "0.5", "multiscales": [image]}}),
        ZarrVersion::V2 => {
            image["version"] = "0.4".into();
            json!({"multiscales": [image]})
        }
    };
    if let Some(provenance) = &spec.provenance {
        attributes["deep3m"] = provenance.clone();
    }
    match layout.version {
        ZarrVersion::V3 => {
            let group = json!({"zarr_format": 3, "node_type": "group", "attributes": attributes});
            files.push(("zarr.json".into(), group));
        }
        ZarrVersion::V2 => {
            files.push((".zgroup".into(), json!({"zarr_format": 2})));
            files.push((".zattrs".into(), attributes));
        }
    }
    files
}

/// A level in the list of an image's levels, with its place: a voxel lies in the middle of the voxels it is made of.
fn dataset(spec: &VolumeSpec, number: usize, level: &Level) -> Value {
    let first = spec.voxel_size.map_or([1.0; 3], |s| [s.z_nm, s.y_nm, s.x_nm]);
    let factor = level.factor.to_array().map(|f| f as f64);
    let of = |value: fn(f64, f64) -> f64| [0, 1, 2].map(|axis| value(first[axis], factor[axis]));
    let mut transformations = vec![json!({"type": "scale", "scale": of(|size, factor| size * factor)})];
    if level.factor != Extent::new(1, 1, 1) {
        let middle = of(|size, factor| size * (factor - 1.0) / 2.0);
        transformations.push(json!({"type": "translation", "translation": middle}));
    }
    json!({"path": number.to_string(), "coordinateTransformations": transformations})
}

/// A shard of whole chunks, near the wanted size, no larger than the volume needs.
fn whole_chunks(wanted: Extent, chunk: Extent, extent: Extent) -> Extent {
    let axis = |wanted: u64, chunk: u64, extent: u64| chunk * (wanted / chunk).clamp(1, extent.div_ceil(chunk));
    Extent::new(axis(wanted.z, chunk.z, extent.z), axis(wanted.y, chunk.y, extent.y), axis(wanted.x, chunk.x, extent.x))
}

fn fill_value(voxel_type: VoxelType) -> Value {
    if voxel_type == VoxelType::F32 { json!(0.0) } else { json!(0) }
}

/// The `zarr.json` of an array.
fn array_v3(voxel_type: VoxelType, extent: Extent, chunk: Extent, shard: Option<Extent>) -> Value {
    let data_type = match voxel_type {
        VoxelType::U8 => "uint8",
        VoxelType::U16 => "uint16",
        VoxelType::U32 => "uint32",
        VoxelType::I16 => "int16",
        VoxelType::F32 => "float32",
    };
    let little = json!({"name": "bytes", "configuration": {"endian": "little"}});
    let bytes = if voxel_type == VoxelType::U8 { json!({"name": "bytes"}) } else { little.clone() };
    // Level 1: prediction and labels compress well at any level, and writing should not wait for it. The checksum
    // makes a damaged chunk an error instead of wrong voxels.
    let mut codecs = json!([bytes, {"name": "zstd", "configuration": {"level": 1, "checksum": true}}]);
    if shard.is_some() {
        codecs = json!([{"name": "sharding_indexed", "configuration": {
            "chunk_shape": chunk.to_array(),
            "codecs": codecs,
            "index_codecs": [little, {"name": "crc32c"}],
            "index_location": "end",
        }}]);
    }
    json!({
        "zarr_format": 3,
        "node_type": "array",
        "shape": extent.to_array(),
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard.unwrap_or(chunk).to_array()}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill_value(voxel_type),
        "codecs": codecs,
        "attributes": {},
        "dimension_names": ["z", "y", "x"],
    })
}

/// The `.zarray` of an array. Blosc is what every reader of Zarr v2 has.
fn array_v2(voxel_type: VoxelType, extent: Extent, chunk: Extent) -> Value {
    let dtype = match voxel_type {
        VoxelType::U8 => "|u1",
        VoxelType::U16 => "<u2",
        VoxelType::U32 => "<u4",
        VoxelType::I16 => "<i2",
        VoxelType::F32 => "<f4",
    };
    json!({
        "zarr_format": 2,
        "shape": extent.to_array(),
        "chunks": chunk.to_array(),
        "dtype": dtype,
        "compressor": {"id": "blosc", "cname": "zstd", "clevel": 1, "shuffle": 1, "blocksize": 0},
        "fill_value": fill_value(voxel_type),
        "order": "C",
        "filters": null,
        "dimension_separator": "/",
    })
}
