//! The best one-to-one assignment where few pairs are possible.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What it costs to leave one without a partner: more than all distances together.
const ALONE: i128 = 1 << 100;
/// The longest possible distance, in the units of costs.
pub(super) const LONGEST: u64 = 1 << 52;

/// Which partner on the right each on the left gets, and what it may cost, at most [`LONGEST`].
pub(super) struct Possible {
    /// For each on the left, partners on the right with their costs.
    pub(super) pairs: Vec<Vec<(u32, u64)>>,
    /// How many there are on the right.
    pub(super) right: usize,
}

impl Possible {
    /// As many pairs as can be, and of all ways to pair so many, one whose costs are the least together. For each on the left its
    /// partner. `progress` hears each of them; with a false it ends, and there is no result.
    ///
    /// One after another is joined by the cheapest path that changes partners of those before (Jonker and Volgenant, Computing
    /// 38, 1987; found by Dijkstra's way with potentials). Paths go along possible pairs only, so groups that lie apart never
    /// meet. Costs are whole numbers: nothing is rounded.
    pub(super) fn best(&self, progress: &mut dyn FnMut(u64) -> bool) -> Option<Vec<Option<u32>>> {
        let left = self.pairs.len();
        let mut state = State {
            possible: self,
            partner: vec![None; left],
            owner: vec![None; self.right],
            left_potential: vec![0; left],
            right_potential: vec![0; self.right],
            ways: vec![None; self.right],
        };
        for start in 0..left {
            state.join(start);
            if !progress(1) {
                return None;
            }
        }
        Some(state.partner)
    }
}

/// The cheapest way to one on the right that is known so far.
#[derive(Clone, Copy)]
struct Way {
    cost: i128,
    /// From where on the left.
    from: usize,
    /// Whether there is no cheaper one.
    sure: bool,
}

struct State<'a> {
    possible: &'a Possible,
    partner: Vec<Option<u32>>,
    owner: Vec<Option<usize>>,
    left_potential: Vec<i128>,
    right_potential: Vec<i128>,
    ways: Vec<Option<Way>>,
}

/// Where a path ends.
#[derive(Clone, Copy)]
enum End {
    /// At one on the right that was free.
    Free(u32),
    /// At one on the left that stays alone.
    Alone(usize),
}

impl State<'_> {
    /// Adds one on the left.
    fn join(&mut self, start: usize) {
        let mut heap = BinaryHeap::new();
        // Those on the left that were reached with the cost so far, those on the right with a way.
        let (mut reached, mut touched) = (Vec::new(), Vec::new());
        let (mut at, mut cost) = (start, 0);
        let mut alone: Option<(i128, usize)> = None;
        let end = loop {
            reached.push((at, cost));
            let give_up = cost + ALONE - self.left_potential[at];
            if alone.is_none_or(|(least, _)| give_up < least) {
                alone = Some((give_up, at));
            }
            for &(right, price) in &self.possible.pairs[at] {
                let r = right as usize;
                let there = cost + i128::from(price) - self.left_potential[at] - self.right_potential[r];
                let known = self.ways[r];
                if known.is_none_or(|way| !way.sure && there < way.cost) {
                    if known.is_none() {
                        touched.push(r);
                    }
                    self.ways[r] = Some(Way { cost: there, from: at, sure: false });
                    heap.push(Reverse((there, right)));
                }
            }
            let Some(next) = self.next(&mut heap) else { break alone.map(|(_, left)| End::Alone(left)) };
            if alone.is_some_and(|(least, _)| least <= next.0) {
                break alone.map(|(_, left)| End::Alone(left));
            }
            if let Some(way) = &mut self.ways[next.1 as usize] {
                way.sure = true;
            }
            cost = next.0;
            match self.owner[next.1 as usize] {
                None => break Some(End::Free(next.1)),
                Some(owner) => at = owner,
            }
        };
        let Some(end) = end else { return };
        if let (End::Alone(_), Some((least, _))) = (end, alone) {
            cost = least;
        }
        for &(left, before) in &reached {
            self.left_potential[left] += cost - before;
        }
        for &right in &touched {
            if let Some(way) = self.ways[right].filter(|way| way.sure) {
                self.right_potential[right] -= cost - way.cost;
            }
        }
        self.change(start, end);
        for right in touched {
            self.ways[right] = None;
        }
    }

    /// The nearest on the right whose way is not sure yet.
    fn next(&self, heap: &mut BinaryHeap<Reverse<(i128, u32)>>) -> Option<(i128, u32)> {
        while let Some(Reverse((cost, right))) = heap.pop() {
            if self.ways[right as usize].is_some_and(|way| !way.sure && way.cost == cost) {
                return Some((cost, right));
            }
        }
        None
    }

    /// Changes partners along the path back from its end.
    fn change(&mut self, start: usize, end: End) {
        let mut free = match end {
            End::Free(right) => Some(right),
            End::Alone(left) => {
                let given = self.partner[left].take();
                if left == start {
                    return;
                }
                given
            }
        };
        while let Some(right) = free {
            let Some(way) = self.ways[right as usize] else { return };
            free = self.partner[way.from].replace(right);
            self.owner[right as usize] = Some(way.from);
            if way.from == start {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The most pairs, and their least cost: every way is tried.
    fn by_trying(pairs: &[Vec<(u32, u64)>], taken: &mut Vec<u32>) -> (usize, u64) {
        let Some((first, rest)) = pairs.split_first() else { return (0, 0) };
        let mut best = by_trying(rest, taken);
        for &(right, cost) in first {
            if !taken.contains(&right) {
                taken.push(right);
                let (more, with) = by_trying(rest, taken);
                taken.pop();
                let now = (more + 1, with + cost);
                if now.0 > best.0 || (now.0 == best.0 && now.1 < best.1) {
                    best = now;
                }
            }
        }
        best
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn it_is_the_best_of_all(
            costs in prop::collection::vec(prop::collection::vec(prop::option::weighted(0.5, 0_u64..12), 5), 0..7),
        ) {
            let pairs: Vec<Vec<(u32, u64)>> = costs
                .iter()
                .map(|row| row.iter().zip(0..).filter_map(|(cost, right)| cost.map(|cost| (right, cost))).collect())
                .collect();
            let possible = Possible { pairs: pairs.clone(), right: 5 };
            let partners = possible.best(&mut |_| true).unwrap();
            let (mut count, mut sum, mut taken) = (0, 0, Vec::new());
            for (left, right) in partners.iter().enumerate() {
                if let Some(right) = right {
                    prop_assert!(!taken.contains(right));
                    taken.push(*right);
                    count += 1;
                    sum += pairs[left].iter().find(|pair| pair.0 == *right).unwrap().1;
                }
            }
            prop_assert_eq!((count, sum), by_trying(&pairs, &mut Vec::new()));
        }
    }
}
