//! MRC, the format of IMOD and of electron tomography (`.mrc`, `.rec`, `.st`, `.map`, `.ali`).
//!
//! Read: modes 0 (8 bits), 1 (16 bits with sign), 2 (32-bit floating point), 6 (16 bits) and 12 (16-bit floating point,
//! as 32), either byte order, behind extended headers. Written: MRC2014, modes 1, 2 and 6.
//!
//! Bytes (mode 0) have a sign in MRC2014, and have none in IMOD unless its header says so. Programs do not agree on them
//! (mrcfile reads all as signed), so 8-bit voxels are written as mode 6, whose meaning is one.
//!
//! Rows keep their order: the first row of the file is row 0, as in mrcfile. (IMOD draws it at the bottom.)
//!
//! Sources: <https://www.ccpem.ac.uk/mrc_format/mrc2014.php>, <https://bio3d.colorado.edu/imod/doc/mrc_format.txt>.

mod header;
mod read;
mod write;

pub(crate) use read::open;
pub use write::MrcWriter;
