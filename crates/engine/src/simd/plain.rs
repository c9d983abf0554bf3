//! Plain Rust for every processor, and the reference of the others in tests.

use super::{Eight, Job, Lanes, Octet};

/// Eight lanes without vector instructions of their own.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

impl Lanes for Plain {
    type Row = Eight;
    const EIGHTS: usize = 1;

    #[inline(always)]
    fn run<J: Job>(self, job: J) -> J::Answer {
        job.run()
    }

    #[inline(always)]
    fn load(self, from: &[Eight]) -> Eight {
        from[0]
    }

    #[inline(always)]
    fn gather(self, from: &[Eight], _step: usize) -> Eight {
        from[0]
    }

    #[inline(always)]
    fn scatter(self, row: Eight, to: &mut [Eight], _step: usize) {
        to[0] = row;
    }

    #[inline(always)]
    fn add(self, a: Eight, b: Eight) -> Eight {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: Eight, b: Eight) -> Eight {
        std::array::from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn max(self, a: Eight, b: Eight) -> Eight {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn fma(self, row: Eight, value: f32, sum: Eight) -> Eight {
        // Rounded twice: a fused operation is a function call on processors that lack it.
        std::array::from_fn(|i| sum[i] + row[i] * value)
    }
}

impl Octet for Plain {
    #[inline(always)]
    fn transpose(self, rows: [Eight; 8]) -> [Eight; 8] {
        std::array::from_fn(|i| std::array::from_fn(|j| rows[j][i]))
    }
}
