//! What blocks share with the blocks behind them, which joins their objects.

use super::forest::Forest;
use super::grid::Place;

/// The objects of a block where other blocks hold the same voxels: along z, y and x, in an order that both agree on. Empty at
/// the volume's border.
#[derive(Debug)]
pub(crate) struct Overlap {
    /// In what the blocks before it hold, too.
    pub(crate) low: [Vec<u32>; 3],
    /// In what the blocks behind it hold, too.
    pub(crate) high: [Vec<u32>; 3],
}

/// The faces that wait for the blocks behind them.
#[derive(Debug, Default)]
pub(crate) struct Faces {
    /// The last block's.
    x: Vec<u32>,
    /// Those of the last blocks of each column.
    y: Vec<Vec<u32>>,
    /// Those of the last layer.
    z: Vec<Vec<u32>>,
}

impl Faces {
    /// Joins the objects of the next block, which are numbered from `base` on, with those before it; false where they do not go
    /// together.
    pub(crate) fn join(&mut self, place: Place, overlap: Overlap, base: u32, forest: &mut Forest) -> bool {
        if self.y.len() <= place.column {
            self.y.resize(place.columns, Vec::new());
        }
        if self.z.len() <= place.in_layer() {
            self.z.resize(place.in_layer() + 1, Vec::new());
        }
        let [low_z, low_y, low_x] = overlap.low;
        for (before, low) in [
            (std::mem::take(&mut self.z[place.in_layer()]), low_z),
            (std::mem::take(&mut self.y[place.column]), low_y),
            (std::mem::take(&mut self.x), low_x),
        ] {
            if before.len() != low.len() {
                return false;
            }
            for (a, b) in before.into_iter().zip(low) {
                forest.join(a, base + b);
            }
        }
        let [z, y, x] = overlap.high.map(|face| face.into_iter().map(|object| base + object).collect());
        (self.z[place.in_layer()], self.y[place.column], self.x) = (z, y, x);
        true
    }
}
