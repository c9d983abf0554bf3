//! `--tune`: the settings whose objects agree best with true ones.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use deep3m_analyze::{
    Agreement, Allowance, AnalyzeError, Chart, Connectivity, Landscape, Line, SegmentConfig, SegmentMeans, Watershed,
    agreement, lowest_value, segment_with,
};
use deep3m_volume::{InMemory, Region, Volume, VoxelType, Voxels, as_labels, fs, memory};
use miette::{IntoDiagnostic, Result};
use serde::Serialize;

use super::{Args, Budget, Parting};
use crate::commands::memory::open_limited;
use crate::console::{Progress, Unit, notice};
use crate::interrupt::{self, Interrupted};

/// The thresholds that are tried, in tenths.
const TENTHS: std::ops::RangeInclusive<u8> = 1..=9;
/// The connectivities that are tried where none is given.
const CONNECTIVITIES: [Connectivity; 2] = [Connectivity::Faces, Connectivity::Corners];
/// Bytes of a voxel that is compared: its probability, its true number, its number twice.
const COMPARED_BYTES: u64 = 14;

/// What is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Score {
    /// The smallest adapted Rand error
    Rand,
    /// The largest F1 of objects
    F1,
}

impl Score {
    /// Whether one agreement is better than another. Where the score is the same, as it often is with few objects, the mean
    /// average precision says which; the adapted Rand error does not see what was found where nothing is.
    fn is_better(self, one: &Tried, other: &Tried) -> bool {
        let (score, than) = match self {
            Self::Rand => (-one.adapted_rand_error, -other.adapted_rand_error),
            Self::F1 => (one.f1, other.f1),
        };
        score > than || (score == than && one.mean_average_precision > other.mean_average_precision)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Rand => "adapted Rand error",
            Self::F1 => "F1 of objects (IoU 0.5)",
        }
    }
}

/// Settings that were tried, and what they gave.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Tried {
    /// Probability from which a voxel was foreground.
    threshold: f64,
    connectivity: Connectivity,
    watershed: Option<Watershed>,
    /// Objects found, and true ones.
    objects: u64,
    truth: u64,
    adapted_rand_error: f64,
    /// Of objects, at an intersection over union of one half.
    f1: f64,
    /// Over intersections over union from 0.5 to 0.95.
    mean_average_precision: f64,
}

impl Tried {
    fn new(config: &SegmentConfig, one: u32, found: &Agreement) -> Self {
        Self {
            threshold: f64::from(config.level) / f64::from(one),
            connectivity: config.connectivity,
            watershed: config.watershed,
            objects: found.predicted,
            truth: found.truth,
            adapted_rand_error: found.adapted_rand_error,
            f1: found.matches.first().map_or(0.0, |half| half.f1),
            mean_average_precision: found.mean_average_precision,
        }
    }
}

/// The settings that agree best with the truth, and all that were tried. Those that are given are kept.
pub(super) fn tune(
    args: &Args,
    truth: &Path,
    volume: &Arc<dyn Volume>,
    config: &SegmentConfig,
    parting: Option<Parting>,
    budget: Budget,
) -> Result<(SegmentConfig, Vec<Tried>)> {
    let Compared { prediction, truth, besides } = read(args, truth, volume, budget)?;
    let one = prediction.info().voxel_type.full_scale() as u32;
    let extent = prediction.info().extent;
    let candidates = candidates(args, config, parting, one, prediction.info().voxel_size)?;
    let voxels = extent.checked_voxels().unwrap_or(0);
    let progress = Progress::new("tune", candidates.len() as u64 * voxels, Unit::Voxels);
    let mut tried: Vec<Tried> = Vec::with_capacity(candidates.len());
    let mut best = None;
    for candidate in &candidates {
        let out = InMemory::new("objects", extent, Voxels::zeros(VoxelType::U32, extent.len()));
        let means = SegmentMeans { memory: Some(budget.bytes), besides, ..SegmentMeans::default() };
        let mut go_on = |_, _| !interrupt::stop().load(Ordering::Relaxed);
        match segment_with(&prediction, &out, candidate, means, &mut go_on) {
            Err(AnalyzeError::Interrupted) => {
                progress.finish();
                return Err(Interrupted.into());
            }
            other => other.into_diagnostic()?,
        };
        let found = agreement(&out, &truth, None, Allowance::default(), &mut |_| true).into_diagnostic()?;
        tried.push(Tried::new(candidate, one, &found));
        let last = tried.len() - 1;
        if best.is_none_or(|best| args.by.is_better(&tried[last], &tried[best])) {
            best = Some(last);
        }
        progress.advance(voxels);
    }
    progress.finish();
    let best = best.ok_or_else(|| miette::miette!("--tune: nothing was tried"))?;
    if let Some(picture) = &args.tune_plot {
        let svg =
            chart(&tried, args.by).svg(900, 560).map_err(|why| miette::miette!("{}: {why}", picture.display()))?;
        fs::write_atomic(picture, svg.as_bytes()).into_diagnostic()?;
    }
    if !args.json {
        print!("{}", table(&tried, best, args.by));
    }
    // Only the comparison was of a part.
    Ok((SegmentConfig { region: None, ..candidates[best].clone() }, tried))
}

/// What is compared, in memory.
struct Compared {
    prediction: InMemory,
    truth: InMemory,
    /// What all of this takes of the memory.
    besides: u64,
}

fn read(args: &Args, truth: &Path, volume: &Arc<dyn Volume>, budget: Budget) -> Result<Compared> {
    let truth = as_labels(open_limited(truth, None, 0)?);
    let (info, of_truth) = (volume.info(), truth.info());
    let region = args.region.unwrap_or(Region::whole(info.extent));
    let region_of_truth = if of_truth.extent == info.extent {
        region
    } else if of_truth.extent == region.extent {
        Region::whole(of_truth.extent)
    } else {
        return Err(AnalyzeError::ShapeMismatch {
            first: info.path.clone(),
            first_extent: info.extent,
            second: of_truth.path.clone(),
            second_extent: of_truth.extent,
        })
        .into_diagnostic()
        .map_err(|error| error.wrap_err("--tune: give with --region the part of the prediction that the truth is of"));
    };
    let compared = region.extent.checked_voxels().unwrap_or(u64::MAX).saturating_mul(COMPARED_BYTES);
    if compared > budget.bytes / 2 {
        miette::bail!(
            "--tune: found {} for the part that is compared; expected at most half of the memory, {}. Compare a smaller part with \
             --region, or give more --memory",
            memory::text(compared),
            memory::text(budget.bytes / 2)
        );
    }
    let besides = compared + budget.cache_bytes;
    let probabilities = volume.read(region).into_diagnostic()?.into_voxels();
    let mut prediction = InMemory::new(&info.path, region.extent, probabilities);
    if let Some(size) = info.voxel_size {
        prediction = prediction.sized(size);
    }
    let labels = truth.read(region_of_truth).into_diagnostic()?.into_voxels();
    let mut values = labels.iter().filter(|&label| label > 0);
    let first = values.next();
    let truth = InMemory::new(&of_truth.path, region.extent, labels.clone());
    if first.is_none() {
        miette::bail!("{}: --tune: found no object in the part that is compared", of_truth.path.display());
    }
    if values.all(|label| Some(label) == first) {
        notice(&format!("{}: has one label; what touches in it is taken for one object", of_truth.path.display()));
        let out = InMemory::new(&of_truth.path, region.extent, Voxels::zeros(VoxelType::U32, region.extent.len()));
        let whole = SegmentConfig { level: 1, ..SegmentConfig::default() };
        segment_with(&truth, &out, &whole, SegmentMeans::default(), &mut |_, _| true).into_diagnostic()?;
        return Ok(Compared { prediction, truth: out, besides });
    }
    Ok(Compared { prediction, truth, besides })
}

/// All settings to try.
fn candidates(
    args: &Args,
    config: &SegmentConfig,
    parting: Option<Parting>,
    one: u32,
    size: Option<deep3m_volume::VoxelSize>,
) -> Result<Vec<SegmentConfig>> {
    let connectivities = args.connectivity.map_or(CONNECTIVITIES.to_vec(), |given| vec![given]);
    let mut candidates = Vec::new();
    for connectivity in connectivities {
        let watersheds: Vec<Option<Watershed>> = match parting {
            Some(parting) => parting.tried(size, connectivity)?.into_iter().map(Some).collect(),
            None => vec![None],
        };
        for (watershed, tenths) in watersheds.into_iter().flat_map(|w| TENTHS.map(move |tenths| (w, tenths))) {
            let level = lowest_value(f64::from(tenths) / 10.0, one);
            candidates.push(SegmentConfig { level, connectivity, watershed, region: None, ..config.clone() });
        }
    }
    Ok(candidates)
}

/// What is said of settings beside their threshold.
fn name(tried: &Tried) -> String {
    let h = tried.watershed.map_or(String::new(), |watershed| match watershed.landscape {
        Landscape::Distance => format!(", h {:.1}", watershed.h),
        Landscape::Probability { .. } => format!(", h {:.2}", watershed.h),
    });
    format!("{} neighbours{h}", tried.connectivity.neighbours())
}

fn table(tried: &[Tried], best: usize, by: Score) -> String {
    use std::fmt::Write as _;
    let mut text = "threshold  connectivity         h  objects  adapted Rand error     F1  mean precision\n".to_owned();
    for (i, t) in tried.iter().enumerate() {
        let h = t.watershed.map_or("-".to_owned(), |watershed| format!("{:.2}", watershed.h));
        let mark = if i == best { "  best" } else { "" };
        let _ = writeln!(
            text,
            "    {:.3}  {:>12}  {h:>8}  {:>7}  {:>18.4}  {:.3}  {:>14.3}{mark}",
            t.threshold,
            t.connectivity.neighbours(),
            t.objects,
            t.adapted_rand_error,
            t.f1,
            t.mean_average_precision
        );
    }
    let t = &tried[best];
    let _ = writeln!(
        text,
        "best by {}: threshold {:.3}, {}: {} objects, {} true ones",
        by.name(),
        t.threshold,
        name(t),
        t.objects,
        t.truth
    );
    text
}

/// The score over the threshold, a line for each of the other settings.
fn chart(tried: &[Tried], by: Score) -> Chart {
    let mut lines: Vec<Line> = Vec::new();
    for t in tried {
        let point = (t.threshold, if by == Score::Rand { t.adapted_rand_error } else { t.f1 });
        let name = name(t);
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { name, points: vec![point], dots: true, ..Line::default() }),
        }
    }
    Chart {
        title: "Settings of the segmentation".into(),
        x: "threshold (probability)".into(),
        y: by.name().into(),
        y_range: (0.0, 0.0),
        lines,
    }
}
