//! The course of the learning rate.

use std::f64::consts::PI;

use crate::config::{Policy, TrainConfig};

/// The learning rate when the share `t` of the run is done, 0 to 1.
pub fn learning_rate(config: &TrainConfig, t: f64) -> f64 {
    let t = t.clamp(0.0, 1.0);
    let half_cosine = |u: f64| 0.5 * (1.0 + (PI * u).cos());
    config.learning_rate
        * match config.policy {
            Policy::Poly => (1.0 - t).powf(config.power),
            Policy::OneCycle if t < config.warm_up => 0.05 + 0.95 * t / config.warm_up,
            Policy::OneCycle => {
                let rest = (1.0 - config.warm_up).max(f64::MIN_POSITIVE);
                0.005 + 0.995 * half_cosine((t - config.warm_up) / rest)
            }
            Policy::Cosine => half_cosine(t),
            Policy::Fixed => 1.0,
            Policy::Step if t < 0.5 => 1.0,
            Policy::Step if t < 0.75 => 0.1,
            Policy::Step => 0.01,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with(policy: Policy) -> TrainConfig {
        TrainConfig { policy, learning_rate: 2.0, warm_up: 0.1, power: 0.8, ..TrainConfig::cdeep3m() }
    }

    proptest! {
        #[test]
        fn rates_lie_between_zero_and_the_highest(t in -0.5_f64..1.5) {
            for policy in [Policy::Poly, Policy::OneCycle, Policy::Cosine, Policy::Fixed, Policy::Step] {
                prop_assert!((0.0..=2.0).contains(&learning_rate(&with(policy), t)), "{policy:?}");
            }
        }

        #[test]
        fn rates_fall_after_the_warm_up(t in 0.1_f64..0.99) {
            for policy in [Policy::Poly, Policy::OneCycle, Policy::Cosine, Policy::Step] {
                let config = with(policy);
                prop_assert!(learning_rate(&config, t + 0.01) <= learning_rate(&config, t), "{policy:?}");
            }
        }
    }

    #[test]
    fn known_values() {
        let at = |policy, t| learning_rate(&with(policy), t);
        assert!((at(Policy::Poly, 0.25) - 2.0 * 0.75_f64.powf(0.8)).abs() < 1e-12, "the reference's");
        assert_eq!(at(Policy::Poly, 1.0), 0.0);
        assert!((at(Policy::OneCycle, 0.0) - 0.1).abs() < 1e-12);
        assert!((at(Policy::OneCycle, 0.1) - 2.0).abs() < 1e-12);
        assert!((at(Policy::OneCycle, 1.0) - 0.01).abs() < 1e-12);
        assert!((at(Policy::Cosine, 0.5) - 1.0).abs() < 1e-12);
        assert_eq!((at(Policy::Step, 0.4), at(Policy::Step, 0.6)), (2.0, 0.2));
    }
}
