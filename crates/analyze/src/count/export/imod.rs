//! Points for IMOD.

use std::fmt::Write as _;

use crate::count::RoundObjects;

/// The centres of the objects that count as IMOD's `point2model` reads them: a line for each, with object and contour number, x, y, z.
/// Object 1 holds those inside, object 2 those that touch the border, each object its contour.
///
/// IMOD counts x and y from a pixel's corner and z from a section's middle; row 0 is the one stored first, at the bottom
/// of its window.
pub fn imod_points(found: &RoundObjects) -> String {
    let mut text = String::new();
    for (number, border) in [(1, false), (2, true)] {
        for (i, object) in found.counted().filter(|o| o.touches_border == border).enumerate() {
            // Writing into a text cannot fail.
            let _ = writeln!(text, "{number} {} {:.3} {:.3} {:.3}", i + 1, object.x + 0.5, object.y + 0.5, object.z);
        }
    }
    text
}
