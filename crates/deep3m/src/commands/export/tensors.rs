//! The weights as they are, with a list of what is in them.

use std::fmt::Write as _;

use deep3m_net::{Frames, ModelDir};
use miette::{IntoDiagnostic, Result};

use super::staging::Staging;

const MANIFEST: &str = "model.json";
const README: &str = "README.md";

/// The files that an export of this form may hold.
pub(super) fn names() -> Vec<String> {
    let weights = Frames::ALL.iter().map(|frames| format!("{frames}.safetensors"));
    weights.chain([MANIFEST.to_owned(), README.to_owned()]).collect()
}

/// Weight files, compared with their hashes, `model.json` and a list of the tensors. The folder is a model as well.
pub(super) fn write(model: &ModelDir, frames: &[Frames], staging: &mut Staging) -> Result<()> {
    let mut manifest = model.manifest.clone();
    manifest.networks.retain(|network, _| frames.contains(network));
    for &frames in frames {
        let bytes = model.weight_file(frames).into_diagnostic()?;
        let name = format!("{frames}.safetensors");
        staging.add(&name, &bytes)?;
        if let Some(entry) = manifest.networks.get_mut(&frames) {
            entry.weights = name;
        }
    }
    staging.add(README, readme(model, frames)?.as_bytes())?;
    let manifest = serde_json::to_string_pretty(&manifest).into_diagnostic()?;
    staging.add(MANIFEST, format!("{manifest}\n").as_bytes())
}

fn readme(model: &ModelDir, frames: &[Frames]) -> Result<String> {
    let mut text = String::from(
        "# Weights of a Deep3M model\n\n\
         `model.json` says what the networks are: channels of every layer, normalisation of the grey values, binning, \
         voxel size, training, SHA-256 of the weight files. This folder is a model: `deep3m predict` takes it as it is.\n\n\
         ```python\n\
         from safetensors.numpy import load_file  # or safetensors.torch\n",
    );
    let _ = write!(text, "tensors = load_file(\"{}.safetensors\")\n```\n\n", frames[0]);
    text.push_str(
        "All tensors are 32-bit floating point, named `<layer>/<what>`. Layers have the names of the published network \
         (DeepEM3D, as CDeep3M uses it).\n\n\
         | what | shape | is |\n|---|---|---|\n\
         | `weight` of a convolution | out, in, rows, columns | |\n\
         | `weight` of `conv1_1`, `conv1_2` | out, in, rows, columns, sections | |\n\
         | `weight` of a transposed convolution (`deconv…`, `fc1_…`) | in, out, rows, columns | |\n\
         | `bias` | out | |\n\
         | `bn_<layer>/mean_sum`, `variance_sum`, `factor` | channels, channels, 1 | statistics: mean = mean_sum / factor, variance = variance_sum / factor |\n\
         | `scale_<layer>/gamma`, `beta` | channels | after the convolution x: gamma · (x − mean) / √(variance + 0.00001) + beta |\n\n\
         The layers in their order, with what connects them, are in the ONNX files of `deep3m export --format onnx`, where \
         statistics, gamma and beta are folded into weights and biases.\n",
    );
    for &frames in frames {
        let config = &model.entry(frames).into_diagnostic()?.config;
        let _ = write!(text, "\n## {frames}.safetensors\n\n| tensor | shape |\n|---|---|\n");
        for spec in config.parameters() {
            let shape: Vec<String> = spec.shape.iter().map(ToString::to_string).collect();
            let _ = writeln!(text, "| `{}` | {} |", spec.name, shape.join(" × "));
        }
    }
    Ok(text)
}
