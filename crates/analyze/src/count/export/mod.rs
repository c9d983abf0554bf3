//! Objects for the eye: as points of IMOD, annotations of Neuroglancer, circles on pictures.

mod imod;
mod neuroglancer;
mod overlay;

pub use imod::imod_points;
pub use neuroglancer::neuroglancer_state;
pub use overlay::write_overlay;
