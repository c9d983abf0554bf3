//! Batch normalisation and ReLU over planes: statistics, forward and backward.
//!
//! Blobs are [N, channels, area]. z = a·y + b with a = gamma / √(variance + ε), b = beta − a·mean; the output is z, or
//! max(z, 0).

use rayon::prelude::*;

use crate::norm::EPSILON;

/// The mean and biased variance of every channel of the batch.
pub(super) fn statistics(y: &[f32], channels: usize, area: usize) -> (Vec<f32>, Vec<f32>) {
    let count = (y.len() / channels) as f64;
    let planes = |c: usize| y.chunks_exact(channels * area).map(move |image| &image[c * area..][..area]);
    let both = (0..channels).into_par_iter().map(|c| {
        let mean = planes(c).map(|plane| sum(plane, |v| v)).sum::<f64>() / count;
        let centre = mean as f32;
        let variance = planes(c).map(|plane| sum(plane, |v| (v - centre) * (v - centre))).sum::<f64>() / count;
        (centre, variance as f32)
    });
    both.unzip()
}

/// a and b of each channel.
pub(super) fn line(gamma: &[f32], beta: &[f32], mean: &[f32], variance: &[f32]) -> Vec<(f32, f32)> {
    let scales = gamma.iter().zip(variance).map(|(&gamma, &v)| f64::from(gamma) / (f64::from(v) + EPSILON).sqrt());
    let all = scales.zip(beta.iter().zip(mean));
    all.map(|(a, (&beta, &mean))| (a as f32, (f64::from(beta) - a * f64::from(mean)) as f32)).collect()
}

/// z or max(z, 0).
pub(super) fn apply(y: &[f32], line: &[(f32, f32)], area: usize, rectify: bool) -> Vec<f32> {
    let mut target = vec![0.0; y.len()];
    let floor = if rectify { 0.0 } else { f32::NEG_INFINITY };
    target.par_chunks_exact_mut(area).zip(y.par_chunks_exact(area)).enumerate().for_each(|(plane, (target, y))| {
        let (a, b) = line[plane % line.len()];
        for (t, &y) in target.iter_mut().zip(y) {
            *t = (y * a + b).max(floor);
        }
    });
    target
}

/// Gradients of a normalisation.
pub(super) struct Backward {
    /// Of its input y.
    pub y: Vec<f32>,
    /// Of gamma.
    pub gamma: Vec<f32>,
    /// Of beta.
    pub beta: Vec<f32>,
}

/// The gradients, given that of the output (`gradient`). With ŷ = (y − mean) · r, r = 1 / √(variance + ε), g = the
/// gradient where the ReLU is open, and m values per channel: dbeta = Σg, dgamma = Σg·ŷ,
/// dy = a · (g − dbeta / m − ŷ · dgamma / m).
pub(super) fn backward(
    gradient: &[f32],
    y: &[f32],
    line: &[(f32, f32)],
    (mean, variance): (&[f32], &[f32]),
    area: usize,
    rectify: bool,
) -> Backward {
    let channels = line.len();
    let roots: Vec<f32> = variance.iter().map(|&v| (1.0 / (f64::from(v) + EPSILON).sqrt()) as f32).collect();
    let sums = (0..channels).into_par_iter().map(|c| {
        let planes = y.chunks_exact(channels * area).zip(gradient.chunks_exact(channels * area));
        planes.fold((0.0, 0.0), |(beta, gamma), (y, g)| {
            let (db, dg) = open_sums(&g[c * area..][..area], &y[c * area..][..area], line[c], mean[c], rectify);
            (beta + db, gamma + dg * f64::from(roots[c]))
        })
    });
    let sums: Vec<(f64, f64)> = sums.collect();
    let m = (y.len() / channels) as f64;
    let mut dy = vec![0.0; y.len()];
    let planes = dy.par_chunks_exact_mut(area).zip(y.par_chunks_exact(area).zip(gradient.par_chunks_exact(area)));
    planes.enumerate().for_each(|(plane, (dy, (y, g)))| {
        let c = plane % channels;
        let (a, b) = line[c];
        // dy = a·g + slope·y + shift
        let slope = -f64::from(a) * sums[c].1 / m * f64::from(roots[c]);
        let shift = (-f64::from(a) * sums[c].0 / m - slope * f64::from(mean[c])) as f32;
        let slope = slope as f32;
        let floor = if rectify { 0.0 } else { f32::NEG_INFINITY };
        for ((dy, &y), &g) in dy.iter_mut().zip(y).zip(g) {
            let g = if y * a + b > floor { g } else { 0.0 };
            *dy = a * g + (slope * y + shift);
        }
    });
    Backward {
        y: dy,
        gamma: sums.iter().map(|&(_, gamma)| gamma as f32).collect(),
        beta: sums.iter().map(|&(beta, _)| beta as f32).collect(),
    }
}

/// Values added side by side, so that the compiler can use wide registers, and no sum of `f32` grows long.
const LANES: usize = 16;
const RUN: usize = 64 * LANES;

fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f64 {
    let runs = values.chunks(RUN).map(|run| {
        let mut lanes = [0.0_f32; LANES];
        let (whole, rest) = run.as_chunks::<LANES>();
        for values in whole {
            for (lane, &value) in lanes.iter_mut().zip(values) {
                *lane += of(value);
            }
        }
        lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>() + rest.iter().map(|&v| f64::from(of(v))).sum::<f64>()
    });
    runs.sum()
}

/// Σg and Σg·(y − mean) where the ReLU is open.
fn open_sums(g: &[f32], y: &[f32], (a, b): (f32, f32), mean: f32, rectify: bool) -> (f64, f64) {
    let floor = if rectify { 0.0 } else { f32::NEG_INFINITY };
    let mut sums = (0.0, 0.0);
    for (g, y) in g.chunks(RUN).zip(y.chunks(RUN)) {
        let mut lanes = [[0.0_f32; LANES]; 2];
        let [first, second] = &mut lanes;
        let (whole_g, rest_g) = g.as_chunks::<LANES>();
        let (whole_y, rest_y) = y.as_chunks::<LANES>();
        for (g, y) in whole_g.iter().zip(whole_y) {
            for i in 0..LANES {
                let open = if y[i] * a + b > floor { g[i] } else { 0.0 };
                first[i] += open;
                second[i] += open * (y[i] - mean);
            }
        }
        for (&g, &y) in rest_g.iter().zip(rest_y) {
            if y * a + b > floor {
                sums.0 += f64::from(g);
                sums.1 += f64::from(g * (y - mean));
            }
        }
        sums.0 += first.iter().map(|&v| f64::from(v)).sum::<f64>();
        sums.1 += second.iter().map(|&v| f64::from(v)).sum::<f64>();
    }
    sums
}
