//! Models and probabilities to compare other programs with.
//!
//! `reference model DIR WIDTH BINNING raw|range` writes a model of random weights for 1, 3 and 5 sections, its statistics
//! from one batch of waves with noise. `reference predict DIR FRAMES IN.npy OUT.npy` gives the probability of grey
//! values [N, frames, H, W] (float32) as [N, 1, H, W].

use std::error::Error;

use burn::tensor::{Tensor, TensorData};
use deep3m_net::{
    DeviceChoice, Frames, Mode, ModelDir, ModelManifest, NamedTensor, NetConfig, Normalisation, ParamKind, Preparation,
};
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
        let mut grey = grey(frames.count(), SIDE);
        normalisation.apply(&mut grey);
        let batch = Tensor::from_data(TensorData::new(grey, [1, 1, frames.count(), SIDE, SIDE]), &device);
        let _ = net.forward(batch, Mode::Train);
        let mut tensors = net.collect();
        let last =
            |t: &&mut NamedTensor| t.name.kind == ParamKind::Gamma && t.name.layer.starts_with("scale_conv_deconv");
        tensors.iter_mut().filter(last).for_each(|gamma| gamma.values.iter_mut().for_each(|v| *v *= GENTLE));
        model.save_tensors(net.config(), &tensors, 1, 0.0, serde_json::Map::new())?;
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

/// Random weights make rounding larger than trained ones do: on raw grey values two programs differ by 1e-5, and each
/// by as much from double precision. With this as the scale of the last layers their logits are as gentle as needed to
/// tell rounding from mistakes.
const GENTLE: f32 = 0.25;

/// Waves with noise, 0 to 255.
fn grey(sections: usize, side: usize) -> Vec<f32> {
    let pixel = |i: usize| {
        let (y, x) = (i / side % side, i % side);
        let noise = ((i as u32).wrapping_mul(2_654_435_761) >> 16) as f32 / 65536.0 - 0.5;
        let smooth = 128.0 + 60.0 * (y as f32 / 9.0).sin() + 50.0 * (x as f32 / 7.0).sin();
        (smooth + 70.0 * noise).clamp(0.0, 255.0).round()
    };
    (0..sections * side * side).map(pixel).collect()
}
