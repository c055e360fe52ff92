//! Simulated coverage: of 1,000 studies with a known answer, how many intervals hold it.
//!
//! Each simulated study has nine batch sizes, a few seeds each with log-normal noise, and in half
//! of the settings a cap so tight that about one trial in six is censored. A nominal 95 % interval
//! must hold the truth in 92–98 % of the studies (binomial noise of 1,000 alone is ±1.4 %). A bound
//! counts as holding the truth when it does.

use batchscope_core::{Estimate, EstimateState, Purpose, StreamKey};
use batchscope_scaling::{LACK_OF_FIT_LEVEL, Pooled, Sample, fit};
use rand_core::Rng;

const STUDIES: u64 = 1000;
const BATCH_SIZES: [u64; 9] = [8, 16, 32, 64, 128, 256, 512, 1024, 2048];
const S_MIN: f64 = 300.0;

struct Setting {
    critical: f64,
    seeds: u64,
    /// Deviation of `ln S` between seeds, at the smallest and at the largest batch size; its
    /// logarithm is linear in that of the batch size between them.
    sigma: (f64, f64),
    /// Deviation of `ln S` between batch sizes beyond the seeds' (unevenly tuned rates).
    between: f64,
    /// Caps at this multiple of the true curve.
    cap: f64,
}

impl Setting {
    fn sigma_at(&self, batch_size: u64) -> f64 {
        let part = (batch_size as f64 / BATCH_SIZES[0] as f64).ln()
            / (BATCH_SIZES[BATCH_SIZES.len() - 1] as f64 / BATCH_SIZES[0] as f64).ln();
        self.sigma.0 * (self.sigma.1 / self.sigma.0).powf(part)
    }
}

struct Normal<R: Rng>(R);

impl<R: Rng> Normal<R> {
    fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn draw(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

fn study(setting: &Setting, seed: u64, repetition: u64) -> Vec<Sample> {
    let key = StreamKey {
        study_seed: seed,
        trial: 0,
        purpose: Purpose::Simulation,
    };
    let mut normal = Normal(key.stream(repetition));
    BATCH_SIZES
        .iter()
        .map(|&b| {
            let curve = S_MIN * (1.0 + setting.critical / b as f64);
            let mut sample = Sample::new(b);
            let batch = if setting.between > 0.0 {
                setting.between * normal.draw()
            } else {
                0.0
            };
            let sigma = setting.sigma_at(b);
            for _ in 0..setting.seeds {
                let steps = curve * (batch + sigma * normal.draw()).exp();
                if steps > setting.cap * curve {
                    sample.not_reached(setting.cap * curve);
                } else {
                    sample.reached(steps as u64, steps);
                }
            }
            sample
        })
        .collect()
}

fn holds(estimate: &Estimate, truth: f64) -> bool {
    estimate.state != EstimateState::Undefined
        && estimate.low.is_none_or(|low| low <= truth)
        && estimate.high.is_none_or(|high| truth <= high)
}

/// Coverage, in %, of B_c, S_min, E_min and of the steps at each batch size; the share in which the
/// lack-of-fit test rejects the curve, in %; and the geometric mean of the ratio of the ends of B_c.
fn coverage(setting: &Setting, studies: u64, seed: u64) -> [f64; 6] {
    let mut held = [0.0; 6];
    let mut widths = Vec::new();
    for repetition in 0..studies {
        let samples = study(setting, seed, repetition);
        let curve = fit(&samples, 0.95).expect("nine batch sizes reach the target");
        let truths = [
            (&curve.critical, setting.critical),
            (&curve.fit.s_min, S_MIN),
            (&curve.fit.e_min, S_MIN * setting.critical),
        ];
        for (i, (estimate, truth)) in truths.into_iter().enumerate() {
            held[i] += f64::from(holds(estimate, truth));
        }
        let rejected = curve
            .fit
            .lack_of_fit_p
            .is_some_and(|p| p < LACK_OF_FIT_LEVEL);
        held[4] += f64::from(rejected);
        if let (Some(low), Some(high)) = (curve.critical.low, curve.critical.high) {
            widths.push((high / low).ln());
        }
        let pooled = Pooled::new(&samples);
        for sample in &samples {
            let truth = S_MIN * (1.0 + setting.critical / sample.batch_size as f64);
            held[3] +=
                f64::from(holds(&pooled.steps(sample, 0.95), truth)) / BATCH_SIZES.len() as f64;
        }
    }
    let mut shares = held.map(|h| 100.0 * h / studies as f64);
    shares[5] = (widths.iter().sum::<f64>() / widths.len() as f64).exp();
    shares
}

#[test]
fn nominal_95_percent_intervals_hold_the_truth_in_92_to_98_percent() {
    let mut failures = Vec::new();
    for critical in [32.0, 200.0, 800.0] {
        for (seeds, sigma) in [(3, 0.12), (5, 0.12)] {
            for cap in [f64::INFINITY, 1.12] {
                let setting = Setting {
                    critical,
                    seeds,
                    sigma: (sigma, sigma),
                    between: 0.0,
                    cap,
                };
                let measured = coverage(&setting, STUDIES, 20);
                let line = format!("B_c {critical}, {seeds} seeds, cap {cap}: {measured:.2?}");
                println!("{line}");
                if measured[..4].iter().any(|c| !(92.0..=98.0).contains(c)) {
                    failures.push(line);
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "B_c, S_min, E_min, steps: {failures:#?}"
    );
}

/// Unevenly tuned rates scatter batch sizes beyond their seeds. The preliminary test misses some of
/// it, so coverage of the curve is 93.7–95.8 % here, a little under nominal. (The steps at a batch
/// size are those at *its* rate: their intervals do not speak of a better one, and are not tested.)
#[test]
fn scatter_between_batch_sizes_is_allowed_for() {
    for between in [0.03, 0.06, 0.12] {
        let setting = Setting {
            critical: 200.0,
            seeds: 3,
            sigma: (0.06, 0.06),
            between,
            cap: f64::INFINITY,
        };
        let measured = coverage(&setting, STUDIES, 5);
        println!("between {between}: {measured:.2?}");
        assert!(
            measured[..3].iter().all(|c| (92.0..=98.0).contains(c)),
            "{measured:?}"
        );
    }
}

/// A knee at the edge of the range or past it: bounds, and they hold.
#[test]
fn bounds_hold_at_least_as_often_as_intervals() {
    for critical in [8.0, 4000.0] {
        let setting = Setting {
            critical,
            seeds: 3,
            sigma: (0.12, 0.12),
            between: 0.0,
            cap: f64::INFINITY,
        };
        let measured = coverage(&setting, STUDIES, 5);
        println!("B_c {critical}: {measured:.2?}");
        assert!(measured[..4].iter().all(|c| *c >= 93.0), "{measured:?}");
    }
}

/// A ResNet-20's deviations between seeds rose from 0.13 to 0.61 with the batch size. One deviation for all
/// batch sizes covered `S_min` in 85–89 % of such studies, and `E_min` in as few where they fall. Uneven
/// rates and caps are each other's test here: with a scatter of 0.12, more than the best-known means'
/// own 0.075, it was 87–90 %. (Of 10,000 studies each of these intervals now holds 92.1–97.2 %; steps
/// at a batch size as above: of *its* rate.)
#[test]
fn deviations_that_differ_by_batch_size_are_allowed_for() {
    differing_deviations(STUDIES, 6);
}

/// The same to ±0.5 %: `cargo test -p batchscope-scaling --test coverage -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
fn deviations_that_differ_by_batch_size_in_ten_thousand_studies() {
    differing_deviations(10_000, 7);
}

fn differing_deviations(studies: u64, seed: u64) {
    let mut failures = Vec::new();
    // Two standard errors of a thousand studies; ten thousand decide for themselves.
    let noise = match studies {
        STUDIES => 2.0 * (5.0 * 95.0 / studies as f64).sqrt(),
        _ => 0.0,
    };
    let right = 92.0 - noise..=98.0 + noise;
    for sigma in [(0.13, 0.61), (0.61, 0.13)] {
        for (seeds, between, cap) in [
            (3, 0.0, f64::INFINITY),
            (5, 0.0, f64::INFINITY),
            (3, 0.12, f64::INFINITY),
            (3, 0.0, 1.5),
            (3, 0.12, 1.5),
            (3, 0.24, f64::INFINITY),
        ] {
            let setting = Setting {
                critical: 200.0,
                seeds,
                sigma,
                between,
                cap,
            };
            let measured = coverage(&setting, studies, seed);
            let line =
                format!("{sigma:?}, {seeds} seeds, between {between}, cap {cap}: {measured:.2?}");
            println!("{line}");
            let tested = if between > 0.0 { 3 } else { 4 };
            if measured[..tested].iter().any(|c| !right.contains(c)) {
                failures.push(line);
            }
        }
    }
    assert!(
        failures.is_empty(),
        "B_c, S_min, E_min, steps: {failures:#?}"
    );
}
