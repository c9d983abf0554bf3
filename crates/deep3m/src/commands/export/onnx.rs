//! The ONNX file of a network, with what must be known to use it.

use deep3m_net::weights::onnx;
use deep3m_net::{Frames, ModelDir, NamedTensor, Preparation};
use miette::{IntoDiagnostic, Result};

/// The files that an export of this form may hold.
pub(super) fn names() -> Vec<String> {
    Frames::ALL.iter().map(|frames| format!("{frames}.onnx")).collect()
}

/// The bytes of a network's file.
pub(super) fn file(model: &ModelDir, frames: Frames) -> Result<Vec<u8>> {
    encode(model, frames, &model.tensors(frames).into_diagnostic()?.1)
}

/// The bytes of a network's file, given its tensors.
pub(super) fn encode(model: &ModelDir, frames: Frames, tensors: &[NamedTensor]) -> Result<Vec<u8>> {
    let config = &model.entry(frames).into_diagnostic()?.config;
    onnx::encode(config, tensors, Preparation::of(&model.manifest), &metadata(model, frames)?).into_diagnostic()
}

/// What a program that reads the file should know, by name; values that are more than text are JSON.
fn metadata(model: &ModelDir, frames: Frames) -> Result<Vec<(String, String)>> {
    let entry = model.entry(frames).into_diagnostic()?;
    let manifest = &model.manifest;
    let preparation = Preparation::of(manifest);
    let mut facts = vec![
        ("program", concat!("deep3m ", env!("CARGO_PKG_VERSION")).to_owned()),
        ("trained_with", manifest.program.clone()),
        ("architecture", manifest.architecture.clone()),
        ("frames", frames.count().to_string()),
        ("normalisation", json(&manifest.normalisation)?),
        ("binning", json(&manifest.binning)?),
        ("voxel_type", json(&manifest.voxel_type)?.trim_matches('"').to_owned()),
        ("classes", json(&manifest.classes)?),
        ("threshold", manifest.threshold.to_string()),
        ("iterations", entry.iterations.to_string()),
        ("multiple_of", json(&preparation.multiple())?),
        ("field_of_view", json(&preparation.reach(&entry.config))?),
        ("weights_sha256", entry.sha256.clone()),
    ];
    if let Some(size) = &manifest.voxel_size {
        facts.push(("voxel_size", json(size)?));
    }
    Ok(facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).into_diagnostic()
}
