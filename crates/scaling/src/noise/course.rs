//! The noise scale along training runs, and its average over them.
//!
//! Noise and signal change by orders of magnitude while a network trains, so one ratio of means
//! over a run would be that of its beginning, where gradients are large. The average here is that
//! of the signal-to-noise ratio of one example, `|G|²/tr Σ = 1/B_simple`, over the steps of
//! training: it has no scale, `tr Σ` in its denominator is well determined even where `|G|²` is
//! not, a stretch whose estimate of `|G|²` is negative counts for what it is, and population and
//! training set differ by a constant, `1/B_N = 1/B + 1/N`. Inverted it is the harmonic mean of the
//! noise scale.

use std::collections::BTreeMap;

use batchscope_core::{
    Estimate, EstimateState, LayerNoise, Measurement, NoiseMoments, NoiseRecord,
    statistics::t_quantile,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ratio::Covariance;
use super::replicates::Moments;
use super::{NoiseEstimates, Sampling};

/// Measured steps in a stretch of a course, at least: evaluations closer together are taken as one.
pub const COURSE_STEPS: u64 = 8;

/// The noise scale along the runs of one batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NoiseTrajectory {
    /// Examples per step.
    pub batch_size: u64,
    /// Harmonic mean over the steps of training of `B_simple` against the population's gradient, in
    /// examples; its interval comes from the scatter between runs.
    pub population: Estimate,
    /// The same against the gradient of the training set.
    pub training_set: Estimate,
    /// Stretch by stretch, pooled over the runs.
    pub course: Vec<NoiseAt>,
    /// The average of each layer, in the network's order, where the runs kept them apart; in a study's
    /// findings at the batch size that is quoted only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerNoiseScale>,
}

/// The noise scale of one layer over the runs of a batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LayerNoiseScale {
    /// The layer's name.
    pub name: String,
    /// As [`NoiseTrajectory::population`], of the layer's parameters alone.
    pub population: Estimate,
}

/// The noise scale over a stretch of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NoiseAt {
    /// The last step of the stretch.
    pub step: u64,
    /// Examples trained on by then.
    pub examples: u64,
    /// `B_simple` against the population's gradient.
    pub population: Estimate,
    /// `B_simple` against the training set's gradient.
    pub training_set: Estimate,
}

/// The noise scales of these moments at confidence `level`.
///
/// ```
/// use batchscope_core::NoiseMoments;
/// use batchscope_scaling::noise::{Sampling, noise_of};
/// let mut moments = NoiseMoments::new(20);
/// for (trace, squared_norm) in [(10.0, 1.9), (11.0, 2.1), (9.0, 2.0), (10.0, 2.0)] {
///     moments.push(trace, squared_norm);
/// }
/// let noise = noise_of(&moments, Sampling::TrainingSet { examples: 100 }, 0.95);
/// let population = noise.population.noise_scale.value.unwrap();
/// assert!((population - 5.0).abs() < 1e-12);
/// ```
pub fn noise_of(moments: &NoiseMoments, sampling: Sampling, level: f64) -> NoiseEstimates {
    if moments.steps == 0 {
        return NoiseEstimates::nothing(sampling, level, "no step was measured");
    }
    let freedom = moments.steps.saturating_sub(1).max(1) as f64;
    let one = Moments {
        trace: moments.trace,
        squared_norm: moments.squared_norm,
        one: Covariance {
            ss: moments.trace_scatter / freedom,
            sg: moments.cross_scatter / freedom,
            gg: moments.squared_norm_scatter / freedom,
        },
    };
    one.estimates(moments.steps, moments.batch_size, sampling, level)
}

/// What a measurement tells of the noise of steps of this batch size.
fn moments_at(m: &Measurement, batch_size: u64) -> Option<&NoiseMoments> {
    match &m.noise {
        Some(NoiseRecord::Measured(moments)) => {
            Some(moments).filter(|moments| moments.batch_size == batch_size)
        }
        _ => None,
    }
}

/// A stretch of a run: its length in steps, and its moments.
struct Stretch {
    steps: u64,
    moments: NoiseMoments,
}

/// The stretches of a run, each with [`COURSE_STEPS`] measured steps if the run has so many; what is
/// left over at the end joins the last.
fn stretches(run: &[Measurement], batch_size: u64) -> Vec<Stretch> {
    let measured = |m: &Measurement| moments_at(m, batch_size).cloned();
    let mut left: u64 = run.iter().filter_map(measured).map(|m| m.steps).sum();
    let (mut all, mut before): (Vec<Stretch>, u64) = (Vec::new(), 0);
    for m in run.iter().filter(|m| !m.finer) {
        let steps = m.step.saturating_sub(before);
        let found = measured(m);
        let taken = found.as_ref().map_or(0, |m| m.steps);
        let open = all
            .last()
            .is_some_and(|last| last.moments.steps < COURSE_STEPS || left < COURSE_STEPS);
        match found {
            Some(moments) if !open => all.push(Stretch { steps, moments }),
            found => {
                // What comes before the first measured step joins it.
                let Some(last) = all.last_mut() else { continue };
                last.steps += steps;
                if let Some(found) = found {
                    last.moments.merge(&found);
                }
            }
        }
        before = m.step;
        left -= taken;
    }
    all
}

impl NoiseTrajectory {
    /// From the measurements of each run at one batch size, on a training set of `examples` or, without
    /// one, on fresh examples; `None` where none was watched. Stretches of a run at another batch size
    /// are left out.
    pub fn new(
        batch_size: u64,
        runs: &[&[Measurement]],
        examples: Option<u64>,
        level: f64,
    ) -> Option<Self> {
        let records = || {
            let measurements = runs.iter().flat_map(|run| run.iter());
            measurements.filter_map(|m| m.noise.as_ref())
        };
        records().next()?;
        let by_run = runs.iter().map(|run| stretches(run, batch_size));
        let by_run: Vec<Vec<Stretch>> = by_run.collect();
        let why = records().find_map(|record| match record {
            NoiseRecord::Undefined { why } => Some(why.as_str()),
            NoiseRecord::Measured(_) => None,
        });
        let whole = |moments: &NoiseMoments| Some((moments.trace, moments.squared_norm));
        let signals: Vec<f64> = by_run.iter().filter_map(|run| signal(run, whole)).collect();
        let sampling = match examples {
            Some(examples) => Sampling::TrainingSet { examples },
            None => Sampling::Fresh,
        };
        let inverse = examples.map_or(0.0, |n| 1.0 / n as f64);
        Some(Self {
            batch_size,
            population: average(&signals, 0.0, level, why),
            training_set: average(&signals, inverse, level, why),
            course: course(runs, batch_size, sampling, level),
            layers: layers(&by_run, level),
        })
    }
}

/// The mean of `|G|²/tr Σ` over the steps of a run, of the `(tr Σ, |G|²)` that `of` finds in its
/// moments.
fn signal(run: &[Stretch], of: impl Fn(&NoiseMoments) -> Option<(f64, f64)>) -> Option<f64> {
    let known = || {
        run.iter().filter_map(|stretch| {
            let (trace, squared_norm) = of(&stretch.moments)?;
            (trace > 0.0).then_some((stretch.steps, squared_norm / trace))
        })
    };
    let steps: u64 = known().map(|(steps, _)| steps).sum();
    let sum: f64 = known().map(|(steps, signal)| steps as f64 * signal).sum();
    (steps > 0).then(|| sum / steps as f64)
}

/// The averages of the layers that the runs know by the same names.
fn layers(by_run: &[Vec<Stretch>], level: f64) -> Vec<LayerNoiseScale> {
    let moments = || by_run.iter().flatten().map(|stretch| &stretch.moments);
    let Some(named) = moments().find(|moments| !moments.layers.is_empty()) else {
        return Vec::new();
    };
    let average_of = |(place, layer): (usize, &LayerNoise)| {
        let of = |moments: &NoiseMoments| {
            let found = moments.layers.get(place).filter(|l| l.name == layer.name)?;
            Some((found.trace, found.squared_norm))
        };
        let signals: Vec<f64> = by_run.iter().filter_map(|run| signal(run, of)).collect();
        LayerNoiseScale {
            name: layer.name.clone(),
            population: average(&signals, 0.0, level, None),
        }
    };
    named.layers.iter().enumerate().map(average_of).collect()
}

/// The inverse of the mean of `signals + shift`, with Student's interval of that mean, inverted.
fn average(signals: &[f64], shift: f64, level: f64, why: Option<&str>) -> Estimate {
    let n = signals.len() as u64;
    if signals.is_empty() {
        return Estimate::undefined(level, 0, why.unwrap_or("no step was measured"));
    }
    let mean = signals.iter().sum::<f64>() / n as f64 + shift;
    let half = (n > 1).then(|| {
        let scatter: f64 = signals.iter().map(|s| (s + shift - mean).powi(2)).sum();
        let variance = scatter / (n as f64 - 1.0) / n as f64;
        t_quantile(level, n as f64 - 1.0) * variance.sqrt()
    });
    let inverse = |signal: f64| (signal > 0.0).then(|| 1.0 / signal);
    let low = half.and_then(|half| inverse(mean + half));
    let high = half.and_then(|half| inverse(mean - half));
    let reason = match (mean > 0.0, half, high) {
        (false, ..) => {
            Some("the squared gradient norm, averaged over the run, is not estimated as positive")
        }
        (_, None, _) => Some("one run says nothing of the scatter between runs"),
        (_, _, None) => {
            Some("the squared gradient is not distinguishable from 0, so the upper end is open")
        }
        _ => None,
    };
    Estimate {
        value: inverse(mean),
        low,
        high,
        level,
        n,
        state: match mean > 0.0 {
            true => EstimateState::Estimated,
            false => EstimateState::Undefined,
        },
        reason: reason.map(str::to_owned),
    }
}

/// Pools the runs between evaluations, which they share, and takes consecutive ones together until
/// each stretch has [`COURSE_STEPS`] measured steps; what is left over at the end joins the last.
fn course(
    runs: &[&[Measurement]],
    batch_size: u64,
    sampling: Sampling,
    level: f64,
) -> Vec<NoiseAt> {
    let mut pooled: BTreeMap<u64, NoiseMoments> = BTreeMap::new();
    for m in runs.iter().flat_map(|run| run.iter()) {
        if let Some(moments) = moments_at(m, batch_size) {
            let at = pooled.entry(m.step);
            at.or_insert_with(|| NoiseMoments::new(batch_size))
                .merge(moments);
        }
    }
    let mut stretches: Vec<(u64, NoiseMoments)> = Vec::new();
    let mut left: u64 = pooled.values().map(|m| m.steps).sum();
    for (step, moments) in pooled {
        match stretches.last_mut() {
            Some((end, last)) if last.steps < COURSE_STEPS || left < COURSE_STEPS => {
                *end = step;
                last.merge(&moments);
            }
            _ => stretches.push((step, moments.clone())),
        }
        left -= moments.steps;
    }
    let of = |(step, moments): (u64, NoiseMoments)| {
        let noise = noise_of(&moments, sampling, level);
        let population = noise.population.noise_scale;
        NoiseAt {
            step,
            examples: step.saturating_mul(batch_size),
            training_set: noise
                .training_set
                .map_or_else(|| population.clone(), |inner| inner.noise_scale),
            population,
        }
    };
    stretches.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(step: u64, noise: Option<NoiseRecord>) -> Measurement {
        Measurement {
            step,
            examples: 32 * step,
            seconds: 0.0,
            learning_rate: 0.1,
            metrics: BTreeMap::new(),
            finer: false,
            noise,
        }
    }

    /// `steps` measured steps, the pieces wobbling about their means.
    fn measured(steps: u64, trace: f64, squared_norm: f64) -> Option<NoiseRecord> {
        let mut moments = NoiseMoments::new(32);
        for i in 0..steps {
            let wobble = if i % 2 == 0 { 0.1 } else { -0.1 };
            moments.push(trace * (1.0 + wobble), squared_norm * (1.0 - wobble));
        }
        Some(NoiseRecord::Measured(moments))
    }

    /// The gradient falls a hundredfold: a ratio of means would give the beginning's 101, the
    /// average over 90 steps at 100 and 810 at 10,000 is 1/(0.1·0.01 + 0.9·0.0001).
    #[test]
    fn the_average_is_that_of_the_signal_over_the_steps() {
        let run = [
            measurement(90, measured(10, 100.0, 1.0)),
            measurement(900, measured(90, 10.0, 0.001)),
        ];
        let found = NoiseTrajectory::new(32, &[&run, &run], Some(1000), 0.95).unwrap();
        let expected = 1.0 / (0.1 * 0.01 + 0.9 * 0.0001);
        assert!((found.population.value.unwrap() / expected - 1.0).abs() < 1e-9);
        assert_eq!(found.population.n, 2);
        let inner = 1.0 / (1.0 / expected + 1.0 / 1000.0);
        assert!((found.training_set.value.unwrap() / inner - 1.0).abs() < 1e-9);
        let scales: Vec<f64> = found
            .course
            .iter()
            .map(|at| at.population.value.unwrap())
            .collect();
        assert!((scales[0] - 100.0).abs() < 1e-6 && (scales[1] - 10_000.0).abs() < 1e-6);
        assert_eq!(found.course[1].examples, 900 * 32);
    }

    #[test]
    fn evaluations_close_together_are_one_stretch_and_none_is_lost() {
        let run = [
            measurement(1, measured(1, 50.0, 1.0)),
            measurement(2, None),
            measurement(8, measured(5, 50.0, 1.0)),
            measurement(12, measured(4, 50.0, 1.0)),
            measurement(40, measured(20, 50.0, 1.0)),
            measurement(43, measured(2, 50.0, 1.0)),
        ];
        let course = NoiseTrajectory::new(32, &[&run], Some(1000), 0.95)
            .unwrap()
            .course;
        let ends: Vec<u64> = course.iter().map(|at| at.step).collect();
        assert_eq!(ends, [12, 43]);
        // Many short stretches do not run into one.
        let often: Vec<Measurement> = (1..=40)
            .map(|step| measurement(step, measured(1, 50.0, 1.0)))
            .collect();
        assert_eq!(stretches(&often, 32).len(), 5);
        let found = stretches(&run, 32);
        let lengths: Vec<_> = found.iter().map(|s| (s.steps, s.moments.steps)).collect();
        assert_eq!(lengths, [(12, 10), (31, 22)]);
    }

    #[test]
    fn the_interval_is_that_of_the_scatter_between_runs() {
        let run = |signal| [measurement(10, measured(10, 100.0, signal))];
        let (a, b, c) = (run(1.0), run(2.0), run(3.0));
        let of =
            |runs: &[&[Measurement]]| NoiseTrajectory::new(32, runs, Some(1 << 20), 0.95).unwrap();
        // signals 0.01, 0.02, 0.03: half width 4.302653·0.01/√3
        let found = of(&[&a, &b, &c]).population;
        assert!((found.value.unwrap() - 50.0).abs() < 1e-9);
        let half = 4.302_652_729_911_275 * 0.01 / 3f64.sqrt();
        assert!((found.low.unwrap() - 1.0 / (0.02 + half)).abs() < 1e-9);
        assert!(found.high.is_none() && found.reason.unwrap().contains("open"));
        assert_eq!(of(&[&a]).population.low, None);
        let drowned = of(&[&run(-1.0), &run(0.5)]).population;
        assert_eq!(drowned.value, None);
        assert_eq!(drowned.state, EstimateState::Undefined);
    }

    /// One layer with all of the signal, one with nine tenths of the noise; a run that kept nothing
    /// apart has no say.
    #[test]
    fn layers_have_averages_of_their_own() {
        let run = |signal: f64, apart: bool| {
            let Some(NoiseRecord::Measured(mut moments)) = measured(10, 100.0, signal) else {
                unreachable!()
            };
            let layer = |name: &str, trace, squared_norm| LayerNoise {
                name: name.to_owned(),
                trace,
                squared_norm,
            };
            if apart {
                moments.layers = vec![layer("conv1", 10.0, signal), layer("output", 90.0, -0.1)];
            }
            [measurement(10, Some(NoiseRecord::Measured(moments)))]
        };
        let (a, b, c) = (run(2.0, true), run(2.0, true), run(2.0, false));
        let found = NoiseTrajectory::new(32, &[&a, &b, &c], Some(1000), 0.95).unwrap();
        assert_eq!(found.population.n, 3);
        let [conv, output] = &found.layers[..] else {
            panic!("{:?}", found.layers)
        };
        assert_eq!((conv.name.as_str(), conv.population.n), ("conv1", 2));
        assert!((conv.population.value.unwrap() - 5.0).abs() < 1e-12);
        assert_eq!(output.population.state, EstimateState::Undefined);
        let none = NoiseTrajectory::new(32, &[&c], Some(1000), 0.95).unwrap();
        assert!(none.layers.is_empty());
    }

    #[test]
    fn what_was_not_watched_is_left_out_and_what_cannot_be_says_why() {
        let none = [measurement(10, None)];
        assert_eq!(NoiseTrajectory::new(32, &[&none], Some(100), 0.95), None);
        let why = "batch norm over everything".to_owned();
        let undefined = [measurement(10, Some(NoiseRecord::Undefined { why }))];
        let found = NoiseTrajectory::new(32, &[&undefined], Some(100), 0.95).unwrap();
        assert!(found.course.is_empty());
        assert!(found.population.reason.unwrap().contains("batch norm"));
    }
}
