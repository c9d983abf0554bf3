//! Two rows side by side.

use super::{Eight, Job, Lanes};

/// Two rows side by side, the first one's lanes first.
#[derive(Clone, Copy)]
pub(crate) struct Pair<A, B>(pub A, pub B);

impl<A: Lanes, B: Lanes> Lanes for Pair<A, B> {
    type Row = (A::Row, B::Row);
    const EIGHTS: usize = A::EIGHTS + B::EIGHTS;

    #[inline(always)]
    fn run<J: Job>(self, job: J) -> J::Answer {
        self.0.run(job)
    }

    #[inline(always)]
    fn load(self, from: &[Eight]) -> Self::Row {
        (self.0.load(&from[..A::EIGHTS]), self.1.load(&from[A::EIGHTS..]))
    }

    #[inline(always)]
    fn gather(self, from: &[Eight], step: usize) -> Self::Row {
        (self.0.gather(from, step), self.1.gather(&from[A::EIGHTS * step..], step))
    }

    #[inline(always)]
    fn scatter(self, row: Self::Row, to: &mut [Eight], step: usize) {
        self.0.scatter(row.0, to, step);
        self.1.scatter(row.1, &mut to[A::EIGHTS * step..], step);
    }

    #[inline(always)]
    fn add(self, a: Self::Row, b: Self::Row) -> Self::Row {
        (self.0.add(a.0, b.0), self.1.add(a.1, b.1))
    }

    #[inline(always)]
    fn sub(self, a: Self::Row, b: Self::Row) -> Self::Row {
        (self.0.sub(a.0, b.0), self.1.sub(a.1, b.1))
    }

    #[inline(always)]
    fn max(self, a: Self::Row, b: Self::Row) -> Self::Row {
        (self.0.max(a.0, b.0), self.1.max(a.1, b.1))
    }

    #[inline(always)]
    fn fma(self, row: Self::Row, value: f32, sum: Self::Row) -> Self::Row {
        (self.0.fma(row.0, value, sum.0), self.1.fma(row.1, value, sum.1))
    }
}
