//! An array's JSON: what the volume is, checked before anything else believes it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::node::{Node, Stored};
use crate::{Extent, Place, VolumeError, VoxelSize, VoxelType};

/// A chunk that would take more than this in memory is refused: it is the least that any read costs.
const LARGEST_CHUNK_BYTES: u64 = 4 << 30;

/// What the metadata say of a volume.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Meta {
    /// The folder of the array.
    pub(super) folder: PathBuf,
    /// How many axes of size 1 stand before z.
    pub(super) leading: usize,
    pub(super) extent: Extent,
    pub(super) voxel_type: VoxelType,
    pub(super) voxel_size: Option<VoxelSize>,
    /// What is decoded at once: the chunk, or the inner chunk of a shard; no larger than the volume.
    pub(super) grain: Extent,
    /// What a chunk, or inner chunk, takes in memory.
    pub(super) chunk_bytes: u64,
    /// The metadata themselves.
    pub(super) stored: Stored,
}

/// Checks the metadata of an array, and with the axes of its image where it has one, its order of axes.
pub(super) fn array(node: Node, axes: Option<&Vec<Value>>) -> Result<Meta, VolumeError> {
    let Node { folder, file, stored, .. } = node;
    let in_v3 = match &stored {
        Stored::V3(json) => json.clone(),
        Stored::V2(json) => in_v3(&file, json)?,
    };
    let json = &in_v3;
    let malformed = |part: &str, found: &Value, expected: &str| {
        VolumeError::malformed(Place::part(&file, part), shorten(found), expected)
    };
    let unsupported = |part: &str, found: String, expected: &str, hint: &str| VolumeError::Unsupported {
        place: Place::part(&file, part),
        found,
        expected: expected.into(),
        hint: hint.into(),
    };
    if json["node_type"] != "array" || json["zarr_format"] != 3 {
        return Err(malformed("node_type", &json["node_type"], "a Zarr array"));
    }
    let shape = sizes(&json["shape"]).ok_or_else(|| malformed("shape", &json["shape"], "sizes of at least 1"))?;
    let Some(leading) = shape.len().checked_sub(3).filter(|&n| shape[..n].iter().all(|&size| size == 1)) else {
        return Err(unsupported(
            "shape",
            format!("{shape:?}"),
            "3 axes (z, y, x), any before them of size 1",
            "Extract one channel and one time point first.",
        ));
    };
    if let Some(axes) = axes {
        // Version 0.3 has bare names.
        let name = |axis: &Value| axis["name"].as_str().or(axis.as_str()).unwrap_or("?").to_ascii_lowercase();
        let names: Vec<_> = axes.iter().map(name).collect();
        if names.len() != shape.len() || names[leading..] != ["z", "y", "x"] {
            return Err(unsupported("axes", names.join(", "), "z, y, x as the last three", "Transpose the array."));
        }
    }
    let voxel_type = match json["data_type"].as_str() {
        Some("uint8") => VoxelType::U8,
        Some("uint16") => VoxelType::U16,
        Some("uint32") => VoxelType::U32,
        Some("int16") => VoxelType::I16,
        Some("float32") => VoxelType::F32,
        _ => {
            return Err(unsupported(
                "data_type",
                shorten(&json["data_type"]),
                "uint8, uint16, uint32, int16 or float32",
                "Convert the array to one of these types.",
            ));
        }
    };
    let bytes = |sizes: &[u64]| {
        sizes
            .iter()
            .try_fold(voxel_type.bytes() as u64, |n, &size| n.checked_mul(size))
            .filter(|&n| i64::try_from(n).is_ok())
    };
    if bytes(&shape).is_none() {
        return Err(malformed("shape", &json["shape"], "less than 2⁶³ bytes"));
    }
    let grid = &json["chunk_grid"];
    if grid["name"] != "regular" {
        return Err(unsupported("chunk_grid", shorten(&grid["name"]), "a regular grid", "Rechunk the array."));
    }
    let mut chunk = &grid["configuration"]["chunk_shape"];
    if let Some(shard) = json["codecs"].as_array().into_iter().flatten().find(|c| c["name"] == "sharding_indexed") {
        let inner = sizes(&shard["configuration"]["chunk_shape"]);
        let outer = sizes(chunk).filter(|outer| outer.len() == shape.len());
        let whole = |outer: &[u64], inner: &[u64]| {
            outer.len() == inner.len() && outer.iter().zip(inner).all(|(o, i)| o.is_multiple_of(*i))
        };
        let entries =
            |outer: &[u64], inner: &[u64]| outer.iter().zip(inner).try_fold(1_u64, |n, (o, i)| n.checked_mul(o / i));
        match (outer, inner) {
            // Each inner chunk takes 16 bytes in the shard's index, which is read whole.
            (Some(o), Some(i)) if whole(&o, &i) && entries(&o, &i).is_some_and(|n| n <= LARGEST_CHUNK_BYTES / 64) => {}
            _ => return Err(malformed("codecs", shard, "a shard of whole inner chunks")),
        }
        chunk = &shard["configuration"]["chunk_shape"];
    }
    let grain = sizes(chunk)
        .filter(|c| c.len() == shape.len())
        .ok_or_else(|| malformed("chunk_shape", chunk, "a size of at least 1 for each axis"))?;
    if bytes(&grain).is_none_or(|n| n > LARGEST_CHUNK_BYTES) {
        return Err(unsupported("chunk_shape", shorten(chunk), "chunks of at most 4 GiB", "Rechunk the array."));
    }
    let extent = |s: &[u64]| Extent::new(s[leading], s[leading + 1], s[leading + 2]);
    let piece: Vec<u64> = grain.iter().zip(&shape).map(|(&g, &s)| g.min(s)).collect();
    Ok(Meta {
        folder,
        leading,
        extent: extent(&shape),
        voxel_type,
        voxel_size: None,
        grain: extent(&piece),
        chunk_bytes: bytes(&grain).unwrap_or(u64::MAX),
        stored,
    })
}

/// As much of Zarr v2's metadata as is checked, in the words of v3.
fn in_v3(file: &Path, v2: &Value) -> Result<Value, VolumeError> {
    let data_type = match v2["dtype"].as_str() {
        Some("|u1" | "<u1" | ">u1") => "uint8".into(),
        Some("<u2" | ">u2") => "uint16".into(),
        Some("<u4" | ">u4") => "uint32".into(),
        Some("<i2" | ">i2") => "int16".into(),
        Some("<f4" | ">f4") => "float32".into(),
        _ => v2["dtype"].clone(),
    };
    if v2["zarr_format"] != 2 {
        let place = Place::part(file, "zarr_format");
        return Err(VolumeError::malformed(place, shorten(&v2["zarr_format"]), "2, as the file's name says"));
    }
    Ok(json!({
        "zarr_format": 3,
        "node_type": "array",
        "shape": v2["shape"],
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": v2["chunks"]}},
        "codecs": [],
    }))
}

fn sizes(value: &Value) -> Option<Vec<u64>> {
    value.as_array()?.iter().map(|v| v.as_u64().filter(|&n| n > 0)).collect()
}

fn shorten(value: &Value) -> String {
    let text = value.to_string();
    if text.len() > 80 { format!("{}…", text.chars().take(80).collect::<String>()) } else { text }
}
