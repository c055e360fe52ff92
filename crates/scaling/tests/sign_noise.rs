//! The noise scale in the ℓ1 norm against simulations with known signal and noise, dense and sparse.

use batchscope_core::{Purpose, StreamKey, statistics::NormalDraws};
use batchscope_scaling::noise::{CoordinateSums, NORM_BLOCKS, NormNoise, sign_noise};

const COORDINATES: usize = 1000;
/// Parts a block, and examples a part.
const PARTS: u64 = 8;
const PART: u64 = 8;
const LEVEL: f64 = 0.95;

/// How the ratios `|∇L_i|·√n/σ_i` are spread over the coordinates.
#[derive(Debug, Clone, Copy)]
enum Signal {
    /// All alike.
    Equal(f64),
    /// Normal with this deviation.
    Normal(f64),
    /// Exponential with this mean.
    Exponential(f64),
    /// A share of the coordinates has this ratio, the rest none.
    Sparse(f64, f64),
}

fn draws(stream: u64) -> NormalDraws<impl rand_core::Rng> {
    let key = StreamKey {
        study_seed: 12,
        trial: 0,
        purpose: Purpose::Simulation,
    };
    NormalDraws::new(key.stream(stream))
}

struct Truth {
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Truth {
    fn new(signal: Signal) -> Self {
        let mut draws = draws(1_000_000);
        let n = (NORM_BLOCKS as u64 * PARTS * PART) as f64;
        let deviation: Vec<f64> = (0..COORDINATES)
            .map(|_| (0.7 * draws.normal()).exp())
            .collect();
        let ratio = |at: usize, draws: &mut NormalDraws<_>| match signal {
            Signal::Equal(z) => z,
            Signal::Normal(s) => s * draws.normal(),
            Signal::Exponential(s) => -s * draws.uniform().ln(),
            Signal::Sparse(share, z) if (at as f64) < share * COORDINATES as f64 => z,
            Signal::Sparse(..) => 0.0,
        };
        let mean = deviation
            .iter()
            .enumerate()
            .map(|(at, s)| ratio(at, &mut draws) * s / n.sqrt())
            .collect();
        Self { mean, deviation }
    }

    fn noise_scale(&self) -> f64 {
        let deviation: f64 = self.deviation.iter().sum();
        let mean: f64 = self.mean.iter().map(|m| m.abs()).sum();
        (deviation / mean).powi(2)
    }

    fn measured(&self, stream: u64) -> NormNoise {
        let mut draws = draws(stream);
        let blocks: Vec<CoordinateSums> = (0..NORM_BLOCKS)
            .map(|_| {
                let mut block = CoordinateSums::new(COORDINATES);
                for _ in 0..PARTS {
                    let both = self.mean.iter().zip(&self.deviation);
                    let gradient: Vec<f32> = both
                        .map(|(m, s)| (m + s / (PART as f64).sqrt() * draws.normal()) as f32)
                        .collect();
                    block.begin();
                    block.add(0, &gradient);
                }
                block
            })
            .collect();
        sign_noise(&blocks, PART, LEVEL).unwrap()
    }
}

/// With no signal the plain quotient is `(π/2)·n`, and the answer is a bound that says so.
#[test]
fn without_a_signal_there_is_a_bound_at_the_ceiling() {
    let truth = Truth::new(Signal::Equal(0.0));
    for stream in 0..20 {
        let found = truth.measured(stream);
        assert!(!found.noise_scale.is_estimated(), "{found:?}");
        let ceiling = std::f64::consts::FRAC_PI_2 * found.examples as f64;
        let bound = found.noise_scale.value.unwrap();
        assert!(
            (bound / ceiling - 1.0).abs() < 0.15,
            "{bound} against {ceiling}"
        );
    }
}

/// Where it is estimated the interval holds the truth; where it is a bound the truth lies above. The shares are printed.
#[test]
fn intervals_cover_sparse_and_dense_signals() {
    const RUNS: u64 = 40;
    println!("| signal | at least | covered | mean log error |");
    for signal in [
        Signal::Equal(0.5),
        Signal::Equal(1.0),
        Signal::Equal(2.0),
        Signal::Equal(5.0),
        Signal::Normal(0.5),
        Signal::Normal(1.0),
        Signal::Normal(2.0),
        Signal::Normal(5.0),
        Signal::Exponential(1.0),
        Signal::Exponential(3.0),
        Signal::Sparse(0.01, 10.0),
        Signal::Sparse(0.01, 100.0),
        Signal::Sparse(0.1, 3.0),
        Signal::Sparse(0.1, 10.0),
        Signal::Sparse(0.1, 30.0),
        Signal::Sparse(0.5, 5.0),
    ] {
        let truth = Truth::new(signal);
        let scale = truth.noise_scale();
        let (mut bounds, mut below, mut covered, mut error) = (0u32, 0u32, 0u32, 0.0);
        for stream in 0..RUNS {
            let found = truth.measured(stream).noise_scale;
            let value = found.value.unwrap();
            if found.is_estimated() {
                covered += u32::from(found.low <= Some(scale) && Some(scale) <= found.high);
                error += (value / scale).ln();
            } else {
                bounds += 1;
                below += u32::from(value <= 1.05 * scale);
            }
        }
        let estimated = RUNS as u32 - bounds;
        let share = f64::from(covered) / f64::from(estimated.max(1));
        println!(
            "| {signal:?} | {:.2} | {share:.2} | {:+.3} |",
            f64::from(bounds) / RUNS as f64,
            error / f64::from(estimated.max(1))
        );
        assert_eq!(below, bounds, "{signal:?}: a bound above the truth");
        assert!(estimated < 10 || share >= 0.9, "{signal:?}: {share}");
    }
}
