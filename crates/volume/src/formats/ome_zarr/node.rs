//! From a folder to the array of the first resolution level: groups, attributes, axes and scales.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::metadata::{self, Meta};
use crate::{Place, VolumeError, VoxelSize, fs};

/// The metadata of an array as they lie on disk.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stored {
    /// `zarr.json`.
    V3(Value),
    /// `.zarray`.
    V2(Value),
}

/// A folder that is a group or an array.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) folder: PathBuf,
    /// The file that says what the folder is.
    pub(super) file: PathBuf,
    pub(super) stored: Stored,
    is_group: bool,
    attributes: Value,
}

impl Node {
    fn open(folder: &Path) -> Result<Self, VolumeError> {
        let at = |name: &str| folder.join(name);
        let new = |name: &str, stored, is_group, attributes| {
            Ok(Self { folder: folder.to_owned(), file: at(name), stored, is_group, attributes })
        };
        if at(".zarray").is_file() && !at("zarr.json").is_file() {
            return new(".zarray", Stored::V2(json_of(&at(".zarray"))?), false, Value::Null);
        }
        let attributes = at(".zattrs");
        if attributes.is_file() && !at("zarr.json").is_file() {
            return new(".zattrs", Stored::V2(Value::Null), true, json_of(&attributes)?);
        }
        let json = json_of(&at("zarr.json"))?;
        let is_group = match json["node_type"].as_str() {
            Some("array") => false,
            Some("group") => true,
            other => {
                let found = format!("node_type {}", other.map_or("missing".into(), |o| format!("'{o}'")));
                let place = Place::file(at("zarr.json"));
                return Err(VolumeError::malformed(place, found, "a Zarr v3 'group' or 'array'"));
            }
        };
        let attributes = json["attributes"].clone();
        new("zarr.json", Stored::V3(json), is_group, attributes)
    }

    /// What OME says: under `ome` since 0.5, before that among the attributes.
    fn ome(&self) -> &Value {
        if self.attributes["ome"].is_object() { &self.attributes["ome"] } else { &self.attributes }
    }

    fn image(&self) -> Option<&Value> {
        self.ome()["multiscales"].get(0)
    }
}

/// Whether a folder is some Zarr.
pub(crate) fn is_zarr(folder: &Path) -> bool {
    ["zarr.json", ".zattrs", ".zgroup", ".zarray"].iter().any(|name| folder.join(name).is_file())
}

/// How many resolution levels an OME-Zarr image has; a plain array has one.
pub(crate) fn levels(path: &Path) -> Result<usize, VolumeError> {
    let root = Node::open(path)?;
    if !root.is_group {
        return Ok(1);
    }
    Ok(image_of(root)?.image().and_then(|image| image["datasets"].as_array()).map_or(0, Vec::len))
}

/// Reads the metadata of a level of an OME-Zarr image, 0 the finest, or of a plain array.
pub(super) fn read(path: &Path, level: usize) -> Result<Meta, VolumeError> {
    let root = Node::open(path)?;
    if !root.is_group {
        return array(path, root);
    }
    image(&image_of(root)?, level)
}

/// An array by itself, with the axes and the voxel size that the image above it gives it, where it is a level of one.
fn array(path: &Path, node: Node) -> Result<Meta, VolumeError> {
    // A level's path has one name, or two ("scale0/image").
    for above in path.ancestors().skip(1).take(2).filter(|above| is_zarr(above)) {
        let Ok(group) = Node::open(above) else { continue };
        let name = path.strip_prefix(above).ok().and_then(|name| name.to_str()).unwrap_or_default();
        let datasets = group.image().and_then(|image| image["datasets"].as_array());
        if let Some(level) = datasets.and_then(|levels| levels.iter().position(|level| level["path"] == name)) {
            return image(&group, level);
        }
    }
    metadata::array(node, None)
}

/// The group with the image of a group: itself, or one inside it.
fn image_of(root: Node) -> Result<Node, VolumeError> {
    let path = &root.folder;
    if root.image().is_some() {
        return Ok(root);
    }
    // Bio-Formats puts each image of a file into a group of its own: the first is "0".
    let inner = path.join("0");
    if !root.ome()["bioformats2raw.layout"].is_null() && is_zarr(&inner) {
        let inner = Node::open(&inner)?;
        if inner.image().is_some() {
            return Ok(inner);
        }
    }
    Err(VolumeError::Unsupported {
        place: Place::file(root.file),
        found: "a Zarr group that is no OME-Zarr image (no 'multiscales')".into(),
        expected: "an OME-Zarr image or an array".into(),
        hint: "Give the path of the image or array inside it.".into(),
    })
}

/// A resolution level of an image.
fn image(group: &Node, number: usize) -> Result<Meta, VolumeError> {
    let image = group.image().unwrap_or(&Value::Null);
    let level = &image["datasets"][number];
    let name = level["path"].as_str().filter(|name| is_inside(name)).ok_or_else(|| {
        VolumeError::malformed(
            Place::part(&group.file, format!("multiscales[0].datasets[{number}].path")),
            level["path"].to_string(),
            "the name of a folder inside",
        )
    })?;
    let mut meta = metadata::array(Node::open(&group.folder.join(name))?, image["axes"].as_array())?;
    meta.voxel_size = voxel_size(image, level, meta.leading);
    Ok(meta)
}

fn json_of(path: &Path) -> Result<Value, VolumeError> {
    let bytes = fs::read(path)?;
    serde_json::from_slice(&bytes).map_err(|e| VolumeError::malformed(Place::file(path), e.to_string(), "JSON"))
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
