//! A block through the network: every section in every model and variation, turned back, averaged, at the volume's grid.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deep3m_net::NetError;
use deep3m_volume::{Binning, Block, Extent, Region, Variation, Voxels};

use crate::PredictError;
use crate::context::Prepared;
use crate::disagreement::Disagreement;
use crate::ensemble::ForegroundModel;
use crate::parts::Parts;
use crate::plan::{PlannedBlock, Span};
use crate::settle::{EarlyStop, Rounds};

/// A model and the variations in which it sees every section.
pub(crate) struct Member<'a> {
    pub(crate) model: &'a dyn ForegroundModel,
    pub(crate) variations: Vec<Variation>,
}

/// The models and how they are run.
pub(crate) struct Forward<'a> {
    pub(crate) members: Vec<Member<'a>>,
    pub(crate) binning: Binning,
    /// Sections on either side that a context holds: the widest model's.
    pub(crate) margin: usize,
    /// Sections at once.
    pub(crate) batch: usize,
    /// When a section has had enough variations, where not all are walked.
    pub(crate) early_stop: Option<EarlyStop>,
    /// Whether to say how much the passes disagree.
    pub(crate) disagreement: bool,
    /// Passes of a section that were made, and that were saved.
    pub(crate) made: AtomicU64,
    pub(crate) saved: AtomicU64,
}

/// How a block ended.
pub(crate) enum Outcome {
    /// The core.
    Done(Predicted),
    /// Told to stop.
    Stopped,
    /// The network answered with something that is no number.
    NotFinite,
}

/// Who hears of each pass through a network.
struct Watch<'a> {
    /// The time that passes take.
    network: &'a mut Duration,
    /// How many sections went through; whether to go on.
    go_on: &'a mut dyn FnMut(u64) -> bool,
    disagreement: Option<Disagreement>,
}

/// A block's core, as bytes.
pub(crate) struct Predicted {
    /// p = value / 255.
    pub(crate) probability: Block,
    /// The probability's standard deviation over the passes, value / 255, where it is wanted.
    pub(crate) disagreement: Option<Block>,
}

impl Forward<'_> {
    /// Passes through a network that a section takes.
    pub(crate) fn passes(&self) -> u64 {
        self.members.iter().map(|member| member.variations.len() as u64).sum()
    }

    /// A block's core. Sections outside `wanted` (counted in the volume) are left zero.
    ///
    /// `go_on` hears after each pass how many sections went through; when it answers false, the block is given up.
    /// The time in the network is added to `network`.
    pub(crate) fn block(
        &self,
        block: &PlannedBlock,
        prepared: &Prepared,
        wanted: Range<u64>,
        parts: &Parts,
        network: &mut Duration,
        go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Outcome, PredictError> {
        let core = block.core;
        let mut bytes = Vec::with_capacity(core.extent.len());
        let mut deviations = Vec::with_capacity(if self.disagreement { core.extent.len() } else { 0 });
        let section = (core.extent.y * core.extent.x) as usize;
        let depth = core.extent.z as usize;
        for first in (0..depth).step_by(self.batch) {
            let group = first..(first + self.batch).min(depth);
            // Groups are counted from the block's first section, so that a section meets the same neighbours in the
            // network whatever region is wanted.
            let (from, to) = (core.start.z + group.start as u64, core.start.z + group.end as u64);
            if to <= wanted.start || from >= wanted.end {
                bytes.resize(bytes.len() + group.len() * section, 0);
                deviations.resize(if self.disagreement { bytes.len() } else { 0 }, 0);
                continue;
            }
            let (sections, start) = (group.len() as u64, bytes.len());
            let len = group.len() * section;
            // What was kept and cannot be read is computed again.
            let kept = if self.disagreement { 2 * len } else { len };
            if let Ok(Some(part)) = parts.load(block.number, from, kept) {
                bytes.extend(&part[..len]);
                deviations.extend(&part[len..]);
                if !go_on(sections * self.passes()) {
                    return Ok(Outcome::Stopped);
                }
                continue;
            }
            let started = Instant::now();
            let pixels = prepared.rows * prepared.columns;
            let disagreement = self.disagreement.then(|| Disagreement::new(group.len(), pixels));
            let mut watch = Watch { network: &mut *network, go_on: &mut *go_on, disagreement };
            let mean = match self.early_stop {
                Some(stop) => self.settled_mean(stop, block, prepared, group, &mut watch)?,
                None => self.mean(prepared, group, &mut watch)?,
            };
            let disagreement = watch.disagreement;
            let Some(mean) = mean else { return Ok(Outcome::Stopped) };
            if !all_finite(&mean) {
                return Ok(Outcome::NotFinite);
            }
            for probability in mean.chunks_exact(pixels) {
                self.quantise(block, probability, prepared, &mut bytes);
            }
            for deviation in disagreement.iter().flat_map(Disagreement::deviations) {
                self.quantise(block, &deviation, prepared, &mut deviations);
            }
            if to < core.end().z {
                let part = match deviations.get(start..) {
                    Some(deviations) if self.disagreement => Cow::Owned([&bytes[start..], deviations].concat()),
                    _ => Cow::Borrowed(&bytes[start..]),
                };
                // Where there is no room to keep it, the block goes on without.
                let _ = parts.keep(block.number, from, &part, started.elapsed());
            }
        }
        let block = |bytes| Block::new(core.extent, Voxels::U8(bytes));
        let disagreement = self.disagreement.then(|| block(deviations));
        Ok(Outcome::Done(Predicted { probability: block(bytes), disagreement }))
    }

    /// The mean over the models of their means over the variations, for the sections `group` of the core, over the
    /// whole context in the plane.
    fn mean(
        &self,
        prepared: &Prepared,
        group: Range<usize>,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Vec<f32>>, NetError> {
        let (rows, columns) = (prepared.rows, prepared.columns);
        let mut mean = Vec::new();
        for member in &self.members {
            let frames = member.model.frames();
            let share = 1.0 / (member.variations.len() * self.members.len()) as f32;
            let stack = |section: usize| prepared.sections(section + self.margin - frames.margin(), frames.count());
            for &variation in &member.variations {
                let (height, width) = if variation.swaps_axes() { (columns, rows) } else { (rows, columns) };
                let varied: Vec<f32>;
                let input = if variation == Variation::IDENTITY && group.len() == 1 {
                    stack(group.start)
                } else {
                    let parts = group.clone().map(|s| variation.apply(stack(s), frames.count(), rows, columns));
                    varied = parts.collect::<Vec<_>>().concat();
                    &varied
                };
                let started = Instant::now();
                let output = member.model.foreground(input, group.len(), height, width)?;
                *watch.network += started.elapsed();
                self.made.fetch_add(group.len() as u64, Ordering::Relaxed);
                assert_eq!(output.len(), group.len() * rows * columns, "probabilities of a {frames} model");
                let answers =
                    || output.chunks_exact(rows * columns).map(|a| turned_back(a, variation, (height, width)));
                if let Some(disagreement) = &mut watch.disagreement {
                    answers().enumerate().for_each(|(section, p)| disagreement.add(section, &p));
                }
                if share == 1.0 && variation == Variation::IDENTITY {
                    // The only pass: there is nothing to average.
                    return Ok((watch.go_on)(group.len() as u64).then_some(output));
                }
                mean.resize(output.len(), 0.0);
                for (sum, p) in mean.chunks_exact_mut(rows * columns).zip(answers()) {
                    add(sum, &p, share);
                }
                if !(watch.go_on)(group.len() as u64) {
                    return Ok(None);
                }
            }
        }
        Ok(Some(mean))
    }

    /// As [`Self::mean`], but each section only until more variations would hardly change which side of the threshold its
    /// core's voxels are on. Passes that are saved count as done.
    fn settled_mean(
        &self,
        stop: EarlyStop,
        block: &PlannedBlock,
        prepared: &Prepared,
        group: Range<usize>,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Vec<f32>>, NetError> {
        let (rows, columns) = (prepared.rows, prepared.columns);
        let area = rows * columns;
        let [y, x] = self.core_parts(block).map(|part| part.bins);
        let all = self.members.iter().map(|member| member.variations.len()).max().unwrap_or(0);
        let share = 1.0 / self.members.len() as f32;
        let mut rounds: Vec<Option<Rounds>> = group.clone().map(|_| Some(Rounds::new(stop, all, area))).collect();
        let mut means: Vec<Vec<f32>> = vec![Vec::new(); group.len()];
        // Models with fewer variations than others are done before them: the sums of their answers, section by section.
        let mut own: Vec<Vec<Vec<f32>>> = self
            .members
            .iter()
            .map(|member| if member.variations.len() < all { vec![vec![0.0; area]; group.len()] } else { Vec::new() })
            .collect();
        for number in 0..all {
            let open: Vec<usize> = (0..group.len()).filter(|&at| rounds[at].is_some()).collect();
            if open.is_empty() {
                break;
            }
            let mut round = vec![vec![0.0; area]; open.len()];
            for (member, own) in self.members.iter().zip(&mut own) {
                let frames = member.model.frames();
                let Some(&variation) = member.variations.get(number) else {
                    for (round, &at) in round.iter_mut().zip(&open) {
                        let share = share / member.variations.len() as f32;
                        round.iter_mut().zip(&own[at]).for_each(|(round, sum)| *round += share * sum);
                    }
                    continue;
                };
                let size = if variation.swaps_axes() { (columns, rows) } else { (rows, columns) };
                let stack =
                    |at: usize| prepared.sections(group.start + at + self.margin - frames.margin(), frames.count());
                let input: Vec<Vec<f32>> =
                    open.iter().map(|&at| variation.apply(stack(at), frames.count(), rows, columns)).collect();
                let started = Instant::now();
                let output = member.model.foreground(&input.concat(), open.len(), size.0, size.1)?;
                *watch.network += started.elapsed();
                assert_eq!(output.len(), open.len() * area, "probabilities of a {frames} model");
                for ((round, answer), &at) in round.iter_mut().zip(output.chunks_exact(area)).zip(&open) {
                    let p = turned_back(answer, variation, size);
                    add(round, &p, share);
                    if let Some(own) = own.get_mut(at) {
                        add(own, &p, 1.0);
                    }
                    if let Some(disagreement) = &mut watch.disagreement {
                        disagreement.add(at, &p);
                    }
                }
                self.made.fetch_add(open.len() as u64, Ordering::Relaxed);
                if !(watch.go_on)(open.len() as u64) {
                    return Ok(None);
                }
            }
            for (&at, round) in open.iter().zip(&round) {
                let settled = rounds[at].as_mut().is_some_and(|rounds| {
                    rounds.add(round);
                    rounds.settled(y.clone(), x.clone(), columns)
                });
                if settled && let Some(rounds) = rounds[at].take() {
                    means[at] = rounds.into_mean();
                    let saved: usize =
                        self.members.iter().map(|member| member.variations.len().saturating_sub(number + 1)).sum();
                    self.saved.fetch_add(saved as u64, Ordering::Relaxed);
                    if saved > 0 && !(watch.go_on)(saved as u64) {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(Some(means.concat()))
    }

    /// Rows and columns of a block's context that its core is made from.
    pub(crate) fn core_parts(&self, block: &PlannedBlock) -> [Part; 2] {
        let (core, end) = (block.core.start, block.core.end());
        [
            Part::of(block.context.y, core.y..end.y, self.binning.y),
            Part::of(block.context.x, core.x..end.x, self.binning.x),
        ]
    }

    /// One section's core as bytes, p = value / 255, from the binned probabilities of its context.
    fn quantise(&self, block: &PlannedBlock, probability: &[f32], prepared: &Prepared, bytes: &mut Vec<u8>) {
        let [y, x] = self.core_parts(block);
        // By way of 32 bits, several at a time.
        let byte = |p: &f32| (p.clamp(0.0, 1.0) * 255.0 + 0.5) as i32 as u8;
        if self.binning.is_none() {
            for row in probability.chunks_exact(prepared.columns).skip(y.bins.start).take(y.bins.len()) {
                bytes.extend(row[x.bins.clone()].iter().map(byte));
            }
            return;
        }
        let rows = probability.chunks_exact(prepared.columns).skip(y.bins.start).take(y.bins.len());
        let part: Vec<f32> = rows.flat_map(|row| &row[x.bins.clone()]).copied().collect();
        let fine = self.binning.interpolate(&part, 1, y.bins.len(), x.bins.len());
        let width = x.bins.len() * self.binning.x as usize;
        for row in fine.chunks_exact(width).skip(y.pixels.start).take(y.pixels.len()) {
            bytes.extend(row[x.pixels.clone()].iter().map(byte));
        }
    }
}

/// The bins of a context that the core's pixels are interpolated from, and the core among the pixels of those bins.
pub(crate) struct Part {
    pub(crate) bins: Range<usize>,
    pixels: Range<usize>,
}

impl Part {
    fn of(context: Span, core: Range<u64>, bin: u32) -> Self {
        let wide = i64::from(bin);
        // With bins, one more on each side, where there is one: a pixel lies between the centres of two.
        let ring = i64::from(bin > 1);
        let first = ((core.start as i64).div_euclid(wide) - ring).max(context.start);
        let last = (core.end.div_ceil(bin.into()) as i64 + ring).min(context.end());
        let pixel = (core.start as i64 - first * wide) as usize;
        Self {
            bins: (first - context.start) as usize..(last - context.start) as usize,
            pixels: pixel..pixel + (core.end - core.start) as usize,
        }
    }
}

/// Whether all are numbers; without a branch for each, so that several are looked at at a time.
fn all_finite(values: &[f32]) -> bool {
    let magnitude = |v: &f32| (v.to_bits() & 0x7fff_ffff) as i32;
    values.iter().map(magnitude).fold(0, i32::max) < magnitude(&f32::INFINITY)
}

/// A section of probabilities that was made in a variation (`size` rows and columns), turned back.
fn turned_back(answer: &[f32], variation: Variation, size: (usize, usize)) -> Cow<'_, [f32]> {
    if variation == Variation::IDENTITY {
        return Cow::Borrowed(answer);
    }
    Cow::Owned(variation.inverse().apply(answer, 1, size.0, size.1))
}

/// Adds `share` times the probabilities.
fn add(sum: &mut [f32], probability: &[f32], share: f32) {
    for (sum, p) in sum.iter_mut().zip(probability) {
        *sum += share * p;
    }
}

/// The size of a region as an extent of bytes, for messages of progress.
pub(crate) fn wanted_voxels(block: &PlannedBlock, region: Region) -> u64 {
    block.core.intersect(&region).map_or(Extent::default(), |part| part.extent).len() as u64
}
