//! Loss, embedding and optimizers against their definitions and central differences.

mod common;

use batchscope_kernels::{
    Adam, LossSums, Sgd, Workspace, adam_step, embedding_gather, embedding_scatter_add, sgd_step,
    softmax_cross_entropy,
};
use common::*;
use proptest::prelude::*;

fn naive_loss(classes: usize, logits: &[f64], labels: &[u32], smoothing: f64) -> f64 {
    let row_loss = |(row, &label): (&[f64], &u32)| {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = max + row.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
        let target = |k: usize| {
            (1.0 - smoothing) * f64::from(k == label as usize) + smoothing / classes as f64
        };
        (0..classes)
            .map(|k| target(k) * (log_sum - row[k]))
            .sum::<f64>()
    };
    logits.chunks(classes).zip(labels).map(row_loss).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn cross_entropy_and_its_gradient(
        n in 1usize..=5, classes in prop_oneof![1usize..=20, Just(33), Just(64)],
        smoothing in prop_oneof![Just(0.0), 0.0..0.9f64], spread in prop_oneof![Just(1.0), Just(30.0)],
    ) {
        let logits: Vec<f64> = numbers(1, n * classes).iter().map(|z| f64::from((spread * z) as f32)).collect();
        let labels: Vec<u32> = (0..n).map(|i| ((i * 7 + 3) % classes) as u32).collect();
        let expected = naive_loss(classes, &logits, &labels, smoothing);
        let mut gradient = vec![f64::NAN; logits.len()];
        let workspace = Workspace::new();
        let sums =
            softmax_cross_entropy(&workspace, classes, &logits, &labels, smoothing, 0.25, Some(&mut gradient)).unwrap();
        prop_assert!((sums.loss - expected).abs() <= 1e-11 * (1.0 + expected));
        let differences = central_differences(&logits, |z| 0.25 * naive_loss(classes, z, &labels, smoothing));
        assert_close("dlogits", &gradient, &differences, 1e-7);
        for workspace in workspaces() {
            let mut single_gradient = vec![f32::NAN; logits.len()];
            let logits = single(&logits);
            let found =
                softmax_cross_entropy(&workspace, classes, &logits, &labels, smoothing, 0.25, Some(&mut single_gradient))
                    .unwrap();
            prop_assert!((found.loss - expected).abs() <= 1e-5 * (1.0 + expected), "{} {}", found.loss, expected);
            prop_assert_eq!(found.errors, sums.errors);
            assert_close32("dlogits", &single_gradient, &gradient, 1e-6);
            prop_assert_eq!(softmax_cross_entropy(&workspace, classes, &logits, &labels, smoothing, 1.0, None).unwrap(), found);
        }
    }

    #[test]
    fn embedding_rows_and_their_gradient(
        (vocabulary, tokens) in (1usize..=40).prop_flat_map(|v| (Just(v), prop::collection::vec(0..v as u32, 0..60))),
        width in 1usize..=20,
    ) {
        let table = single(&numbers(1, vocabulary * width));
        let mut out = vec![f32::NAN; tokens.len() * width];
        embedding_gather(vocabulary, width, &table, &tokens, &mut out).unwrap();
        for (i, &token) in tokens.iter().enumerate() {
            prop_assert_eq!(&out[i * width..][..width], &table[token as usize * width..][..width]);
        }
        let dout = single(&numbers(2, out.len()));
        let mut expected = table.clone();
        for (i, d) in dout.iter().enumerate() {
            expected[tokens[i / width] as usize * width + i % width] += d;
        }
        let mut found = table;
        embedding_scatter_add(vocabulary, width, &tokens, &dout, &mut found).unwrap();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn ties_and_nan_in_the_logits() {
    for workspace in workspaces() {
        let sums = |classes: usize, logits: &[f32], labels: &[u32]| {
            softmax_cross_entropy(&workspace, classes, logits, labels, 0.0, 1.0, None).unwrap()
        };
        assert_eq!(sums(3, &[1.0, 1.0, 0.0, 1.0, 1.0, 0.0], &[0, 1]).errors, 1);
        let nan = sums(3, &[0.0, f32::NAN, 1.0], &[2]);
        assert!(nan.errors == 1 && nan.loss.is_nan());
        // Far logits neither overflow nor lose the loss.
        assert_eq!(
            sums(2, &[1e4, 0.0], &[1]),
            LossSums {
                loss: 1e4,
                errors: 1
            }
        );
        assert_eq!(sums(2, &[], &[]), LossSums::default());
    }
}

/// Trajectories of the optimizers' definitions in double precision.
fn definition(
    settings: &Settings,
    weights: &mut [f64],
    state: &mut [Vec<f64>; 2],
    gradient: &[f64],
    step: i32,
) {
    let [first, second] = state;
    for i in 0..weights.len() {
        let (w, g) = (&mut weights[i], gradient[i]);
        match *settings {
            Settings::Sgd(Sgd {
                learning_rate,
                momentum,
                weight_decay,
                nesterov,
                ..
            }) => {
                let g = g + weight_decay * *w;
                first[i] = momentum * first[i] + g;
                *w -= learning_rate
                    * if nesterov {
                        g + momentum * first[i]
                    } else {
                        first[i]
                    };
            }
            Settings::Adam(Adam {
                learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay,
                decoupled,
            }) => {
                let g = if decoupled { g } else { g + weight_decay * *w };
                if decoupled {
                    *w -= learning_rate * weight_decay * *w;
                }
                first[i] = beta1 * first[i] + (1.0 - beta1) * g;
                second[i] = beta2 * second[i] + (1.0 - beta2) * g * g;
                let (m, v) = (
                    first[i] / (1.0 - beta1.powi(step)),
                    second[i] / (1.0 - beta2.powi(step)),
                );
                *w -= learning_rate * m / (v.sqrt() + epsilon);
            }
        }
    }
}

enum Settings {
    Sgd(Sgd),
    Adam(Adam),
}

#[test]
fn optimizers_follow_their_definitions() {
    let sgd = Sgd {
        learning_rate: 0.1,
        momentum: 0.9,
        weight_decay: 0.01,
        nesterov: false,
        scale: 1.0,
    };
    let adam = Adam {
        learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.1,
        decoupled: true,
    };
    for settings in [
        Settings::Sgd(sgd),
        Settings::Sgd(Sgd {
            nesterov: true,
            scale: 1.0,
            ..sgd
        }),
        Settings::Sgd(Sgd {
            momentum: 0.0,
            ..sgd
        }),
        Settings::Adam(adam),
        Settings::Adam(Adam {
            decoupled: false,
            ..adam
        }),
    ] {
        for workspace in workspaces() {
            let len = 40_003; // several pieces and a tail
            let mut expected = double(&single(&numbers(1, len)));
            let mut weights = single(&expected);
            let mut state = [vec![0.0; len], vec![0.0; len]];
            let (mut first, mut second) = (vec![0.0f32; len], vec![0.0f32; len]);
            for step in 1..=5 {
                let gradient = double(&single(&numbers(step + 1, len)));
                definition(&settings, &mut expected, &mut state, &gradient, step as i32);
                let gradient = single(&gradient);
                match settings {
                    Settings::Sgd(settings) => {
                        sgd_step(&workspace, settings, &mut weights, &mut first, &gradient)
                    }
                    Settings::Adam(settings) => adam_step(
                        &workspace,
                        settings,
                        step,
                        &mut weights,
                        &mut first,
                        &mut second,
                        &gradient,
                    ),
                }
                .unwrap();
            }
            assert_close32("weights", &weights, &expected, 1e-5);
        }
    }
}
