//! Memory that engines work in.

use std::sync::{Mutex, PoisonError};

use crate::aligned::Aligned;
use crate::scratch::Scratch;

/// Memory that any number of engines work in, one call at a time or several: it is taken when first needed, grows to the
/// largest need, and is kept for the next call. Calls at the same time take a piece each.
#[derive(Debug, Default)]
pub struct Memory {
    idle: Mutex<Vec<Workspace>>,
}

/// A piece of it for one call.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub memory: Aligned,
    pub scratch: Scratch,
}

impl Memory {
    /// None yet.
    pub const fn new() -> Self {
        Self { idle: Mutex::new(Vec::new()) }
    }

    /// Gives back what no call uses at the moment.
    pub fn release(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Lends `work` a piece of at least so many numbers, and scratch of at least so many for each task. What they hold is
    /// left from before.
    pub(crate) fn with<R>(&self, total: usize, scratch: usize, work: impl FnOnce(&mut Aligned, &Scratch) -> R) -> R {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (memory, pieces) = idle.map_or((None, None), |idle| (Some(idle.memory), Some(idle.scratch)));
        // What is too small goes before its successor comes.
        let memory = memory.filter(|memory| memory.len() >= total).unwrap_or_else(|| Aligned::zeros(total));
        let scratch = pieces.filter(|pieces| pieces.len() >= scratch).unwrap_or_else(|| Scratch::new(scratch));
        let mut workspace = Workspace { memory, scratch };
        let answer = work(&mut workspace.memory, &workspace.scratch);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
        answer
    }
}
