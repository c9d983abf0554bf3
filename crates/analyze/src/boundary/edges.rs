//! Which voxels of a mask are its surface.

use deep3m_volume::{Extent, Index, Region, Volume};

use crate::AnalyzeError;
use crate::labels::{Label, LabelRule};
use crate::walk::{Part, surroundings};

/// The two masks that are compared.
#[derive(Clone, Copy)]
pub(super) struct Masks<'a> {
    pub(super) prediction: &'a dyn Volume,
    pub(super) truth: &'a dyn Volume,
    /// The lowest value of the prediction that is foreground.
    pub(super) level: u32,
    pub(super) rule: LabelRule,
    /// What is compared: beyond it there is no object.
    pub(super) region: Region,
}

/// Surfaces in a box: 1 at each surface voxel of the prediction, and of the truth.
pub(super) struct Edges {
    pub(super) extent: Extent,
    pub(super) prediction: Vec<u8>,
    pub(super) truth: Vec<u8>,
}

/// Bytes of a voxel while its surfaces are looked for, besides its values: two masks, two surfaces.
pub(super) const EDGE_BYTES: u64 = 4;

impl Masks<'_> {
    /// The surfaces in a part of the region.
    pub(super) fn edges(&self, part: Region) -> Result<Edges, AnalyzeError> {
        // Whether a voxel is surface, its neighbours say.
        let seen = surroundings(part, Extent::new(1, 1, 1), self.region);
        let truth = self.truth.read(seen)?;
        let labels = || truth.voxels().iter().map(|value| self.rule.label(value));
        let mut found: Vec<u8> =
            self.prediction.read(seen)?.voxels().iter().map(|value| u8::from(value >= self.level)).collect();
        for (found, label) in found.iter_mut().zip(labels()) {
            if label == Label::Ignored {
                *found = 0;
            }
        }
        let there: Vec<u8> = labels().map(|label| u8::from(label == Label::Foreground)).collect();
        drop(truth);
        let inside = Part { core: part, around: seen }.inside();
        Ok(Edges {
            extent: part.extent,
            prediction: surface(&found, seen.extent, inside),
            truth: surface(&there, seen.extent, inside),
        })
    }
}

/// The foreground voxels of a part of a box that have background, or the box's end, at one of their six faces.
fn surface(mask: &[u8], extent: Extent, part: Region) -> Vec<u8> {
    let (row, section) = (extent.x as usize, (extent.y * extent.x) as usize);
    let mut out = Vec::with_capacity(part.extent.len());
    let (first, end) = (part.start, part.end());
    for z in first.z..end.z {
        for y in first.y..end.y {
            for x in first.x..end.x {
                let at = extent.offset(Index::new(z, y, x));
                let open = |coordinate: u64, size: u64, stride: usize| {
                    coordinate == 0 || coordinate + 1 == size || mask[at - stride] == 0 || mask[at + stride] == 0
                };
                let edge =
                    mask[at] != 0 && (open(z, extent.z, section) || open(y, extent.y, row) || open(x, extent.x, 1));
                out.push(u8::from(edge));
            }
        }
    }
    out
}
