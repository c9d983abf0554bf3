//! Our side of `benches/peers/run --only forward,training`: seconds of a forward pass and of a training step, as JSON.
//!
//!     network_peer forward MODEL FRAMES GREY.npy ROUNDS OUT.npy
//!     network_peer training MODEL FRAMES GREY.npy TARGET.npy ROUNDS
//!     network_peer peak
//!
//! GREY.npy holds grey values [N, sections, rows, columns]; TARGET.npy 0 and 1, [N, rows, columns]. `peak` prints the
//! rate of matrix products on all threads, in GFLOP/s.
#![allow(unsafe_code, reason = "the peak is measured with `gemm`, which takes pointers")]

use std::error::Error;
use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use deep3m_net::{DeviceChoice, Frames, Mode, ModelDir, Preparation};
use deep3m_train::solver::Solver;
use deep3m_train::{Loss, Optimiser, TrainConfig, loss};
use ndarray::{Array3, Array4};
use ndarray_npy::{read_npy, write_npy};
use rayon::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let report = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["forward", model, frames, grey, rounds, out] => forward(model, frames.parse()?, grey, rounds.parse()?, out)?,
        ["training", model, frames, grey, target, rounds] => {
            training(model, frames.parse()?, grey, target, rounds.parse()?)?
        }
        ["peak"] => serde_json::json!({ "gflops": (0..5).map(|_| gemm_rate()).fold(0.0, f64::max) }),
        _ => return Err("network_peer forward|training|peak …; see its first lines".into()),
    };
    println!("{report}");
    Ok(())
}

/// `rounds` passes after one that is not timed; the probability goes to `out`.
fn forward(
    model: &str,
    frames: Frames,
    grey: &str,
    rounds: usize,
    out: &str,
) -> Result<serde_json::Value, Box<dyn Error>> {
    let model = ModelDir::open(model)?;
    let inference = model.load_inference(frames, &DeviceChoice::Cpu.open()?)?;
    let preparation = Preparation::of(&model.manifest);
    let grey: Array4<f32> = read_npy(grey)?;
    let (n, _, rows, columns) = grey.dim();
    let grey: Vec<f32> = grey.into_iter().collect();
    let answer = preparation.foreground(&inference, &grey, n, rows, columns)?;
    let mut seconds = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        preparation.foreground(&inference, &grey, n, rows, columns)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    write_npy(out, &Array4::from_shape_vec((n, 1, rows, columns), answer)?)?;
    Ok(serde_json::json!({ "seconds": seconds }))
}

/// `rounds` steps (forward, loss, backward, Adam) after one that is not timed.
fn training(
    model: &str,
    frames: Frames,
    grey: &str,
    target: &str,
    rounds: usize,
) -> Result<serde_json::Value, Box<dyn Error>> {
    let model = ModelDir::open(model)?;
    let device = DeviceChoice::Cpu.open()?.autodiff();
    let mut net = model.load_network(frames, &device)?;
    let grey: Array4<f32> = read_npy(grey)?;
    let (n, sections, rows, columns) = grey.dim();
    let mut grey: Vec<f32> = grey.into_iter().collect();
    model.manifest.normalisation.apply(&mut grey);
    let target: Array3<f32> = read_npy(target)?;
    let target: Vec<f32> = target.into_iter().collect();
    let known = vec![1.0; target.len()];
    // What every tool has: mean cross-entropy and Adam.
    let plain = Loss::Overlap { dice: 0.0, jaccard: 0.0, hardest: 1.0 };
    let config = TrainConfig { optimiser: Optimiser::AdamW { beta2: 0.999 }, ..TrainConfig::deep3m() };
    let mut solver = Solver::new(&config, &net.config().parameters(), &device);
    let (mut seconds, mut first) = (Vec::new(), None);
    for round in 0..=rounds {
        let start = Instant::now();
        let shape = [n, 1, sections, rows, columns];
        let logits = net.forward(Tensor::<5>::from_data(TensorData::new(grey.clone(), shape), &device), Mode::Train);
        let host: Vec<f32> = logits.clone().without_autodiff().try_into_data()?.iter::<f32>().collect();
        let value = loss::evaluate(plain, &host, &target, &known, rows * columns);
        let gradient = TensorData::new(value.gradient, [n, 2, rows, columns]);
        let mut gradients = (logits * Tensor::<4>::from_data(gradient, &device)).sum().backward();
        let gradients = net.gradients(&mut gradients);
        solver.update(&mut net, gradients, 1e-4, |_, _| {});
        if round == 0 {
            first = Some(value.cross_entropy);
        } else {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    Ok(serde_json::json!({ "seconds": seconds, "loss": first }))
}

/// GFLOP/s of one large matrix product on each thread.
fn gemm_rate() -> f64 {
    const N: usize = 1536;
    let threads = rayon::current_num_threads();
    let mut matrices = vec![(vec![0.5_f32; N * N], vec![0.25_f32; N * N], vec![0.0_f32; N * N]); threads];
    let start = Instant::now();
    matrices.par_iter_mut().with_max_len(1).for_each(|(a, b, c)| {
        let (row, none) = (N as isize, gemm::Parallelism::None);
        let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
        // SAFETY: three square matrices of N² numbers each, row by row; no other thread has them.
        unsafe { gemm::gemm(N, N, N, c, 1, row, false, a, 1, row, b, 1, row, 1.0, 1.0, false, false, false, none) };
    });
    2e-9 * (N as f64).powi(3) * threads as f64 / start.elapsed().as_secs_f64()
}
