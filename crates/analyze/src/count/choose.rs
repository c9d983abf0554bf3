//! Which candidates are objects of their own.

use std::collections::HashMap;

use super::candidate::Candidate;
use super::scale::Scale;

/// Nearer than this, in diameters, two candidates are one object.
const APART: f64 = 0.7;

/// The candidates that no better one lies near, by their fitted centres: the one that explains most first. Of equal ones
/// the first in the volume stays, so the order in which they come does not matter.
///
/// The maxima of an object in two sections have one fitted centre; two objects on top of each other have two.
pub(super) fn choose(mut candidates: Vec<Candidate>, scale: &Scale) -> Vec<Candidate> {
    let (pitch, apart) = (scale.pitch(), APART * scale.diameter);
    candidates.sort_unstable_by(|a, b| b.gain.total_cmp(&a.gain).then(a.voxel.cmp(&b.voxel)));
    let place = |c: &Candidate| [0, 1, 2].map(|i| c.centre[i] * pitch[i]);
    let mut cells: HashMap<[i64; 3], Vec<usize>> = HashMap::new();
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        let at = place(&candidate);
        let cell = at.map(|v| (v / apart).floor() as i64);
        let near = |i: &usize| {
            let other = place(&kept[*i]);
            (0..3).map(|i| (at[i] - other[i]) * (at[i] - other[i])).sum::<f64>() < apart * apart
        };
        let around = (-1..=1).flat_map(|z| (-1..=1).flat_map(move |y| (-1..=1).map(move |x| [z, y, x])));
        let taken = around
            .filter_map(|by: [i64; 3]| cells.get(&[cell[0] + by[0], cell[1] + by[1], cell[2] + by[2]]))
            .any(|cell| cell.iter().any(near));
        if !taken {
            cells.entry(cell).or_default().push(kept.len());
            kept.push(candidate);
        }
    }
    kept.sort_unstable_by(|a, b| {
        let order = |i: usize| a.centre[i].total_cmp(&b.centre[i]);
        order(0).then(order(1)).then(order(2)).then(a.voxel.cmp(&b.voxel))
    });
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::{Extent, VoxelSize};
    use proptest::prelude::*;

    fn candidate((z, y, x, gain): (u64, u64, u64, u8)) -> Candidate {
        let voxel = [z, y, x];
        let centre = voxel.map(|v| v as f64);
        Candidate { voxel, centre, gain: f32::from(gain), share: 1.0, radius: 5.0, section: z }
    }

    proptest! {
        #[test]
        fn no_two_are_near_none_is_missing_and_the_order_does_not_matter(
            places in prop::collection::btree_map((0_u64..12, 0_u64..40, 0_u64..40), 0_u8..6, 0..120),
        ) {
            let scale = Scale::new(40.0, VoxelSize::new(30.0, 8.0, 8.0).unwrap(), Extent::new(90, 90, 90)).unwrap();
            let mut all: Vec<_> = places.into_iter().map(|((z, y, x), g)| candidate((z, y, x, g))).collect();
            let kept = choose(all.clone(), &scale);
            all.reverse();
            prop_assert_eq!(&choose(all.clone(), &scale), &kept);
            let distance = |a: &Candidate, b: &Candidate| {
                [30.0, 8.0, 8.0].iter().enumerate().map(|(i, p)| ((a.centre[i] - b.centre[i]) * p).powi(2)).sum::<f64>().sqrt()
            };
            for (i, a) in kept.iter().enumerate() {
                prop_assert!(kept[i + 1..].iter().all(|b| distance(a, b) >= 28.0));
            }
            for a in &all {
                prop_assert!(kept.iter().any(|b| b.gain >= a.gain && distance(a, b) < 28.0));
            }
        }
    }
}
