//! The description of a bioimage.io package.

use deep3m_net::weights::onnx::{GREY, OPSET, PROBABILITY};
use deep3m_net::{Frames, ModelDir, Preparation};
use miette::{IntoDiagnostic, Result};

use super::yaml::Yaml;

/// The version of the description's format: that of `bioimageio.spec` that packages are tested with.
const FORMAT: &str = "0.5.12";
/// The longest name of a model that goes into a package's name.
const NAME: usize = 64;

/// Sizes in rows and columns, and SHA-256 of the files.
pub(super) struct Facts {
    pub(super) smallest: [usize; 2],
    pub(super) multiple: [usize; 2],
    pub(super) halo: [usize; 2],
    pub(super) weights: String,
    pub(super) test_input: String,
    pub(super) test_output: String,
    pub(super) readme: String,
}

/// `rdf.yaml`.
pub(super) fn describe(model: &ModelDir, frames: Frames, facts: &Facts) -> Result<String> {
    let entry = model.entry(frames).into_diagnostic()?;
    let manifest = &model.manifest;
    let about = format!(
        "The probability that a pixel is foreground, as it was labelled when this model was trained. DeepEM3D for {} \
         (CDeep3M's {frames}), made with Deep3M.",
        if frames == Frames::One { "single sections".to_owned() } else { format!("{} sections", frames.count()) },
    );
    let cite = vec![
        ("text", "Haberl et al., CDeep3M: plug-and-play cloud-based deep learning, Nature Methods 2018".into()),
        ("doi", "10.1038/s41592-018-0106-z".into()),
    ];
    let weights = vec![
        ("source", "weights.onnx".into()),
        ("sha256", facts.weights.as_str().into()),
        ("opset_version", (OPSET as usize).into()),
    ];
    let bioimageio = vec![
        ("architecture_type", manifest.architecture.as_str().into()),
        ("task", "segmentation".into()),
        ("model_parameter_count", (entry.config.parameter_count() as usize).into()),
    ];
    let json = |value: serde_json::Result<String>| value.into_diagnostic();
    let deep3m = vec![
        ("program", manifest.program.as_str().into()),
        ("frames", frames.count().into()),
        ("normalisation", json(serde_json::to_string(&manifest.normalisation))?.into()),
        ("binning", json(serde_json::to_string(&manifest.binning))?.into()),
        ("threshold", f64::from(manifest.threshold).into()),
        ("iterations", Yaml::Plain(entry.iterations.to_string())),
        ("field_of_view", list(Preparation::of(manifest).reach(&entry.config))),
        ("weights_sha256", entry.sha256.as_str().into()),
    ];
    let description = Yaml::Map(vec![
        ("type", "model".into()),
        ("format_version", FORMAT.into()),
        ("name", name(model, frames).into()),
        ("description", about.into()),
        ("authors", Yaml::List(vec![])),
        ("cite", Yaml::List(vec![Yaml::Map(cite)])),
        ("tags", list(["segmentation", "deep3m", "deepem3d", if frames == Frames::One { "2d" } else { "3d" }])),
        ("documentation", file("README.md", &facts.readme)),
        ("inputs", Yaml::List(vec![input(model, frames, facts)])),
        ("outputs", Yaml::List(vec![output(model, facts)])),
        ("weights", Yaml::Map(vec![("onnx", Yaml::Map(weights))])),
        ("config", Yaml::Map(vec![("bioimageio", Yaml::Map(bioimageio)), ("deep3m", Yaml::Map(deep3m))])),
    ]);
    Ok(description.to_text())
}

fn input(model: &ModelDir, frames: Frames, facts: &Facts) -> Yaml {
    let sections = match frames {
        Frames::One => vec!["section"],
        Frames::Three => vec!["section_before", "section", "section_after"],
        Frames::Five => {
            vec!["section_2_before", "section_1_before", "section", "section_1_after", "section_2_after"]
        }
    };
    let mut axes = vec![batch(), channels(sections, "consecutive sections; the answer is for the middle one")];
    for axis in 0..2 {
        let size = vec![("min", facts.smallest[axis].into()), ("step", facts.multiple[axis].into())];
        let more = vec![("size", Yaml::Map(size)), ("concatenable", true.into())];
        axes.push(space(model, axis, more));
    }
    let range = [0.0, f64::from(model.manifest.voxel_type.full_scale())];
    let cast = vec![("id", "ensure_dtype".into()), ("kwargs", Yaml::Map(vec![("dtype", "float32".into())]))];
    Yaml::Map(vec![
        ("id", GREY.into()),
        (
            "description",
            "grey values as they are in the image files; binning and normalisation are in the network".into(),
        ),
        ("axes", Yaml::List(axes)),
        ("data", Yaml::Map(vec![("type", "float32".into()), ("range", list(range))])),
        ("pad", Yaml::Map(vec![("mode", "reflect".into())])),
        ("preprocessing", Yaml::List(vec![Yaml::Map(cast)])),
        ("test_tensor", file("test_input.npy", &facts.test_input)),
    ])
}

fn output(model: &ModelDir, facts: &Facts) -> Yaml {
    let mut axes = vec![batch(), channels(vec!["foreground"], "")];
    for (axis, id) in AXES.into_iter().enumerate() {
        let size = vec![("tensor_id", GREY.into()), ("axis_id", id.into())];
        axes.push(space(model, axis, vec![("size", Yaml::Map(size)), ("halo", facts.halo[axis].into())]));
    }
    Yaml::Map(vec![
        ("id", PROBABILITY.into()),
        ("description", "probability of foreground".into()),
        ("axes", Yaml::List(axes)),
        ("data", Yaml::Map(vec![("type", "float32".into()), ("range", list([0.0, 1.0]))])),
        ("test_tensor", file("test_output.npy", &facts.test_output)),
    ])
}

/// Rows, columns.
const AXES: [&str; 2] = ["y", "x"];

fn batch() -> Yaml {
    Yaml::Map(vec![("type", "batch".into())])
}

fn channels(names: Vec<&str>, about: &str) -> Yaml {
    Yaml::Map(vec![("type", "channel".into()), ("description", about.into()), ("channel_names", list(names))])
}

/// Rows (0) or columns (1), with their pitch where it is known.
fn space(model: &ModelDir, axis: usize, more: Vec<(&'static str, Yaml)>) -> Yaml {
    let mut entries = vec![("type", "space".into()), ("id", AXES[axis].into())];
    if let Some(size) = &model.manifest.voxel_size {
        entries.push(("unit", "nanometer".into()));
        // A reader multiplies and divides pixels by it, in 64 bits, and expects whole pixels back. With the 24 bits of
        // a single-precision number both are exact: 480 · 4.6 / 4.6 is not 480.
        let pitch = [size.y_nm, size.x_nm][axis] as f32;
        entries.push(("scale", f64::from(pitch).into()));
    }
    entries.extend(more);
    Yaml::Map(entries)
}

fn file(source: &str, sha256: &str) -> Yaml {
    Yaml::Map(vec![("source", source.into()), ("sha256", sha256.into())])
}

fn list<T: Into<Yaml>>(values: impl IntoIterator<Item = T>) -> Yaml {
    Yaml::List(values.into_iter().map(Into::into).collect())
}

/// The model's folder as part of a name, in the letters that bioimage.io allows.
pub(super) fn name(model: &ModelDir, frames: Frames) -> String {
    let folder =
        model.path().file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned());
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "_+- ()".contains(c) { c } else { '-' };
    let folder: String = folder.chars().take(NAME).map(allowed).collect();
    format!("{folder} (Deep3M {frames})")
}
