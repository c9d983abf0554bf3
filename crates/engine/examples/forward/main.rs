//! How fast the engine runs DeepEM3D, against the peak of the `gemm` crate in the same minute.
//!
//!     cargo run --release -p deep3m-engine --example forward -- [--layers] [--size 512,1024] [--width 1,0.25]
//!         [--frames 1,3] [--threads 1,2] [--repeats 5]
//!
//! Prints the shortest of the repeats, GFLOP/s (operations of the plain network, whatever the method) and their share of
//! the peak.
#![allow(unsafe_code, reason = "the peak is measured with `gemm`, which takes pointers")]

mod network;

use std::collections::HashMap;
use std::time::Instant;

use deep3m_engine::{Engine, Memory, Sketch, Timing};
use network::deepem3d;
use rayon::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let list = |name: &str, otherwise: &str| -> Result<Vec<f64>, std::num::ParseFloatError> {
        let at = words.iter().position(|word| word == name);
        let text = at.and_then(|at| words.get(at + 1)).map_or(otherwise, String::as_str);
        text.split(',').map(str::parse).collect()
    };
    let layers = words.iter().any(|word| word == "--layers");
    let repeats = list("--repeats", "5")?[0] as usize;
    println!("frames width size threads seconds GFLOP/s peak share MB");
    for &frames in &list("--frames", "1")? {
        for &width in &list("--width", "1,0.25")? {
            let network = deepem3d(frames as usize, width);
            let engine = Engine::new(frames as usize, network.layers.clone())?;
            let sketch = Sketch::new(frames as usize, network.sketch())?;
            let memory = Memory::new();
            for &size in &list("--size", "512,1024")? {
                let (frames, size) = (frames as usize, size as usize);
                let macs: Vec<f64> = network.macs.iter().map(|macs| macs * (size * size) as f64).collect();
                let flops = 2e-9 * macs.iter().sum::<f64>();
                let input: Vec<f32> = (0..frames * size * size).map(|i| (i * 7919 % 256) as f32 / 255.0).collect();
                for &threads in &list("--threads", "1,2")? {
                    let threads = threads as usize;
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
                    let mut best = f64::INFINITY;
                    let mut peak = 0.0_f64;
                    let mut table: HashMap<usize, Timing> = HashMap::new();
                    for _ in 0..repeats {
                        peak = peak.max(pool.install(|| gemm_rate(threads)));
                        let start = Instant::now();
                        let mut timings = Vec::new();
                        pool.install(|| engine.timed(&memory, &input, size, size, |timing| timings.push(timing)))?;
                        best = best.min(start.elapsed().as_secs_f64());
                        for timing in timings {
                            let old = table.entry(timing.layer).or_insert(timing);
                            old.seconds = old.seconds.min(timing.seconds);
                        }
                    }
                    let [blobs, thread] = sketch.memory_bytes(size, size)?;
                    let bytes = sketch.weight_bytes() + blobs + threads as u64 * thread;
                    println!(
                        "{frames} {width} {size} {threads} {best:.4} {:.1} {peak:.1} {:.2} {}",
                        flops / best,
                        flops / best / peak,
                        bytes >> 20
                    );
                    if layers {
                        print_layers(&table, &network.names, &macs);
                    }
                }
            }
        }
    }
    Ok(())
}

fn print_layers(table: &HashMap<usize, Timing>, names: &[&str], macs: &[f64]) {
    let mut rows: Vec<&Timing> = table.values().collect();
    rows.sort_by_key(|timing| timing.layer);
    let total: f64 = rows.iter().map(|row| row.seconds).sum();
    for Timing { layer, kernel, seconds } in rows {
        let gflop = 2e-9 * macs[*layer];
        println!(
            "    {:14} {kernel:9} {:8.2} ms {:5.1} % {gflop:7.2} GFLOP {:6.1} GFLOP/s",
            names[*layer],
            seconds * 1e3,
            100.0 * seconds / total,
            gflop / seconds
        );
    }
}

/// GFLOP/s of `threads` matrix products at a time, one on each thread.
fn gemm_rate(threads: usize) -> f64 {
    const N: usize = 1536;
    let mut matrices = vec![(vec![0.5_f32; N * N], vec![0.25_f32; N * N], vec![0.0_f32; N * N]); threads];
    let start = Instant::now();
    matrices.par_iter_mut().with_max_len(1).for_each(|(a, b, c)| {
        let (step, none) = (N as isize, gemm::Parallelism::None);
        let c = c.as_mut_ptr();
        // SAFETY: three square matrices of N² numbers each, row by row; no other thread has them.
        unsafe {
            gemm::gemm(
                N,
                N,
                N,
                c,
                1,
                step,
                false,
                a.as_ptr(),
                1,
                step,
                b.as_ptr(),
                1,
                step,
                1.0,
                1.0,
                false,
                false,
                false,
                none,
            );
        }
    });
    2e-9 * (N as f64).powi(3) * threads as f64 / start.elapsed().as_secs_f64()
}
