//! Squared norms of a micro-batch's and of its examples' gradients, against the gradients.

mod common;

use batchwise_core::{DataShape, Network, NormsOf, Task};
use common::*;

/// The tensors of the gradient window.
fn window(network: &mut dyn Network) -> Vec<Vec<f32>> {
    let mut gradients = Vec::new();
    network
        .visit(&mut |_, _, g| gradients.push(g.to_vec()))
        .unwrap();
    gradients
}

fn squared(gradient: &[f32]) -> f64 {
    gradient.iter().map(|&g| f64::from(g).powi(2)).sum()
}

fn close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len());
    let whole: f64 = expected.iter().sum();
    for (t, (f, e)) in found.iter().zip(expected).enumerate() {
        let bound = tolerance * (e + 1e-6 * whole);
        assert!(
            (f - e).abs() <= bound,
            "{what}, tensor {t}: {f}, expected {e}"
        );
    }
}

/// The window grows as without measuring, to the bit, and by what the norms say.
#[test]
fn micro_batches_norms_are_those_of_what_they_add() {
    for (model, shape) in [
        ("mlp(16,8)", DIGITS),
        ("lenet", DIGITS),
        ("resnet20(ghost=2)", images(8, 3)),
        ("c1(ghost=2)", images(8, 3)),
        ("row-lstm(width=8)", DIGITS),
        ("lstm(layers=1,width=8)", text(5, 20)),
        ("lstm(layers=1,width=8,tied)", text(5, 20)),
        ("drn-d-22(ghost=2)", masks(16, 3)),
    ] {
        let (mut plain, mut measured) = (network(model, &shape), network(model, &shape));
        for network in [&mut plain, &mut measured] {
            network.begin_step(8);
        }
        let tensors = plain.layout().tensors.len();
        for first in [0, 4] {
            let mut batch = batch(shape, first, 4);
            batch.noise = Some(NOISE);
            let mut alone = network(model, &shape);
            alone.begin_step(8);
            alone.accumulate(&batch, 0.125).unwrap();
            let expected: Vec<f64> = window(alone.as_mut()).iter().map(|g| squared(g)).collect();
            // What is there already stays.
            let mut norms = vec![1.0; tensors];
            let loss = plain.accumulate(&batch, 0.125).unwrap();
            let same = measured
                .accumulate_measured(&batch, 0.125, NormsOf::MicroBatch, &mut norms)
                .unwrap();
            assert_eq!(loss, same, "{model}");
            let found: Vec<f64> = norms.iter().map(|n| n - 1.0).collect();
            let scale: f64 = expected.iter().sum();
            for (f, e) in found.iter().zip(&expected) {
                assert!(
                    (f - e).abs() <= 1e-5 * scale + 1e-12,
                    "{model}: {f}, expected {e}"
                );
            }
        }
        let (a, b) = (window(plain.as_mut()), window(measured.as_mut()));
        assert!(a == b, "{model}: the window has noticed");
    }
}

/// Models of linear layers tell examples apart: against each example alone.
#[test]
fn examples_norms_are_those_of_each_alone() {
    let regression = vectors(5, Task::Regress { outputs: 3 });
    let cases: [(&str, DataShape); 5] = [
        ("softmax", DIGITS),
        ("softmax", regression),
        ("mlp(16,8)", DIGITS),
        ("mlp(16,dropout=0.3)", regression),
        (
            "mlp(7,smoothing=0.1)",
            vectors(9, Task::Classify { classes: 4 }),
        ),
    ];
    for (model, shape) in cases {
        let mut network = network(model, &shape);
        assert!(network.measures_examples(), "{model}");
        let tensors = network.layout().tensors.len();
        let mut expected = vec![0.0; tensors];
        for i in 0..9 {
            network.begin_step(9);
            let mut batch = batch(shape, i, 1);
            batch.noise = Some(NOISE);
            network.accumulate(&batch, 0.5).unwrap();
            for (sum, g) in expected.iter_mut().zip(window(network.as_mut())) {
                *sum += squared(&g);
            }
        }
        let mut batch = batch(shape, 0, 9);
        batch.noise = Some(NOISE);
        network.begin_step(9);
        network.accumulate(&batch, 0.5).unwrap();
        let plain = window(network.as_mut());
        network.begin_step(9);
        let mut norms = vec![0.0; tensors];
        network
            .accumulate_measured(&batch, 0.5, NormsOf::Examples, &mut norms)
            .unwrap();
        close(&norms, &expected, 1e-4, model);
        assert!(plain == window(network.as_mut()), "{model}");
    }
}

#[test]
fn models_that_mix_or_share_do_not_claim_to_tell_examples_apart() {
    for (model, shape) in [
        ("mlp(16,norm)", DIGITS),
        ("f1", DIGITS),
        ("lenet", DIGITS),
        ("row-lstm(width=8)", DIGITS),
        ("lstm(layers=1,width=8)", text(5, 20)),
    ] {
        assert!(!network(model, &shape).measures_examples(), "{model}");
    }
}
