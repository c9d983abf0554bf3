//! Decoded pieces of a volume (sections, strips, tiles, chunks), the most recently used kept within a budget.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Block;

/// Keeps decoded pieces, shared by all threads; the least recently used give way first.
///
/// No lock is held while a piece is decoded. Two threads that miss the same piece at once both decode it; that costs
/// less than it sounds, and a decoder may itself use the thread pool.
#[derive(Debug)]
pub(crate) struct Cache {
    budget: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pieces: HashMap<u64, (Arc<Block>, u64)>,
    /// Key by time of last use.
    order: BTreeMap<u64, u64>,
    clock: u64,
    bytes: usize,
}

impl Cache {
    /// A cache of at most `budget` bytes of voxels.
    pub(crate) fn new(budget: usize) -> Self {
        Self { budget, state: Mutex::default() }
    }

    /// Whether a piece of this size is kept at all.
    pub(crate) fn takes(&self, bytes: u64) -> bool {
        bytes <= self.budget as u64
    }

    /// The piece, if it is here.
    pub(crate) fn get(&self, key: u64) -> Option<Arc<Block>> {
        let mut state = self.lock();
        let state = &mut *state;
        let (piece, used) = state.pieces.get_mut(&key)?;
        state.order.remove(used);
        state.clock += 1;
        *used = state.clock;
        state.order.insert(state.clock, key);
        Some(Arc::clone(piece))
    }

    /// Keeps a piece, dropping older ones to make room.
    pub(crate) fn put(&self, key: u64, piece: &Arc<Block>) {
        let bytes = size(piece);
        if bytes > self.budget {
            return;
        }
        let mut state = self.lock();
        let state = &mut *state;
        state.clock += 1;
        if let Some((old, used)) = state.pieces.insert(key, (Arc::clone(piece), state.clock)) {
            state.order.remove(&used);
            state.bytes -= size(&old);
        }
        state.order.insert(state.clock, key);
        state.bytes += bytes;
        while state.bytes > self.budget {
            let Some((_, oldest)) = state.order.pop_first() else { break };
            if let Some((old, _)) = state.pieces.remove(&oldest) {
                state.bytes -= size(&old);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves at worst a piece uncounted.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(piece: &Block) -> usize {
    piece.voxels().len() * piece.voxels().voxel_type().bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Extent, VoxelType};

    fn piece(bytes: u64) -> Arc<Block> {
        Arc::new(Block::zeros(Extent::new(1, 1, bytes), VoxelType::U8))
    }

    #[test]
    fn the_least_recently_used_gives_way() {
        let cache = Cache::new(100);
        cache.put(1, &piece(40));
        cache.put(2, &piece(40));
        assert!(cache.get(1).is_some());
        cache.put(3, &piece(40));
        assert!(cache.get(2).is_none(), "2 was used longest ago");
        assert!(cache.get(1).is_some() && cache.get(3).is_some());
        cache.put(4, &piece(101));
        assert!(cache.get(4).is_none() && !cache.takes(101), "larger than all the room there is");
        assert_eq!(cache.lock().bytes, 80);
    }

    #[test]
    fn replacing_counts_once() {
        let cache = Cache::new(100);
        for _ in 0..10 {
            cache.put(1, &piece(60));
        }
        let state = cache.lock();
        assert_eq!((state.bytes, state.pieces.len(), state.order.len()), (60, 1, 1));
    }
}
