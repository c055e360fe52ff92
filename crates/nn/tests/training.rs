//! Networks learn, and their bits do not depend on the number of threads.

mod common;

use common::*;

/// Mean loss of the first and the last of `steps`.
fn learns(model: &str, shape: batchwise_core::DataShape, steps: u64, rate: f32) -> (f64, f64) {
    let mut network = network(model, &shape);
    let losses: Vec<f64> = (0..steps)
        .map(|step| descend(network.as_mut(), shape, step, 32, rate))
        .collect();
    (
        losses[0],
        losses[losses.len() - 4..].iter().sum::<f64>() / 4.0,
    )
}

#[test]
fn models_learn() {
    for (model, shape, steps, rate, factor) in [
        ("softmax", DIGITS, 60, 0.05, 0.9),
        ("mlp(64,64)", DIGITS, 120, 0.1, 0.95),
        ("lenet", images(16, 1), 60, 0.1, 0.99),
    ] {
        let (first, last) = learns(model, shape, steps, rate);
        assert!(
            (first - 10f64.ln()).abs() < 0.7,
            "{model} starts at {first}"
        );
        assert!(last < factor * first, "{model}: from {first} to {last}");
    }
}

#[test]
fn one_and_two_threads_give_the_same_bits() {
    for (model, shape, batch_size) in [("mlp(512,512)", DIGITS, 64), ("lenet", DIGITS, 32)] {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let mut network = network(model, &shape);
                for step in 0..3 {
                    descend(network.as_mut(), shape, step, batch_size, 0.1);
                }
                parameters(network.as_mut())
            })
        };
        assert!(run(1) == run(2), "{model}");
    }
}
