//! The kernel: a convolution at a few neighbouring pixels of a row, for a panel of output channels, in registers.
//!
//! Every channel of the input at every kernel element is one step: the panel's weights are loaded, and each pixel's number
//! is multiplied with all of them. Steps go in the order blocks, kernel rows, kernel columns, channels in the block,
//! whatever the instruction set, the number of pixels and the panel: a pixel's sum does not depend on its tile.

use crate::simd::{Eight, Isa, Job, Lanes, Pair, Plain};

/// The most pixels of a tile on any processor.
const PIXELS: usize = 14;

/// Repeats `$body` for every `$p` below `$pixels`, in the source: sums stay in registers only where no loop is left, and the
/// compiler does not unroll loops of this size by itself.
macro_rules! each_pixel {
    ($pixels:expr, $p:ident => $body:expr) => {
        each_pixel!(@ $pixels, $p, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13)
    };
    (@ $pixels:expr, $p:ident, $body:expr, $($number:literal)*) => {
        $(if $number < $pixels {
            let $p: usize = $number;
            $body
        })*
    };
}

/// What a tile reads, besides its weights.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    /// From the first pixel at the first kernel element on.
    pub eights: &'a [Eight],
    /// Eights from a block of channels to the next.
    pub block: usize,
    /// Eights from a row to the next.
    pub row: usize,
    /// Pixels from one of the tile to the next: 1 or 2.
    pub stride: usize,
}

/// What a tile sums over: blocks of eight input channels, kernel rows, kernel columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taps {
    pub blocks: usize,
    pub rows: usize,
    pub columns: usize,
}

impl Taps {
    /// Steps of eight channels.
    pub(crate) const fn count(self) -> usize {
        self.blocks * self.rows * self.columns
    }
}

/// The weights of a panel: for every step the eights of its output channels.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    /// From the panel's first eight in the first step on.
    pub eights: &'a [Eight],
    /// Eights from a step to the next.
    pub step: usize,
    /// Eights of the panel, 1 to [`Isa::panel`].
    pub panel: usize,
}

/// How a sum becomes a result: max(sum + bias + what is there already (where `add`), floor).
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a> {
    /// For each eight of the panel.
    pub bias: &'a [Eight],
    /// Whether what is there already is added.
    pub add: bool,
    /// Likewise: 0 for a ReLU, −∞ for none.
    pub floor: &'a [Eight],
}

/// Where results go.
pub(crate) struct Target<'a> {
    /// From the first pixel in the panel's first eight on.
    pub eights: &'a mut [Eight],
    /// Eights from a block of channels to the next.
    pub block: usize,
}

/// A run of `pixels` neighbouring pixels of a row, in tiles.
pub(crate) fn run(
    isa: Isa,
    pixels: usize,
    source: Source<'_>,
    taps: Taps,
    weights: Weights<'_>,
    finish: Finish<'_>,
    target: Target<'_>,
) {
    let mut strip = Strip { pixels, source, taps, weights, finish, target };
    match (isa, weights.panel) {
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512(wide), 4) => strip.tiles::<_, 14>(Pair(wide, wide)),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512(wide), 3) => strip.tiles::<_, 14>(Pair(wide, wide.half())),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512(wide), 2) => strip.tiles::<_, 14>(wide),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512(wide), _) => strip.tiles::<_, 14>(wide.half()),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2(lanes), 2) => strip.tiles::<_, 6>(Pair(lanes, lanes)),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2(lanes), _) => strip.tiles::<_, 12>(lanes),
        #[cfg(target_arch = "aarch64")]
        (Isa::Neon(lanes), 2) => strip.tiles::<_, 6>(Pair(lanes, lanes)),
        #[cfg(target_arch = "aarch64")]
        (Isa::Neon(lanes), _) => strip.tiles::<_, 12>(lanes),
        (Isa::Plain, 2) => strip.tiles::<_, 4>(Pair(Plain, Plain)),
        (Isa::Plain, _) => strip.tiles::<_, 4>(Plain),
    }
}

struct Strip<'a> {
    pixels: usize,
    source: Source<'a>,
    taps: Taps,
    weights: Weights<'a>,
    finish: Finish<'a>,
    target: Target<'a>,
}

/// One tile of `P` pixels from `first` on; `S` is the source's stride.
struct Tile<'s, 'a, L, const P: usize, const S: usize> {
    lanes: L,
    strip: &'s mut Strip<'a>,
    first: usize,
}

impl Strip<'_> {
    /// Tiles of nearly the same size, none above `MOST`.
    fn tiles<L: Lanes, const MOST: usize>(&mut self, lanes: L) {
        const { assert!(MOST <= PIXELS) }
        let count = self.pixels.div_ceil(MOST);
        let mut first = 0;
        for tile in 0..count {
            let end = (tile + 1) * self.pixels / count;
            self.sized(lanes, first, end - first);
            first = end;
        }
    }

    fn sized<L: Lanes>(&mut self, lanes: L, first: usize, pixels: usize) {
        match pixels {
            1 => self.tile::<L, 1>(lanes, first),
            2 => self.tile::<L, 2>(lanes, first),
            3 => self.tile::<L, 3>(lanes, first),
            4 => self.tile::<L, 4>(lanes, first),
            5 => self.tile::<L, 5>(lanes, first),
            6 => self.tile::<L, 6>(lanes, first),
            7 => self.tile::<L, 7>(lanes, first),
            8 => self.tile::<L, 8>(lanes, first),
            9 => self.tile::<L, 9>(lanes, first),
            10 => self.tile::<L, 10>(lanes, first),
            11 => self.tile::<L, 11>(lanes, first),
            12 => self.tile::<L, 12>(lanes, first),
            13 => self.tile::<L, 13>(lanes, first),
            _ => self.tile::<L, 14>(lanes, first),
        }
    }

    fn tile<L: Lanes, const P: usize>(&mut self, lanes: L, first: usize) {
        if self.source.stride == 1 {
            lanes.run(Tile::<L, P, 1> { lanes, strip: self, first });
        } else {
            lanes.run(Tile::<L, P, 2> { lanes, strip: self, first });
        }
    }
}

impl<L: Lanes, const P: usize, const S: usize> Job for Tile<'_, '_, L, P, S> {
    type Answer = ();

    #[inline(always)]
    fn run(self) {
        let Self { lanes, strip: Strip { source, taps, weights, finish, target, .. }, first } = self;
        let reach = (P - 1) * S + 1;
        let eights = &source.eights[first * S..];
        let mut sums = [lanes.load(finish.bias); P];
        let mut steps = weights.eights.chunks(weights.step);
        for block in 0..taps.blocks {
            for row in 0..taps.rows {
                let start = block * source.block + row * source.row;
                for column in 0..taps.columns {
                    let x = &eights[start + column..][..reach];
                    for (channel, w) in (0..8).zip(&mut steps) {
                        let w = lanes.load(w);
                        each_pixel!(P, p => sums[p] = lanes.fma(w, x[p * S][channel], sums[p]));
                    }
                }
            }
        }
        let floor = lanes.load(finish.floor);
        each_pixel!(P, p => {
            let place = &mut target.eights[first + p..];
            let sum = if finish.add { lanes.add(sums[p], lanes.gather(place, target.block)) } else { sums[p] };
            lanes.scatter(lanes.max(sum, floor), place, target.block);
        });
    }
}
