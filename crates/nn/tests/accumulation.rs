//! A step's gradient does not depend on how its batch is cut into micro-batches.

mod common;

use batchscope_core::{Batch, DataShape, Inputs, NetworkError, Task};
use common::*;

const CASES: [(&str, DataShape, usize, &[usize]); 11] = [
    ("softmax", DIGITS, 13, &[1, 2, 4, 5, 8]),
    (
        "mlp(32,16,dropout=0.5,smoothing=0.1)",
        DIGITS,
        13,
        &[1, 2, 4, 5, 8],
    ),
    (
        "mlp(8)",
        vectors(6, Task::Regress { outputs: 2 }),
        13,
        &[1, 2, 4, 5, 8],
    ),
    ("lenet(dropout=0.5)", images(20, 3), 13, &[1, 2, 4, 5, 8]),
    ("mlp(32,16,norm,ghost=4)", DIGITS, 14, &[4, 8, 12]),
    ("c1(ghost=4)", images(12, 3), 11, &[4, 8]),
    ("resnet20(ghost=3)", images(8, 3), 8, &[3, 6]),
    (
        "mobilenetv2(width=0.25,ghost=4,dropout=0.2)",
        images(24, 3),
        8,
        &[4],
    ),
    ("drn-d-22(ghost=3)", masks(32, 3), 7, &[3, 6]),
    (
        "row-lstm(width=9,dropout=0.3)",
        images(6, 2),
        7,
        &[1, 2, 3, 4],
    ),
    (
        "lstm(layers=2,width=12,tied,dropout=0.5)",
        text(5, 30),
        7,
        &[1, 2, 3, 4],
    ),
];

#[test]
fn micro_batches_add_up_to_the_batch() {
    for (model, shape, batch_size, micros) in CASES {
        let run = |micro: usize| {
            let mut network = network(model, &shape);
            let mut steps = Vec::new();
            // Two steps, so that running statistics and hidden states matter; but in deep networks
            // the rounding of the first would grow to per cents in the second.
            let deep = ["mobilenetv2", "drn"]
                .iter()
                .any(|name| model.starts_with(name));
            for step in 0..if deep { 1 } else { 2 } {
                let (loss, gradients) =
                    gradient(network.as_mut(), shape, batch_size, micro, |batch| {
                        batch.noise = Some(NOISE);
                        batch.first_draw += step * batch_size as u64;
                        batch.fresh_streams = step == 0;
                    });
                steps.push((loss, gradients));
                network
                    .visit(&mut |_, w, g| w.iter_mut().zip(g).for_each(|(w, g)| *w -= 0.05 * *g))
                    .unwrap();
            }
            let state: Vec<_> = network
                .export()
                .unwrap()
                .into_iter()
                .map(|tensor| tensor.values)
                .collect();
            (steps, state)
        };
        let (whole, whole_state) = run(batch_size);
        for &micro in micros {
            let (steps, state) = run(micro);
            for ((loss, gradients), (whole_loss, whole_gradients)) in steps.iter().zip(&whole) {
                assert!(
                    (loss - whole_loss).abs() < 1e-5 * whole_loss.abs(),
                    "{model} by {micro}: {loss} and {whole_loss}"
                );
                let difference = difference(whole_gradients, gradients);
                assert!(
                    difference < 5e-5,
                    "{model} by {micro}: gradients differ by {difference}"
                );
            }
            let difference = difference(&whole_state, &state);
            assert!(
                difference < 5e-5,
                "{model} by {micro}: states differ by {difference}"
            );
        }
    }
}

#[test]
fn masks_and_losses_do_depend_on_the_draw() {
    let loss = |draw: u64| {
        let mut network = network("mlp(32,dropout=0.5)", &DIGITS);
        gradient(network.as_mut(), DIGITS, 4, 4, |batch| {
            batch.noise = Some(NOISE);
            batch.first_draw = draw;
        })
        .0
    };
    assert_eq!(loss(0), loss(0));
    assert_ne!(loss(0), loss(4));
}

#[test]
fn a_micro_batch_that_cuts_a_ghost_batch_is_refused() {
    let mut network = network("mlp(8,norm,ghost=4)", &DIGITS);
    assert_eq!(network.ghost_size(64), Some(4));
    assert_eq!(network.ghost_size(3), Some(3));
    network.begin_step(10);
    let refused = Err(NetworkError::GhostSize {
        micro_batch: 3,
        ghost: 4,
    });
    assert_eq!(network.accumulate(&batch(DIGITS, 0, 3), 1.0), refused);
    network.accumulate(&batch(DIGITS, 0, 4), 1.0).unwrap();
    // Only the step's last micro-batch may be ragged.
    assert_eq!(network.accumulate(&batch(DIGITS, 4, 3), 1.0), refused);
    network.accumulate(&batch(DIGITS, 4, 6), 1.0).unwrap();
    assert_eq!(network.ghost_size(4), Some(4));
    let plain = common::network("mlp(8)", &DIGITS);
    assert_eq!(plain.ghost_size(64), None);
}

#[test]
fn running_statistics_take_a_step_in_once() {
    // Two ghost batches of 4 and a ragged one of 2, in one micro-batch or two: the same as the
    // example-weighted mean of the groups' statistics, computed here by hand.
    let shape = vectors(3, Task::Regress { outputs: 1 });
    let mut network = network("mlp(2,norm,ghost=4)", &shape);
    let state = network.export().unwrap();
    let find = |state: &[batchscope_core::StateTensor], name: &str| {
        state
            .iter()
            .find(|tensor| tensor.name == name)
            .unwrap_or_else(|| panic!("{name}"))
            .values
            .clone()
    };
    let weight = find(&state, "linear1.weight");
    gradient(network.as_mut(), shape, 10, 10, |_| {});
    let after = network.export().unwrap();

    let batch = batch(shape, 0, 10);
    let Inputs::Values(x) = &batch.inputs else {
        unreachable!()
    };
    let hidden = |i: usize, unit: usize| -> f64 {
        (0..3)
            .map(|k| f64::from(x[3 * i + k]) * f64::from(weight[2 * k + unit]))
            .sum()
    };
    for unit in 0..2 {
        let (mut mean_sum, mut variance_sum) = (0.0, 0.0);
        for group in [0..4, 4..8, 8..10] {
            let n = group.len() as f64;
            let mean = group.clone().map(|i| hidden(i, unit)).sum::<f64>() / n;
            let squares: f64 = group.map(|i| (hidden(i, unit) - mean).powi(2)).sum();
            mean_sum += n * mean;
            variance_sum += n * squares / (n - 1.0);
        }
        let running_mean = f64::from(find(&after, "linear1.norm.running_mean")[unit]);
        let running_variance = f64::from(find(&after, "linear1.norm.running_variance")[unit]);
        assert!((running_mean - 0.1 * mean_sum / 10.0).abs() < 1e-6);
        assert!((running_variance - (0.9 + 0.1 * variance_sum / 10.0)).abs() < 1e-6);
    }
}

/// Statistics measured anew are those of all examples in groups as in training, and nothing else moves: neither the step
/// under way nor its gradient.
#[test]
fn statistics_are_measured_anew_beside_a_step() {
    let shape = vectors(3, Task::Regress { outputs: 1 });
    let mut network = network("mlp(2,norm,ghost=4,dropout=0.5)", &shape);
    let mut other = common::network("mlp(2,norm,ghost=4,dropout=0.5)", &shape);
    for network in [&mut network, &mut other] {
        network.begin_step(8);
        network.accumulate(&batch(shape, 0, 4), 0.1).unwrap();
    }
    // 4 + 4 + 3 examples in two batches.
    let mut batches = vec![batch(shape, 8, 3), batch(shape, 0, 8)];
    let mut next = |to: &mut Batch| batches.pop().map(|batch| *to = batch).is_some();
    network.recalibrate(4, &mut next, &mut |_| {}).unwrap();
    let state = network.export().unwrap();
    let find = |name: &str| &state.iter().find(|t| t.name == name).unwrap().values;
    let weight = find("linear1.weight");
    let Inputs::Values(x) = batch(shape, 0, 11).inputs else {
        unreachable!()
    };
    for unit in 0..2 {
        let hidden: Vec<f64> = x
            .chunks(3)
            .map(|row| {
                (0..3)
                    .map(|k| f64::from(row[k]) * f64::from(weight[2 * k + unit]))
                    .sum()
            })
            .collect();
        let mean = hidden.iter().sum::<f64>() / 11.0;
        let squares: f64 = hidden.iter().map(|h| (h - mean).powi(2)).sum();
        let found = |name: &str| f64::from(find(&format!("linear1.norm.running_{name}"))[unit]);
        assert!((found("mean") - mean).abs() < 1e-6);
        assert!((found("variance") - squares / 10.0).abs() < 1e-5);
    }
    // The step goes on as it would have.
    let gradients = [&mut network, &mut other].map(|network| {
        network.accumulate(&batch(shape, 4, 4), 0.1).unwrap();
        let mut all = Vec::new();
        network
            .visit(&mut |_, _, gradient| all.push(gradient.to_vec()))
            .unwrap();
        all
    });
    assert_eq!(gradients[0], gradients[1]);
    // A batch of another shape changes nothing.
    let before = network.export().unwrap();
    let mut foreign = vec![batch(DIGITS, 0, 4), batch(shape, 0, 4)];
    let mut next = |to: &mut Batch| foreign.pop().map(|batch| *to = batch).is_some();
    assert!(network.recalibrate(4, &mut next, &mut |_| {}).is_err());
    assert_eq!(network.export().unwrap(), before);
}
