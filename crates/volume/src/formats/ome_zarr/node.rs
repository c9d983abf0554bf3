//! From a folder to the array of the first resolution level: groups, attributes, axes and scales.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::metadata::{self, Meta};
use crate::files::{self, Address, Files, LARGEST_METADATA, below};
use crate::{Place, VolumeError, VoxelSize};

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
    pub(super) files: Arc<dyn Files>,
    /// The key of the folder among the files; empty for the one that was opened.
    pub(super) key: String,
    /// The file that says what the folder is.
    pub(super) file: PathBuf,
    pub(super) stored: Stored,
    is_group: bool,
    attributes: Value,
}

impl Node {
    fn open(files: &Arc<dyn Files>, key: &str) -> Result<Self, VolumeError> {
        let new = |name: &str, stored, is_group, attributes| {
            let file = files.address(&below(key, name));
            Ok(Self { files: Arc::clone(files), key: key.to_owned(), file, stored, is_group, attributes })
        };
        let Some(json) = json_of(&**files, &below(key, "zarr.json"))? else {
            if let Some(json) = json_of(&**files, &below(key, ".zarray"))? {
                return new(".zarray", Stored::V2(json), false, Value::Null);
            }
            if let Some(attributes) = json_of(&**files, &below(key, ".zattrs"))? {
                return new(".zattrs", Stored::V2(Value::Null), true, attributes);
            }
            let file = files.address(&below(key, "zarr.json"));
            return Err(VolumeError::io(file, "read", ErrorKind::NotFound.into()));
        };
        let is_group = match json["node_type"].as_str() {
            Some("array") => false,
            Some("group") => true,
            other => {
                let found = format!("node_type {}", other.map_or("missing".into(), |o| format!("'{o}'")));
                let place = Place::file(files.address(&below(key, "zarr.json")));
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
pub(crate) fn is_zarr(files: &dyn Files, key: &str) -> Result<bool, VolumeError> {
    // The first is read, not looked up: only the answer to a read says whether there is a bucket at all.
    if files.get(&below(key, "zarr.json"), LARGEST_METADATA)?.is_some() {
        return Ok(true);
    }
    for name in [".zattrs", ".zgroup", ".zarray"] {
        if files.size(&below(key, name))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How many resolution levels an OME-Zarr image has; a plain array has one.
pub(crate) fn levels(path: &Path) -> Result<usize, VolumeError> {
    let root = Node::open(&files::at(path)?, "")?;
    if !root.is_group {
        return Ok(1);
    }
    Ok(image_of(root)?.image().and_then(|image| image["datasets"].as_array()).map_or(0, Vec::len))
}

/// Reads the metadata of a level of an OME-Zarr image, 0 the finest, or of a plain array.
pub(super) fn read(path: &Path, level: usize) -> Result<Meta, VolumeError> {
    let root = Node::open(&files::at(path)?, "")?;
    if !root.is_group {
        return array(path, root);
    }
    image(&image_of(root)?, level)
}

/// An array by itself, with the axes and the voxel size that the image above it gives it, where it is a level of one.
fn array(path: &Path, node: Node) -> Result<Meta, VolumeError> {
    let far = Address::parse(path)?.is_some();
    // A level's path has one name, or two ("scale0/image").
    for above in path.ancestors().skip(1).take(2) {
        // Above a bucket there is nothing.
        if far && !matches!(Address::parse(above), Ok(Some(_))) {
            break;
        }
        let Ok(group) = files::at(above).and_then(|files| Node::open(&files, "")) else { continue };
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
    if root.image().is_some() {
        return Ok(root);
    }
    // Bio-Formats puts each image of a file into a group of its own: the first is "0".
    let inner = below(&root.key, "0");
    if !root.ome()["bioformats2raw.layout"].is_null() && is_zarr(&*root.files, &inner)? {
        let inner = Node::open(&root.files, &inner)?;
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
    let name = level["path"].as_str().and_then(inside).ok_or_else(|| {
        VolumeError::malformed(
            Place::part(&group.file, format!("multiscales[0].datasets[{number}].path")),
            level["path"].to_string(),
            "the name of a folder inside",
        )
    })?;
    let mut meta = metadata::array(Node::open(&group.files, &below(&group.key, &name))?, image["axes"].as_array())?;
    meta.voxel_size = voxel_size(image, level, meta.leading);
    Ok(meta)
}

fn json_of(files: &dyn Files, key: &str) -> Result<Option<Value>, VolumeError> {
    let Some(bytes) = files.get(key, LARGEST_METADATA)? else { return Ok(None) };
    let malformed =
        |e: serde_json::Error| VolumeError::malformed(Place::file(files.address(key)), e.to_string(), "JSON");
    serde_json::from_slice(&bytes).map(Some).map_err(malformed)
}

/// A path from the metadata as a key, if it stays in the volume's folder.
fn inside(name: &str) -> Option<String> {
    let names = Path::new(name).components().map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    Some(names.collect::<Option<Vec<_>>>()?.join("/")).filter(|key| !key.is_empty())
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
