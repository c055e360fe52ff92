//! Networks learn, and their bits do not depend on the number of threads.

mod common;

use batchscope_core::Task;
use common::*;

#[test]
fn models_learn_a_batch_by_heart() {
    for (model, shape, rate) in [
        ("softmax", DIGITS, 0.1),
        ("mlp(64,64,smoothing=0.05)", DIGITS, 0.2),
        ("mlp(64,64,norm,dropout=0.2)", DIGITS, 0.2),
        ("mlp(16)", vectors(10, Task::Regress { outputs: 2 }), 0.05),
        ("lenet", images(16, 1), 0.2),
        ("c1(dropout=0.1)", images(8, 3), 0.1),
        ("resnet20", images(8, 3), 0.1),
        ("mobilenetv2(width=0.25,ghost=24)", images(8, 3), 0.1),
        ("row-lstm(width=24)", images(8, 3), 0.5),
        ("lstm(layers=1,width=24)", text(6, 15), 2.0),
        ("lstm(width=24,tied)", text(6, 15), 2.0),
    ] {
        let mut network = network(model, &shape);
        let losses: Vec<f64> = (0..80)
            .map(|_| descend(network.as_mut(), shape, 0, 24, rate))
            .collect();
        let (first, last) = (losses[0], losses[79]);
        assert!(last < 0.6 * first, "{model}: from {first} to {last}");
    }
}

/// The large ones, for as long as it takes to see it.
#[test]
fn large_models_learn() {
    for (model, shape, rate) in [
        ("c2(ghost=8,dropout=0.1)", PHOTOS, 0.05),
        ("alexnet", PHOTOS, 0.3),
        ("vgg16(ghost=8)", PHOTOS, 0.05),
        ("drn-d-22(ghost=8)", PHOTOS, 0.05),
        ("drn-d-22(ghost=8)", masks(24, 3), 0.05),
    ] {
        let mut network = network(model, &shape);
        let losses: Vec<f64> = (0..16)
            .map(|_| descend(network.as_mut(), shape, 0, 8, rate))
            .collect();
        let best = losses
            .iter()
            .fold(f64::INFINITY, |best, &loss| best.min(loss));
        assert!(best < 0.8 * losses[0], "{model}: {losses:?}");
    }
}

#[test]
fn one_and_two_threads_give_the_same_bits() {
    for (model, shape, batch_size) in [
        ("mlp(512,512,dropout=0.1)", DIGITS, 64),
        ("mlp(512,512,norm)", DIGITS, 64),
        ("lenet", DIGITS, 32),
        ("resnet20", images(16, 3), 40),
        ("mobilenetv2(width=0.5)", images(16, 3), 40),
        ("alexnet", PHOTOS, 24),
        ("drn-d-22(ghost=3)", masks(29, 3), 6),
        ("row-lstm", DIGITS, 40),
        ("lstm(width=128,dropout=0.1)", text(9, 300), 40),
    ] {
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
