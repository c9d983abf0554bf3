//! Models and probabilities to compare other programs with.
//!
//! `reference model DIR WIDTH BINNING raw|range` writes a model of random weights for 1, 3 and 5 sections, its statistics
//! from one batch. `reference predict DIR FRAMES IN.npy OUT.npy` gives the probability of grey values [N, frames, H, W]
//! (float32) as [N, 1, H, W].

use std::error::Error;

use burn::tensor::{Tensor, TensorData};
use deep3m_net::{DeviceChoice, Frames, Mode, ModelDir, ModelManifest, NetConfig, Normalisation, Preparation};
use deep3m_volume::{Binning, VoxelSize, VoxelType};
use ndarray::Array4;
use ndarray_npy::{read_npy, write_npy};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["model", dir, width, binning, normalisation] => {
            let normalisation = match normalisation {
                "raw" => Normalisation::Raw,
                _ => Normalisation::range(20.0, 220.0)?,
            };
            model(dir, width.parse()?, Binning::square(binning.parse()?), normalisation)
        }
        ["predict", dir, frames, input, output] => predict(dir, frames.parse()?, input, output),
        _ => Err("reference model DIR WIDTH BINNING raw|range, or reference predict DIR FRAMES IN.npy OUT.npy".into()),
    }
}

fn model(dir: &str, width: f64, binning: Binning, normalisation: Normalisation) -> Result<(), Box<dyn Error>> {
    const SIDE: usize = 128;
    let device = DeviceChoice::Cpu.open()?;
    let mut manifest = ModelManifest::new(normalisation, binning, VoxelType::U8);
    manifest.voxel_size = VoxelSize::new(50.0, 5.0, 4.6);
    let mut model = ModelDir::create(dir, manifest)?;
    for frames in Frames::ALL {
        let mut net = NetConfig::with_width(frames, width)?.init(&device, 1);
        net.reset_statistics();
        let mut grey: Vec<f32> =
            (0..(frames.count() * SIDE * SIDE) as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as f32).collect();
        normalisation.apply(&mut grey);
        let batch = Tensor::from_data(TensorData::new(grey, [1, 1, frames.count(), SIDE, SIDE]), &device);
        let _ = net.forward(batch, Mode::Train);
        model.save_network(&net, 1, 0.0, serde_json::Map::new())?;
    }
    Ok(())
}

fn predict(dir: &str, frames: Frames, input: &str, output: &str) -> Result<(), Box<dyn Error>> {
    let model = ModelDir::open(dir)?;
    let inference = model.load_inference(frames, &DeviceChoice::Cpu.open()?)?;
    let grey: Array4<f32> = read_npy(input)?;
    let (n, sections, h, w) = grey.dim();
    if sections != frames.count() {
        return Err(format!("{input}: {sections} sections; expected {}", frames.count()).into());
    }
    let grey: Vec<f32> = grey.iter().copied().collect();
    let probability = Preparation::of(&model.manifest).foreground(&inference, &grey, n, h, w)?;
    write_npy(output, &Array4::from_shape_vec((n, 1, h, w), probability)?)?;
    Ok(())
}
