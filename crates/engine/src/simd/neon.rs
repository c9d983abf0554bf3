//! NEON, which every 64-bit ARM processor has.
#![allow(unsafe_code, reason = "vector instructions, which are part of the architecture")]

#[allow(clippy::wildcard_imports, reason = "a dozen instructions")]
use std::arch::aarch64::*;

use super::{Eight, Job, Lanes, Octet, Plain};

/// Eight lanes in two registers.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

impl Lanes for Neon {
    type Row = [float32x4_t; 2];
    const EIGHTS: usize = 1;

    #[inline(always)]
    fn run<J: Job>(self, job: J) -> J::Answer {
        job.run()
    }

    #[inline(always)]
    fn load(self, from: &[Eight]) -> Self::Row {
        let from: &Eight = &from[0];
        // SAFETY: eight numbers are read from a reference to eight.
        unsafe { [vld1q_f32(from.as_ptr()), vld1q_f32(from[4..].as_ptr())] }
    }

    #[inline(always)]
    fn gather(self, from: &[Eight], _step: usize) -> Self::Row {
        self.load(from)
    }

    #[inline(always)]
    fn scatter(self, row: Self::Row, to: &mut [Eight], _step: usize) {
        let to: &mut Eight = &mut to[0];
        // SAFETY: eight numbers are written to a reference to eight.
        unsafe {
            vst1q_f32(to.as_mut_ptr(), row[0]);
            vst1q_f32(to[4..].as_mut_ptr(), row[1]);
        }
    }

    #[inline(always)]
    fn add(self, a: Self::Row, b: Self::Row) -> Self::Row {
        // SAFETY: NEON is part of the architecture.
        unsafe { [vaddq_f32(a[0], b[0]), vaddq_f32(a[1], b[1])] }
    }

    #[inline(always)]
    fn sub(self, a: Self::Row, b: Self::Row) -> Self::Row {
        // SAFETY: NEON is part of the architecture.
        unsafe { [vsubq_f32(a[0], b[0]), vsubq_f32(a[1], b[1])] }
    }

    #[inline(always)]
    fn max(self, a: Self::Row, b: Self::Row) -> Self::Row {
        // SAFETY: NEON is part of the architecture.
        unsafe { [vmaxnmq_f32(a[0], b[0]), vmaxnmq_f32(a[1], b[1])] }
    }

    #[inline(always)]
    fn fma(self, row: Self::Row, value: f32, sum: Self::Row) -> Self::Row {
        // SAFETY: NEON is part of the architecture.
        unsafe { [vfmaq_n_f32(sum[0], row[0], value), vfmaq_n_f32(sum[1], row[1], value)] }
    }
}

impl Octet for Neon {
    #[inline(always)]
    fn transpose(self, rows: [Self::Row; 8]) -> [Self::Row; 8] {
        let mut eights = [[0.0; 8]; 8];
        for (eight, row) in eights.iter_mut().zip(rows) {
            self.scatter(row, std::slice::from_mut(eight), 0);
        }
        Plain.transpose(eights).map(|eight| self.load(&[eight]))
    }
}
