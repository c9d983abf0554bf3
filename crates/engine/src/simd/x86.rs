//! AVX2 and AVX-512.
#![allow(unsafe_code, reason = "vector instructions; each type's values prove that the processor has them")]

#[allow(clippy::wildcard_imports, reason = "two dozen instructions")]
use std::arch::x86_64::*;

use super::{Eight, Job, Lanes, Octet};

/// Eight lanes in one register of AVX2. A value proves that AVX2 and FMA are there.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// Sixteen lanes in one register of AVX-512.
#[derive(Clone, Copy)]
pub(crate) struct Wide(());

/// Eight lanes with AVX-512's 32 registers.
#[derive(Clone, Copy)]
pub(crate) struct Half(());

impl Avx2 {
    /// `None` where the processor lacks it.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

impl Wide {
    /// `None` where the processor lacks AVX-512's foundation, short vectors or doubleword instructions.
    pub(crate) fn detect() -> Option<Self> {
        let there = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq");
        (there && Avx2::detect().is_some()).then_some(Self(()))
    }

    /// Half as many lanes.
    pub(crate) const fn half(self) -> Half {
        let Self(()) = self;
        Half(())
    }
}

#[target_feature(enable = "avx2,fma")]
fn run_avx2<J: Job>(job: J) -> J::Answer {
    job.run()
}

#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq")]
fn run_avx512<J: Job>(job: J) -> J::Answer {
    job.run()
}

/// Eight lanes in a 256-bit register.
macro_rules! eight_lanes {
    ($name:ident, $run:ident) => {
        impl Lanes for $name {
            type Row = __m256;
            const EIGHTS: usize = 1;

            #[inline(always)]
            fn run<J: Job>(self, job: J) -> J::Answer {
                // SAFETY: the value proves that the processor has the instructions.
                unsafe { $run(job) }
            }

            #[inline(always)]
            fn load(self, from: &[Eight]) -> __m256 {
                let from: &Eight = &from[0];
                // SAFETY: eight numbers are read from a reference to eight; the value proves AVX.
                unsafe { _mm256_loadu_ps(from.as_ptr()) }
            }

            #[inline(always)]
            fn gather(self, from: &[Eight], _step: usize) -> __m256 {
                self.load(from)
            }

            #[inline(always)]
            fn scatter(self, row: __m256, to: &mut [Eight], _step: usize) {
                let to: &mut Eight = &mut to[0];
                // SAFETY: eight numbers are written to a reference to eight; the value proves AVX.
                unsafe { _mm256_storeu_ps(to.as_mut_ptr(), row) }
            }

            #[inline(always)]
            fn add(self, a: __m256, b: __m256) -> __m256 {
                // SAFETY: the value proves AVX.
                unsafe { _mm256_add_ps(a, b) }
            }

            #[inline(always)]
            fn sub(self, a: __m256, b: __m256) -> __m256 {
                // SAFETY: the value proves AVX.
                unsafe { _mm256_sub_ps(a, b) }
            }

            #[inline(always)]
            fn max(self, a: __m256, b: __m256) -> __m256 {
                // SAFETY: the value proves AVX.
                unsafe { _mm256_max_ps(a, b) }
            }

            #[inline(always)]
            fn fma(self, row: __m256, value: f32, sum: __m256) -> __m256 {
                // SAFETY: the value proves AVX and FMA.
                unsafe { _mm256_fmadd_ps(row, _mm256_set1_ps(value), sum) }
            }
        }

        impl Octet for $name {
            #[inline(always)]
            fn transpose(self, rows: [__m256; 8]) -> [__m256; 8] {
                // SAFETY: the value proves AVX.
                unsafe { transpose(rows) }
            }
        }
    };
}

eight_lanes!(Avx2, run_avx2);
eight_lanes!(Half, run_avx512);

/// Pairs, then quadruples of lanes change places inside each half, then the halves.
#[inline]
#[target_feature(enable = "avx")]
fn transpose(r: [__m256; 8]) -> [__m256; 8] {
    // Lanes of rows 0 to 3, and of rows 4 to 7.
    let low = quads(r[0], r[1], r[2], r[3]);
    let high = quads(r[4], r[5], r[6], r[7]);
    [
        _mm256_permute2f128_ps::<0x20>(low[0], high[0]),
        _mm256_permute2f128_ps::<0x20>(low[1], high[1]),
        _mm256_permute2f128_ps::<0x20>(low[2], high[2]),
        _mm256_permute2f128_ps::<0x20>(low[3], high[3]),
        _mm256_permute2f128_ps::<0x31>(low[0], high[0]),
        _mm256_permute2f128_ps::<0x31>(low[1], high[1]),
        _mm256_permute2f128_ps::<0x31>(low[2], high[2]),
        _mm256_permute2f128_ps::<0x31>(low[3], high[3]),
    ]
}

/// Four rows' lanes together, in each half.
#[inline]
#[target_feature(enable = "avx")]
fn quads(a: __m256, b: __m256, c: __m256, d: __m256) -> [__m256; 4] {
    let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
    let (ab_high, cd_high) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
    [
        _mm256_shuffle_ps::<0x44>(ab, cd),
        _mm256_shuffle_ps::<0xEE>(ab, cd),
        _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
        _mm256_shuffle_ps::<0xEE>(ab_high, cd_high),
    ]
}

impl Lanes for Wide {
    type Row = __m512;
    const EIGHTS: usize = 2;

    #[inline(always)]
    fn run<J: Job>(self, job: J) -> J::Answer {
        // SAFETY: the value proves that the processor has the instructions.
        unsafe { run_avx512(job) }
    }

    #[inline(always)]
    fn load(self, from: &[Eight]) -> __m512 {
        let from: &[f32] = from[..2].as_flattened();
        // SAFETY: sixteen numbers are read from a slice of sixteen; the value proves AVX-512.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn gather(self, from: &[Eight], step: usize) -> __m512 {
        let half = self.half();
        let (low, high) = (half.load(from), half.load(&from[step..]));
        // SAFETY: the value proves AVX-512 with its doubleword instructions.
        unsafe { _mm512_insertf32x8::<1>(_mm512_castps256_ps512(low), high) }
    }

    #[inline(always)]
    fn scatter(self, row: __m512, to: &mut [Eight], step: usize) {
        let half = self.half();
        // SAFETY: the value proves AVX-512 with its doubleword instructions.
        let (low, high) = unsafe { (_mm512_castps512_ps256(row), _mm512_extractf32x8_ps::<1>(row)) };
        half.scatter(low, to, 0);
        half.scatter(high, &mut to[step..], 0);
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the value proves AVX-512.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the value proves AVX-512.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the value proves AVX-512.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, row: __m512, value: f32, sum: __m512) -> __m512 {
        // SAFETY: the value proves AVX-512.
        unsafe { _mm512_fmadd_ps(row, _mm512_set1_ps(value), sum) }
    }
}
