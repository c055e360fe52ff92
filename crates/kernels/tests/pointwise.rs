//! Loss, LSTM cell, embedding and optimizers against their definitions and central differences.

mod common;

use batchscope_kernels::{
    Adam, LossSums, Sgd, Workspace, adam_step, embedding_gather, embedding_scatter_add,
    lstm_cell_backward, lstm_cell_forward, sgd_step, softmax_cross_entropy,
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
    fn lstm_cell_and_its_gradient(n in 1usize..=4, width in prop_oneof![1usize..=9, Just(16), Just(21)], last in any::<bool>()) {
        let tensor = |seed, len| double(&single(&numbers(seed, len)));
        let (gates, bias, previous) = (tensor(1, 4 * n * width), tensor(2, 4 * width), tensor(3, n * width));
        let (dhidden, dcell) = (tensor(4, n * width), tensor(5, n * width));
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let definition = |gates: &[f64], previous: &[f64]| {
            let cell: Vec<f64> = (0..n * width)
                .map(|at| {
                    let gate = |k: usize| gates[(at / width * 4 + k) * width + at % width] + bias[k * width + at % width];
                    sigmoid(gate(1)) * previous[at] + sigmoid(gate(0)) * gate(2).tanh()
                })
                .collect();
            let out = |at: usize| gates[(at / width * 4 + 3) * width + at % width] + bias[3 * width + at % width];
            let hidden: Vec<f64> = (0..n * width).map(|at| sigmoid(out(at)) * cell[at].tanh()).collect();
            (cell, hidden)
        };
        let later = (!last).then_some(&dcell[..]);
        let loss = |gates: &[f64], previous: &[f64]| {
            let (cell, hidden) = definition(gates, previous);
            dot(&hidden, &dhidden) + later.map_or(0.0, |d| dot(&cell, d))
        };
        let (cell, hidden) = definition(&gates, &previous);
        let dgates = central_differences(&gates, |g| loss(g, &previous));
        let dprevious = central_differences(&previous, |p| loss(&gates, p));

        let workspace = Workspace::new();
        let (mut active, mut c, mut h) = (gates.clone(), vec![f64::NAN; n * width], vec![f64::NAN; n * width]);
        lstm_cell_forward(&workspace, n, width, &mut active, Some(&bias), &previous, &mut c, &mut h).unwrap();
        assert_close("cell", &c, &cell, 1e-14);
        assert_close("hidden", &h, &hidden, 1e-14);
        let (mut dg, mut dp) = (vec![f64::NAN; gates.len()], vec![f64::NAN; n * width]);
        lstm_cell_backward(&workspace, n, width, &active, &previous, &c, &dhidden, later, &mut dg, &mut dp).unwrap();
        assert_close("dgates", &dg, &dgates, 1e-8);
        assert_close("dprevious", &dp, &dprevious, 1e-8);

        for workspace in workspaces() {
            let (mut active, mut c, mut h) = (single(&gates), vec![f32::NAN; n * width], vec![f32::NAN; n * width]);
            let (bias, previous) = (single(&bias), single(&previous));
            lstm_cell_forward(&workspace, n, width, &mut active, Some(&bias), &previous, &mut c, &mut h).unwrap();
            assert_close32("cell", &c, &cell, 1e-6);
            assert_close32("hidden", &h, &hidden, 1e-6);
            let (mut dg, mut dp) = (vec![f32::NAN; gates.len()], vec![f32::NAN; n * width]);
            let later = later.map(single);
            lstm_cell_backward(
                &workspace, n, width, &active, &previous, &c, &single(&dhidden), later.as_deref(), &mut dg, &mut dp,
            )
            .unwrap();
            assert_close32("dgates", &dg, &dgates, 1e-6);
            assert_close32("dprevious", &dp, &dprevious, 1e-6);
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
