//! `--objects`: object by object.

use std::path::Path;

use deep3m_analyze::agreement;
use deep3m_volume::as_labels;
use miette::Result;

use super::inputs::Sources;
use super::{Args, plots};
use crate::commands::print_json;
use crate::console::notice;

pub(super) fn compare(args: &Args, truth: &Path) -> Result<()> {
    let sources = Sources {
        paths: vec![(&args.prediction, as_labels), (truth, as_labels)],
        region: args.region,
        voxel_size: args.voxel_size,
    };
    let objects = sources.within(args.memory.bytes(), 1, |inputs, memory, go_on| {
        agreement(inputs.volumes[0].as_ref(), inputs.volumes[1].as_ref(), inputs.region, memory, go_on)
    })?;
    for (path, count) in [(args.prediction.as_path(), objects.predicted), (truth, objects.truth)] {
        if count == 0 {
            notice(&format!("{}: no object in what is compared", path.display()));
        }
    }
    if let Some(folder) = &args.plot {
        plots::of_objects(folder, &objects)?;
    }
    if args.json {
        return print_json(&serde_json::json!({ "objects": objects }));
    }
    print!("{objects}");
    Ok(())
}
