//! Where each buffer lies in one piece of memory: buffers that are never in use together may share a place.

use std::ops::Range;

use crate::aligned::LINE;

/// A buffer to place.
#[derive(Clone, Debug)]
pub(crate) struct Need {
    /// Numbers.
    pub len: usize,
    /// The first step and the last that use it.
    pub used: (usize, usize),
}

/// The place of each buffer, and how many numbers they take together. The largest is placed first, each as low as it
/// can be.
pub(crate) fn arrange(needs: &[Need]) -> (Vec<Range<usize>>, usize) {
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(needs[i].len));
    let mut places: Vec<Option<Range<usize>>> = vec![None; needs.len()];
    for i in order {
        let (first, last) = needs[i].used;
        let meets = |j: usize| needs[j].used.0 <= last && first <= needs[j].used.1;
        let mut taken: Vec<Range<usize>> =
            places.iter().enumerate().filter(|&(j, _)| meets(j)).filter_map(|(_, place)| place.clone()).collect();
        taken.sort_by_key(|place| place.start);
        let mut start = 0;
        for place in taken {
            if start + needs[i].len <= place.start {
                break;
            }
            start = start.max(place.end.next_multiple_of(LINE));
        }
        places[i] = Some(start..start + needs[i].len);
    }
    let places: Vec<Range<usize>> = places.into_iter().flatten().collect();
    let total = places.iter().map(|place| place.end).max().unwrap_or(0);
    (places, total)
}

/// One place to write and others to read. None of the others may meet the first.
pub(crate) fn carve<'a>(
    memory: &'a mut [f32],
    target: &Range<usize>,
    sources: &[Range<usize>],
) -> (&'a mut [f32], Vec<&'a [f32]>) {
    let (before, rest) = memory.split_at_mut(target.start);
    let (target_slice, after) = rest.split_at_mut(target.len());
    let (before, after): (&[f32], &[f32]) = (before, after);
    let source = |place: &Range<usize>| {
        if place.end <= target.start {
            &before[place.clone()]
        } else {
            &after[place.start - target.end..place.end - target.end]
        }
    };
    (target_slice, sources.iter().map(source).collect())
}
