//! Gradients against central differences in double precision, and the composed operations against
//! the kernels, through everything a policy network has.

use batchscope_core::{Purpose, StreamKey};
use burn_tensor::Tensor;
use rand_core::Rng;

use super::*;
use crate::{precision::Precision, storage::to_numbers};

const KEY: StreamKey = StreamKey {
    study_seed: 11,
    trial: 0,
    purpose: Purpose::Initialization,
};
const STEPS: usize = 3;
const STREAMS: usize = 2;

fn random(stream: u64, n: usize) -> Vec<f64> {
    let mut stream = KEY.stream(stream);
    (0..n)
        .map(|_| f64::from(stream.next_u32()) / 2f64.powi(31) - 1.0)
        .collect()
}

/// A tiny network with parameters of which none is zero, as numbers too.
fn network() -> (PolicyNetwork, Vec<f64>) {
    let spec = PolicySpec::new(3, 4, 2, 3, 32).unwrap();
    let network = PolicyNetwork::new(spec, KEY, DeviceSpec::Cpu).unwrap();
    let start = network.parameters.to_host().unwrap().concat();
    let noise = random(900, start.len());
    let x = start
        .iter()
        .zip(noise)
        .map(|(&w, noise)| f64::from(w) + 0.2 * noise)
        .collect();
    (network, x)
}

/// A fixed weighting of the answers to fixed windows at parameters `x`, and its gradient.
fn objective(network: &mut PolicyNetwork, x: &[f64], kernels: bool) -> (f64, Vec<f64>) {
    let spec = network.spec;
    let rows = STEPS * STREAMS;
    let single = |stream, n| {
        random(stream, n)
            .into_iter()
            .map(|v| v as f32)
            .collect::<Vec<_>>()
    };
    let (depth, goal) = (single(1, rows * 32 * 32), single(2, rows * 3));
    let windows = Windows {
        steps: STEPS,
        streams: STREAMS,
        observations: Observations {
            depth: &depth,
            goal: &goal,
            previous: &[0, 3, 1, 0, 2, 3],
        },
        fresh: &[true, false, false, true, false, false],
        state: &single(3, STREAMS * spec.state_width()),
    };
    network.parameters.set_flat(x, Precision::F64);
    network.kernels = kernels;
    let (policy, context) = network.context(STREAMS);
    let mut pass = Pass::of_objective(context, true, None);
    let outputs = policy.forward(&windows, &mut pass);
    let weights = Answers {
        logits: single(4, rows * spec.actions),
        values: single(5, rows),
    };
    let Outputs { logits, values, .. } = outputs.weighted(weights);
    let sum: Tensor<1> = logits.sum() + values.sum();
    let gradients = sum.backward();
    let value = to_numbers(sum.inner()).unwrap()[0];
    let leaves = pass.finish().unwrap().unwrap();
    let mut gradient = vec![0.0; x.len()];
    let parameters = &network.parameters;
    parameters
        .add_flat(&leaves, gradients, 1.0, &mut gradient)
        .unwrap();
    (value, gradient)
}

#[test]
fn gradients_are_slopes() {
    let (mut network, x) = network();
    let (_, gradient) = objective(&mut network, &x, true);
    let lengths: Vec<_> = network
        .layout()
        .tensors
        .iter()
        .map(|t| (t.name.clone(), t.len()))
        .collect();
    let mut from = 0;
    for (name, len) in lengths {
        // A random direction in one tensor, nothing elsewhere.
        let direction = random(2000 + from as u64, len);
        let mut at = |step: f64| {
            let mut moved = x.clone();
            for (x, d) in moved[from..from + len].iter_mut().zip(&direction) {
                *x += step * d;
            }
            objective(&mut network, &moved, true).0
        };
        let step = 1e-6;
        let slope = (at(step) - at(-step)) / (2.0 * step);
        let predicted: f64 = gradient[from..from + len]
            .iter()
            .zip(&direction)
            .map(|(g, d)| g * d)
            .sum();
        let tolerance = 1e-7 + 1e-5 * predicted.abs();
        assert!(
            (slope - predicted).abs() < tolerance,
            "{name}: {slope} and {predicted}"
        );
        assert!(
            gradient[from..from + len].iter().any(|&g| g != 0.0),
            "{name}"
        );
        from += len;
    }
}

#[test]
fn composed_operations_equal_the_kernels() {
    let (mut network, x) = network();
    let [(value, gradient), (composed, of_composed)] =
        [true, false].map(|kernels| objective(&mut network, &x, kernels));
    assert!((value - composed).abs() < 1e-10, "{value} and {composed}");
    let scale = gradient.iter().fold(0f64, |most, g| most.max(g.abs()));
    for (i, (a, b)) in gradient.iter().zip(&of_composed).enumerate() {
        assert!((a - b).abs() < 1e-10 * scale, "{i}: {a} and {b}");
    }
}
