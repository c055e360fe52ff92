//! The loss of a network as a function of its parameters: gradient, precision, statistics, slices.

mod common;

use batchscope_core::{DataShape, NetworkError, StateTensor, Task};
use batchscope_landscape::{
    Objective,
    slices::{Measure, Path, PointLoss, Slice, evaluate},
};
use batchscope_nn::{
    NetworkObjective, NormMode, ObjectiveSettings, Precision, SliceMeasure, Statistics,
};
use common::*;
use rand_core::Rng;

const EXAMPLES: usize = 24;

/// Every kind of layer there is.
fn models() -> Vec<(&'static str, DataShape)> {
    vec![
        ("softmax", vectors(6, Task::Classify { classes: 4 })),
        ("mlp(9,norm,ghost=8)", images(4, 2)),
        ("mlp(9,7)", vectors(5, Task::Regress { outputs: 3 })),
        ("lenet", images(16, 1)),
        ("c1(ghost=8,dropout=0)", images(8, 3)),
        ("resnet20(ghost=8)", images(8, 3)),
        ("mobilenetv2(width=0.1,ghost=8)", images(8, 3)),
        ("row-lstm(width=7)", images(5, 2)),
        ("lstm(layers=2,width=7)", text(6, 11)),
        ("lstm(layers=1,width=7,tied)", text(6, 11)),
        ("drn-d-22(ghost=8)", masks(17, 4)),
    ]
}

/// So many rectifiers that some number is always near a kink.
fn deep(model: &str) -> bool {
    ["resnet", "mobilenet", "drn"]
        .iter()
        .any(|name| model.starts_with(name))
}

fn state(model: &str, shape: DataShape, steps: u64) -> Vec<StateTensor> {
    let mut network = network(model, &shape);
    for step in 0..steps {
        descend(network.as_mut(), shape, step, EXAMPLES, 0.02);
    }
    let state = network.export().unwrap();
    // Hidden states of training are no part of what is measured.
    let layout: Vec<String> = network
        .layout()
        .tensors
        .iter()
        .map(|t| t.name.clone())
        .collect();
    let kept = |t: &StateTensor| layout.contains(&t.name) || t.name.contains("running_");
    state.into_iter().filter(kept).collect()
}

fn objective(
    model: &str,
    shape: DataShape,
    state: &[StateTensor],
    norm: NormMode,
    precision: Precision,
) -> NetworkObjective {
    // Batches of uneven sizes are one set of examples.
    let examples = vec![batch(shape, 0, 10), batch(shape, 10, EXAMPLES - 10)];
    let settings = ObjectiveSettings {
        norm,
        precision,
        smoothing: false,
    };
    factory(model)
        .objective(&shape, state, examples, settings)
        .unwrap()
}

fn direction(n: usize, seed: u64) -> Vec<f64> {
    let mut stream = KEY.stream(5000 + seed);
    (0..n)
        .map(|_| f64::from(stream.next_u32()) / 2f64.powi(31) - 1.0)
        .collect()
}

fn along(x: &[f64], step: f64, d: &[f64]) -> Vec<f64> {
    x.iter().zip(d).map(|(x, d)| x + step * d).collect()
}

fn relative(a: &[f64], b: &[f64]) -> f64 {
    let off = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    (off / b.iter().map(|b| b * b).sum::<f64>()).sqrt()
}

/// In training mode the objective is the step's: the same loss and gradient as `accumulate` gives.
#[test]
fn the_gradient_is_the_network_s_own() {
    for (model, shape) in models() {
        let state = state(model, shape, 2);
        let mut network = network(model, &shape);
        network.import(&state).unwrap();
        let fresh = |batch: &mut batchscope_core::Batch| batch.fresh_streams = true;
        let weight = batch(shape, 0, EXAMPLES).weight() / EXAMPLES as f64;
        let (loss, window) = gradient(network.as_mut(), shape, EXAMPLES, EXAMPLES, fresh);
        let window: Vec<f64> = window.into_iter().flatten().map(f64::from).collect();
        // in single precision some number of a deep network falls on the other side of a rectifier
        let rounding = if deep(model) { 0.1 } else { 2e-3 };
        for (precision, close) in [(Precision::F32, 2e-5), (Precision::F64, rounding)] {
            let mut f = objective(model, shape, &state, NormMode::Training, precision);
            let (x, mut g) = (f.parameters().to_vec(), vec![0.0; f.dimension()]);
            let value = f.value_and_gradient(&x, &mut g).unwrap();
            assert!(
                (value * weight / loss - 1.0).abs() < 1e-4,
                "{model}: {value} {loss}"
            );
            g.iter_mut().for_each(|g| *g *= weight);
            let off = relative(&g, &window);
            assert!(off < close, "{model} {precision:?}: {off:e}");
            assert_eq!(f.value(&x).unwrap(), value, "{model}");
        }
    }
}

/// In double precision the gradient is the loss's to nearly all digits, in both modes of batch norm.
#[test]
fn slopes_agree_in_double_precision() {
    for (model, shape) in models() {
        let state = state(model, shape, 2);
        for norm in [NormMode::Evaluation, NormMode::Training] {
            let mut f = objective(model, shape, &state, norm, Precision::F64);
            let (x, mut g) = (f.parameters().to_vec(), vec![0.0; f.dimension()]);
            f.value_and_gradient(&x, &mut g).unwrap();
            let d = direction(x.len(), 1);
            let slope = |f: &mut NetworkObjective, h: f64| {
                let above = f.value(&along(&x, h, &d)).unwrap();
                let below = f.value(&along(&x, -h, &d)).unwrap();
                (above - below) / (2.0 * h)
            };
            // a step so short that it crosses hardly any kink
            let found = slope(&mut f, 1e-7);
            let tolerance = if deep(model) { 3e-2 } else { 1e-5 };
            let expected: f64 = g.iter().zip(&d).map(|(g, d)| g * d).sum();
            let size = g
                .iter()
                .zip(&d)
                .map(|(g, d)| (g * d).powi(2))
                .sum::<f64>()
                .sqrt();
            assert!(
                (found - expected).abs() < tolerance * size.max(expected.abs()),
                "{model} {norm:?}: {found} {expected} {size}"
            );
        }
    }
}

#[test]
fn threads_and_workers_do_not_change_a_bit() {
    for (model, shape) in models() {
        let state = state(model, shape, 1);
        for precision in [Precision::F32, Precision::F64] {
            let run = |threads: usize, workers: usize| {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                pool.install(|| {
                    let mut f = objective(model, shape, &state, NormMode::Evaluation, precision);
                    let x = along(f.parameters(), 1e-3, &direction(f.dimension(), 2));
                    for _ in 0..workers {
                        f = f.worker().unwrap();
                    }
                    let mut g = vec![0.0; x.len()];
                    let value = f.value_and_gradient(&x, &mut g).unwrap();
                    f.estimate_statistics(&x).unwrap();
                    (value, g, f.statistics().unwrap(), f.point_loss(&x).unwrap())
                })
            };
            let alone = run(1, 0);
            assert!(alone.0.is_finite());
            assert_eq!(alone, run(2, 0), "{model} {precision:?}");
            assert_eq!(alone, run(2, 1), "{model} {precision:?}");
        }
    }
}

/// The estimated statistics are those of all examples, by hand: in the first layer whatever the ghost
/// batches, in the second where one ghost batch holds them all. Evaluation then uses them.
#[test]
fn statistics_are_estimated_from_the_examples() {
    let shape = vectors(4, Task::Classify { classes: 3 });
    let batchscope_core::Inputs::Values(inputs) = batch(shape, 0, EXAMPLES).inputs else {
        unreachable!()
    };
    let inputs: Vec<f64> = inputs.iter().map(|&v| f64::from(v)).collect();
    // outputs of a layer whose matrix is [width, units]
    let layer = |inputs: &[f64], width: usize, matrix: &[f64], units: usize| -> Vec<f64> {
        let mut outputs = Vec::new();
        for row in inputs.chunks(width) {
            outputs.extend((0..units).map(|unit| {
                let column = matrix[unit..].iter().step_by(units);
                row.iter().zip(column).map(|(x, w)| x * w).sum::<f64>()
            }));
        }
        outputs
    };
    let column = |outputs: &[f64], units: usize, unit: usize| -> [f64; 2] {
        let values: Vec<f64> = outputs.iter().skip(unit).step_by(units).copied().collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        [mean, squares / (n - 1.0)]
    };
    // 7 leaves a smaller last group
    for ghost in [7, 8, 24, 1 << 24] {
        let model = format!("mlp(5,6,norm,ghost={ghost})");
        let state = state(&model, shape, 1);
        let mut f = objective(&model, shape, &state, NormMode::Evaluation, Precision::F64);
        let x = f.parameters().to_vec();
        let before = f.value(&x).unwrap();
        f.estimate_statistics(&x).unwrap();
        let found = f.statistics().unwrap();
        let first = layer(&inputs, 4, &x[..20], 5);
        let mut hidden = first.clone();
        for unit in 0..5 {
            let [mean, variance] = column(&first, 5, unit);
            assert!((found[unit] - mean).abs() < 1e-12, "{model}");
            assert!((found[5 + unit] - variance).abs() < 1e-12, "{model}");
            let biased = variance * (EXAMPLES - 1) as f64 / EXAMPLES as f64;
            let [scale, shift] = [x[20 + unit], x[25 + unit]];
            for value in hidden.iter_mut().skip(unit).step_by(5) {
                *value = (scale * (*value - mean) / (biased + 1e-5).sqrt() + shift).max(0.0);
            }
        }
        if ghost >= EXAMPLES {
            let second = layer(&hidden, 5, &x[30..60], 6);
            for unit in 0..6 {
                let [mean, variance] = column(&second, 6, unit);
                assert!((found[10 + unit] - mean).abs() < 1e-12, "{model}");
                assert!((found[16 + unit] - variance).abs() < 1e-12, "{model}");
            }
        }
        assert_ne!(f.value(&x).unwrap(), before);
        assert!(f.set_statistics(&found[1..]).is_err());
        let examples = vec![batch(shape, 0, EXAMPLES)];
        let anew = factory(&model)
            .reestimated(&shape, &state, examples)
            .unwrap();
        for (anew, old) in anew.iter().zip(&state) {
            assert_eq!((&anew.name, &anew.shape), (&old.name, &old.shape));
            assert_eq!(anew.values != old.values, anew.name.contains("running_"));
        }
        let f = objective(&model, shape, &anew, NormMode::Evaluation, Precision::F64);
        for (single, double) in f.statistics().unwrap().iter().zip(&found) {
            assert!(
                (single - double).abs() < 1e-5 * double.abs().max(1.0),
                "{model}"
            );
        }
    }
}

/// Without batch norm there is nothing to estimate, and not a bit of a slice changes.
#[test]
fn estimating_changes_nothing_without_batch_norm() {
    let (model, shape) = ("mlp(9,7)", vectors(5, Task::Classify { classes: 3 }));
    let states = [state(model, shape, 1), state(model, shape, 4)];
    let of = |state: &[StateTensor]| {
        objective(model, shape, state, NormMode::Evaluation, Precision::F32)
    };
    let [small, large] = states.each_ref().map(|state| of(state));
    let slice = Slice::between(Path::Curved, small.parameters(), large.parameters()).unwrap();
    let measured = [Statistics::Kept, Statistics::Estimated].map(|kind| {
        let mut workers = [SliceMeasure::new(of(&states[0]), None, kind).unwrap()];
        let all = evaluate(
            &slice,
            &mut workers,
            vec![None; slice.len()],
            &mut |_, _| {},
        )
        .unwrap();
        let bits = all
            .into_iter()
            .map(|(train, _)| (train.loss.to_bits(), train.error));
        bits.collect::<Vec<_>>()
    });
    assert_eq!(measured[0], measured[1]);
    let examples = vec![batch(shape, 0, EXAMPLES)];
    let anew = factory(model)
        .reestimated(&shape, &states[0], examples)
        .unwrap();
    assert_eq!(anew, states[0]);
}

#[test]
fn what_does_not_fit_is_refused_with_its_name() {
    let shape = images(16, 1);
    let refused = |state: &[StateTensor], examples| {
        let settings = ObjectiveSettings::default();
        let objective = factory("lenet").objective(&shape, state, examples, settings);
        objective.err().expect("it does not fit")
    };
    let other = state("mlp(9)", shape, 0);
    let error = refused(&other, vec![batch(shape, 0, 4)]);
    assert!(matches!(error, NetworkError::State(_)), "{error}");
    assert!(error.to_string().contains("conv1"), "{error}");
    let own = state("lenet", shape, 0);
    assert!(refused(&own, vec![]).to_string().contains("empty"));
    let foreign = refused(&own, vec![batch(images(15, 1), 0, 4)]);
    assert!(matches!(foreign, NetworkError::Unfit { .. }), "{foreign}");
}

/// Between two solutions: at the ends the interpolated statistics are the solutions' own, and any
/// number of workers gives the same numbers.
#[test]
fn a_slice_meets_the_solutions_it_runs_between() {
    let (model, shape) = ("mlp(9,norm,ghost=8)", images(4, 2));
    let states = [state(model, shape, 1), state(model, shape, 6)];
    let of = |state: &[StateTensor]| {
        objective(model, shape, state, NormMode::Evaluation, Precision::F32)
    };
    let [mut small, mut large] = states.each_ref().map(|state| of(state));
    let ends: Vec<PointLoss> = [&mut small, &mut large]
        .into_iter()
        .map(|f| {
            let x = f.parameters().to_vec();
            f.point_loss(&x).unwrap()
        })
        .collect();
    assert_ne!(ends[0], ends[1]);
    let between = |a: &[f64], b: &[f64]| Slice::between(Path::Straight, a, b).unwrap();
    let slice = between(small.parameters(), large.parameters());
    let interpolated = Statistics::Interpolated {
        small: small.statistics().unwrap(),
        large: large.statistics().unwrap(),
    };
    for kind in [
        interpolated.clone(),
        Statistics::Estimated,
        Statistics::Kept,
    ] {
        let first = SliceMeasure::new(of(&states[0]), Some(of(&states[0])), kind.clone()).unwrap();
        let mut workers = vec![first.worker().unwrap(), first];
        let unknown = vec![None; slice.len()];
        let all = evaluate(&slice, &mut workers, unknown.clone(), &mut |_, _| {}).unwrap();
        let alone = evaluate(&slice, &mut workers[..1], unknown, &mut |_, _| {}).unwrap();
        assert_eq!(all, alone);
        assert!(all.iter().all(|(train, test)| Some(*train) == *test));
        if kind == interpolated {
            assert_eq!([all[8].0, all[16].0][..], ends[..]);
        }
        let json = serde_json::to_string(&all[3]).unwrap();
        assert_eq!(
            serde_json::from_str::<(PointLoss, Option<PointLoss>)>(&json).unwrap(),
            all[3]
        );
    }
    let wrong = Statistics::Interpolated {
        small: small.statistics().unwrap(),
        large: small.parameters().to_vec(),
    };
    assert!(SliceMeasure::new(small, None, wrong).is_err());
    let x = large.parameters().to_vec();
    let mut measure = SliceMeasure::new(large, None, interpolated).unwrap();
    assert!(measure.measure(0, &[2.0, 0.0], &x).is_err());
    // beyond the solutions variances stay above zero, where a straight line would leave it
    let (reading, _) = measure.measure(0, &[40.0], &x).unwrap();
    assert!(reading.loss.is_finite());
}

/// Micro-batches' gradients at the same parameters: together they are the whole's, and the objective
/// is left as it was.
#[test]
fn gradients_of_other_examples_leave_the_objective_alone() {
    for (model, shape) in models() {
        let state = state(model, shape, 1);
        let mut f = objective(model, shape, &state, NormMode::Training, Precision::F64);
        let (x, mut whole) = (f.parameters().to_vec(), vec![0.0; f.dimension()]);
        let value = f.value_and_gradient(&x, &mut whole).unwrap();
        let weight = batch(shape, 0, EXAMPLES).weight();
        let mut sum = vec![0.0; x.len()];
        for (first, len) in [(0, 8), (8, 16)] {
            let part = batch(shape, first, len);
            let share = part.weight() / weight;
            let gradient = f.gradient_on(part, &x).unwrap();
            sum.iter_mut()
                .zip(&gradient)
                .for_each(|(s, g)| *s += share * g);
        }
        let off = relative(&sum, &whole);
        assert!(off < 1e-10, "{model}: {off:e}");
        assert_eq!(f.value(&x).unwrap(), value, "{model}");
        assert_eq!(f.examples(), EXAMPLES);
        assert!(f.gradient_on(batch(images(3, 1), 0, 4), &x).is_err());
    }
}
