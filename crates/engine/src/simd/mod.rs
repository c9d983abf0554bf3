//! The few vector operations that the kernels are made of, for each instruction set.
//!
//! A value of a type that is [`Lanes`] is the proof that the processor has the instructions: it is made by
//! [`Isa::detect`] alone. Kernels are generic over it, and run inside [`Lanes::run`], which compiles them for that
//! instruction set.

mod isa;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pair;
mod plain;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use isa::{Isa, with_octet};
pub(crate) use pair::Pair;
pub(crate) use plain::Plain;

/// Eight neighbouring numbers: the channels of a block at one pixel, or eight columns of a matrix.
pub(crate) type Eight = [f32; 8];

/// Work that is compiled for an instruction set.
pub(crate) trait Job {
    /// What it answers.
    type Answer;
    /// Does it. Implementations are `#[inline(always)]`, else they are compiled without the instruction set.
    fn run(self) -> Self::Answer;
}

/// A row of one or more [`Eight`]s in registers.
pub(crate) trait Lanes: Copy + Send + Sync {
    /// The registers.
    type Row: Copy;
    /// How many eights a row has.
    const EIGHTS: usize;

    /// Compiles `job` for this instruction set and runs it.
    fn run<J: Job>(self, job: J) -> J::Answer;
    /// The first numbers of `from`, which has at least [`Self::EIGHTS`].
    fn load(self, from: &[Eight]) -> Self::Row;
    /// Eights that lie `step` apart.
    fn gather(self, from: &[Eight], step: usize) -> Self::Row;
    /// Writes eights `step` apart.
    fn scatter(self, row: Self::Row, to: &mut [Eight], step: usize);
    /// a + b
    fn add(self, a: Self::Row, b: Self::Row) -> Self::Row;
    /// a − b
    fn sub(self, a: Self::Row, b: Self::Row) -> Self::Row;
    /// The larger of each; b where a is no number.
    fn max(self, a: Self::Row, b: Self::Row) -> Self::Row;
    /// sum + row · value
    fn fma(self, row: Self::Row, value: f32, sum: Self::Row) -> Self::Row;
}

/// Rows of exactly eight numbers.
pub(crate) trait Octet: Lanes {
    /// Rows as columns.
    fn transpose(self, rows: [Self::Row; 8]) -> [Self::Row; 8];
}
