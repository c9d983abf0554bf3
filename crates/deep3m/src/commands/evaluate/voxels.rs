//! Voxel by voxel, with surfaces and calibration where wanted.

use std::path::Path;

use deep3m_analyze::{
    Curves, Evaluation, Reliability, SurfaceConfig, SurfaceDistances, Work, evaluate_with, surface_distances,
};
use deep3m_volume::{as_labels, as_probabilities};
use miette::{IntoDiagnostic, Result};
use serde::Serialize;

use super::inputs::Sources;
use super::{Args, plots, told, with_progress};
use crate::commands::print_json;
use crate::console::notice;

/// The result as JSON.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    #[serde(skip_serializing_if = "Option::is_none")]
    surface: Option<SurfaceDistances>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calibration: Option<Reliability>,
}

pub(super) fn compare(args: &Args, truth: &Path) -> Result<()> {
    let sources = Sources {
        paths: vec![(&args.prediction, as_probabilities), (truth, as_labels)],
        region: args.region,
        voxel_size: args.voxel_size,
    };
    let (evaluation, curves) = scores(args, &sources)?;
    if let Some(counts) = evaluation.counts.first().map(|counts| counts.confusion) {
        for (path, voxels) in
            [(&evaluation.prediction, counts.tp + counts.fp), (&evaluation.truth, counts.tp + counts.fn_)]
        {
            if voxels == 0 {
                notice(&format!("{}: no foreground in what is compared", path.display()));
            }
        }
    }
    let surface = if args.surface { Some(surfaces(args, &sources, &curves)?) } else { None };
    let calibration = args.calibration.then(|| curves.reliability());
    if (args.calibration || args.calibration_file.is_some()) && evaluation.mask {
        notice("the prediction is a mask: a calibration needs the probabilities that it was made from");
    }
    if let Some(path) = &args.calibration_file {
        let Some(calibration) = curves.calibration() else {
            miette::bail!("{}: no voxel was compared: there is nothing to calibrate with", path.display());
        };
        calibration.write(path).into_diagnostic()?;
    }
    if let Some(folder) = &args.plot {
        plots::of_voxels(folder, &curves)?;
    }
    if args.json {
        return print_json(&Report { evaluation: &evaluation, surface, calibration });
    }
    print!("{evaluation}");
    if let Some(surface) = surface {
        print!("\n{surface}");
    }
    if let Some(calibration) = calibration {
        print!("\n{calibration}");
    }
    Ok(())
}

fn scores(args: &Args, sources: &Sources<'_>) -> Result<(Evaluation, Curves)> {
    let mut inputs = sources.open(None)?;
    let config = args.config(inputs.region);
    let work = Work::fit(inputs.volumes[0].info(), inputs.volumes[1].info(), &config, args.memory.bytes());
    let work = work.into_diagnostic()?;
    if work.cache_bytes < Work::default().cache_bytes {
        inputs = sources.open(Some(work.cache_bytes))?;
    }
    told(with_progress(inputs.voxels(), |go_on| {
        evaluate_with(inputs.volumes[0].as_ref(), inputs.volumes[1].as_ref(), &config, &work, go_on)
    }))
}

fn surfaces(args: &Args, sources: &Sources<'_>, curves: &Curves) -> Result<SurfaceDistances> {
    sources.within(args.memory.bytes(), SurfaceDistances::PASSES, |inputs, memory, go_on| {
        let config = SurfaceConfig {
            level: curves.level(),
            region: inputs.region,
            foreground: args.foreground,
            ignore: args.ignore,
            voxel_size: inputs.voxel_size,
        };
        surface_distances(inputs.volumes[0].as_ref(), inputs.volumes[1].as_ref(), &config, memory, go_on)
    })
}
