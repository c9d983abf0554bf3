//! A bioimage.io package of one network: description, ONNX file, a test image with its answer, a page for people.

use std::io::{Cursor, Write};
use std::path::Path;

use deep3m_net::{DeviceChoice, Frames, Inference, ModelDir, Normalisation, Preparation, sha256};
use deep3m_volume::VoxelType;
use miette::{IntoDiagnostic, Result};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::rdf::{self, Facts};
use super::{ExportError, npy, onnx, readme, sample};

/// The files of a package.
pub(super) const NAMES: [&str; 5] = ["rdf.yaml", "weights.onnx", "test_input.npy", "test_output.npy", "README.md"];

/// Test images that are tried.
const TRIES: u64 = 4;
/// An answer that reaches this is one to test with.
const ENOUGH: f32 = 0.01;
/// bioimageio.spec refuses test outputs that reach no more than this.
const LEAST: f32 = 1e-4;

/// The files of a network's package, by name.
pub(super) fn files(model: &ModelDir, frames: Frames) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let (config, tensors) = model.tensors(frames).into_diagnostic()?;
    let weights = onnx::encode(model, frames, &tensors)?;
    let preparation = Preparation::of(&model.manifest);
    let (multiple, halo) = (preparation.multiple(), preparation.halo(&config));
    // A tile of the smallest size keeps one step of the network's grid when its halo is cut off.
    let smallest = [0, 1].map(|axis| 2 * halo[axis] + multiple[axis]);
    let device = DeviceChoice::Cpu.open().into_diagnostic()?;
    let inference = Inference::from_tensors(config, &tensors, &device).into_diagnostic()?;
    let test = test(&inference, preparation, model.manifest.voxel_type, smallest)?;
    let [rows, columns] = smallest;
    let input = npy::encode(&[1, frames.count(), rows, columns], &test.input);
    let output = npy::encode(&[1, 1, rows, columns], &test.output);
    let page = readme::package(model, frames, smallest)?.into_bytes();
    let facts = Facts {
        smallest,
        multiple,
        halo,
        weights: sha256(&weights),
        test_input: sha256(&input),
        test_output: sha256(&output),
        readme: sha256(&page),
    };
    let description = rdf::describe(model, frames, &facts)?.into_bytes();
    Ok(NAMES.into_iter().zip([description, weights, input, output, page]).collect())
}

/// An image and what the network answers.
struct Test {
    input: Vec<f32>,
    output: Vec<f32>,
}

/// The first test image that the network sees something in, or that in which it sees most.
fn test(
    inference: &Inference,
    preparation: Preparation,
    voxel_type: VoxelType,
    [rows, columns]: [usize; 2],
) -> Result<Test> {
    let frames = inference.config().frames();
    let (low, high) = match preparation.normalisation {
        Normalisation::Range { low, high } => (low, high),
        Normalisation::Raw => (0.0, voxel_type.full_scale()),
    };
    let mut best: Option<(f32, Test)> = None;
    for seed in 0..TRIES {
        let input = sample::image(seed, [frames.count(), rows, columns], low, high);
        let output = preparation.foreground(inference, &input, 1, rows, columns).into_diagnostic()?;
        let most = output.iter().copied().fold(0.0, f32::max);
        if best.as_ref().is_none_or(|(before, _)| most > *before) {
            best = Some((most, Test { input, output }));
        }
        if most >= ENOUGH {
            break;
        }
    }
    match best {
        Some((most, test)) if most > LEAST => Ok(test),
        other => Err(ExportError::Silent { frames, most: other.map_or(0.0, |(most, _)| most) }.into()),
    }
}

/// A package as one file, for `output`. Nothing is compressed: weights hardly shrink, and this takes no time.
pub(super) fn archive(output: &Path, files: &[(&'static str, Vec<u8>)]) -> Result<Vec<u8>> {
    let failed = |source| ExportError::Archive { path: output.to_owned(), source };
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let size: usize = files.iter().map(|(_, bytes)| bytes.len() + 1024).sum();
    let mut archive = ZipWriter::new(Cursor::new(Vec::with_capacity(size)));
    for (name, bytes) in files {
        archive.start_file(*name, options).map_err(failed)?;
        archive.write_all(bytes).into_diagnostic()?;
    }
    Ok(archive.finish().map_err(failed)?.into_inner())
}
