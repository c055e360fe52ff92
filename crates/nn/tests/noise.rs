//! Squared norms of a micro-batch's and of its examples' gradients, against the gradients.

mod common;

use batchscope_core::{DataShape, Network, NormsOf, Task};
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

/// Against each example alone: vectors, images through convolutions with and without a pool, and
/// windows of text, whose streams are in the middle of one.
#[test]
fn examples_norms_are_those_of_each_alone() {
    let regression = vectors(5, Task::Regress { outputs: 3 });
    let cases: [(&str, DataShape, f64); 14] = [
        ("softmax", DIGITS, 0.1),
        ("softmax", regression, 0.9),
        ("mlp(16,8)", DIGITS, 0.1),
        ("mlp(16,dropout=0.3)", regression, 0.3),
        (
            "mlp(7,smoothing=0.1)",
            vectors(9, Task::Classify { classes: 4 }),
            0.4,
        ),
        ("lenet", DIGITS, 0.34),
        ("lenet(dropout=0.3)", images(17, 2), 0.34),
        ("alexnet", PHOTOS, 0.2),
        ("row-lstm(width=8)", DIGITS, 1.01),
        ("row-lstm(width=64,dropout=0.3)", images(6, 1), 0.3),
        ("lstm(layers=1,width=8)", text(5, 20), 1.01),
        ("lstm(layers=2,width=24,dropout=0.2)", text(3, 90), 0.3),
        ("lstm(layers=1,width=8,tied)", text(5, 20), 1.01),
        ("lstm(layers=1,width=24,tied)", text(4, 11), 1.01),
    ];
    for (model, shape, cost) in cases {
        let examples = 5;
        let made = || {
            let mut network = network(model, &shape);
            network.begin_step(examples);
            let before = batch(shape, 0, examples as usize);
            network.accumulate(&before, 1.0).unwrap();
            network.begin_step(examples);
            network
        };
        let (mut alone, mut plain, mut measured) = (made(), made(), made());
        assert!(measured.measures_per_example_grad_norms(), "{model}");
        let found = measured.example_norms_cost();
        assert!(found > 0.0 && found < cost, "{model}: {found}");

        let tensors = measured.layout().tensors.len();
        let part = |first: u64, len: usize| {
            let mut batch = batch(shape, 20 + first, len);
            batch.first_position = first;
            batch.noise = Some(NOISE);
            batch
        };
        let mut expected = vec![0.0; tensors];
        let mut sum = 0.0;
        for i in 0..examples {
            // The streams go on, so the window is emptied by hand.
            alone.visit(&mut |_, _, g| g.fill(0.0)).unwrap();
            sum += alone.accumulate(&part(i, 1), 0.5).unwrap().loss;
            for (sum, g) in expected.iter_mut().zip(window(alone.as_mut())) {
                *sum += squared(&g);
            }
        }
        let whole = part(0, examples as usize);
        let loss = plain.accumulate(&whole, 0.5).unwrap();
        let mut norms = vec![0.0; tensors];
        let same = measured
            .accumulate_measured(&whole, 0.5, NormsOf::Examples, &mut norms)
            .unwrap();
        assert_eq!(loss, same, "{model}");
        assert!((loss.loss / sum - 1.0).abs() < 1e-5, "{model}");
        close(&norms, &expected, 1e-4, model);
        let (a, b) = (window(plain.as_mut()), window(measured.as_mut()));
        assert!(a == b, "{model}: the window has noticed");
        assert_eq!(plain.export(), measured.export(), "{model}");
    }
}

#[test]
fn models_that_mix_or_cannot_afford_it_do_not_claim_to_tell_examples_apart() {
    for (model, shape) in [
        ("mlp(16,norm)", DIGITS),
        ("f1", DIGITS),
        ("resnet20(ghost=2)", images(8, 3)),
        // More pairs of tokens than scores.
        ("lstm(layers=1,width=8,tied)", text(21, 20)),
    ] {
        assert!(
            !network(model, &shape).measures_per_example_grad_norms(),
            "{model}"
        );
    }
}
