//! Memory for one task at a time, used again by the next.

use std::sync::{Mutex, PoisonError};

use crate::aligned::Aligned;

/// Pieces of memory of one size: as many as tasks ever run at once.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    len: usize,
    free: Mutex<Vec<Aligned>>,
}

impl Scratch {
    /// Pieces of `len` numbers.
    pub(crate) fn new(len: usize) -> Self {
        Self { len, free: Mutex::default() }
    }

    /// Numbers of a piece.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Lends a piece to `work`; what it holds is left from before.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Aligned) -> R) -> R {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut piece = free.unwrap_or_else(|| Aligned::zeros(self.len));
        let answer = work(&mut piece);
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
        answer
    }
}
