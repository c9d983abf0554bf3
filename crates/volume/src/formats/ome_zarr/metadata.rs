//! The JSON beside the chunks: what the volume is, checked before anything else believes it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{Extent, Place, VolumeError, VolumeSpec, VoxelSize, VoxelType, fs};

/// A chunk that would take more than this in memory is refused: it is the least that any read costs.
const LARGEST_CHUNK_BYTES: u64 = 4 << 30;

/// What the metadata say of a volume.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Meta {
    /// The folder of the array.
    pub(super) array: PathBuf,
    /// How many axes of size 1 stand before z.
    pub(super) leading: usize,
    pub(super) extent: Extent,
    pub(super) voxel_type: VoxelType,
    pub(super) voxel_size: Option<VoxelSize>,
    /// What is decoded at once: the chunk, or the inner chunk of a shard.
    pub(super) grain: Extent,
    /// The text of the array's `zarr.json`.
    pub(super) json: Value,
}

/// Reads the metadata of an OME-Zarr image or a plain array.
pub(super) fn read(path: &Path) -> Result<Meta, VolumeError> {
    let root = json_of(path)?;
    match root["node_type"].as_str() {
        Some("array") => array(path, root, None),
        Some("group") => group(path, &root),
        other => Err(VolumeError::malformed(
            Place::file(path.join("zarr.json")),
            format!("node_type {}", other.map_or("missing".into(), |o| format!("'{o}'"))),
            "a Zarr v3 'group' or 'array'",
        )),
    }
}

fn json_of(folder: &Path) -> Result<Value, VolumeError> {
    let path = folder.join("zarr.json");
    let bytes = fs::read(&path)?;
    serde_json::from_slice(&bytes).map_err(|e| VolumeError::malformed(Place::file(path), e.to_string(), "JSON"))
}

fn group(path: &Path, root: &Value) -> Result<Meta, VolumeError> {
    let file = path.join("zarr.json");
    let attributes = &root["attributes"];
    let ome = if attributes["ome"].is_object() { &attributes["ome"] } else { attributes };
    let Some(image) = ome["multiscales"].get(0) else {
        // Bio-Formats puts each image of a file into a group of its own: the first is "0".
        if !ome["bioformats2raw.layout"].is_null() && path.join("0/zarr.json").is_file() {
            let first = path.join("0");
            let inner = json_of(&first)?;
            if inner["attributes"]["ome"]["multiscales"].get(0).is_some() {
                return group(&first, &inner);
            }
        }
        return Err(VolumeError::Unsupported {
            place: Place::file(file),
            found: "a Zarr group that is no OME-Zarr image (no 'multiscales')".into(),
            expected: "an OME-Zarr image or an array".into(),
            hint: "Give the path of the image or array inside it.".into(),
        });
    };
    let level = &image["datasets"][0];
    let name = level["path"].as_str().filter(|name| is_inside(name)).ok_or_else(|| {
        VolumeError::malformed(
            Place::part(&file, "multiscales[0].datasets[0].path"),
            level["path"].to_string(),
            "the name of a folder inside",
        )
    })?;
    let folder = path.join(name);
    let inner = json_of(&folder)?;
    let mut meta = array(&folder, inner, image["axes"].as_array())?;
    meta.voxel_size = voxel_size(image, level, meta.leading);
    Ok(meta)
}

/// Whether a path from the metadata stays in the volume's folder.
fn is_inside(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|c| matches!(c, std::path::Component::Normal(_)))
}

/// The scale of the first level, where all three axes have a unit of length.
fn voxel_size(image: &Value, level: &Value, leading: usize) -> Option<VoxelSize> {
    let scale = |of: &Value, axis: usize| -> f64 {
        let transformations = of["coordinateTransformations"].as_array();
        let scales = transformations.into_iter().flatten().filter(|t| t["type"] == "scale");
        scales.filter_map(|t| t["scale"][axis].as_f64()).product()
    };
    let axis = |i: usize| -> Option<f64> {
        let at = leading + i;
        let nm = nanometres(image["axes"][at]["unit"].as_str()?)?;
        Some(nm * scale(level, at) * scale(image, at))
    };
    if !level["coordinateTransformations"].is_array() {
        return None;
    }
    VoxelSize::converted(axis(0)?, axis(1)?, axis(2)?)
}

/// A unit of length, as UDUNITS-2 spells it, in nanometres.
fn nanometres(unit: &str) -> Option<f64> {
    Some(match unit {
        "picometer" => 1e-3,
        "angstrom" => 0.1,
        "nanometer" => 1.0,
        "micrometer" | "micron" => 1e3,
        "millimeter" => 1e6,
        "centimeter" => 1e7,
        "meter" => 1e9,
        _ => return None,
    })
}

fn array(folder: &Path, json: Value, axes: Option<&Vec<Value>>) -> Result<Meta, VolumeError> {
    let file = folder.join("zarr.json");
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
        return Err(malformed("node_type", &json["node_type"], "a Zarr v3 array"));
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
        let names: Vec<_> = axes.iter().map(|a| a["name"].as_str().unwrap_or("?").to_ascii_lowercase()).collect();
        if names.len() != shape.len() || names[leading..] != ["z", "y", "x"] {
            return Err(unsupported("axes", names.join(", "), "z, y, x as the last three", "Transpose the array."));
        }
    }
    let voxel_type = match json["data_type"].as_str() {
        Some("uint8") => VoxelType::U8,
        Some("uint16") => VoxelType::U16,
        Some("uint32") => VoxelType::U32,
        _ => {
            return Err(unsupported(
                "data_type",
                shorten(&json["data_type"]),
                "uint8, uint16 or uint32",
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
        .filter(|c| c.len() == shape.len() && c[..leading].iter().all(|&size| size == 1))
        .ok_or_else(|| malformed("chunk_shape", chunk, "a size of at least 1 for each axis"))?;
    if bytes(&grain).is_none_or(|n| n > LARGEST_CHUNK_BYTES) {
        return Err(unsupported("chunk_shape", shorten(chunk), "chunks of at most 4 GiB", "Rechunk the array."));
    }
    let extent = |s: &[u64]| Extent::new(s[leading], s[leading + 1], s[leading + 2]);
    Ok(Meta {
        array: folder.to_owned(),
        leading,
        extent: extent(&shape),
        voxel_type,
        voxel_size: None,
        grain: extent(&grain),
        json,
    })
}

fn sizes(value: &Value) -> Option<Vec<u64>> {
    value.as_array()?.iter().map(|v| v.as_u64().filter(|&n| n > 0)).collect()
}

fn shorten(value: &Value) -> String {
    let text = value.to_string();
    if text.len() > 80 { format!("{}…", text.chars().take(80).collect::<String>()) } else { text }
}

/// The `zarr.json` of the group of a new volume.
pub(super) fn new_group(spec: &VolumeSpec, name: &str) -> Value {
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
pub(super) fn new_array(spec: &VolumeSpec, chunk: Extent) -> Value {
    let data_type = match spec.voxel_type {
        VoxelType::U8 => "uint8",
        VoxelType::U16 => "uint16",
        VoxelType::U32 => "uint32",
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
        "fill_value": 0,
        // Level 1: prediction and labels compress well at any level, and writing should not wait for it. The checksum
        // makes a damaged chunk an error instead of wrong voxels.
        "codecs": [bytes, {"name": "zstd", "configuration": {"level": 1, "checksum": true}}],
        "attributes": {},
        "dimension_names": ["z", "y", "x"],
    })
}
