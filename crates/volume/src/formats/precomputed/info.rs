//! The `info` file: what a scale is, checked before anything else believes it.

use serde_json::Value;

use super::INFO;
use super::shards::Sharding;
use crate::files::Files;
use crate::{Extent, Place, Region, VolumeError, VoxelSize, VoxelType};

/// A chunk that would take more than this in memory is refused.
const LARGEST_CHUNK_BYTES: u64 = 4 << 30;

/// An `info` file lists a few scales: it has some kilobytes.
const LARGEST_INFO: u64 = 16 << 20;

/// Offsets lie so near zero that no sum of them and a size overflows.
const LARGEST_OFFSET: u64 = 1 << 62;

/// Which of the scales of a volume.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    /// By its place in the list; 0 is the finest.
    Number(usize),
    /// By its folder.
    Key(String),
}

/// How a chunk's voxels are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As they are, little-endian.
    Raw,
    /// Each block by a table of its values and indices into it.
    CompressedSegmentation {
        /// The size of a block.
        block: Extent,
    },
}

/// One resolution of a volume.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    /// Its folder.
    pub(super) key: String,
    pub(super) extent: Extent,
    /// The type that is read.
    pub(super) voxel_type: VoxelType,
    /// Whether labels are stored as `uint64`, and must fit 32 bits to be read.
    pub(super) wide: bool,
    pub(super) voxel_size: Option<VoxelSize>,
    /// Where the first voxel lies in the coordinates that chunk names count: (z, y, x).
    pub(super) offset: [i64; 3],
    pub(super) chunk: Extent,
    pub(super) encoding: Encoding,
    pub(super) sharding: Option<Sharding>,
}

impl Scale {
    /// Bytes of a voxel as stored.
    pub(super) const fn stored_bytes(&self) -> u64 {
        if self.wide { 8 } else { self.voxel_type.bytes() as u64 }
    }

    /// The key of a chunk's file.
    pub(super) fn chunk_key(&self, chunk: Region) -> String {
        let (start, end) = (chunk.start, chunk.end());
        let [z, y, x] = self.offset.map(i128::from);
        let span =
            |offset: i128, from: u64, to: u64| format!("{}-{}", offset + i128::from(from), offset + i128::from(to));
        format!("{}/{}_{}_{}", self.key, span(x, start.x, end.x), span(y, start.y, end.y), span(z, start.z, end.z))
    }
}

/// The JSON of the `info` file.
pub(super) fn read(files: &dyn Files) -> Result<Value, VolumeError> {
    let place = Place::file(files.address(INFO));
    let Some(bytes) = files.get(INFO, LARGEST_INFO)? else {
        return Err(VolumeError::malformed(place, "no such file", "a precomputed volume's 'info'"));
    };
    serde_json::from_slice(&bytes).map_err(|e| VolumeError::malformed(place, e.to_string(), "JSON"))
}

/// Whether a scale lies in this folder directly below the volume.
pub(super) fn has_folder(info: &Value, folder: &str) -> bool {
    let keys = info["scales"].as_array().into_iter().flatten().filter_map(|scale| scale["key"].as_str());
    keys.filter_map(|key| key.split('/').next()).any(|first| first == folder)
}

/// Checks the metadata of one scale.
pub(super) fn scale(files: &dyn Files, info: &Value, which: &Which) -> Result<Scale, VolumeError> {
    let scales = info["scales"].as_array().map_or(&[][..], Vec::as_slice);
    let number = match which {
        Which::Number(number) => *number,
        Which::Key(key) => scales.iter().position(|scale| scale["key"] == key.as_str()).unwrap_or(usize::MAX),
    };
    let Some(json) = scales.get(number) else {
        let keys: Vec<_> = scales.iter().map(|scale| shorten(&scale["key"])).collect();
        let place = Place::part(files.address(INFO), "scales");
        let wanted = match which {
            Which::Number(number) => format!("a scale {number}"),
            Which::Key(key) => format!("a scale with the key {key:?}"),
        };
        return Err(VolumeError::malformed(place, format!("[{}]", keys.join(", ")), wanted));
    };
    Checked { files, info, json, number }.scale()
}

/// A scale while it is checked.
struct Checked<'a> {
    files: &'a dyn Files,
    info: &'a Value,
    json: &'a Value,
    number: usize,
}

impl Checked<'_> {
    fn scale(&self) -> Result<Scale, VolumeError> {
        let json = self.json;
        let (voxel_type, wide) = self.voxel_type()?;
        let stored_bytes = if wide { 8 } else { voxel_type.bytes() as u64 };
        let bytes = |extent: Extent| {
            extent.checked_voxels().and_then(|n| n.checked_mul(stored_bytes)).filter(|&n| i64::try_from(n).is_ok())
        };
        let extent = self.sizes("size", &json["size"])?;
        if bytes(extent).is_none() {
            return Err(self.malformed("size", &json["size"], "less than 2⁶³ bytes"));
        }
        let chunk = self.sizes("chunk_sizes", &json["chunk_sizes"][0])?;
        if bytes(chunk).is_none_or(|n| n > LARGEST_CHUNK_BYTES) {
            let found = shorten(&json["chunk_sizes"]);
            return Err(self.unsupported("chunk_sizes", found, "chunks of at most 4 GiB", "Rechunk the volume."));
        }
        // The part of a chunk that sticks out of the volume is not stored.
        let chunk = Extent::new(chunk.z.min(extent.z), chunk.y.min(extent.y), chunk.x.min(extent.x));
        let key = json["key"].as_str().ok_or_else(|| self.malformed("key", &json["key"], "the name of a folder"))?;
        // A key that leads outside is an error of its own: `files` would refuse it too, but chunk by chunk.
        if crate::files::check_key(&self.files.address(INFO), key).is_err() {
            return Err(self.unsupported(
                "key",
                shorten(&json["key"]),
                "the name of a folder inside the volume's",
                "Copy that folder into the volume's folder and give its name as the key.",
            ));
        }
        let sharding = match &json["sharding"] {
            Value::Null => None,
            json => Some(
                Sharding::parse(json, extent, chunk).map_err(|expected| self.malformed("sharding", json, expected))?,
            ),
        };
        Ok(Scale {
            key: key.to_owned(),
            extent,
            voxel_type,
            wide,
            voxel_size: self.voxel_size(),
            offset: self.offset()?,
            chunk,
            encoding: self.encoding(voxel_type)?,
            sharding,
        })
    }

    fn voxel_type(&self) -> Result<(VoxelType, bool), VolumeError> {
        let info = self.info;
        let channels = &info["num_channels"];
        if channels.as_u64().is_none_or(|n| n == 0) {
            return Err(self.malformed("num_channels", channels, "1"));
        }
        if *channels != 1 {
            return Err(self.unsupported("num_channels", shorten(channels), "1", "Extract one channel first."));
        }
        Ok(match info["data_type"].as_str().map(str::to_ascii_lowercase).as_deref() {
            Some("uint8") => (VoxelType::U8, false),
            Some("uint16") => (VoxelType::U16, false),
            Some("int16") => (VoxelType::I16, false),
            Some("uint32") => (VoxelType::U32, false),
            Some("uint64") => (VoxelType::U32, true),
            Some("float32") => (VoxelType::F32, false),
            _ => {
                return Err(self.unsupported(
                    "data_type",
                    shorten(&info["data_type"]),
                    "uint8, uint16, int16, uint32, uint64 or float32",
                    "Convert the volume to one of these types.",
                ));
            }
        })
    }

    fn encoding(&self, voxel_type: VoxelType) -> Result<Encoding, VolumeError> {
        let name = &self.json["encoding"];
        match name.as_str().map(str::to_ascii_lowercase).as_deref() {
            Some("raw") => Ok(Encoding::Raw),
            Some("compressed_segmentation") if voxel_type == VoxelType::U32 => {
                let part = "compressed_segmentation_block_size";
                let block = self.sizes(part, &self.json[part])?;
                if block.checked_voxels().is_none_or(|n| n > 1 << 30) {
                    return Err(self.malformed(part, &self.json[part], "a block of a few voxels, such as [8, 8, 8]"));
                }
                Ok(Encoding::CompressedSegmentation { block })
            }
            Some("compressed_segmentation") => {
                Err(self.malformed("data_type", &self.info["data_type"], "uint32 or uint64, as the encoding asks for"))
            }
            Some("jpeg" | "png" | "jxl" | "compresso" | "fpzip" | "zfpc" | "kempressed") => Err(self.unsupported(
                "encoding",
                shorten(name),
                "raw or compressed_segmentation",
                "Decode it first: copy the volume with CloudVolume or TensorStore to one with the encoding raw.",
            )),
            _ => Err(self.malformed("encoding", name, "raw or compressed_segmentation")),
        }
    }

    fn voxel_size(&self) -> Option<VoxelSize> {
        let [x, y, z] = self.json["resolution"].as_array()?.as_slice() else { return None };
        VoxelSize::converted(z.as_f64()?, y.as_f64()?, x.as_f64()?)
    }

    fn offset(&self) -> Result<[i64; 3], VolumeError> {
        let json = &self.json["voxel_offset"];
        if json.is_null() {
            return Ok([0; 3]);
        }
        let numbers: Option<Vec<i64>> = json.as_array().and_then(|values| {
            let near = |v: &i64| v.unsigned_abs() <= LARGEST_OFFSET;
            values.iter().map(|value| value.as_i64().filter(near)).collect()
        });
        match numbers.as_deref() {
            Some(&[x, y, z]) => Ok([z, y, x]),
            _ => Err(self.malformed("voxel_offset", json, "three whole numbers")),
        }
    }

    /// Sizes (x, y, z), each at least 1.
    fn sizes(&self, part: &str, json: &Value) -> Result<Extent, VolumeError> {
        let numbers: Option<Vec<u64>> =
            json.as_array().and_then(|values| values.iter().map(|value| value.as_u64().filter(|&n| n > 0)).collect());
        match numbers.as_deref() {
            Some(&[x, y, z]) => Ok(Extent::new(z, y, x)),
            _ => Err(self.malformed(part, json, "three sizes of at least 1")),
        }
    }

    fn place(&self, part: &str) -> Place {
        let shared = part == "data_type" || part == "num_channels";
        let part = if shared { part.to_owned() } else { format!("scales[{}].{part}", self.number) };
        Place::part(self.files.address(INFO), part)
    }

    fn malformed(&self, part: &str, found: &Value, expected: &str) -> VolumeError {
        VolumeError::malformed(self.place(part), shorten(found), expected)
    }

    fn unsupported(&self, part: &str, found: String, expected: &str, hint: &str) -> VolumeError {
        VolumeError::Unsupported { place: self.place(part), found, expected: expected.into(), hint: hint.into() }
    }
}

fn shorten(value: &Value) -> String {
    let text = value.to_string();
    if text.len() > 80 { format!("{}…", text.chars().take(80).collect::<String>()) } else { text }
}
