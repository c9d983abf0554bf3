//! Seconds of a training step and of a prediction on this machine, with random weights.
//!
//! `cargo run --release -p deep3m-net --example speed -- [width] [batch] [size] [frames] [library]`
//!
//! With `library` the training step runs as the tensor library's operations, without the crate's own kernels.

use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use deep3m_net::{DeviceChoice, Frames, Inference, Mode, NetConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |otherwise: &str| arguments.next().unwrap_or_else(|| otherwise.to_owned());
    let width: f64 = next("0.25").parse()?;
    let batch: usize = next("4").parse()?;
    let size: usize = next("256").parse()?;
    let frames: Frames = next("1").parse()?;
    let device = DeviceChoice::Cpu.open()?;
    let config = NetConfig::with_width(frames, width)?;
    println!("{frames}, width {width}: {} weights", config.parameter_count());

    let mut net = config.init(&device.clone().autodiff(), 1);
    if next("") == "library" {
        net = net.without_cpu_kernels();
    }
    let values: Vec<f32> =
        (0..batch * frames.count() * size * size).map(|i| (i * 37 % 251) as f32 / 125.0 - 1.0).collect();
    let input = TensorData::new(values, [batch, 1, frames.count(), size, size]);
    for _ in 0..3 {
        let start = Instant::now();
        let logits = net.forward(Tensor::from_data(input.clone(), net.device()), Mode::Train);
        let loss = logits.powi_scalar(2).mean();
        let forward = start.elapsed();
        let mut gradients = loss.backward();
        let found = net.gradients(&mut gradients).iter().flatten().count();
        println!(
            "training step {batch} × {size}²: {:.3} s (forward {:.3} s), {found} gradients",
            start.elapsed().as_secs_f64(),
            forward.as_secs_f64()
        );
    }
    let inference = Inference::new(&net, &device)?;
    for side in [256, 512] {
        let input = vec![0.5; frames.count() * side * side];
        for _ in 0..2 {
            let start = Instant::now();
            inference.foreground(&input, 1, side, side)?;
            let seconds = start.elapsed().as_secs_f64();
            println!("prediction {side}²: {seconds:.3} s, {:.0} GFLOP/s", config.flops(side, side) / seconds / 1e9);
        }
    }
    Ok(())
}
