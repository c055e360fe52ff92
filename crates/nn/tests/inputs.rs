//! Gradients with respect to the inputs: against a closed form, as slopes of the loss, and leaving
//! the step as it was.

mod common;

use batchscope_core::{Batch, Inputs, Labels, Mode, NetworkError, Task};
use common::*;
use rand_core::Rng;

fn values(batch: &mut Batch) -> &mut Vec<f32> {
    match &mut batch.inputs {
        Inputs::Values(values) => values,
        Inputs::Tokens(_) => unreachable!("images and vectors only"),
    }
}

/// Softmax regression: `∇_x = W·(p − 1_c)`.
#[test]
fn softmax_regression_has_its_closed_form() {
    let shape = vectors(5, Task::Classify { classes: 3 });
    let mut network = network("softmax", &shape);
    let mut batch = batch(shape, 0, 4);
    network.begin_step(4);
    let mut found = Vec::new();
    let sum = network
        .input_gradient(&batch, Mode::Training, &mut found)
        .unwrap();
    let weights = parameters(network.as_mut());
    let (w, b) = (&weights[0], &weights[1]);
    let Labels::Classes(labels) = batch.labels.clone() else {
        unreachable!()
    };
    let mut loss = 0.0;
    for (i, (x, c)) in values(&mut batch).chunks(5).zip(labels).enumerate() {
        let score = |k: usize| -> f64 {
            let products = x
                .iter()
                .enumerate()
                .map(|(f, x)| f64::from(x * w[f * 3 + k]));
            f64::from(b[k]) + products.sum::<f64>()
        };
        let scores: Vec<f64> = (0..3).map(score).collect();
        let total: f64 = scores.iter().map(|s| s.exp()).sum();
        loss += total.ln() - scores[c as usize];
        for f in 0..5 {
            let expected: f64 = (0..3)
                .map(|k| {
                    let p = scores[k].exp() / total;
                    f64::from(w[f * 3 + k]) * (p - f64::from(u8::from(k == c as usize)))
                })
                .sum();
            let found = f64::from(found[i * 5 + f]);
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
    assert!((sum.loss - loss).abs() < 1e-5 && sum.weight == 4.0);
}

#[test]
fn input_gradients_are_slopes_of_the_training_loss() {
    for (model, shape) in [
        ("row-lstm(width=7)", images(5, 2)),
        (
            "mlp(24,norm,ghost=3)",
            vectors(6, Task::Classify { classes: 4 }),
        ),
        ("mlp(24)", vectors(6, Task::Regress { outputs: 2 })),
        ("lenet", images(20, 1)),
        ("c1(ghost=3)", images(12, 3)),
    ] {
        let (mut network, n) = (network(model, &shape), 6);
        let clean = batch(shape, 0, n);
        network.begin_step(n as u64);
        let mut slope = Vec::new();
        network
            .input_gradient(&clean, Mode::Training, &mut slope)
            .unwrap();
        let mut stream = KEY.stream(77);
        // Along the gradient and a random part of it, so that the slope is no small difference.
        let direction: Vec<f32> = slope
            .iter()
            .map(|g| match stream.next_u32() % 4 {
                0 => 0.0,
                _ => g.signum(),
            })
            .collect();
        let predicted: f64 = slope
            .iter()
            .zip(&direction)
            .map(|(g, d)| f64::from(g * d))
            .sum();
        // Batch norm over a few examples makes for steep losses: a step is to change them little.
        let step = (0.01 / predicted).min(1e-3) as f32;
        let mut loss = |sign: f32| {
            let mut moved = clean.clone();
            for (x, d) in values(&mut moved).iter_mut().zip(&direction) {
                *x += sign * step * d;
            }
            network.begin_step(n as u64);
            network.accumulate(&moved, 1.0).unwrap().loss
        };
        let found = (loss(1.0) - loss(-1.0)) / (2.0 * f64::from(step));
        // Rectifiers and maxima have kinks, single precision has noise.
        assert!(
            (found - predicted).abs() < 0.03 * predicted + 5e-3,
            "{model}: {found} against {predicted}"
        );
    }
}

/// In evaluation, of the loss that evaluation reports: by the running statistics, without dropout and smoothing.
#[test]
fn in_evaluation_they_are_slopes_of_the_evaluated_loss() {
    for (model, shape) in [
        (
            "mlp(24,norm,ghost=3,dropout=0.4,smoothing=0.1)",
            vectors(6, Task::Classify { classes: 4 }),
        ),
        ("c1(ghost=3)", images(12, 3)),
        ("resnet20(ghost=3)", images(16, 3)),
    ] {
        let (mut network, n) = (network(model, &shape), 6);
        // Statistics that are none of any batch's.
        for start in 0..3 {
            network.begin_step(n as u64);
            let mut batch = batch(shape, 0, n);
            values(&mut batch)
                .iter_mut()
                .for_each(|x| *x += start as f32);
            network.accumulate(&batch, 0.0).unwrap();
            network.end_step();
        }
        let before = network.export().unwrap();
        let mut clean = batch(shape, 0, n);
        clean.noise = Some(NOISE);
        let mut slope = Vec::new();
        let sum = network
            .input_gradient(&clean, Mode::Evaluation, &mut slope)
            .unwrap();
        let evaluated = network.evaluate(&clean).unwrap();
        assert!(
            (sum.loss - evaluated.loss).abs() < 1e-4 * evaluated.loss,
            "{model}"
        );
        let squared: f64 = slope.iter().map(|g| f64::from(*g).powi(2)).sum();
        let step = (0.01 / squared).min(1e-3);
        let mut loss = |sign: f64| {
            let mut moved = clean.clone();
            for (x, g) in values(&mut moved).iter_mut().zip(&slope) {
                *x += (sign * step) as f32 * g;
            }
            network.evaluate(&moved).unwrap().loss
        };
        let found = (loss(1.0) - loss(-1.0)) / (2.0 * step);
        assert!(
            (found - squared).abs() < 0.03 * squared + 5e-3,
            "{model}: {found} against {squared}"
        );
        assert_eq!(network.export().unwrap(), before, "{model}");
    }
}

#[test]
fn the_step_under_way_is_left_as_it_was() {
    for model in ["mlp(16,norm,ghost=4,dropout=0.3)", "c1(ghost=4)"] {
        let shape = images(12, 3);
        let run = |look: bool| {
            let mut network = network(model, &shape);
            network.begin_step(8);
            for start in [0, 4] {
                let mut batch = batch(shape, start, 4);
                batch.noise = Some(NOISE);
                if look {
                    let mut slope = Vec::new();
                    network
                        .input_gradient(&batch, Mode::Training, &mut slope)
                        .unwrap();
                    assert_eq!(slope.len(), values(&mut batch).len());
                    assert!(slope.iter().any(|g| *g != 0.0));
                }
                network.accumulate(&batch, 0.125).unwrap();
            }
            let mut gradients = Vec::new();
            network
                .visit(&mut |_, _, g| gradients.push(g.to_vec()))
                .unwrap();
            network.end_step();
            (gradients, network.export().unwrap())
        };
        assert_eq!(run(true), run(false), "{model}");
    }
}

#[test]
fn tokens_have_no_gradient() {
    let shape = text(4, 9);
    let mut network = network("lstm(layers=1,width=5)", &shape);
    network.begin_step(2);
    let error = network.input_gradient(&batch(shape, 0, 2), Mode::Training, &mut Vec::new());
    assert!(matches!(error, Err(NetworkError::NoInputGradient(_))));
}
