//! Every kernel on every instruction set of this processor against the layers written down plainly, over odd shapes.

use proptest::prelude::*;

use crate::engine::Engine;
use crate::layer::{Conv, Head, Layer, Op, Tap};
use crate::simd::Isa;
use crate::workspace::Memory;

#[path = "../tests/common/naive.rs"]
mod naive;

/// Numbers from −1 to 1.
fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn conv(from: usize, to: usize, kernel: [usize; 2], stride: usize, relu: bool) -> Op {
    let weights = noise(from * to * kernel[0] * kernel[1], 3);
    Op::Conv(Conv { kernel, stride, padding: kernel.map(|k| (k - 1) / 2), relu, weights, bias: noise(to, 4) })
}

fn head(from: usize, stride: usize, dilations: &[usize]) -> Op {
    let kernel = 2 * stride;
    let tap = |&dilation: &usize| {
        let padding = (dilation * (kernel - 1) + 1 - stride) / 2;
        Tap { dilation, padding, weights: noise(from * 2 * kernel * kernel, dilation as u32) }
    };
    Op::Head(Head { kernel, stride, taps: dilations.iter().map(tap).collect(), bias: noise(2, 5) })
}

/// Runs `layers` on every instruction set, with one thread and with three.
fn agree(channels: usize, size: [usize; 2], layers: &[(Op, Vec<usize>)]) {
    let layers: Vec<Layer> =
        layers.iter().map(|(op, inputs)| Layer { op: op.clone(), inputs: inputs.clone() }).collect();
    let input = noise(channels * size[0] * size[1], 7);
    let values = input.iter().map(|&v| f64::from(v)).collect();
    let expected = naive::forward(&layers, naive::Blob { channels, size, values }).values;
    let largest = expected.iter().fold(1.0_f64, |most, v| most.max(v.abs()));
    for isa in Isa::all() {
        let engine = Engine::with(isa, channels, layers.clone()).unwrap();
        let memory = Memory::new();
        // What is left in the memory from another size must not matter.
        let larger = [size[0] + 8, size[1] + 24];
        engine.forward(&memory, &vec![1e9; channels * larger[0] * larger[1]], larger[0], larger[1]).unwrap();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| engine.forward(&memory, &input, size[0], size[1])).unwrap()
        };
        let found = run(1);
        assert_eq!(found, run(3), "the same on three threads");
        assert_eq!(found.len(), expected.len());
        for (i, (&f, e)) in found.iter().zip(&expected).enumerate() {
            assert!((f64::from(f) - e).abs() < 2e-5 * largest, "{}: value {i} is {f}, expected {e}", isa.name());
        }
    }
}

/// The input, as blocks of channels, linear.
fn blocks(from: usize, to: usize) -> (Op, Vec<usize>) {
    (conv(from, to, [1, 1], 1, false), vec![0])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn convolutions(
        channels in 1_usize..40,
        to in 1_usize..75,
        kernel in prop::sample::select(vec![[1, 1], [3, 3], [1, 7], [7, 1], [3, 1], [2, 5]]),
        stride in 1_usize..3,
        relu: bool,
        height in 1_usize..12,
        width in 1_usize..50,
    ) {
        prop_assume!(height + 2 * ((kernel[0] - 1) / 2) >= kernel[0] && width + 2 * ((kernel[1] - 1) / 2) >= kernel[1]);
        agree(3, [height, width], &[blocks(3, channels), (conv(channels, to, kernel, stride, relu), vec![1])]);
    }

    #[test]
    fn winograd(channels in 16_usize..40, to in 16_usize..75, relu: bool, height in 1_usize..22, width in 1_usize..70) {
        agree(2, [height, width], &[blocks(2, channels), (conv(channels, to, [3, 3], 1, relu), vec![1])]);
    }

    #[test]
    fn convolutions_of_planes(
        channels in 1_usize..6,
        to in 1_usize..40,
        kernel in prop::sample::select(vec![[1, 1], [3, 3], [1, 7], [5, 2]]),
        stride in 1_usize..3,
        height in 2_usize..12,
        width in 2_usize..50,
    ) {
        prop_assume!(height + 2 * ((kernel[0] - 1) / 2) >= kernel[0] && width + 2 * ((kernel[1] - 1) / 2) >= kernel[1]);
        agree(channels, [height, width], &[(conv(channels, to, kernel, stride, true), vec![0])]);
    }

    #[test]
    fn heads(
        channels in 1_usize..30,
        stride in prop::sample::select(vec![2_usize, 4, 8, 16]),
        dilations in prop::sample::subsequence(vec![1_usize, 3, 5, 11, 23], 1..4),
        height in 1_usize..7,
        width in 1_usize..20,
    ) {
        let head = head(channels, stride, &dilations);
        agree(1, [height, width], &[blocks(1, channels), (head, vec![1]), (conv(2, 2, [3, 3], 1, true), vec![2])]);
    }

    #[test]
    fn pools(channels in 1_usize..30, height in 1_usize..12, width in 1_usize..40) {
        agree(1, [height, width], &[blocks(1, channels), (Op::Pool, vec![1])]);
    }

    #[test]
    fn what_is_put_together_and_added(a in 1_usize..20, b in 1_usize..20, to in 1_usize..40, share in -1.0_f32..1.0) {
        let layers = [
            blocks(1, 5),
            (conv(5, a, [3, 3], 1, true), vec![1]),
            (conv(5, b, [3, 3], 1, false), vec![1]),
            (Op::Concat, vec![2, 3]),
            (conv(a + b, to, [3, 3], 1, true), vec![4]),
            (conv(to, to, [1, 3], 1, false), vec![5]),
            // In place: nobody else reads the first summand later.
            (conv(to, to, [1, 1], 1, false), vec![6]),
            (Op::Residual { share }, vec![5, 7]),
            // Not in place: the first summand is read again.
            (conv(to, to, [1, 1], 1, false), vec![6]),
            (Op::Residual { share }, vec![8, 9]),
            (Op::Sum, vec![10, 8, 6]),
        ];
        agree(1, [9, 13], &layers);
    }
}
