//! The reckoned memory of a network against that which is allocated when it runs.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use burn::tensor::{Tensor, TensorData};
use deep3m_net::cost::{Blobs, Heap};
use deep3m_net::{DeviceChoice, Frames, Inference, Mode, NetConfig};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// The most bytes that were allocated at a time in `run`, beside what was there before.
fn peak<T>(run: impl FnOnce() -> T) -> f64 {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    drop(run());
    (ALLOCATED.peak_usage() - before) as f64
}

/// What threads need for themselves they take at other times than most of the tensors.
fn close(what: &str, tensors: u64, measured: f64) {
    let tensors = tensors as f64;
    println!("{what}: {:.1} MB reckoned, {:.1} MB measured", tensors / 1e6, measured / 1e6);
    assert!((tensors - measured).abs() <= 0.05 * measured, "{what}: {tensors} bytes reckoned, {measured} measured");
}

/// One test, for the allocator counts all threads: forward and training, narrow and wider, all kinds of frames.
#[test]
fn the_tensors_of_a_network_are_reckoned() {
    let device = DeviceChoice::Cpu.open().unwrap();
    for (frames, width, n, h, w) in
        [(Frames::One, 0.25, 1, 512, 640), (Frames::Three, 0.25, 2, 256, 320), (Frames::Five, 0.5, 1, 320, 320)]
    {
        let config = NetConfig::with_width(frames, width).unwrap();
        let net = config.init(&device, 1);
        let inference = Inference::new(&net, &device).unwrap();
        let input = vec![0.1; n * frames.count() * h * w];
        // Later calls find the memory of the first.
        let measured = peak(|| inference.foreground(&input, n, h, w).unwrap());
        let mut heap = Heap::default();
        config.foreground_in(&mut heap, &mut Blobs::default(), n, h, w);
        let threads = rayon::current_num_threads() as u64 * config.prediction_thread_bytes(h, w);
        close(&format!("{frames}, width {width}, forward"), heap.peak_live() + threads, measured);

        let device = device.clone().autodiff();
        let net = config.init(&device, 1);
        let step = || {
            let shape = [n, 1, frames.count(), h, w];
            let logits = net.forward(Tensor::from_data(TensorData::new(input.clone(), shape), &device), Mode::Train);
            let gradient = logits.clone().without_autodiff().into_data();
            let mut gradients = (logits * Tensor::from_data(gradient, &device)).sum().backward();
            net.gradients(&mut gradients)
        };
        drop(step());
        let measured = peak(step);
        let mut heap = Heap::default();
        config.training_in(&mut heap, n, h, w);
        close(&format!("{frames}, width {width}, training"), heap.peak_live(), measured);
    }
}
