//! A phantom on disk: one volume of images, one of labels per class, and the list of objects.

use std::path::{Path, PathBuf};

use deep3m_volume::fs::{self, AtomicFile};
use deep3m_volume::{Extent, Place, Region, VolumeError, VolumeSpec, VolumeWriter, VoxelType, create};
use serde::{Deserialize, Serialize};

use crate::phantom::WORKING_BLOCK;
use crate::truth::{Census, Class, TrueObject};
use crate::{Phantom, PhantomConfig, PhantomError};

/// What `truth.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// What made it: the crate and its version.
    pub generator: String,
    /// The settings; they make the same phantom again.
    pub config: PhantomConfig,
    /// Totals per class.
    pub classes: Vec<ClassTotal>,
    /// Every object.
    pub objects: Vec<TrueObject>,
}

/// A class as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassTotal {
    /// The class.
    pub class: Class,
    /// Its label volume, beside `truth.json`.
    pub volume: PathBuf,
    /// Number of objects that have a voxel in the phantom.
    pub objects: u64,
    /// Their voxels.
    pub voxels: u64,
    /// Share of the phantom's voxels, 0 to 1.
    pub share: f64,
}

impl Truth {
    fn new(phantom: &Phantom, census: &Census) -> Self {
        let config = phantom.config().clone();
        let objects = census.objects(config.voxel_size);
        let total = |class: Class| {
            let of_class = || objects.iter().filter(|o| o.class == class);
            let voxels: u64 = of_class().map(|o| o.size_voxels).sum();
            ClassTotal {
                class,
                volume: label_name(class).into(),
                objects: of_class().count() as u64,
                voxels,
                share: voxels as f64 / config.shape.checked_voxels().unwrap_or(u64::MAX) as f64,
            }
        };
        Self { generator: GENERATOR.into(), classes: Class::ALL.map(total).into(), objects, config }
    }
}

const GENERATOR: &str = concat!("deep3m-phantom ", env!("CARGO_PKG_VERSION"));
const IMAGES: &str = "images.zarr";
const TRUTH: &str = "truth.json";

fn label_name(class: Class) -> String {
    format!("{}.zarr", class.volume_name())
}

/// The label volume that an annotator, counted from 1, drew.
pub fn annotator_name(annotator: u32) -> String {
    format!("{}-annotator-{annotator}.zarr", Class::Mitochondrion.volume_name())
}

/// Writes a phantom into a folder: `images.zarr`, a label volume (0 and 255) per class and per annotator, and
/// `truth.json` at last, so that a folder with `truth.json` is complete.
///
/// Memory is that of a working block, whatever the phantom's size; `truth.json` needs what its objects need. `progress`
/// hears the number of voxels after each block.
///
/// # Errors
/// [`PhantomError::Exists`] where one of these files is there and `overwrite` is not set; nothing is touched then.
pub fn write(
    phantom: &Phantom,
    folder: &Path,
    overwrite: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<Truth, PhantomError> {
    let names = Class::ALL.map(label_name);
    let annotators: Vec<String> = (1..=phantom.config().annotators).map(annotator_name).collect();
    let mut all = vec![IMAGES, TRUTH];
    all.extend(names.iter().chain(&annotators).map(String::as_str));
    for path in all.iter().map(|name| folder.join(name)) {
        if !overwrite && path.symlink_metadata().is_ok() {
            return Err(PhantomError::Exists { place: Place::file(path) });
        }
    }
    fs::create_dir(folder)?;
    // The old list goes first: it must never stand beside new volumes.
    fs::remove_file(&folder.join(TRUTH))?;
    let images = new_volume(phantom, &folder.join(IMAGES), "images", overwrite)?;
    let mut labels = Vec::new();
    for (name, class) in names.iter().zip(Class::ALL) {
        labels.push((class, new_volume(phantom, &folder.join(name), class.volume_name(), overwrite)?));
    }
    let drawn = annotators
        .iter()
        .map(|name| new_volume(phantom, &folder.join(name), name.trim_end_matches(".zarr"), overwrite))
        .collect::<Result<Vec<_>, _>>()?;
    let mut census = Census::default();
    for region in Region::whole(phantom.config().shape).tiles(working_block(images.grain())) {
        let block = phantom.render(region)?;
        images.write(region.start, &block.images)?;
        for (class, writer) in &labels {
            writer.write(region.start, block.labels(*class))?;
        }
        for (mask, writer) in block.annotators.iter().zip(&drawn) {
            writer.write(region.start, mask)?;
        }
        census.merge(&block.census);
        progress(region.extent.len() as u64);
    }
    images.finish()?;
    for writer in labels.iter().map(|(_, writer)| writer).chain(&drawn) {
        writer.finish()?;
    }
    let truth = Truth::new(phantom, &census);
    let path = folder.join(TRUTH);
    let mut file = AtomicFile::create(&path)?;
    serde_json::to_writer_pretty(&mut file, &truth).map_err(|e| VolumeError::io(&path, "write", e.into()))?;
    file.commit()?;
    Ok(truth)
}

fn new_volume(
    phantom: &Phantom,
    path: &Path,
    what: &str,
    overwrite: bool,
) -> Result<Box<dyn VolumeWriter>, PhantomError> {
    let config = phantom.config();
    let provenance = serde_json::json!({ "generator": GENERATOR, "content": what, "config": config });
    let spec = VolumeSpec {
        extent: config.shape,
        voxel_type: VoxelType::U8,
        voxel_size: Some(config.voxel_size),
        chunk: None,
        provenance: Some(provenance),
    };
    Ok(create(path, &spec, overwrite)?)
}

/// About [`WORKING_BLOCK`], in whole grains.
fn working_block(grain: Extent) -> Extent {
    let axis = |grain: u64, wanted: u64| grain * (wanted / grain).max(1);
    Extent::new(axis(grain.z, WORKING_BLOCK.z), axis(grain.y, WORKING_BLOCK.y), axis(grain.x, WORKING_BLOCK.x))
}
