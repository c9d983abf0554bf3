//! `--annotators`: a prediction and several people's labels.

use deep3m_analyze::{annotator_passes, compare_annotators};
use deep3m_volume::{Volume, as_labels, as_probabilities};
use miette::Result;

use super::Args;
use super::inputs::{Read, Sources};
use crate::commands::print_json;

pub(super) fn compare(args: &Args) -> Result<()> {
    let labels = args.truth.iter().map(|path| (path.as_path(), as_labels as Read));
    let sources = Sources {
        paths: std::iter::once((args.prediction.as_path(), as_probabilities as Read)).chain(labels).collect(),
        region: args.region,
        voxel_size: args.voxel_size,
    };
    let passes = annotator_passes(&args.config(None));
    let found = sources.within(args.memory.bytes(), passes, |inputs, memory, go_on| {
        let annotators: Vec<&dyn Volume> = inputs.volumes[1..].iter().map(AsRef::as_ref).collect();
        let config = args.config(inputs.region);
        compare_annotators(inputs.volumes[0].as_ref(), &annotators, &config, memory, go_on)
    })?;
    if args.json {
        return print_json(&found);
    }
    print!("{found}");
    Ok(())
}
