//! The page of a bioimage.io package for people.

use std::fmt::Write as _;

use deep3m_net::{Frames, ModelDir, Normalisation, Preparation};
use miette::{IntoDiagnostic, Result};

use super::rdf::name;

/// `README.md`: what goes in, what comes out, what is known of its quality.
pub(super) fn package(model: &ModelDir, frames: Frames, smallest: [usize; 2]) -> Result<String> {
    let entry = model.entry(frames).into_diagnostic()?;
    let manifest = &model.manifest;
    let preparation = Preparation::of(manifest);
    let [rows, columns] = preparation.multiple();
    let reach = preparation.reach(&entry.config);
    let mut text = format!("# {}\n\n", name(model, frames));
    let _ = write!(
        text,
        "DeepEM3D, {:.2} million weights, trained with {} in {} iterations. It gives every pixel of {} the probability to be \
         foreground, as foreground was labelled for training.\n\n\
         ## Input\n\n\
         {} as channels, grey values as they are in the image files ({} per pixel in training). ",
        entry.config.parameter_count() as f64 / 1e6,
        manifest.program,
        entry.iterations,
        if frames == Frames::One { "a section" } else { "the middle section" },
        if frames == Frames::One {
            "One section".to_owned()
        } else {
            format!("{} consecutive sections", frames.count())
        },
        match manifest.voxel_type.bytes() {
            1 => "1 byte".to_owned(),
            bytes => format!("{bytes} bytes"),
        },
    );
    if let Normalisation::Range { low, high } = manifest.normalisation {
        let _ = write!(
            text,
            "Grey {low} to {high} is what most of the training images had; bring images of another range or bit depth to \
             it. "
        );
    }
    if let Some(size) = &manifest.voxel_size {
        let _ = write!(text, "Trained on voxels of {size}. ");
    }
    let _ = write!(
        text,
        "Rows are a multiple of {rows}, columns of {columns}.\n\n\
         ## Output\n\n\
         A probability from 0 to 1 for every pixel. From {} on a pixel counts as foreground. Pixels within {} rows or {} \
         columns of a tile's border depend on what lies beyond: `rdf.yaml` tells programs to cut them off (halo), \
         and asks for tiles of at least {} × {} pixels for it.\n\n\
         ## Validation\n\n",
        manifest.threshold, reach[0], reach[1], smallest[0], smallest[1],
    );
    if entry.validation.is_empty() {
        text.push_str("No validation data was given when this model was trained.\n");
    } else {
        text.push_str("Measured while training, on data kept apart:\n\n| measure | value |\n|---|---|\n");
        for (measure, value) in &entry.validation {
            let _ = writeln!(text, "| {measure} | {value} |");
        }
    }
    text.push_str(
        "\nTo validate it on your data, label a few sections that it has not seen and compare: `deep3m predict` with the \
         model this was made from, then `deep3m evaluate`. Do not use it on another microscope, stain or resolution \
         without.\n\n\
         ## Before you upload it\n\n\
         Add authors and a licence to `rdf.yaml`; a program cannot know them.\n",
    );
    Ok(text)
}
