//! Exclusion zones: how far each voxel is from the border of the truth.
//!
//! Annotators disagree by a pixel or two about where an object ends, so the CDeep3M paper leaves out "every voxel within
//! n voxels of the ground truth's object borders". Here: a voxel is within n voxels of a border if a voxel of the other
//! class lies within Euclidean distance n of it, counted in voxels between their centres. Zone 0 leaves out nothing, zone
//! 1 the voxels on both sides that share an edge with the other class, zone 2 those up to two voxels away, and so on.
//! Voxels that are not annotated make no border.

use deep3m_volume::Extent;

use crate::labels::Label;

/// Widest zone that is offered.
pub(crate) const WIDEST: u32 = 64;

/// The square of each voxel's distance from the nearest voxel of the other class; `FAR` where that is more than `reach`
/// voxels away, and for ignored voxels.
///
/// Exact: squares of distances are minima of sums along rows, columns and (with `three_d`) sections.
pub(crate) fn border_distance2(labels: &[Label], extent: Extent, reach: u32, three_d: bool) -> Vec<u16> {
    assert!(reach <= WIDEST, "a zone of {reach} voxels");
    let mut out = vec![FAR; labels.len()];
    for (seen_from, target) in [(Label::Background, Label::Foreground), (Label::Foreground, Label::Background)] {
        let mut distance2 = along_rows(labels, extent.x as usize, reach, target);
        let (plane, row) = ((extent.y * extent.x) as usize, extent.x as usize);
        for section in distance2.chunks_exact_mut(plane) {
            along(section, row, reach);
        }
        if three_d {
            along(&mut distance2, plane, reach);
        }
        for ((out, d), label) in out.iter_mut().zip(distance2).zip(labels) {
            if *label == seen_from {
                *out = d;
            }
        }
    }
    let limit = (reach * reach) as u16;
    for d in &mut out {
        if *d > limit {
            *d = FAR;
        }
    }
    out
}

/// Further than any zone.
pub(crate) const FAR: u16 = u16::MAX;

/// Squares of distances along each row to the nearest voxel of the target class.
fn along_rows(labels: &[Label], width: usize, reach: u32, target: Label) -> Vec<u16> {
    let mut out = vec![FAR; labels.len()];
    let square = |steps: u32| if steps <= reach { (steps * steps) as u16 } else { FAR };
    for (out, labels) in out.chunks_exact_mut(width).zip(labels.chunks_exact(width)) {
        let mut steps = reach + 1;
        for (o, label) in out.iter_mut().zip(labels) {
            steps = if *label == target { 0 } else { (steps + 1).min(reach + 1) };
            *o = square(steps);
        }
        steps = reach + 1;
        for (o, label) in out.iter_mut().zip(labels).rev() {
            steps = if *label == target { 0 } else { (steps + 1).min(reach + 1) };
            *o = (*o).min(square(steps));
        }
    }
    out
}

/// Adds another axis, whose neighbours lie `stride` values apart: d² = min over k of (d²(at k steps) + k²).
fn along(values: &mut [u16], stride: usize, reach: u32) {
    let before = values.to_vec();
    for step in 1..=(reach as usize).min(values.len() / stride) {
        let shift = step * stride;
        let add = (step * step) as u16;
        for (v, neighbour) in values[shift..].iter_mut().zip(&before) {
            *v = (*v).min(neighbour.saturating_add(add));
        }
        for (v, neighbour) in values.iter_mut().zip(&before[shift..]) {
            *v = (*v).min(neighbour.saturating_add(add));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::Index;
    use proptest::prelude::*;

    /// The definition, word by word.
    fn by_definition(labels: &[Label], extent: Extent, reach: u32, three_d: bool) -> Vec<u16> {
        let places: Vec<(i64, i64, i64)> = (0..extent.z as i64)
            .flat_map(|z| (0..extent.y as i64).flat_map(move |y| (0..extent.x as i64).map(move |x| (z, y, x))))
            .collect();
        let offset = |p: &(i64, i64, i64)| extent.offset(Index::new(p.0 as u64, p.1 as u64, p.2 as u64));
        let nearest = |p: &(i64, i64, i64)| {
            let other = match labels[offset(p)] {
                Label::Background => Label::Foreground,
                Label::Foreground => Label::Background,
                Label::Ignored => return FAR,
            };
            places
                .iter()
                .filter(|q| labels[offset(q)] == other && (three_d || p.0 == q.0))
                .map(|q| (p.0 - q.0).pow(2) + (p.1 - q.1).pow(2) + (p.2 - q.2).pow(2))
                .filter(|d| *d <= i64::from(reach * reach))
                .min()
                .map_or(FAR, |d| d as u16)
        };
        places.iter().map(nearest).collect()
    }

    fn labels() -> impl Strategy<Value = (Extent, Vec<Label>)> {
        (1_u64..5, 1_u64..9, 1_u64..9).prop_flat_map(|(z, y, x)| {
            let label =
                prop_oneof![6 => Just(Label::Background), 2 => Just(Label::Foreground), 1 => Just(Label::Ignored)];
            (Just(Extent::new(z, y, x)), prop::collection::vec(label, (z * y * x) as usize))
        })
    }

    proptest! {
        #[test]
        fn distances_are_those_of_the_definition((extent, labels) in labels(), reach in 0_u32..6, three_d: bool) {
            prop_assert_eq!(
                border_distance2(&labels, extent, reach, three_d),
                by_definition(&labels, extent, reach, three_d)
            );
        }
    }

    #[test]
    fn zone_1_is_both_sides_of_the_border() {
        use Label::{Background as B, Foreground as F};
        let labels = [B, B, B, F, F, F, B];
        let d = border_distance2(&labels, Extent::new(1, 1, 7), 1, false);
        assert_eq!(d, [FAR, FAR, 1, 1, FAR, 1, 1]);
    }
}
