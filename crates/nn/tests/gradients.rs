//! Gradients of smooth models against central differences of the loss.

mod common;

use batchscope_core::{DataShape, Task};
use common::*;
use rand_core::Rng;

/// `Σ loss` of a fixed micro-batch at `w + step·direction`, and the gradient there.
fn loss(model: &str, shape: DataShape, directions: &[Vec<f32>], step: f32) -> (f64, Vec<Vec<f32>>) {
    let mut network = network(model, &shape);
    network
        .visit(&mut |i, w, _| {
            w.iter_mut()
                .zip(&directions[i])
                .for_each(|(w, d)| *w += step * d)
        })
        .unwrap();
    network.begin_step(5);
    let loss = network.accumulate(&batch(shape, 0, 5), 1.0).unwrap().loss;
    let mut gradients = Vec::new();
    network
        .visit(&mut |_, _, g| gradients.push(g.to_vec()))
        .unwrap();
    (loss, gradients)
}

#[test]
fn gradients_are_slopes_of_the_loss() {
    for (model, shape) in [
        (
            "softmax(smoothing=0.2)",
            vectors(6, Task::Classify { classes: 4 }),
        ),
        ("softmax", vectors(6, Task::Regress { outputs: 3 })),
        ("lstm(layers=2,width=7)", text(6, 11)),
        ("lstm(layers=1,width=7,tied,smoothing=0.1)", text(6, 11)),
        ("row-lstm(width=7)", images(5, 2)),
    ] {
        let lengths: Vec<usize> = network(model, &shape)
            .layout()
            .tensors
            .iter()
            .map(|t| t.len())
            .collect();
        for tensor in 0..lengths.len() {
            // Signs at random in one tensor, nothing elsewhere.
            let mut stream = KEY.stream(1000 + tensor as u64);
            let directions: Vec<Vec<f32>> = (0..lengths.len())
                .map(|i| {
                    let sign = |_| {
                        if stream.next_u32().is_multiple_of(2) {
                            1.0
                        } else {
                            -1.0
                        }
                    };
                    if i == tensor {
                        (0..lengths[i]).map(sign).collect()
                    } else {
                        vec![0.0; lengths[i]]
                    }
                })
                .collect();
            let step = 4e-3;
            let (above, _) = loss(model, shape, &directions, step);
            let (below, _) = loss(model, shape, &directions, -step);
            let (_, gradients) = loss(model, shape, &directions, 0.0);
            let slope = (above - below) / (2.0 * f64::from(step));
            let predicted: f64 = gradients[tensor]
                .iter()
                .zip(&directions[tensor])
                .map(|(g, d)| f64::from(g * d))
                .sum();
            // Rounding of the loss over the step, and the third derivative's share.
            let tolerance = 5e-3 + 5e-3 * slope.abs();
            assert!(
                (slope - predicted).abs() < tolerance,
                "{model}, tensor {tensor}: {slope} and {predicted}"
            );
        }
    }
}
