//! What can go wrong when a segmentation is measured.

use std::fmt;
use std::path::PathBuf;

use deep3m_volume::{Extent, VolumeError, VoxelSize, VoxelType};

/// Why something could not be measured or drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnalyzeError {
    /// Two volumes that belong together differ in size.
    #[error("{first} is {first_extent}, but {second} is {second_extent}; they must have the same size. If one is a part of the other, say which with --region z0:z1,y0:y1,x0:x1", first = first.display(), second = second.display())]
    ShapeMismatch {
        /// One volume.
        first: PathBuf,
        /// Its size.
        first_extent: Extent,
        /// The other volume.
        second: PathBuf,
        /// Its size.
        second_extent: Extent,
    },
    /// Two volumes that belong together state different sizes of voxels.
    #[error("{first} has voxels of {first_size}, but {second} of {second_size}; they must have the same. If both show the same grid and one states a wrong size, give the right one with --voxel-size z,y,x in nm", first = first.display(), second = second.display())]
    SizeMismatch {
        /// One volume.
        first: PathBuf,
        /// The size of its voxels.
        first_size: VoxelSize,
        /// The other volume.
        second: PathBuf,
        /// The size of its voxels.
        second_size: VoxelSize,
    },
    /// Labels of several values, where one says foreground and one background.
    #[error("{path}: the labels have several values besides 0: {values}. Pick the one that is foreground with --foreground VALUE", path = path.display())]
    LabelValues {
        /// The label volume.
        path: PathBuf,
        /// The values found.
        values: ValueCounts,
    },
    /// A prediction whose voxels cannot be probabilities.
    #[error("{path}: found {found} voxels; expected probabilities of 8 or 16 bits or floating point, or a mask of 0 and 1", path = path.display())]
    NotProbabilities {
        /// The prediction.
        path: PathBuf,
        /// Its type.
        found: VoxelType,
    },
    /// Truth of a type with sign or of floating point.
    #[error("{path}: found {found} voxels; expected labels, whole numbers from 0 on: open them with `deep3m_volume::as_labels`", path = path.display())]
    NotLabels {
        /// The truth.
        path: PathBuf,
        /// Its type.
        found: VoxelType,
    },
    /// Images of a type that holds no grey values.
    #[error("{path}: found {found} voxels; expected grey values of 8 or 16 bits or floating point", path = path.display())]
    NotGrey {
        /// The volume.
        path: PathBuf,
        /// Its type.
        found: VoxelType,
    },
    /// A setting out of its range.
    #[error("{name} is {found}; expected {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// Its range.
        expected: String,
    },
    /// A memory budget that no size of blocks keeps.
    #[error("memory: found a budget of {found}; this needs at least {least}. Give --memory {wanted} or more")]
    Memory {
        /// The budget.
        found: String,
        /// What the smallest block needs.
        least: String,
        /// That as `--memory` takes it.
        wanted: String,
    },
    /// More pieces of objects than the memory holds.
    #[error("{path}: found pieces of objects that take {found} of memory; this budget leaves {room} for them. Give more with --memory, or have fewer: a higher threshold, or a watershed with more smoothing", path = path.display())]
    Pieces {
        /// The volume.
        path: PathBuf,
        /// What they take.
        found: String,
        /// What there is for them.
        room: String,
    },
    /// What is kept of each object outgrows the memory.
    #[error(
        "memory: found more than {most} {what}, which a budget of {found} does not hold. Give a larger --memory, or look at parts with --region"
    )]
    TooMany {
        /// Of what there are too many.
        what: &'static str,
        /// The budget.
        found: String,
        /// How many it holds.
        most: u64,
    },
    /// A file that is no calibration.
    #[error("{path}: not a calibration as `deep3m evaluate --calibration-file` writes it: {reason}", path = path.display())]
    Calibration {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A picture that could not be encoded.
    #[error("{path}: the picture could not be written: {source}", path = path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        source: Box<png::EncodingError>,
    },
    /// A table with a name that says no format.
    #[error("{path}: found a name that says no format for a table; expected one that ends in .csv, .json or .parquet", path = path.display())]
    TableName {
        /// The name.
        path: PathBuf,
    },
    /// A table that could not be encoded.
    #[error("{path}: the table could not be written: {reason}", path = path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        reason: String,
    },

    /// A line of a table that cannot be read.
    #[error("{path}: line {line}: found {found}; expected {expected}", path = path.display())]
    TableRow {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What it has.
        found: String,
        /// What it should have.
        expected: String,
    },
    /// A table without the places of points.
    #[error("{path}: found the columns {found}; expected centroid_z_nm, centroid_y_nm, centroid_x_nm, or z, y, x in voxels", path = path.display())]
    PointColumns {
        /// The file.
        path: PathBuf,
        /// Its columns.
        found: String,
    },
    /// A length where the size of voxels is not known.
    #[error("{path}: {what}. Give --voxel-size z,y,x in nm", path = path.display())]
    NoVoxelSize {
        /// The volume or table.
        path: PathBuf,
        /// What is not known, and what needs it.
        what: &'static str,
    },
    /// Meshes that a file does not hold.
    #[error("{path}: the meshes could not be written: {reason}", path = path.display())]
    MeshFile {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// A volume that is another when it is read again.
    #[error("{path}: changed while it was read; is another program writing it? Give the same command again", path = path.display())]
    Changed {
        /// The volume.
        path: PathBuf,
    },
    /// Told to stop.
    #[error("stopped")]
    Interrupted,
    /// A volume that could not be read.
    #[error(transparent)]
    Volume(Box<VolumeError>),
}

impl From<VolumeError> for AnalyzeError {
    fn from(error: VolumeError) -> Self {
        Self::Volume(Box::new(error))
    }
}

/// Values of a label volume with the number of their voxels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValueCounts {
    /// Value and voxels, by value; at most [`Self::KEPT`] of them.
    pub counts: Vec<(u32, u64)>,
    /// Whether there are further values.
    pub more: bool,
}

impl ValueCounts {
    /// How many values are counted.
    pub const KEPT: usize = 1024;
    /// How many values are shown.
    const SHOWN: usize = 12;
}

impl fmt::Display for ValueCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (value, voxels)) in self.counts.iter().take(Self::SHOWN).enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{value} ({voxels} voxels)")?;
        }
        let rest = self.counts.len().saturating_sub(Self::SHOWN);
        match (rest, self.more) {
            (0, false) => Ok(()),
            (rest, false) => write!(f, " and {rest} more"),
            (rest, true) => write!(f, " and more than {rest} more"),
        }
    }
}
