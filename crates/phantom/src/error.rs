//! What can go wrong when a phantom is made.

use deep3m_volume::{Extent, Place, Region, VolumeError};

/// Why a phantom could not be made or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PhantomError {
    /// A setting out of its range.
    #[error("phantom setting {name} is {found}; expected {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// Its range.
        expected: &'static str,
    },
    /// A region that sticks out of the phantom.
    #[error("region {region} is outside the phantom of {shape}")]
    OutOfBounds {
        /// What was asked for.
        region: Region,
        /// The phantom's size.
        shape: Extent,
    },
    /// Something lies where the phantom should go.
    #[error("{place}: already exists; choose another folder, or give --overwrite to replace it")]
    Exists {
        /// What is in the way.
        place: Place,
    },
    /// A volume that could not be written.
    #[error(transparent)]
    Volume(Box<VolumeError>),
}

impl From<VolumeError> for PhantomError {
    fn from(error: VolumeError) -> Self {
        Self::Volume(Box::new(error))
    }
}
