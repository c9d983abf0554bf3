//! Deep3M.
fn main() {}
