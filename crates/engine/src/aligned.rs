//! Numbers that begin at a cache line.

use crate::simd::Eight;

/// Numbers of a cache line.
pub(crate) const LINE: usize = 16;

/// Numbers, the first of which begins a cache line: a wide register's load never straddles two.
#[derive(Clone, Debug)]
pub(crate) struct Aligned {
    data: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// Zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let data = vec![0.0; len + LINE - 1];
        let start = data.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE - 1);
        Self { data, start, len }
    }

    /// Bytes of `len` numbers, with what the alignment takes.
    pub(crate) const fn bytes(len: usize) -> u64 {
        ((len + LINE - 1) * size_of::<f32>()) as u64
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn numbers(&self) -> &[f32] {
        &self.data[self.start..self.start + self.len]
    }

    pub(crate) fn numbers_mut(&mut self) -> &mut [f32] {
        &mut self.data[self.start..self.start + self.len]
    }

    pub(crate) fn eights(&self) -> &[Eight] {
        self.numbers().as_chunks().0
    }

    pub(crate) fn eights_mut(&mut self) -> &mut [Eight] {
        self.numbers_mut().as_chunks_mut().0
    }
}
