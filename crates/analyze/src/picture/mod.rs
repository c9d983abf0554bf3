//! Pictures of a section: raw image, segmentation over it, where it agrees with the truth.

mod canvas;
mod draw;
mod section;

pub use canvas::{Picture, Rgb};
pub use draw::{Style, palette};
pub use section::{SectionView, Sources, read_section};
pub(crate) use section::{grey_section, nearest};
