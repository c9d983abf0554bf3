//! Resolution levels: what a viewer shows of a volume that is too large to show whole.
//!
//! [`levels`] says which levels a volume gets, [`create_levels`] starts them all, [`write_level`] makes one from the
//! level before it, in bounded memory, going on where it was.

mod plan;
mod reduce;
mod store;
mod write;

pub use plan::{Level, levels};
pub use reduce::Reduce;
pub use store::{create_levels, open_level, reopen_levels};
pub use write::write_level;
