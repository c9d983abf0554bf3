//! The JSON of a new volume.

use serde_json::{Value, json};

use super::compressed_segmentation as segmentation;
use crate::pyramid::Level;
use crate::{Extent, Place, VolumeError, VolumeSpec, VoxelSize, VoxelType};
use std::path::Path;

/// The block of a compressed segmentation, as Neuroglancer has it.
const BLOCK: Extent = Extent::new(8, 8, 8);

/// The size of a chunk that Neuroglancer suggests.
const CHUNK: Extent = Extent::new(64, 64, 64);

/// The `info` of a new volume.
///
/// # Errors
/// Where the format cannot hold what is asked for.
pub(super) fn info(path: &Path, spec: &VolumeSpec, levels: &[Level]) -> Result<Value, VolumeError> {
    let unsupported = |found: String, expected: &str, hint: &str| VolumeError::Unsupported {
        place: Place::file(path),
        found,
        expected: expected.into(),
        hint: hint.into(),
    };
    let (kind, data_type, encoding) = match spec.voxel_type {
        VoxelType::U8 => ("image", "uint8", "raw"),
        VoxelType::U16 => ("image", "uint16", "raw"),
        VoxelType::I16 => ("image", "int16", "raw"),
        VoxelType::F32 => ("image", "float32", "raw"),
        VoxelType::U32 => ("segmentation", "uint32", "compressed_segmentation"),
    };
    let wanted = spec.chunk.unwrap_or(CHUNK);
    let mut scales = Vec::with_capacity(levels.len());
    for level in levels {
        let Some(size) = level.voxel_size else {
            return Err(unsupported(
                "a volume without a voxel size".into(),
                "a voxel size, which every precomputed volume states",
                "Give --voxel-size z,y,x in nanometres, or write OME-Zarr (a name ending in .zarr) instead.",
            ));
        };
        let extent = level.extent;
        let clamp = |wanted: u64, limit: u64| wanted.clamp(1, limit);
        let chunk = Extent::new(clamp(wanted.z, extent.z), clamp(wanted.y, extent.y), clamp(wanted.x, extent.x));
        let mut scale = json!({
            "key": key(size),
            "size": xyz(extent),
            "resolution": [number(size.x_nm), number(size.y_nm), number(size.z_nm)],
            "voxel_offset": [0, 0, 0],
            "chunk_sizes": [xyz(chunk)],
            "encoding": encoding,
        });
        if spec.voxel_type == VoxelType::U32 {
            if !segmentation::encodes(chunk, BLOCK) {
                let found = format!("label chunks of {chunk}");
                return Err(unsupported(found, "chunks of at most 11 million labels", "Choose smaller chunks."));
            }
            scale["compressed_segmentation_block_size"] = xyz(BLOCK);
        }
        scales.push(scale);
    }
    let mut info = json!({
        "@type": "neuroglancer_multiscale_volume",
        "type": kind,
        "data_type": data_type,
        "num_channels": 1,
        "scales": scales,
    });
    if let Some(provenance) = &spec.provenance {
        info["deep3m"] = provenance.clone();
    }
    Ok(info)
}

/// The folder of a scale: its resolution, as is usual.
fn key(size: VoxelSize) -> String {
    format!("{}_{}_{}", size.x_nm, size.y_nm, size.z_nm)
}

fn xyz(extent: Extent) -> Value {
    json!([extent.x, extent.y, extent.z])
}

/// A number without a fraction as a whole one, as other programs write it.
fn number(nm: f64) -> Value {
    if nm.fract() == 0.0 && nm < 1e15 { json!(nm as u64) } else { json!(nm) }
}
