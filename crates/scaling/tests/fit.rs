//! The fit on curves whose answer is known in closed form.

use batchscope_core::EstimateState;
use batchscope_scaling::{NoFit, Sample, fit};
use proptest::prelude::*;

fn sample(batch_size: u64, steps: impl IntoIterator<Item = f64>) -> Sample {
    let mut sample = Sample::new(batch_size);
    steps.into_iter().for_each(|s| sample.reached(u64::MAX, s));
    sample
}

fn curve(
    s_min: f64,
    critical: f64,
    batch_sizes: impl IntoIterator<Item = u64>,
    noise: &[f64],
) -> Vec<Sample> {
    batch_sizes
        .into_iter()
        .map(|b| {
            sample(
                b,
                noise
                    .iter()
                    .map(|e| s_min * (1.0 + critical / b as f64) * e.exp()),
            )
        })
        .collect()
}

fn powers(range: std::ops::Range<u32>) -> impl Iterator<Item = u64> {
    range.map(|i| 1u64 << i)
}

#[test]
fn without_noise_the_truth_comes_back() {
    for critical in [20.0, 137.0, 900.0] {
        let fitted = fit(&curve(321.0, critical, powers(3..12), &[0.0]), 0.95).unwrap();
        for (estimate, truth) in [
            (&fitted.critical, critical),
            (&fitted.fit.s_min, 321.0),
            (&fitted.fit.e_min, 321.0 * critical),
        ] {
            assert!(
                (estimate.value.unwrap() / truth - 1.0).abs() < 1e-5,
                "{estimate:?} against {truth}"
            );
            assert!(estimate.high.unwrap() / estimate.low.unwrap() < 1.0001);
        }
        assert!(fitted.fit.sigma < 1e-6);
        for point in &fitted.fit.band {
            assert!(
                (point.steps / (321.0 * (1.0 + critical / point.batch_size)) - 1.0).abs() < 1e-5
            );
        }
    }
}

/// Equal noise at every batch size moves the level and leaves the knee: with a common log error
/// per seed the fit is exact in `B_c`.
#[test]
fn balanced_noise_leaves_the_knee_alone() {
    let fitted = fit(&curve(100.0, 64.0, powers(2..11), &[-0.1, 0.0, 0.1]), 0.95).unwrap();
    assert!((fitted.critical.value.unwrap() - 64.0).abs() < 1e-3);
    assert!(fitted.fit.lack_of_fit_f.unwrap() < 1e-6 && fitted.fit.lack_of_fit_p.unwrap() > 0.999);
    // the slope of the deviations took a part of one of the 18 degrees of freedom, and is 0
    let inflation = (fitted.fit.seed_sigma.unwrap() / 0.1).powi(2);
    assert!(inflation > 1.0 && inflation < 18.0 / 17.0, "{inflation}");
    assert!(fitted.fit.sigma_slope.unwrap().abs() < 1e-5);
    let half = fitted
        .fit
        .band
        .iter()
        .find(|p| p.batch_size > 60.0)
        .unwrap();
    assert!(half.low < half.steps && half.steps < half.high);
}

#[test]
fn too_little_says_why() {
    let reached = |n: u32| curve(10.0, 16.0, powers(2..2 + n), &[-0.1, 0.1]);
    assert_eq!(fit(&[], 0.95), Err(NoFit::NoTrials));
    assert_eq!(fit(&reached(2), 0.95), Err(NoFit::TooFew(2)));
    let mut diverged = Sample::new(8);
    diverged.diverged = 3;
    assert_eq!(fit(&[diverged.clone()], 0.95), Err(NoFit::AllDiverged(3)));
    let mut censored = Sample::new(8);
    censored.not_reached(100.0);
    assert_eq!(fit(&[censored, diverged], 0.95), Err(NoFit::NoneReached));
    assert!(fit(&reached(3), 0.95).is_ok());
}

#[test]
fn a_straight_line_is_at_least_and_never_past_the_data() {
    let fitted = fit(&curve(1e-6, 1e12, powers(3..10), &[-0.05, 0.0, 0.05]), 0.95).unwrap();
    assert_eq!(fitted.critical.state, EstimateState::AtLeast);
    assert!(fitted.critical.value.unwrap() <= 512.0 && fitted.critical.high.is_none());
    assert_eq!(fitted.fit.s_min.state, EstimateState::AtMost);
    assert!(
        (fitted.fit.e_min.value.unwrap() / 1e6 - 1.0).abs() < 0.05,
        "{:?}",
        fitted.fit.e_min
    );
}

#[test]
fn a_flat_line_is_at_most() {
    let fitted = fit(
        &curve(500.0, 1e-9, powers(3..10), &[-0.05, 0.0, 0.05]),
        0.95,
    )
    .unwrap();
    assert_eq!(fitted.critical.state, EstimateState::AtMost);
    assert!(fitted.critical.value.unwrap() >= 8.0 && fitted.critical.low.is_none());
    assert_eq!(fitted.fit.e_min.state, EstimateState::AtMost);
    assert!((fitted.fit.s_min.value.unwrap() / 500.0 - 1.0).abs() < 0.05);
}

#[test]
fn noise_that_hides_everything_is_undefined() {
    let wild = [
        sample(8, [100.0, 9000.0]),
        sample(16, [5000.0, 50.0]),
        sample(32, [80.0, 8000.0]),
    ];
    let fitted = fit(&wild, 0.95).unwrap();
    assert_eq!(fitted.critical.state, EstimateState::Undefined);
    assert!(fitted.critical.reason.is_some());
}

/// One batch size whose rate is badly tuned: between-batch scatter that no seed shows.
#[test]
fn lack_of_fit_widens_and_says_so() {
    let noise = [-0.02, 0.0, 0.02];
    let clean = curve(100.0, 128.0, powers(3..12), &noise);
    let mut uneven = clean.clone();
    for (i, factor) in [(1, 1.25), (4, 0.8), (6, 1.2)] {
        for y in &mut uneven[i].ln_steps {
            *y += f64::ln(factor);
        }
    }
    let (clean, uneven) = (fit(&clean, 0.95).unwrap(), fit(&uneven, 0.95).unwrap());
    assert!(clean.critical.reason.is_none());
    assert!(uneven.fit.lack_of_fit_p.unwrap() < 1e-6);
    assert!(
        uneven
            .critical
            .reason
            .as_ref()
            .unwrap()
            .contains("lack of fit p < 0.001"),
        "{:?}",
        uneven.critical
    );
    let width = |e: &batchscope_core::Estimate| (e.high.unwrap() / e.low.unwrap()).ln();
    assert!(width(&uneven.critical) > 5.0 * width(&clean.critical));
    assert!(uneven.critical.low.unwrap() < 128.0 && uneven.critical.high.unwrap() > 128.0);
}

/// Deviations between seeds that rise from 0.13 to 0.61, as a ResNet-20's did: the slope comes back a little
/// shrunk, so the small batch sizes that know `E_min` well say so, and `S_min` is less certain.
#[test]
fn deviations_that_rise_are_said_and_weigh() {
    let slope = (0.61f64 / 0.13).ln() / 256f64.ln();
    let rising: Vec<Sample> = powers(3..12)
        .map(|b| {
            let sigma = 0.13 * (b as f64 / 8.0).powf(slope);
            let steps = 300.0 * (1.0 + 200.0 / b as f64);
            sample(b, [-sigma, 0.0, sigma].map(|e| steps * e.exp()))
        })
        .collect();
    let fitted = fit(&rising, 0.95).unwrap().fit;
    let found = fitted.sigma_slope.unwrap();
    assert!(found > 0.9 * slope && found < slope, "{found} of {slope}");
    let middle = (0.13f64 * 0.61).sqrt();
    assert!((fitted.seed_sigma.unwrap() / middle - 1.0).abs() < 0.05);
    let width = |e: &batchscope_core::Estimate| (e.high.unwrap() / e.low.unwrap()).ln();
    assert!(
        width(&fitted.s_min) > 1.8 * width(&fitted.e_min),
        "{fitted:?}"
    );
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let ln = || proptest::collection::vec(0.0..25.0f64, 0..5);
    (1u64..1_000_000, ln(), ln(), 0u64..4, 0.0..0.1f64).prop_map(
        |(batch_size, ln_steps, ln_caps, diverged, bracket_variance)| Sample {
            batch_size,
            ln_steps,
            bracket_variance,
            ln_caps,
            diverged,
        },
    )
}

proptest! {
    /// Whatever the trials are, every number is a number and bounds stay inside the data.
    #[test]
    fn odd_samples_never_break_the_fit(samples in proptest::collection::vec(any_sample(), 0..10)) {
        let Ok(fitted) = fit(&samples, 0.95) else { return Ok(()) };
        let reached = || samples.iter().filter(|s| !s.ln_steps.is_empty()).map(|s| s.batch_size as f64);
        let (smallest, largest) = (reached().fold(f64::INFINITY, f64::min), reached().fold(0.0, f64::max));
        for estimate in [&fitted.critical, &fitted.fit.s_min, &fitted.fit.e_min] {
            let value = estimate.value.unwrap_or(1.0);
            prop_assert!(value.is_finite() && value >= 0.0, "{estimate:?}");
            if let (Some(low), Some(high)) = (estimate.low, estimate.high) {
                prop_assert!(low <= value * (1.0 + 1e-6) && value <= high * (1.0 + 1e-6), "{estimate:?}");
            }
        }
        match fitted.critical.state {
            EstimateState::Estimated | EstimateState::AtLeast => {
                prop_assert!(fitted.critical.value.unwrap() <= largest * (1.0 + 1e-9));
            }
            EstimateState::AtMost => prop_assert!(fitted.critical.value.unwrap() >= smallest * (1.0 - 1e-9)),
            EstimateState::Undefined => {}
        }
        prop_assert!(fitted.fit.band.iter().all(|p| p.low <= p.high * (1.0 + 1e-9) && !p.steps.is_nan()));
    }

    /// Steps in another unit: `S_min` and `E_min` follow, the critical batch size does not.
    #[test]
    fn scaling_steps_scales_the_floors_only(
        factor in 0.1..10.0f64, critical in 30.0..500.0f64,
        noise in proptest::collection::vec(-0.1..0.1f64, 27), censored in 0usize..4,
    ) {
        let study = |scale: f64| -> Vec<Sample> {
            powers(3..12).enumerate().map(|(i, b)| {
                let mut out = Sample::new(b);
                for (j, e) in noise[3 * i..3 * i + 3].iter().enumerate() {
                    let steps = scale * 300.0 * (1.0 + critical / b as f64) * e.exp();
                    if i < censored && j == 0 { out.not_reached(steps) } else { out.reached(u64::MAX, steps) }
                }
                out
            }).collect()
        };
        let (one, other) = (fit(&study(1.0), 0.95).unwrap(), fit(&study(factor), 0.95).unwrap());
        prop_assume!(one.critical.is_estimated());
        for (a, b, ratio) in [
            (one.critical, other.critical, 1.0),
            (one.fit.s_min, other.fit.s_min, factor),
            (one.fit.e_min, other.fit.e_min, factor),
        ] {
            for (a, b) in [(a.value, b.value), (a.low, b.low), (a.high, b.high)] {
                prop_assert!((b.unwrap() / a.unwrap() / ratio - 1.0).abs() < 1e-4);
            }
        }
    }

    /// Batch sizes in another unit (tokens for sequences): `B_c` and `E_min` follow, `S_min` does not.
    #[test]
    fn scaling_batch_sizes_scales_the_knee(factor in 2u64..100, noise in proptest::collection::vec(-0.1..0.1f64, 8)) {
        let study = |scale: u64| -> Vec<Sample> {
            powers(3..11).zip(&noise).map(|(b, e)| sample(b * scale, [300.0 * (1.0 + 100.0 / b as f64) * e.exp()])).collect()
        };
        let (one, other) = (fit(&study(1), 0.95).unwrap(), fit(&study(factor), 0.95).unwrap());
        prop_assume!(one.critical.is_estimated());
        let ratio = |a: &batchscope_core::Estimate, b: &batchscope_core::Estimate| b.value.unwrap() / a.value.unwrap();
        prop_assert!((ratio(&one.critical, &other.critical) / factor as f64 - 1.0).abs() < 1e-4);
        prop_assert!((ratio(&one.fit.s_min, &other.fit.s_min) - 1.0).abs() < 1e-4);
    }
}
