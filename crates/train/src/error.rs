//! What can go wrong in training, with the place and what to do.

use std::path::PathBuf;

use deep3m_net::Frames;
use deep3m_volume::{Binning, Extent, VolumeError, VoxelType};

/// Why a training run did not start or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A volume could not be read.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The network could not run.
    #[error(transparent)]
    Net(#[from] deep3m_net::NetError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] deep3m_net::DeviceError),
    /// There is no network of the wanted size.
    #[error(transparent)]
    NetSize(#[from] deep3m_net::ConfigError),
    /// Weights do not fit the network.
    #[error(transparent)]
    Weights(#[from] deep3m_net::WeightsError),
    /// A model directory could not be read or written.
    #[error(transparent)]
    Model(#[from] deep3m_net::ModelError),
    /// A setting that cannot work.
    #[error("--{setting}: found {found}; expected {expected}")]
    Setting {
        /// The setting's name on the command line.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A memory budget that this training does not keep.
    #[error(
        "memory: found a budget of {found}; this training needs at least {least}. Give --memory {wanted} or more, or {ways}"
    )]
    Memory {
        /// The budget.
        found: String,
        /// What is needed.
        least: String,
        /// That as `--memory` takes it.
        wanted: String,
        /// What else would do. Another batch or patch gives another model.
        ways: String,
    },
    /// No training volume was given.
    #[error("no training volume given; expected at least one pair of images and labels")]
    NoVolumes,
    /// Images and labels of different size.
    #[error("{labels}: {labels_extent}, but its images {images} are {images_extent}; labels need one slice per image, of the same size", labels = labels.display(), images = images.display())]
    SizesDiffer {
        /// The images.
        images: PathBuf,
        /// Their size.
        images_extent: Extent,
        /// The labels.
        labels: PathBuf,
        /// Their size.
        labels_extent: Extent,
    },
    /// Images of different bit depth in one run.
    #[error("{path}: {found} images, but {first} has {expected} images; convert one, so that all images of a run have one bit depth", path = path.display(), first = first.display())]
    TypesDiffer {
        /// The volume.
        path: PathBuf,
        /// Its type.
        found: VoxelType,
        /// The first volume.
        first: PathBuf,
        /// Its type.
        expected: VoxelType,
    },
    /// Labels with more than two values and no choice among them.
    #[error("{path}: labels have {found}; expected two values (background and foreground). Give --foreground V to take V as foreground and all else as background, or --ignore V if V marks voxels that nobody labelled", path = path.display())]
    LabelValues {
        /// The labels.
        path: PathBuf,
        /// Their values with counts, in words.
        found: String,
    },
    /// No voxel is foreground.
    #[error("{path}: no foreground: found {found}; expected at least one voxel of {expected}", path = path.display())]
    NoForeground {
        /// The labels.
        path: PathBuf,
        /// Their values with counts, in words.
        found: String,
        /// What counts as foreground.
        expected: String,
    },
    /// Images that are no grey images.
    #[error("{path}: found {found} images; expected grey of 8 or 16 bits or floating point. Are images and labels swapped?", path = path.display())]
    ImageType {
        /// The images.
        path: PathBuf,
        /// Their type.
        found: VoxelType,
    },
    /// Sections without a single pixel after binning.
    #[error("{path}: {extent} leaves no pixel after averaging {} × {} to one; give a smaller --binning", binning.y, binning.x, path = path.display())]
    TooSmall {
        /// The images.
        path: PathBuf,
        /// Their size.
        extent: Extent,
        /// Pixels averaged to one.
        binning: Binning,
    },
    /// Images with a single grey value.
    #[error("{path}: every voxel looked at is {value}; expected images with some contrast", path = path.display())]
    Flat {
        /// The images.
        path: PathBuf,
        /// The value; NaN where no voxel is a number.
        value: f32,
    },
    /// Labels of a type with sign or of floating point.
    #[error("{path}: found {found} labels; expected whole numbers from 0 on: open them with `deep3m_volume::as_labels`", path = path.display())]
    LabelType {
        /// The labels.
        path: PathBuf,
        /// Their type.
        found: VoxelType,
    },
    /// The output folder holds a run of other settings or data.
    #[error("{path}: holds a run with other settings: {differences}. Choose another folder, give the same settings to go on, or give --overwrite to replace it", path = path.display())]
    OtherRun {
        /// The output folder.
        path: PathBuf,
        /// What differs, with both values.
        differences: String,
    },
    /// Another process trains into the folder.
    #[error("{path}: another deep3m is training into it; wait for it, or choose another folder", path = path.display())]
    InUse {
        /// The output folder.
        path: PathBuf,
    },
    /// The output folder holds something that is no training run.
    #[error("{path}: already exists and holds no training run ({found}); choose another folder, or give --overwrite to replace it", path = path.display())]
    Occupied {
        /// The output folder.
        path: PathBuf,
        /// A file in it.
        found: String,
    },
    /// The loss is no number any more.
    #[error("{frames}: the loss became {loss}, or a weight no longer a finite number, in iteration {iteration}; training stopped. {}. Try a lower --learning-rate", last_good(*checkpoint, path))]
    Diverged {
        /// Which model.
        frames: Frames,
        /// The iteration, counted from 1.
        iteration: u64,
        /// NaN or infinite.
        loss: f64,
        /// The iteration of the checkpoint that stays.
        checkpoint: u64,
        /// Where it lies.
        path: PathBuf,
    },
    /// A checkpoint or log of this run is damaged.
    #[error("{path}: damaged: found {found}; expected {expected}. {hint}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
        /// What to do.
        hint: &'static str,
    },
    /// The operating system refused: rights, full disk.
    #[error("{path}: {action}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A helper thread could not be started or died.
    #[error("making training batches: {reason}")]
    Thread {
        /// What happened.
        reason: String,
    },
    /// The plot of the curves could not be drawn.
    #[error("{path}: could not draw the curves: {reason}", path = path.display())]
    Plot {
        /// The file.
        path: PathBuf,
        /// What the plotting library said.
        reason: String,
    },
}

/// What is left after a training that diverged.
fn last_good(checkpoint: u64, path: &std::path::Path) -> String {
    match checkpoint {
        0 => "There was no checkpoint yet".to_owned(),
        n => format!("The last good checkpoint (iteration {n}) stays in {}", path.display()),
    }
}

impl TrainError {
    /// An error of the operating system at a file.
    pub fn io(path: impl Into<PathBuf>, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), action, source }
    }
}
