//! A block through the network: every section in every model and variation, turned back, averaged, at the volume's grid.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deep3m_net::NetError;
use deep3m_volume::{Binning, Block, Extent, Region, Variation, Voxels};

use crate::PredictError;
use crate::context::Prepared;
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
    /// Passes of a section that were made, and that were saved.
    pub(crate) made: AtomicU64,
    pub(crate) saved: AtomicU64,
}

/// How a block ended.
pub(crate) enum Outcome {
    /// The probabilities of the core.
    Done(Block),
    /// Told to stop.
    Stopped,
    /// The network answered with something that is no number.
    NotFinite,
}

impl Forward<'_> {
    /// Passes through a network that a section takes.
    pub(crate) fn passes(&self) -> u64 {
        self.members.iter().map(|member| member.variations.len() as u64).sum()
    }

    /// The probabilities of a block's core, as bytes. Sections outside `wanted` (counted in the volume) are left zero.
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
        let section = (core.extent.y * core.extent.x) as usize;
        let depth = core.extent.z as usize;
        for first in (0..depth).step_by(self.batch) {
            let group = first..(first + self.batch).min(depth);
            // Groups are counted from the block's first section, so that a section meets the same neighbours in the
            // network whatever region is wanted.
            let (from, to) = (core.start.z + group.start as u64, core.start.z + group.end as u64);
            if to <= wanted.start || from >= wanted.end {
                bytes.resize(bytes.len() + group.len() * section, 0);
                continue;
            }
            let (sections, start) = (group.len() as u64, bytes.len());
            // What was kept and cannot be read is computed again.
            if let Ok(Some(part)) = parts.load(block.number, from, group.len() * section) {
                bytes.extend(part);
                if !go_on(sections * self.passes()) {
                    return Ok(Outcome::Stopped);
                }
                continue;
            }
            let started = Instant::now();
            let mean = match self.early_stop {
                Some(stop) => self.settled_mean(stop, block, prepared, group, network, go_on)?,
                None => self.mean(prepared, group, network, go_on)?,
            };
            let Some(mean) = mean else { return Ok(Outcome::Stopped) };
            if !all_finite(&mean) {
                return Ok(Outcome::NotFinite);
            }
            for probability in mean.chunks_exact(prepared.rows * prepared.columns) {
                self.quantise(block, probability, prepared, &mut bytes);
            }
            if to < core.end().z {
                // Where there is no room to keep it, the block goes on without.
                let _ = parts.keep(block.number, from, &bytes[start..], started.elapsed());
            }
        }
        Ok(Outcome::Done(Block::new(core.extent, Voxels::U8(bytes))))
    }

    /// The mean over the models of their means over the variations, for the sections `group` of the core, over the
    /// whole context in the plane.
    fn mean(
        &self,
        prepared: &Prepared,
        group: Range<usize>,
        network: &mut Duration,
        go_on: &mut dyn FnMut(u64) -> bool,
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
                *network += started.elapsed();
                self.made.fetch_add(group.len() as u64, Ordering::Relaxed);
                assert_eq!(output.len(), group.len() * rows * columns, "probabilities of a {frames} model");
                if share == 1.0 && variation == Variation::IDENTITY {
                    // The only pass: there is nothing to average.
                    return Ok(go_on(group.len() as u64).then_some(output));
                }
                mean.resize(output.len(), 0.0);
                for (sum, answer) in mean.chunks_exact_mut(rows * columns).zip(output.chunks_exact(rows * columns)) {
                    add_turned_back(sum, answer, variation, (height, width), share);
                }
                if !go_on(group.len() as u64) {
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
        network: &mut Duration,
        go_on: &mut dyn FnMut(u64) -> bool,
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
                *network += started.elapsed();
                assert_eq!(output.len(), open.len() * area, "probabilities of a {frames} model");
                for ((round, answer), &at) in round.iter_mut().zip(output.chunks_exact(area)).zip(&open) {
                    add_turned_back(round, answer, variation, size, share);
                    if let Some(own) = own.get_mut(at) {
                        add_turned_back(own, answer, variation, size, 1.0);
                    }
                }
                self.made.fetch_add(open.len() as u64, Ordering::Relaxed);
                if !go_on(open.len() as u64) {
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
                    if saved > 0 && !go_on(saved as u64) {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(Some(means.concat()))
    }

    /// Rows and columns of a block's context that its core is made from.
    fn core_parts(&self, block: &PlannedBlock) -> [Part; 2] {
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
struct Part {
    bins: Range<usize>,
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

/// Adds `share` times a section of probabilities that was made in a variation (`size` rows and columns), turned back.
fn add_turned_back(sum: &mut [f32], answer: &[f32], variation: Variation, size: (usize, usize), share: f32) {
    let mut add = |answer: &[f32]| {
        for (sum, p) in sum.iter_mut().zip(answer) {
            *sum += share * p;
        }
    };
    if variation == Variation::IDENTITY {
        add(answer);
    } else {
        add(&variation.inverse().apply(answer, 1, size.0, size.1));
    }
}

/// The size of a region as an extent of bytes, for messages of progress.
pub(crate) fn wanted_voxels(block: &PlannedBlock, region: Region) -> u64 {
    block.core.intersect(&region).map_or(Extent::default(), |part| part.extent).len() as u64
}
