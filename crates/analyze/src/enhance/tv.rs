//! Denoising by total variation: flat where there is noise, edges as they are.
//!
//! The image u nearest to the given one f for which ‖u − f‖² / 2 + weight · TV(u) is least, by the projections of Chambolle
//! (Journal of Mathematical Imaging and Vision 20, 2004) with the steps of scikit-image's `denoise_tv_chambolle`.

/// How long it goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stop {
    /// After so many steps: then a pixel depends on those within as many pixels alone.
    After(u32),
    /// When a step changes the energy by less than this share of its first value, or after so many steps.
    Converged { share: f64, steps: u32 },
}

/// Denoises an image; the larger the weight, the flatter.
pub(super) fn denoise(image: &mut Vec<f32>, height: usize, width: usize, weight: f64, stop: Stop) {
    if weight <= 0.0 || image.is_empty() {
        return;
    }
    let (steps, share) = match stop {
        Stop::After(steps) => (steps, None),
        Stop::Converged { share, steps } => (steps, Some(share)),
    };
    // A step of 1 / (2 · axes).
    let tau = 0.25_f32;
    let scale = (f64::from(tau) / weight) as f32;
    let size = image.len();
    let (mut down, mut right) = (vec![0.0_f32; size], vec![0.0_f32; size]);
    let mut out = image.clone();
    let (mut first, mut before) = (0.0, 0.0);
    for step in 0..steps {
        let mut fidelity = 0.0;
        if step > 0 {
            fidelity = update(&mut out, image, &down, &right, width);
        }
        let variation = project(&out, &mut down, &mut right, (height, width), tau, scale);
        if let Some(share) = share {
            let energy = (fidelity + weight * variation) / size as f64;
            if step == 0 {
                first = energy;
            } else if (before - energy).abs() < share * first {
                break;
            }
            before = energy;
        }
    }
    *image = out;
}

/// The image less the divergence of the dual field; returns the sum of squares of what was taken away.
fn update(out: &mut [f32], image: &[f32], down: &[f32], right: &[f32], width: usize) -> f64 {
    let mut sum = 0.0;
    for (i, (out, image)) in out.iter_mut().zip(image).enumerate() {
        let mut change = -down[i] - right[i];
        if i >= width {
            change += down[i - width];
        }
        if i % width > 0 {
            change += right[i - 1];
        }
        *out = image + change;
        sum += f64::from(change) * f64::from(change);
    }
    sum
}

/// A step of the dual field along the gradient; returns the total variation.
fn project(
    out: &[f32],
    down: &mut [f32],
    right: &mut [f32],
    (height, width): (usize, usize),
    tau: f32,
    scale: f32,
) -> f64 {
    let mut sum = 0.0;
    for y in 0..height {
        for x in 0..width {
            let i = y * width + x;
            let below = if y + 1 < height { out[i + width] - out[i] } else { 0.0 };
            let beside = if x + 1 < width { out[i + 1] - out[i] } else { 0.0 };
            let size = (below * below + beside * beside).sqrt();
            sum += f64::from(size);
            let length = 1.0 + scale * size;
            down[i] = (down[i] - tau * below) / length;
            right[i] = (right[i] - tau * beside) / length;
        }
    }
    sum
}
