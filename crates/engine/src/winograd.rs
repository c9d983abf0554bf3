//! 3 × 3 convolution in steps of 1 by Winograd's method F(4 × 4, 3 × 3): 36 multiplications where 144 are due.
//!
//! Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016: a tile of 4 × 4 results is
//! Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A of its 6 × 6 inputs d and the filter g. The sums over input channels are 36 matrix products,
//! tiles times channels.

use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::grid::{BLOCK, Part, View, ViewMut};
use crate::layer::Conv;
use crate::pack::{Channels, eights, floors, pack, packed_len, panels};
use crate::scratch::Scratch;
use crate::simd::{Eight, Isa, Job, Octet, with_octet};
use crate::tile::{Finish, Source, Taps, Target, Weights, run};

/// Rows and columns of a tile's results, and of its inputs.
const OUT: usize = 4;
const IN: usize = 6;

/// Products.
const POINTS: usize = IN * IN;

/// Tiles that are taken through all three steps together.
const TILES: usize = 56;

/// Channels below which the two transformations cost more than the products save.
const FEWEST: usize = 16;

/// A product has no bias and no floor.
const NONE: [Eight; 4] = [[0.0; BLOCK]; 4];
const ANY: [Eight; 4] = [[f32::NEG_INFINITY; BLOCK]; 4];

/// G, in 64 bits, so that the filters are rounded once.
const FILTER: [[f64; 3]; IN] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// A convolution ready to run.
pub(crate) struct Winograd {
    blocks: usize,
    panels: Vec<usize>,
    /// For each point the panels' weights.
    weights: Aligned,
    /// Numbers of the weights.
    len: usize,
    bias: Vec<Eight>,
    floor: Vec<Eight>,
}

impl Winograd {
    /// Whether a convolution of `inputs` channels is of the kind, and wide enough.
    pub(crate) fn suits(conv: &Conv, inputs: usize) -> bool {
        conv.kernel == [3, 3]
            && conv.stride == 1
            && conv.padding == [1, 1]
            && inputs >= FEWEST
            && conv.channels() >= FEWEST
    }

    /// Transforms and packs a convolution's filters.
    pub(crate) fn new(isa: Isa, conv: &Conv, inputs: &Channels) -> Self {
        let panels = panels(conv.channels().div_ceil(BLOCK), isa.panel());
        let places = inputs.places(BLOCK);
        let filters: Vec<[f32; POINTS]> = conv.weights.as_chunks::<9>().0.iter().map(transform).collect();
        let channels = inputs.count();
        let point = packed_len(&panels, places.len(), 1);
        let len = POINTS * point;
        let mut weights = Aligned::zeros(if filters.is_empty() { 0 } else { len });
        for (at, weights) in weights.numbers_mut().chunks_exact_mut(point).enumerate() {
            pack(weights, conv.channels(), &panels, &places, 1, |output, input, _| {
                filters[output * channels + input][at]
            });
        }
        let floor = floors(conv.channels(), conv.relu);
        Self { blocks: places.len() / BLOCK, panels, weights, len, bias: eights(&conv.bias), floor }
    }

    /// Bytes of its weights.
    pub(crate) fn bytes(&self) -> u64 {
        Aligned::bytes(self.len)
    }

    /// Numbers of scratch: inputs and results of the products.
    pub(crate) fn scratch(&self) -> usize {
        POINTS * TILES * BLOCK * (self.blocks + self.bias.len())
    }

    /// Runs it on all threads of the pool.
    pub(crate) fn run(&self, isa: Isa, scratch: &Scratch, input: View<'_>, output: ViewMut<'_>) {
        let [height, width] = output.grid.size;
        let across = width.div_ceil(OUT);
        let down = TILES.div_ceil(across).min(height.div_ceil(OUT));
        output.bands(down * OUT).into_par_iter().with_max_len(1).for_each(|mut part| {
            part.zero_sides();
            let tiles = part.rows.len().div_ceil(OUT) * across;
            let tiles: Vec<[usize; 2]> =
                (0..tiles).map(|tile| [part.rows.start + tile / across * OUT, tile % across * OUT]).collect();
            scratch.with(|scratch| {
                let (points, results) = scratch.eights_mut().split_at_mut(POINTS * TILES * self.blocks);
                for tiles in tiles.chunks(TILES) {
                    with_octet!(isa, lanes => crate::simd::Lanes::run(lanes, Enter { lanes, input, tiles, points: &mut *points }));
                    self.multiply(isa, tiles.len(), points, results);
                    with_octet!(isa, lanes => crate::simd::Lanes::run(
                        lanes,
                        Leave { lanes, layer: self, tiles, results, part: &mut part }
                    ));
                }
            });
        });
    }

    /// The 36 products of `tiles` tiles.
    fn multiply(&self, isa: Isa, tiles: usize, points: &[Eight], results: &mut [Eight]) {
        let taps = Taps { blocks: self.blocks, rows: 1, columns: 1 };
        let weights = self.weights.eights().chunks_exact(self.blocks * BLOCK * self.bias.len());
        let points = points.chunks_exact(self.blocks * tiles);
        let results = results.chunks_exact_mut(self.bias.len() * tiles);
        for ((points, results), weights) in points.zip(results).zip(weights) {
            let source = Source { eights: points, block: tiles, row: 0, stride: 1 };
            let mut first = 0;
            for &panel in &self.panels {
                let weights = Weights { eights: &weights[first * self.blocks * BLOCK..], step: panel, panel };
                let finish = Finish { bias: &NONE[..panel], add: false, floor: &ANY[..panel] };
                let target = Target { eights: &mut results[first * tiles..], block: tiles };
                run(isa, tiles, source, taps, weights, finish, target);
                first += panel;
            }
        }
    }
}

/// G g Gᵀ
fn transform(filter: &[f32; 9]) -> [f32; POINTS] {
    std::array::from_fn(|point| {
        let [row, column] = [FILTER[point / IN], FILTER[point % IN]];
        let sum: f64 = (0..9).map(|i| row[i / 3] * f64::from(filter[i]) * column[i % 3]).sum();
        sum as f32
    })
}

/// Six results of an expression. Not `std::array::from_fn`, whose closures are compiled without the instruction set.
macro_rules! six {
    ($i:ident => $of:expr) => {
        [
            six!(@ $i 0 $of),
            six!(@ $i 1 $of),
            six!(@ $i 2 $of),
            six!(@ $i 3 $of),
            six!(@ $i 4 $of),
            six!(@ $i 5 $of),
        ]
    };
    (@ $i:ident $number:literal $of:expr) => {{
        let $i: usize = $number;
        $of
    }};
}

/// Transforms the tiles' inputs: Bᵀ d B.
struct Enter<'s, 'a, L> {
    lanes: L,
    input: View<'a>,
    tiles: &'s [[usize; 2]],
    points: &'s mut [Eight],
}

impl<L: Octet> Job for Enter<'_, '_, L> {
    type Answer = ();

    #[allow(clippy::needless_range_loop, reason = "iterators over arrays of registers are not inlined")]
    #[inline(always)]
    fn run(self) {
        let Self { lanes, input, tiles, points } = self;
        let (blocks, count) = (input.blocks, tiles.len());
        let grid = input.grid;
        let [above, left] = grid.pad.map(|pad| pad - 1);
        // Tiles may hang over the lower and right border.
        let [end_row, end_column] = [0, 1].map(|axis| grid.size[axis] + 2 * grid.pad[axis]);
        for block in 0..blocks {
            for (tile, &[row, column]) in tiles.iter().enumerate() {
                let [row, column] = [row + above, column + left];
                let line =
                    |y: usize| &input.eights_from(y, column + block * grid.columns())[..IN.min(end_column - column)];
                let mut patch = [[[0.0; BLOCK]; IN]; IN];
                let whole = row + IN <= end_row && column + IN <= end_column;
                if !whole {
                    for (y, patch) in (row..end_row).zip(&mut patch) {
                        let line = line(y);
                        patch[..line.len()].copy_from_slice(line);
                    }
                }
                let lines: [&[Eight; IN]; IN] = std::array::from_fn(|y| {
                    let inside = if whole { line(row + y).first_chunk() } else { None };
                    inside.unwrap_or(&patch[y])
                });
                // Columns first, then rows.
                let half = six!(x => enter(lanes, six!(y => lanes.load(&lines[y][x..]))));
                for y in 0..IN {
                    let line = enter(lanes, six!(x => half[x][y]));
                    for x in 0..IN {
                        let place = ((y * IN + x) * blocks + block) * count + tile;
                        lanes.scatter(line[x], &mut points[place..], 0);
                    }
                }
            }
        }
    }
}

/// Bᵀ d of one column.
#[inline(always)]
fn enter<L: Octet>(lanes: L, d: [L::Row; IN]) -> [L::Row; IN] {
    let outer = lanes.fma(d[2], -4.0, d[4]);
    let inner = lanes.fma(d[1], -4.0, d[3]);
    let (even, odd) = (lanes.sub(d[4], d[2]), lanes.sub(d[3], d[1]));
    [
        // 4 d0 − 5 d2 + d4
        lanes.fma(d[0], 4.0, lanes.fma(d[2], -5.0, d[4])),
        lanes.add(outer, inner),
        lanes.sub(outer, inner),
        lanes.fma(odd, 2.0, even),
        lanes.fma(odd, -2.0, even),
        // 4 d1 − 5 d3 + d5
        lanes.fma(d[1], 4.0, lanes.fma(d[3], -5.0, d[5])),
    ]
}

/// Transforms the products to results: Aᵀ m A, bias and ReLU.
struct Leave<'s, 'p, L> {
    lanes: L,
    layer: &'s Winograd,
    tiles: &'s [[usize; 2]],
    results: &'s [Eight],
    part: &'s mut Part<'p>,
}

impl<L: Octet> Job for Leave<'_, '_, L> {
    type Answer = ();

    #[inline(always)]
    fn run(self) {
        let Self { lanes, layer, tiles, results, part } = self;
        let grid = part.grid;
        let width = grid.size[1];
        let (count, eights) = (tiles.len(), layer.bias.len());
        for (eight, bias) in layer.bias.iter().enumerate() {
            let (bias, floor) = (lanes.load(std::slice::from_ref(bias)), lanes.load(&layer.floor[eight..]));
            for (tile, &[row, column]) in tiles.iter().enumerate() {
                let rows = row - part.rows.start..(row + OUT).min(part.rows.end) - part.rows.start;
                let place = eight * count + tile;
                let half =
                    six!(x => leave(lanes, six!(y => lanes.load(&results[(y * IN + x) * eights * count + place..]))));
                for (y, slice) in part.slices[rows.clone()].iter_mut().enumerate() {
                    let line = leave(lanes, six!(x => half[x][y]));
                    let slice: &mut [Eight] = slice.as_chunks_mut().0;
                    let to = &mut slice[eight * grid.columns() + grid.pad[1] + column..][..OUT.min(width - column)];
                    for (to, value) in to.iter_mut().zip(line) {
                        lanes.scatter(lanes.max(lanes.add(value, bias), floor), std::slice::from_mut(to), 0);
                    }
                }
            }
        }
    }
}

/// Aᵀ m of one column.
#[inline(always)]
fn leave<L: Octet>(lanes: L, m: [L::Row; IN]) -> [L::Row; OUT] {
    let (a, b) = (lanes.add(m[1], m[2]), lanes.sub(m[1], m[2]));
    let (c, d) = (lanes.add(m[3], m[4]), lanes.sub(m[3], m[4]));
    [
        lanes.add(m[0], lanes.add(a, c)),
        lanes.fma(d, 2.0, b),
        lanes.fma(c, 4.0, a),
        lanes.add(lanes.fma(d, 8.0, b), m[5]),
    ]
}
