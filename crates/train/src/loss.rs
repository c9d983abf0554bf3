//! What the network is trained to make small, with its gradient in closed form.
//!
//! Everything depends on the logits only through d = logit(foreground) − logit(background), for softmax over two classes
//! is the sigmoid of d. With p = σ(d), the derivative by the foreground's logit is ∂L/∂d, by the background's −∂L/∂d.

use crate::config::Loss;

/// The largest cross-entropy that is reported: −ln of the smallest normal `f32`, as in Caffe.
const LARGEST: f64 = 87.336_544_75;

/// What one batch of patches says.
#[derive(Clone, Debug, PartialEq)]
pub struct LossValue {
    /// Mean cross-entropy, unweighted, over the pixels with a known label, in nats. Whatever loss is trained on, this is
    /// what is shown, so that runs can be compared.
    pub cross_entropy: f64,
    /// The loss that is trained on.
    pub total: f64,
    /// Derivative of the loss by the logits, in their layout: patches · 2 · pixels.
    pub gradient: Vec<f32>,
    /// Pixels labelled right at probability ½.
    pub correct: u64,
    /// Pixels with a known label.
    pub known: u64,
}

/// The loss of logits (patches · 2 · `pixels`: for each patch all background logits, then all foreground logits) against
/// the foreground's share `target` and `known` (patches · `pixels` each). Pixels with `known` 0 have no influence.
///
/// # Panics
/// If the lengths do not fit.
pub fn evaluate(loss: Loss, logits: &[f32], target: &[f32], known: &[f32], pixels: usize) -> LossValue {
    assert!(logits.len() == 2 * target.len() && target.len() == known.len(), "logits and labels of one batch");
    let difference: Vec<f32> = logits
        .chunks_exact(2 * pixels)
        .flat_map(|patch| {
            let (background, foreground) = patch.split_at(pixels);
            foreground.iter().zip(background).map(|(f, b)| f - b)
        })
        .collect();
    let mut value = match loss {
        Loss::ClassBalanced => class_balanced(&difference, target, known),
        Loss::Overlap { dice, jaccard, hardest } => overlap(&difference, target, known, dice, jaccard, hardest),
    };
    for ((d, y), k) in difference.iter().zip(target).zip(known) {
        if *k > 0.0 {
            value.known += 1;
            value.correct += u64::from((*d > 0.0) == (*y >= 0.5));
        }
    }
    let mut gradient = Vec::with_capacity(logits.len());
    for patch in value.gradient.chunks_exact(pixels) {
        gradient.extend(patch.iter().map(|g| -g));
        gradient.extend_from_slice(patch);
    }
    value.gradient = gradient;
    value
}

/// Cross-entropy of a pixel, ln(1 + eᵈ) − y·d, without overflow.
fn cross_entropy(d: f32, y: f32) -> f64 {
    let (d, y) = (f64::from(d), f64::from(y));
    d.max(0.0) - y * d + (-d.abs()).exp().ln_1p()
}

fn sigmoid(d: f32) -> f32 {
    let e = (-d.abs()).exp();
    if d >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// CDeep3M's: the gradient of a pixel is w · (p − y) / pixels, where w of a class is the count of the rarer class over
/// its own; a batch of one class has w = 1.
fn class_balanced(difference: &[f32], target: &[f32], known: &[f32]) -> LossValue {
    let sum = |of: fn(f32) -> f32| target.iter().zip(known).map(|(y, k)| f64::from(of(*y) * k)).sum::<f64>();
    let (foreground, background) = (sum(|y| y), sum(|y| 1.0 - y));
    let rarer = foreground.min(background);
    let weight = |count: f64| if rarer > 0.0 { rarer / count } else { 1.0 };
    let (of_foreground, of_background) = (weight(foreground), weight(background));
    let count = foreground + background;
    let share = if count > 0.0 { 1.0 / count } else { 0.0 };
    let (mut plain, mut weighted) = (0.0, 0.0);
    let gradient = difference
        .iter()
        .zip(target)
        .zip(known)
        .map(|((&d, &y), &k)| {
            let w = f64::from(y) * of_foreground + f64::from(1.0 - y) * of_background;
            let entropy = cross_entropy(d, y).min(LARGEST) * f64::from(k);
            plain += entropy;
            weighted += w * entropy;
            (w * share) as f32 * k * (sigmoid(d) - y)
        })
        .collect();
    LossValue { cross_entropy: plain * share, total: weighted * share, gradient, correct: 0, known: 0 }
}

/// Mean cross-entropy of the hardest pixels, and multiples of 1 − Dice and 1 − Jaccard of the probabilities, each over
/// the whole batch with 1 added above and below (Milletari et al. 2016; Rahman and Wang 2016).
fn overlap(difference: &[f32], target: &[f32], known: &[f32], dice: f64, jaccard: f64, hardest: f64) -> LossValue {
    let probability: Vec<f32> = difference.iter().map(|&d| sigmoid(d)).collect();
    let entropy: Vec<f32> = difference.iter().zip(target).map(|(&d, &y)| cross_entropy(d, y) as f32).collect();
    let (mut count, mut plain) = (0.0, 0.0);
    let (mut both, mut predicted, mut labelled) = (0.0, 0.0, 0.0);
    for (((&p, &y), &k), &e) in probability.iter().zip(target).zip(known).zip(&entropy) {
        count += f64::from(k);
        plain += f64::from(k * e);
        both += f64::from(k * p * y);
        predicted += f64::from(k * p);
        labelled += f64::from(k * y);
    }
    if count == 0.0 {
        return LossValue {
            cross_entropy: 0.0,
            total: 0.0,
            gradient: vec![0.0; difference.len()],
            correct: 0,
            known: 0,
        };
    }
    let limit = threshold(&entropy, known, hardest);
    let (mut hard, mut hard_sum) = (0.0, 0.0);
    for (&e, &k) in entropy.iter().zip(known) {
        if k > 0.0 && e >= limit {
            hard += 1.0;
            hard_sum += f64::from(e);
        }
    }
    let either = predicted + labelled;
    let union = either - both;
    let total = hard_sum / f64::max(hard, 1.0)
        + dice * (1.0 - (2.0 * both + 1.0) / (either + 1.0))
        + jaccard * (1.0 - (both + 1.0) / (union + 1.0));
    // By the probability of a pixel: ∂both = y, ∂either = 1, ∂union = 1 − y.
    let by_probability = |y: f64| {
        -dice * (2.0 * y * (either + 1.0) - (2.0 * both + 1.0)) / (either + 1.0).powi(2)
            - jaccard * (y * (union + 1.0) - (both + 1.0) * (1.0 - y)) / (union + 1.0).powi(2)
    };
    let (at_zero, at_one) = (by_probability(0.0), by_probability(1.0));
    let share = 1.0 / f64::max(hard, 1.0);
    let gradient = probability
        .iter()
        .zip(target)
        .zip(known)
        .zip(&entropy)
        .map(|(((&p, &y), &k), &e)| {
            let counts = if e >= limit { share } else { 0.0 };
            // by_probability is linear in y.
            let slope = at_zero + (at_one - at_zero) * f64::from(y);
            k * (counts as f32 * (p - y) + slope as f32 * p * (1.0 - p))
        })
        .collect();
    LossValue { cross_entropy: plain / count, total, gradient, correct: 0, known: 0 }
}

/// The cross-entropy above which the given share of the known pixels lies.
fn threshold(entropy: &[f32], known: &[f32], hardest: f64) -> f32 {
    if hardest >= 1.0 {
        return f32::NEG_INFINITY;
    }
    let mut values: Vec<f32> = entropy.iter().zip(known).filter(|(_, k)| **k > 0.0).map(|(e, _)| *e).collect();
    if values.is_empty() {
        return f32::NEG_INFINITY;
    }
    let at = ((values.len() as f64 * (1.0 - hardest)) as usize).min(values.len() - 1);
    *values.select_nth_unstable_by(at, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OVERLAP: Loss = Loss::Overlap { dice: 1.0, jaccard: 0.5, hardest: 1.0 };

    fn batch() -> impl Strategy<Value = (Vec<f32>, Vec<f32>, Vec<f32>)> {
        // 2 patches of 6 pixels.
        (
            prop::collection::vec(-4.0_f32..4.0, 24),
            prop::collection::vec(prop_oneof![Just(0.0_f32), Just(1.0), 0.0_f32..1.0], 12),
            prop::collection::vec(prop_oneof![Just(0.0_f32), Just(1.0), Just(1.0)], 12),
        )
    }

    proptest! {
        #[test]
        fn the_gradient_is_that_of_the_loss((logits, target, known) in batch(), at in 0_usize..24) {
            for loss in [Loss::ClassBalanced, OVERLAP] {
                let step = 1e-2_f32;
                let total = |change: f32| {
                    let mut moved = logits.clone();
                    moved[at] += change;
                    evaluate(loss, &moved, &target, &known, 6).total
                };
                let slope = (total(step) - total(-step)) / f64::from(2.0 * step);
                let gradient = f64::from(evaluate(loss, &logits, &target, &known, 6).gradient[at]);
                prop_assert!((slope - gradient).abs() < 1e-4 + 1e-2 * gradient.abs(), "{loss:?}: {slope} {gradient}");
            }
        }

        #[test]
        fn ignored_pixels_have_no_influence((logits, target, known) in batch(), other in -4.0_f32..4.0) {
            for loss in [Loss::ClassBalanced, OVERLAP, Loss::Overlap { dice: 1.0, jaccard: 0.0, hardest: 0.4 }] {
                let value = evaluate(loss, &logits, &target, &known, 6);
                let (mut logits, mut target) = (logits.clone(), target.clone());
                for i in (0..12).filter(|&i| known[i] == 0.0) {
                    let foreground = i / 6 * 12 + 6 + i % 6;
                    prop_assert_eq!(value.gradient[foreground], 0.0);
                    logits[foreground] = other;
                    target[i] = 1.0 - target[i];
                }
                prop_assert_eq!(evaluate(loss, &logits, &target, &known, 6), value);
            }
        }
    }

    #[test]
    fn classes_are_balanced_as_in_the_reference() {
        // One of four pixels is foreground: it weighs 1, the others 1/3; all divided by four pixels.
        let value = evaluate(Loss::ClassBalanced, &[0.0; 8], &[1.0, 0.0, 0.0, 0.0], &[1.0; 4], 4);
        let expected = [-0.125, 0.125 / 3.0, 0.125 / 3.0, 0.125 / 3.0];
        for (g, e) in value.gradient[4..].iter().zip(expected) {
            assert!((g - e).abs() < 1e-7, "{g} {e}");
        }
        assert!(value.gradient[..4].iter().zip(&value.gradient[4..]).all(|(b, f)| *b == -f));
        assert!((value.cross_entropy - 2_f64.ln()).abs() < 1e-7);
    }

    #[test]
    fn a_batch_of_one_class_weighs_one() {
        for class in [0.0, 1.0] {
            let value = evaluate(Loss::ClassBalanced, &[0.0; 8], &[class; 4], &[1.0; 4], 4);
            assert!(value.gradient[4..].iter().all(|g| (g - (0.5 - class) / 4.0).abs() < 1e-7));
        }
    }

    #[test]
    fn hardest_pixels_alone_count() {
        let loss = Loss::Overlap { dice: 0.0, jaccard: 0.0, hardest: 0.25 };
        let value = evaluate(loss, &[0.0, 0.0, 0.0, 0.0, 3.0, -3.0, -2.0, -1.0], &[0.0; 4], &[1.0; 4], 4);
        assert!(value.gradient[4] > 0.9 && value.gradient[5..].iter().all(|g| *g == 0.0), "{:?}", value.gradient);
    }

    #[test]
    fn a_logit_that_is_no_number_shows() {
        let value = evaluate(OVERLAP, &[f32::NAN, 0.0], &[1.0], &[1.0], 1);
        assert!(value.total.is_nan());
        let value = evaluate(Loss::ClassBalanced, &[f32::NAN, 0.0], &[1.0], &[1.0], 1);
        assert!(!value.gradient[0].is_finite());
    }
}
