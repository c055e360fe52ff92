//! Simulated coverage: of 1,000 studies with a known answer, how many intervals hold it.
//!
//! Each simulated study has nine batch sizes, a few seeds each with log-normal noise, and in half
//! of the settings a cap so tight that about one trial in six is censored. A nominal 95 % interval
//! must hold the truth in 93–97 % of the studies (binomial noise of 1,000 alone is ±1.4 %). A bound
//! counts as holding the truth when it does.

use batchscope_core::{Estimate, EstimateState, Purpose, StreamKey};
use batchscope_scaling::{Pooled, Sample, fit};
use rand_core::Rng;

const STUDIES: u64 = 1000;
const BATCH_SIZES: [u64; 9] = [8, 16, 32, 64, 128, 256, 512, 1024, 2048];
const S_MIN: f64 = 300.0;

struct Setting {
    critical: f64,
    seeds: u64,
    sigma: f64,
    /// Deviation of `ln S` between batch sizes beyond the seeds' (unevenly tuned rates).
    between: f64,
    /// Caps at this multiple of the true curve.
    cap: f64,
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
            for _ in 0..setting.seeds {
                let steps = curve * (batch + setting.sigma * normal.draw()).exp();
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

/// Coverage, in %, of B_c, S_min, E_min and of the steps at each batch size.
fn coverage(setting: &Setting, seed: u64) -> [f64; 4] {
    let mut held = [0.0; 4];
    for repetition in 0..STUDIES {
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
        let pooled = Pooled::new(&samples);
        for sample in &samples {
            let truth = S_MIN * (1.0 + setting.critical / sample.batch_size as f64);
            held[3] +=
                f64::from(holds(&pooled.steps(sample, 0.95), truth)) / BATCH_SIZES.len() as f64;
        }
    }
    held.map(|h| 100.0 * h / STUDIES as f64)
}

#[test]
fn nominal_95_percent_intervals_hold_the_truth_in_93_to_97_percent() {
    let mut failures = Vec::new();
    for critical in [32.0, 200.0, 800.0] {
        for (seeds, sigma) in [(3, 0.12), (5, 0.12)] {
            for cap in [f64::INFINITY, 1.12] {
                let setting = Setting {
                    critical,
                    seeds,
                    sigma,
                    between: 0.0,
                    cap,
                };
                let measured = coverage(&setting, 20);
                let line = format!("B_c {critical}, {seeds} seeds, cap {cap}: {measured:.1?}");
                println!("{line}");
                if measured.iter().any(|c| !(93.0..=97.0).contains(c)) {
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
/// it, so coverage of the curve is 92.6–94.2 % here, a little under nominal. (The steps at a batch
/// size are those at *its* rate: their intervals do not speak of a better one, and are not tested.)
#[test]
fn scatter_between_batch_sizes_is_allowed_for() {
    for between in [0.03, 0.06, 0.12] {
        let setting = Setting {
            critical: 200.0,
            seeds: 3,
            sigma: 0.06,
            between,
            cap: f64::INFINITY,
        };
        let measured = coverage(&setting, 5);
        println!("between {between}: {measured:.1?}");
        assert!(
            measured[..3].iter().all(|c| (91.0..=97.0).contains(c)),
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
            sigma: 0.12,
            between: 0.0,
            cap: f64::INFINITY,
        };
        let measured = coverage(&setting, 5);
        println!("B_c {critical}: {measured:.1?}");
        assert!(measured.iter().all(|c| *c >= 93.0), "{measured:?}");
    }
}
