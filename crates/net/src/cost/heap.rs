//! What an allocator takes from the system for a sequence of allocations: more than is in use, for what is given back in
//! the wrong order leaves gaps.
//!
//! The model is that of glibc's malloc for one thread (best fit, gaps joined, what is large mapped by itself), after
//! `malloc/malloc.c`: a request of the threshold or more is mapped by itself; when such a piece is given back, the
//! threshold rises to its size, up to 32 MiB; what is free at the heap's end goes back to the system when it is twice the
//! threshold. A network gives its blobs back in another order than it took them, so this matters: a third on top for
//! small blocks, nothing for large ones. Other allocators leave gaps too; for them the model is an estimate.

/// The first threshold from which a request is mapped by itself.
const FIRST_THRESHOLD: u64 = 128 << 10;
/// The highest that it rises to.
const HIGHEST_THRESHOLD: u64 = 32 << 20;
/// What the heap grows by beyond what is needed.
const PAD: u64 = 128 << 10;
const PAGE: u64 = 4096;

/// A heap that is only reckoned with.
#[derive(Clone, Debug)]
pub struct Heap {
    threshold: u64,
    /// The end of what is in use, and of what the system gave.
    top: u64,
    end: u64,
    /// Gaps: start and length, in order of their starts.
    gaps: Vec<(u64, u64)>,
    mapped: u64,
    live: u64,
    peak_live: u64,
    peak: u64,
    slots: Vec<Piece>,
    unused: Vec<usize>,
}

/// An allocation in a [`Heap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(usize);

#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Where it lies; `None`: mapped by itself.
    start: Option<u64>,
    length: u64,
    bytes: u64,
    holders: u32,
}

impl Default for Heap {
    fn default() -> Self {
        Self {
            threshold: FIRST_THRESHOLD,
            top: 0,
            end: 0,
            gaps: Vec::new(),
            mapped: 0,
            live: 0,
            peak_live: 0,
            peak: 0,
            slots: Vec::new(),
            unused: Vec::new(),
        }
    }
}

impl Heap {
    /// Takes `bytes`, with one holder.
    pub fn take(&mut self, bytes: u64) -> Slot {
        let mut length = (bytes.saturating_add(8)).next_multiple_of(16).max(32);
        let best = self.gaps.iter().enumerate().filter(|(_, (_, gap))| *gap >= length).min_by_key(|(_, (_, gap))| *gap);
        let start = if let Some((at, &(start, gap))) = best {
            if gap - length >= 32 {
                self.gaps[at] = (start + length, gap - length);
            } else {
                // What is left is too small for a gap: it goes with the piece.
                length = gap;
                self.gaps.remove(at);
            }
            Some(start)
        } else if self.end - self.top > length || length < self.threshold {
            let start = self.top;
            self.top += length;
            if self.top >= self.end {
                self.end = (self.top + PAD).next_multiple_of(PAGE);
            }
            Some(start)
        } else {
            None
        };
        let length = if start.is_none() { length.next_multiple_of(PAGE) } else { length };
        if start.is_none() {
            self.mapped += length;
        }
        self.live += bytes;
        self.peak_live = self.peak_live.max(self.live);
        self.peak = self.peak.max(self.held());
        let piece = Piece { start, length, bytes, holders: 1 };
        if let Some(at) = self.unused.pop() {
            self.slots[at] = piece;
            Slot(at)
        } else {
            self.slots.push(piece);
            Slot(self.slots.len() - 1)
        }
    }

    /// Takes room for so many 32-bit numbers.
    pub fn floats(&mut self, count: usize) -> Slot {
        self.take(4 * count as u64)
    }

    /// One more holder of an allocation.
    pub fn share(&mut self, slot: Slot) -> Slot {
        self.slots[slot.0].holders += 1;
        slot
    }

    /// One holder fewer; the last one gives the allocation back.
    pub fn give(&mut self, slot: Slot) {
        let piece = &mut self.slots[slot.0];
        piece.holders -= 1;
        if piece.holders > 0 {
            return;
        }
        let piece = *piece;
        self.unused.push(slot.0);
        self.live -= piece.bytes;
        let Some(start) = piece.start else {
            self.mapped -= piece.length;
            if piece.length <= HIGHEST_THRESHOLD {
                self.threshold = self.threshold.max(piece.length);
            }
            return;
        };
        let (mut first, mut last) = (start, start + piece.length);
        let at = self.gaps.partition_point(|&(gap, _)| gap < start);
        let (mut from, mut to) = (at, at);
        if at > 0 && self.gaps[at - 1].0 + self.gaps[at - 1].1 == first {
            from -= 1;
            first = self.gaps[from].0;
        }
        if self.gaps.get(at).is_some_and(|&(gap, _)| gap == last) {
            last += self.gaps[at].1;
            to += 1;
        }
        if last < self.top {
            self.gaps.splice(from..to, [(first, last - first)]);
            return;
        }
        self.gaps.drain(from..to);
        self.top = first;
        if self.end - self.top >= 2 * self.threshold {
            self.end = (self.top + PAD).next_multiple_of(PAGE);
        }
    }

    /// Gives back all of these.
    pub fn give_all(&mut self, slots: impl IntoIterator<Item = Slot>) {
        slots.into_iter().for_each(|slot| self.give(slot));
    }

    /// Bytes that are held from the system now.
    pub const fn held(&self) -> u64 {
        self.end + self.mapped
    }

    /// Bytes that are in use now.
    pub const fn live(&self) -> u64 {
        self.live
    }

    /// The most bytes that were in use at a time.
    pub const fn peak_live(&self) -> u64 {
        self.peak_live
    }

    /// The most bytes that were held from the system at a time.
    pub const fn peak(&self) -> u64 {
        self.peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn a_gap_is_used_again_and_the_end_goes_back() {
        let mut heap = Heap::default();
        // Mapped by itself, and with that the threshold is 2 MB.
        let first = heap.take(2 * MB);
        assert!(heap.held() >= 2 * MB && heap.top == 0);
        heap.give(first);
        assert_eq!(heap.held(), 0);
        let slots: Vec<Slot> = (0..4).map(|_| heap.take(MB)).collect();
        heap.give(slots[1]);
        let held = heap.held();
        let small = heap.take(MB / 2);
        assert_eq!(heap.held(), held, "into the gap");
        heap.give_all([slots[3], slots[2], small]);
        assert_eq!(heap.held(), held, "less than twice the threshold stays");
        heap.give(slots[0]);
        assert!(heap.held() < MB && heap.live() == 0, "{heap:?}");
    }

    #[test]
    fn the_order_of_giving_back_makes_gaps() {
        let mut heap = Heap::default();
        let threshold = heap.take(16 * MB);
        heap.give(threshold);
        let slots: Vec<Slot> = (0..8).map(|_| heap.take(MB)).collect();
        heap.give_all(slots.iter().step_by(2).copied());
        // Four gaps of 1 MB hold nothing of 2 MB.
        heap.take(2 * MB);
        assert!(heap.held() > 10 * MB && heap.live() == 6 * MB, "{heap:?}");
        assert!(heap.peak() >= heap.held() && heap.peak_live() == 16 * MB);
    }

    #[test]
    fn what_is_shared_goes_with_its_last_holder() {
        let mut heap = Heap::default();
        let slot = heap.take(100);
        heap.share(slot);
        heap.give(slot);
        assert_eq!(heap.live(), 100);
        heap.give(slot);
        assert_eq!(heap.live(), 0);
    }

    proptest! {
        #[test]
        fn pieces_and_gaps_never_overlap(steps in prop::collection::vec((0_u64..400_000, any::<prop::sample::Index>()), 1..60)) {
            let mut heap = Heap::default();
            let mut slots: Vec<Slot> = Vec::new();
            for (bytes, which) in steps {
                if bytes % 3 == 0 && !slots.is_empty() {
                    heap.give(slots.swap_remove(which.index(slots.len())));
                } else {
                    slots.push(heap.take(bytes));
                }
                let held = slots.iter().map(|slot| heap.slots[slot.0]);
                let mut spans: Vec<(u64, u64)> = held.filter_map(|p| Some((p.start?, p.length))).chain(heap.gaps.iter().copied()).collect();
                spans.sort_unstable();
                let mut at = 0;
                for (start, length) in spans {
                    prop_assert_eq!(start, at, "neither overlap nor a hole");
                    at += length;
                }
                prop_assert_eq!(at, heap.top);
                prop_assert!(heap.top <= heap.end && heap.live() <= heap.held() && heap.held() <= heap.peak());
            }
        }
    }
}
