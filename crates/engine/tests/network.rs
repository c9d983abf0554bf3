//! Whole networks against the same layers written down plainly.

#![allow(clippy::unwrap_used, reason = "what cannot be made fails the test")]

#[path = "common/naive.rs"]
mod naive;
#[path = "../examples/forward/network.rs"]
mod network;

use deep3m_engine::{Engine, Memory, Sketch};
use naive::Blob;

fn input(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 7919 % 256) as f32 / 255.0).collect()
}

fn agree(frames: usize, width: f64, [height, columns]: [usize; 2]) {
    let network = network::deepem3d(frames, width);
    let engine = Engine::new(frames, network.layers.clone()).unwrap();
    let values = input(frames * height * columns);
    let memory = Memory::new();
    let found = engine.forward(&memory, &values, height, columns).unwrap();
    // What the network would take can be told without its weights.
    let sketch = Sketch::new(frames, network.sketch()).unwrap();
    let [blobs, thread] = sketch.memory_bytes(height, columns).unwrap();
    assert!(blobs > 0 && thread > 0 && sketch.weight_bytes() > 0);
    let blob =
        Blob { channels: frames, size: [height, columns], values: values.iter().map(|&v| f64::from(v)).collect() };
    let expected = naive::forward(&network.layers, blob).values;
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
    let error = found.iter().zip(&expected).fold(0.0_f64, |most, (&f, e)| most.max((f64::from(f) - e).abs()));
    eprintln!("{frames} frames, width {width}, {height} × {columns}: error {error:.2e} of {largest:.2e}");
    assert!(error < 2e-5 * largest, "error {error} of {largest}");
}

#[test]
fn narrow_networks_agree_with_the_plain_layers() {
    for (frames, width) in [(1, 1.0 / 16.0), (3, 0.25), (5, 0.1)] {
        agree(frames, width, [48, 80]);
    }
}

#[test]
fn the_whole_network_agrees_with_the_plain_layers() {
    agree(1, 1.0, [32, 48]);
}
