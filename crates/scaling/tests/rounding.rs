//! Lengths that were rounded up to an evaluation interval: taken in its middle, with the variance of the interval, they
//! give the critical batch size without bias, and intervals that cover it.

use batchscope_core::{Purpose, StreamKey, statistics::NormalDraws};
use batchscope_scaling::{LACK_OF_FIT_LEVEL, Sample, fit};

const CRITICAL: f64 = 256.0;
const S_MIN: f64 = 200.0;
const SIGMA: f64 = 0.05;
const STUDIES: u64 = 400;

/// Of studies whose lengths are rounded up to multiples of `to`: the mean error of `ln B_c`, the share of intervals that
/// hold the truth, and the share of curves that are rejected. `taken` adds a length, rounded up, to a sample.
fn studies(to: f64, taken: impl Fn(&mut Sample, f64)) -> (f64, f64, f64) {
    let (mut error, mut covered, mut rejected) = (0.0, 0.0, 0.0);
    for study in 0..STUDIES {
        let key = StreamKey {
            study_seed: study,
            trial: 0,
            purpose: Purpose::Simulation,
        };
        let mut draws = NormalDraws::new(key.stream(0));
        let samples: Vec<Sample> = (3..14)
            .map(|i| {
                let batch_size = 1u64 << i;
                let mut sample = Sample::new(batch_size);
                for _ in 0..3 {
                    let steps = S_MIN * (1.0 + CRITICAL / batch_size as f64);
                    let steps = steps * (SIGMA * draws.normal()).exp();
                    taken(&mut sample, (steps / to).ceil() * to);
                }
                sample
            })
            .collect();
        let curve = fit(&samples, 0.95).unwrap();
        let critical = curve.critical;
        let is_rejected = curve
            .fit
            .lack_of_fit_p
            .is_some_and(|p| p < LACK_OF_FIT_LEVEL);
        rejected += f64::from(u8::from(is_rejected)) / STUDIES as f64;
        error += (critical.value.unwrap() / CRITICAL).ln() / STUDIES as f64;
        let holds = critical.low.unwrap() <= CRITICAL && CRITICAL <= critical.high.unwrap();
        covered += f64::from(u8::from(holds)) / STUDIES as f64;
    }
    (error, covered, rejected)
}

#[test]
fn the_middle_of_the_interval_is_right_up_to_intervals_of_many_deviations() {
    // Intervals of half a deviation at the shortest lengths, of two, and of six: of 62 steps, where runs take 206.
    for deviations in [0.5, 2.0, 6.0] {
        let to = deviations * SIGMA * 1.03 * S_MIN;
        let (error, covered, rejected) =
            studies(to, |sample, steps| sample.rounded(steps - 0.5 * to, to));
        let (naive, covers, _) = studies(to, |sample, steps| sample.reached(u64::MAX, steps));
        println!(
            "{deviations} deviations: ln B_c off by {error:+.4}, {:.1} % covered, {:.1} % rejected; as they are {naive:+.4}, {:.1} % covered",
            100.0 * covered,
            100.0 * rejected,
            100.0 * covers
        );
        // A deviation of the mean error is some 0.003.
        assert!(error.abs() < 0.015, "{deviations}: {error}");
        assert!(covered > 0.92, "{deviations}: {covered}");
        assert!(rejected < 0.08, "{deviations}: {rejected}");
        // Without it the longer intervals are plainly wrong: the test can fail.
        assert!(deviations < 2.0 || naive < -0.05, "{deviations}: {naive}");
    }
}
