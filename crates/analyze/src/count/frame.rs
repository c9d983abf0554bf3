//! Objects at the border, and the stereologist's counting frame.

use deep3m_volume::Region;
use serde::{Deserialize, Serialize};

/// An object's smallest box in voxels of the volume, from the first voxel's first face: z, y, x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) low: [f64; 3],
    pub(super) high: [f64; 3],
}

impl Span {
    /// Of a ball around a centre that counts from the first voxel's centre.
    pub(super) fn ball(centre: [f64; 3], radius: [f64; 3]) -> Self {
        let at = |sign: f64| [0, 1, 2].map(|i| centre[i] + 0.5 + sign * radius[i]);
        Self { low: at(-1.0), high: at(1.0) }
    }

    /// Whether it reaches a face of a region, or beyond.
    pub(super) fn touches(&self, region: Region) -> bool {
        let (start, end) = faces(region);
        (0..3).any(|i| self.low[i] <= start[i] || self.high[i] >= end[i])
    }
}

fn faces(region: Region) -> ([f64; 3], [f64; 3]) {
    let as_reals = |[z, y, x]: [u64; 3]| [z as f64, y as f64, x as f64];
    let (start, end) = (region.start, region.end());
    (as_reals([start.z, start.y, start.x]), as_reals([end.z, end.y, end.x]))
}

/// The counting frame of stereology (Gundersen 1977; in 3D the brick of Howard and others 1985): a box inside of what is
/// looked at. An object counts where it lies in the box or crosses its low faces, and does not where it touches the high
/// ones or what continues them: where the last voxel's end of its own smallest box lies in the frame. So
/// frames side by side count every object once, whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountingFrame {
    /// The first corner (z, y, x) in voxels, from the volume's first voxel's first face: its three faces include.
    pub low: [f64; 3],
    /// The last corner: its three faces exclude.
    pub high: [f64; 3],
}

impl CountingFrame {
    /// The box that lies so many voxels inside of a region on all sides; `None` where nothing is left.
    pub fn inside(region: Region, guard: [f64; 3]) -> Option<Self> {
        let (start, end) = faces(region);
        let frame = Self { low: [0, 1, 2].map(|i| start[i] + guard[i]), high: [0, 1, 2].map(|i| end[i] - guard[i]) };
        (0..3).all(|i| frame.low[i] < frame.high[i]).then_some(frame)
    }

    /// Its size in voxels.
    pub fn voxels(&self) -> f64 {
        (0..3).map(|i| self.high[i] - self.low[i]).product()
    }

    /// Whether an object counts.
    pub(super) fn counts(&self, span: &Span) -> bool {
        (0..3).all(|i| (self.low[i]..self.high[i]).contains(&span.high[i]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::{Extent, Index};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_side_by_side_count_each_object_once(
            centre in prop::array::uniform3(0.0_f64..50.0),
            radius in prop::array::uniform3(0.1_f64..20.0),
            cut in prop::array::uniform3(-10.0_f64..60.0),
        ) {
            let span = Span::ball(centre, radius);
            let ends = |i: usize| [f64::MIN, cut[i], f64::MAX];
            let mut counted = 0;
            for (z, y, x) in (0..2).flat_map(|z| (0..2).flat_map(move |y| (0..2).map(move |x| (z, y, x)))) {
                let corner = |by: usize| [ends(0)[z + by], ends(1)[y + by], ends(2)[x + by]];
                counted += u32::from(CountingFrame { low: corner(0), high: corner(1) }.counts(&span));
            }
            prop_assert_eq!(counted, 1);
        }
    }

    #[test]
    fn low_faces_include_and_high_faces_exclude() {
        let region = Region::new(Index::new(10, 10, 10), Extent::new(20, 20, 20));
        let frame = CountingFrame::inside(region, [2.0; 3]).unwrap();
        assert_eq!((frame.low, frame.high, frame.voxels()), ([12.0; 3], [28.0; 3], 4096.0));
        let ball = |z: f64| Span::ball([z, 19.5, 19.5], [3.0; 3]);
        // Faces at 12 and 28; a centre of 11.5 lies on the low one.
        assert!(frame.counts(&ball(11.5)) && frame.counts(&ball(9.0)) && !frame.counts(&ball(8.0)));
        assert!(frame.counts(&ball(24.0)) && !frame.counts(&ball(24.5)) && !frame.counts(&ball(27.0)));
        // In line with a high face, beside the frame.
        assert!(!frame.counts(&Span::ball([19.5, 19.5, 30.0], [3.0; 3])));
        assert!(ball(12.5).touches(region) && !ball(12.6).touches(region) && ball(26.5).touches(region));
        assert_eq!(CountingFrame::inside(region, [10.0; 3]), None);
    }
}
