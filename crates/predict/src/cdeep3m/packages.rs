//! Where the reference's packages lie, and what of each is seen and kept.
//!
//! Source: `break_large_img.m`, `imageimporter_large.m`, `crop_png.py` and `Merge_LargeData.m` of CDeep3M 1.6. Rows and
//! columns follow the same rule, so a package is two [`Axis`]es. The reference's slips are kept, for they show in its
//! results:
//! - slices of a folder are cut one row and one column short (a half-open range where a closed one was meant); the
//!   missing ones are mirrored;
//! - an axis of at most 1024 pixels beside a longer one starts at its second pixel, and its first 13 stay empty (0);
//! - 1013 pixels of a folder's slices are padded in front, but not cut there: they come out shifted by 12.

use std::ops::Range;

/// Height and width that the network sees.
pub(crate) const PATCH: usize = 1024;
/// Pixels by which packages overlap, and that are mirrored at the border.
const OVERLAP: u64 = 12;
/// From one package to the next.
const STEP: u64 = 1000;
/// Sections of a block.
const SECTIONS: u64 = 100;
/// The fewest sections of a last block.
const FEWEST: u64 = 5;

/// The smallest volume that the reference can mirror: sections, rows and columns.
pub(crate) const LEAST: (u64, u64) = (3, 14);

/// A package along one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    /// Pixels of the image that are read.
    pub(crate) read: Range<u64>,
    /// For each of the patch's 1024 pixels which of those read stands there, counted from the first; `None`: zero.
    pub(crate) source: Vec<Option<usize>>,
    /// Pixels of the image that this package's result is kept for.
    pub(crate) kept: Range<u64>,
    /// Where in the patch the first of them stands.
    pub(crate) at: usize,
}

/// How the reference reads images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// A folder of slices: one pixel short.
    Folder,
    /// A stack: whole.
    Stack,
}

/// The packages along one axis of `size` pixels; `alone` where the other axis has only one as well.
pub(crate) fn along(size: u64, alone: bool, reading: Reading) -> Vec<Axis> {
    let single = size <= PATCH as u64;
    if single && alone {
        let read = 0..short(size, reading);
        let front = read.end <= STEP + OVERLAP;
        // Whether the result is cut there depends on the size before it was cut short.
        let at = if size <= STEP + OVERLAP { OVERLAP as usize } else { 0 };
        return vec![Axis { source: source(read.end as usize, front), read, kept: 0..size, at }];
    }
    let breaks: Vec<u64> = if single {
        vec![1, size]
    } else {
        (0..=size / STEP).map(|i| i * STEP).chain((!size.is_multiple_of(STEP)).then_some(size)).collect()
    };
    let packages = breaks.len() - 1;
    let mut axes: Vec<Axis> = Vec::with_capacity(packages);
    for i in 0..packages {
        // First and last pixel, counted from 1 as in the source.
        let first = if i == 0 { breaks[0] + 1 } else { breaks[i] + 1 - OVERLAP };
        let last = if i + 1 == packages { breaks[i + 1] } else { breaks[i + 1] + OVERLAP };
        let read = first - 1..short(last, reading).min(size);
        let length = (read.end - read.start) as usize;
        let kept_first = if first == 1 { 1 } else { first + OVERLAP };
        let kept_last = if last == size { size } else { (last - OVERLAP).min(size) };
        let front = first == 1 && length as u64 <= STEP + OVERLAP;
        axes.push(Axis { source: source(length, front), read, kept: kept_first - 1..kept_last, at: OVERLAP as usize });
    }
    // A later package is written over an earlier one.
    for i in 1..packages {
        let start = axes[i].kept.start;
        axes[i - 1].kept.end = axes[i - 1].kept.end.min(start);
    }
    axes
}

fn short(end: u64, reading: Reading) -> u64 {
    if reading == Reading::Folder { end - 1 } else { end }
}

/// What stands in a patch: 12 mirrored pixels in front where `front`, the pixels read, up to 12 mirrored behind, zeros.
fn source(length: usize, front: bool) -> Vec<Option<usize>> {
    let overlap = OVERLAP as usize;
    let mut pixels: Vec<usize> = if front { (1..=overlap.min(length - 1)).rev().collect() } else { Vec::new() };
    pixels.extend(0..length);
    let size = pixels.len();
    let behind = (PATCH.saturating_sub(size)).min(overlap).min(size - 1);
    let mirrored: Vec<usize> = (size - 1 - behind..size - 1).rev().map(|i| pixels[i]).collect();
    pixels.extend(mirrored);
    let mut patch: Vec<Option<usize>> = pixels.into_iter().map(Some).collect();
    patch.resize(PATCH.max(patch.len()), None);
    patch
}

/// Blocks of sections: about 100 each; a last one of fewer than 5 joins its neighbour.
pub(crate) fn z_blocks(depth: u64) -> Vec<Range<u64>> {
    if depth <= SECTIONS {
        return std::iter::once(0..depth).collect();
    }
    let mut breaks: Vec<u64> = (1..=depth).step_by(SECTIONS as usize).collect();
    if breaks.last() != Some(&depth) {
        breaks.push(depth);
    }
    if let [.., before, last] = breaks[..]
        && last < before + FEWEST
    {
        breaks.remove(breaks.len() - 2);
    }
    let start = |i: usize| if i == 0 { 0 } else { breaks[i] };
    (0..breaks.len() - 1).map(|i| start(i)..breaks[i + 1]).collect()
}

/// The section of a block that stands `offset` sections beside section `z`: mirrored at the block's ends, for the
/// reference knows nothing beyond its block.
pub(crate) fn mirrored_in(block: &Range<u64>, z: u64, offset: i64) -> u64 {
    let (first, last) = (block.start as i64, block.end as i64 - 1);
    let mut at = z as i64 + offset;
    if at < first {
        at = 2 * first - at;
    }
    if at > last {
        at = 2 * last - at;
    }
    at.clamp(first, last) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the patch shows where the result for pixel `kept` of the image is taken.
    fn shown(axis: &Axis, kept: u64) -> Option<u64> {
        let at = axis.at + (kept - axis.kept.start) as usize;
        axis.source[at].map(|i| axis.read.start + i as u64)
    }

    #[test]
    fn one_package_is_mirrored_by_12_and_filled_with_zeros() {
        let axis = &along(100, true, Reading::Stack)[0];
        assert_eq!((axis.read.clone(), axis.kept.clone(), axis.at), (0..100, 0..100, 12));
        assert_eq!(axis.source[..13], [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0].map(Some));
        assert_eq!(axis.source[111..115], [Some(99), Some(98), Some(97), Some(96)]);
        assert_eq!((axis.source[123], axis.source[124], axis.source.len()), (Some(87), None, 1024));
        // A folder's slices lose their last row, which is mirrored.
        let axis = &along(100, true, Reading::Folder)[0];
        assert_eq!(axis.read, 0..99);
        assert_eq!((shown(axis, 98), shown(axis, 99)), (Some(98), Some(97)));
    }

    #[test]
    fn the_published_test_stack_is_one_package_without_padding_in_front() {
        let axis = &along(1024, true, Reading::Folder)[0];
        assert_eq!(
            (axis.at, axis.source[0], axis.source[1022], axis.source[1023]),
            (0, Some(0), Some(1022), Some(1021))
        );
        let axis = &along(1024, true, Reading::Stack)[0];
        assert!(axis.source.iter().enumerate().all(|(i, s)| *s == Some(i)));
    }

    #[test]
    fn long_axes_have_packages_of_1000_with_12_on_each_side() {
        let axes = along(2400, false, Reading::Stack);
        assert_eq!(axes.iter().map(|a| a.read.clone()).collect::<Vec<_>>(), [0..1012, 988..2012, 1988..2400]);
        assert_eq!(axes.iter().map(|a| a.kept.clone()).collect::<Vec<_>>(), [0..1000, 1000..2000, 2000..2400]);
        assert_eq!((axes[0].source[0], axes[0].source[12], axes[0].source[1023]), (Some(12), Some(0), Some(1011)));
        assert_eq!((axes[1].source[0], axes[1].source[1023]), (Some(0), Some(1023)));
        assert_eq!((axes[2].source[411], axes[2].source[412], axes[2].source[424]), (Some(411), Some(410), None));
    }

    #[test]
    fn a_short_axis_beside_a_long_one_starts_late() {
        let axis = &along(600, false, Reading::Stack)[0];
        assert_eq!((axis.read.clone(), axis.kept.clone()), (1..600, 13..600));
        assert_eq!(shown(axis, 13), Some(13));
    }

    #[test]
    fn blocks_of_sections() {
        // 101 to 105: up to four sections more join their neighbour.
        for depth in [7, 100, 101, 105] {
            assert!(z_blocks(depth).iter().eq(std::iter::once(&(0..depth))), "{depth}");
        }
        assert_eq!(z_blocks(106), [0..101, 101..106]);
        assert_eq!(z_blocks(250), [0..101, 101..201, 201..250]);
        assert_eq!(z_blocks(203), [0..101, 101..203]);
        assert_eq!([-2, -1, 0, 1].map(|o| mirrored_in(&(101..106), 101, o)), [103, 102, 101, 102]);
        assert_eq!([1, 2].map(|o| mirrored_in(&(101..106), 105, o)), [104, 103]);
    }

    proptest! {
        #[test]
        fn every_pixel_is_kept_once_and_is_its_own(size in 14_u64..4100, alone: bool, folder: bool) {
            let reading = if folder { Reading::Folder } else { Reading::Stack };
            let axes = along(size, alone, reading);
            let late = size <= PATCH as u64 && !alone;
            let mut next = if late { 13 } else { 0 };
            for axis in &axes {
                prop_assert_eq!(axis.kept.start, next);
                next = axis.kept.end;
                prop_assert_eq!(axis.source.len(), PATCH);
                prop_assert!(axis.source.iter().flatten().all(|&i| (i as u64) < axis.read.end - axis.read.start));
                prop_assert!(axis.read.end <= size);
                prop_assert!(axis.at + (axis.kept.end.saturating_sub(axis.kept.start)) as usize <= PATCH);
                let shifted = alone && folder && size == 1013;
                for pixel in axis.kept.clone() {
                    let mirrored = folder && pixel + 1 == size;
                    prop_assert!(mirrored || shifted || shown(axis, pixel) == Some(pixel), "{} of {}", pixel, size);
                }
            }
            prop_assert_eq!(next, size);
        }

        #[test]
        fn every_section_is_in_one_block(depth in 1_u64..1000) {
            let blocks = z_blocks(depth);
            let all: Vec<u64> = blocks.iter().flat_map(Clone::clone).collect();
            prop_assert!(all.iter().copied().eq(0..depth));
            prop_assert!(blocks.iter().skip(1).all(|b| b.end - b.start >= FEWEST));
        }
    }
}
