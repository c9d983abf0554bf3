//! TIFF: stacks with a page per section, and single slices of a folder.
//!
//! Read: classic and BigTIFF of either byte order; strips and tiles; none, LZW, Deflate, PackBits and Zstandard
//! compression, with the horizontal predictor; 1 to 32 bits. Voxel sizes from ImageJ's description and OME-XML. Written:
//! Deflate-compressed strips with ImageJ's description.

mod chunk;
mod description;
mod directory;
mod page;
mod stack;
mod write;

pub(super) use page::Page;
use stack::full_size;
pub(crate) use stack::open_stack;
pub use write::StackWriter;
pub(super) use write::encode_section;

/// A palette stands for grey values only if it does so in every slice; else its places are labels.
pub(super) fn agree_on_palettes<'a>(pages: impl Iterator<Item = &'a mut Page>) {
    page::agree(pages.map(|page| &mut page.chunks));
}
