//! Which instruction set runs.

#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Wide};

/// The instruction set, found once at run time.
#[derive(Clone, Copy)]
pub(crate) enum Isa {
    /// 32 registers of 16 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx512(Wide),
    /// 16 registers of 8 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// 32 registers of 4 lanes.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    /// What the compiler makes of plain Rust.
    Plain,
}

impl Isa {
    /// The widest that the processor has.
    pub(crate) fn detect() -> Self {
        Self::all()[0]
    }

    /// All that the processor has, the widest first.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(Wide::detect().map(Self::Avx512));
            all.extend(Avx2::detect().map(Self::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        all.push(Self::Neon(Neon));
        all.push(Self::Plain);
        all
    }

    /// Its usual name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "NEON",
            Self::Plain => "plain",
        }
    }

    /// How many eights of output channels a panel of weights has at most: what the registers hold.
    pub(crate) const fn panel(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => 4,
            _ => 2,
        }
    }
}

/// Runs `$body` with `$lanes` as the instruction set's eight lanes.
macro_rules! with_octet {
    ($isa:expr, $lanes:ident => $body:expr) => {
        match $isa {
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Isa::Avx512(wide) => {
                let $lanes = wide.half();
                $body
            }
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Isa::Avx2($lanes) => $body,
            #[cfg(target_arch = "aarch64")]
            $crate::simd::Isa::Neon($lanes) => $body,
            $crate::simd::Isa::Plain => {
                let $lanes = $crate::simd::Plain;
                $body
            }
        }
    };
}
pub(crate) use with_octet;
