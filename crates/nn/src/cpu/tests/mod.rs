//! Each kernel operation equals its composition of burn's operations: values and gradients.

mod models;

use batchscope_core::{Purpose, StreamKey};
use batchscope_kernels::Rectifier;
use burn_tensor::{Device, Tensor, TensorData};
use rand_core::Rng;

use super::Operation;
use crate::{
    cpu,
    layers::{Filter, GroupStatistics, ImageSize, NormArguments, NormBy, Window, composed},
    loss,
    storage::to_host,
};

/// Numbers in [−1, 1), different for each `seed`.
fn random<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
    let mut stream = StreamKey {
        study_seed: 5,
        trial: 0,
        purpose: Purpose::Subset,
    }
    .stream(seed);
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| stream.next_u32() as f32 / 2f32.powi(31) - 1.0)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn leaf<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
    random(seed, shape).autodiff().require_grad()
}

fn close(what: &str, a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = a.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= 2e-5 * scale, "{what}[{i}]: {a} and {b}");
    }
}

/// The output, and the gradients of the leaves for a random gradient of it.
macro_rules! outcome {
    ($y:expr, $($leaf:expr),+) => {{
        let y = $y;
        let mut gradients = (y.clone() * random(99, y.dims())).sum().backward();
        vec![to_host(y.inner()).unwrap(), $(to_host($leaf.grad_remove(&mut gradients).unwrap()).unwrap()),+]
    }};
}

mod fixup; // uses the macro above

fn same(what: &str, a: Vec<Vec<f32>>, b: Vec<Vec<f32>>) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(&b).enumerate() {
        let part = if i == 0 {
            "output".to_owned()
        } else {
            format!("gradient {i}")
        };
        close(&format!("{what}, {part}"), a, b);
    }
}

fn statistics(groups: Option<GroupStatistics>) -> Vec<Vec<f32>> {
    let groups = groups.unwrap();
    vec![
        to_host(groups.mean).unwrap(),
        to_host(groups.variance).unwrap(),
        vec![
            groups.examples as f32,
            groups.ghost as f32,
            groups.pixels as f32,
        ],
    ]
}

#[test]
fn conv_relu_pool() {
    for (n, size, channels, outputs, window) in [
        (3, 12, 1, 16, Window::unit(5, 0)),
        (2, 9, 5, 7, Window::unit(3, 1)),
        (5, 8, 16, 32, Window::unit(5, 2)),
    ] {
        let pool = Window {
            size: 2,
            stride: 2,
            padding: 0,
        };
        let run = |kernels: bool| {
            let (x, w, b) = (
                leaf(1, [n, size, size, channels]),
                leaf(2, [outputs, channels, window.size, window.size]),
                leaf(3, [outputs]),
            );
            let y = if kernels {
                cpu::conv_relu_pool(x.clone(), w.clone(), b.clone(), window.into(), pool, None)
            } else {
                let y = composed::convolve(x.clone(), w.clone(), Some(b.clone()), window.into());
                composed::max_pool(burn_tensor::activation::relu(y), pool)
            };
            outcome!(y, x, w, b)
        };
        same("conv, relu, pool", run(true), run(false));
    }
}

#[test]
fn conv() {
    let grouped = Filter {
        groups: 2,
        ..Filter::three(2, 1)
    };
    for filter in [
        Filter::three(1, 2),
        grouped,
        Filter::three(1, 1).depthwise(4),
    ] {
        for rectify in [false, true] {
            let run = |kernels: bool| {
                let (x, b) = (leaf(1, [3, 7, 6, 4]), leaf(3, [4]));
                let w = leaf(2, [4, 4 / filter.groups, 3, 3]);
                let y = if kernels {
                    cpu::conv(x.clone(), w.clone(), Some(b.clone()), rectify, filter, None)
                } else {
                    let y = composed::convolve(x.clone(), w.clone(), Some(b.clone()), filter);
                    if rectify {
                        burn_tensor::activation::relu(y)
                    } else {
                        y
                    }
                };
                outcome!(y, x, w, b)
            };
            same(&format!("{filter:?}, {rectify}"), run(true), run(false));
        }
    }
}

#[test]
fn conv_norm_in_training() {
    for (n, ghost) in [(4, 4), (7, 3), (6, 2), (3, 8), (1, 1)] {
        let point = Filter::from(Window {
            size: 1,
            stride: 2,
            padding: 0,
        });
        let three = Filter::three;
        let grouped = Filter {
            groups: 2,
            ..three(1, 1)
        };
        for (filter, shortcut, rectifier) in [
            (three(1, 1), true, Rectifier::Relu),
            (three(2, 1), false, Rectifier::Relu),
            (point, false, Rectifier::None),
            (three(1, 2), true, Rectifier::None),
            (three(2, 2), false, Rectifier::Relu6),
            (grouped, false, Rectifier::Relu6),
            (three(1, 1).depthwise(8), true, Rectifier::Relu6),
            (three(2, 1).depthwise(8), false, Rectifier::Relu6),
            (three(1, 3).depthwise(8), false, Rectifier::Relu),
        ] {
            let channels = if filter.groups == 8 { 8 } else { 4 };
            let image = ImageSize {
                height: 6,
                width: 6,
                channels,
            };
            let run = |kernels: bool| {
                let size = filter.window.size;
                let kernel = [8, channels / filter.groups, size, size];
                let (x, w) = (leaf(1, [n, 6, 6, channels]), leaf(2, kernel));
                // Wide enough for some numbers to pass the bound of 6.
                let (scale, shift) = (leaf(3, [8]), leaf(4, [8]));
                let (wide, side) = (scale.clone() * 5.0, filter.output(image, 8).height);
                let residual = leaf(5, [n, side, side, 8]);
                let arguments = NormArguments {
                    scale: wide,
                    shift: shift.clone(),
                    by: NormBy::Ghost(ghost),
                };
                let conv_norm = if kernels {
                    cpu::conv_norm
                } else {
                    composed::conv_norm
                };
                let residual_given = shortcut.then(|| residual.clone());
                let (y, groups) = conv_norm(
                    x.clone(),
                    w.clone(),
                    residual_given,
                    rectifier,
                    filter,
                    arguments,
                );
                let mut outcome = if shortcut {
                    outcome!(y, x, w, scale, shift, residual)
                } else {
                    outcome!(y, x, w, scale, shift)
                };
                outcome.extend(statistics(groups));
                outcome
            };
            same(
                &format!("{filter:?}, norm, {rectifier:?}, {n} by {ghost}"),
                run(true),
                run(false),
            );
        }
    }
}

#[test]
fn conv_norm_in_evaluation() {
    let run = |kernels: bool| {
        let running = NormBy::Running {
            mean: random(6, [8]),
            variance: random::<1>(7, [8]).square() + 0.1,
        };
        let arguments = NormArguments {
            scale: random(3, [8]),
            shift: random(4, [8]),
            by: running,
        };
        let conv_norm = if kernels {
            cpu::conv_norm
        } else {
            composed::conv_norm
        };
        let (x, w, residual) = (
            random(1, [3, 6, 6, 4]),
            random(2, [8, 4, 3, 3]),
            random(5, [3, 6, 6, 8]),
        );
        let (y, groups) = conv_norm(
            x,
            w,
            Some(residual),
            Rectifier::Relu6,
            Filter::three(1, 1),
            arguments,
        );
        assert!(groups.is_none());
        vec![to_host(y).unwrap()]
    };
    same("conv, norm in evaluation", run(true), run(false));
}

#[test]
fn norm_relu() {
    for (n, ghost) in [(8, 4), (7, 3), (5, 32)] {
        let run = |kernels: bool| {
            let (x, scale, shift) = (leaf(1, [n, 1, 9]), leaf(2, [9]), leaf(3, [9]));
            let arguments = NormArguments {
                scale: scale.clone(),
                shift: shift.clone(),
                by: NormBy::Ghost(ghost),
            };
            let norm_relu = if kernels {
                cpu::norm_relu
            } else {
                composed::norm_relu
            };
            let (y, groups) = norm_relu(x.clone(), arguments);
            let mut outcome = outcome!(y, x, scale, shift);
            outcome.extend(statistics(groups));
            outcome
        };
        same(&format!("norm, {n} by {ghost}"), run(true), run(false));
    }
    let run = |kernels: bool| {
        let by = NormBy::Running {
            mean: random(6, [9]),
            variance: random::<1>(7, [9]).square(),
        };
        let arguments = NormArguments {
            scale: random(2, [9]),
            shift: random(3, [9]),
            by,
        };
        let norm_relu = if kernels {
            cpu::norm_relu
        } else {
            composed::norm_relu
        };
        vec![to_host(norm_relu(random(1, [4, 1, 9]), arguments).0).unwrap()]
    };
    same("norm in evaluation", run(true), run(false));
}

#[test]
fn pools() {
    for window in [
        Window {
            size: 3,
            stride: 2,
            padding: 1,
        },
        Window {
            size: 2,
            stride: 2,
            padding: 0,
        },
    ] {
        let run = |kernels: bool| {
            let x = leaf(1, [3, 7, 8, 5]);
            let max_pool = if kernels {
                cpu::max_pool
            } else {
                composed::max_pool
            };
            outcome!(max_pool(x.clone(), window), x)
        };
        same("max pool", run(true), run(false));
    }
    let run = |kernels: bool| {
        let x = leaf(1, [3, 4, 5, 6]);
        let pool = if kernels {
            cpu::global_average_pool
        } else {
            composed::global_average_pool
        };
        outcome!(pool(x.clone()), x)
    };
    same("average pool", run(true), run(false));
}

#[test]
fn embedding() {
    let run = |kernels: bool| {
        let table = leaf(1, [6, 5]);
        let tokens = [3, 0, 3, 5, 3];
        let y = if kernels {
            cpu::embed(table.clone(), &tokens, None, None)
        } else {
            composed::embed(table.clone(), &tokens)
        };
        outcome!(y, table)
    };
    same("embedding", run(true), run(false));
}

#[test]
fn linear() {
    for (rows, inputs, outputs, biased, rectify) in [
        (1, 3, 2, true, false),
        (7, 33, 17, true, true),
        (40, 20, 64, false, false),
    ] {
        let run = |kernels: bool| {
            let (x, w, b) = (
                leaf(1, [rows, inputs]),
                leaf(2, [inputs, outputs]),
                leaf(3, [outputs]),
            );
            let bias = biased.then(|| b.clone());
            let y = if kernels {
                cpu::linear(x.clone(), w.clone(), bias, rectify, None)
            } else {
                let y = burn_tensor::module::linear(x.clone(), w.clone(), bias);
                if rectify {
                    burn_tensor::activation::relu(y)
                } else {
                    y
                }
            };
            if biased {
                outcome!(y, x, w, b)
            } else {
                outcome!(y, x, w)
            }
        };
        same("linear", run(true), run(false));
    }
}

#[test]
fn lstm() {
    for (steps, n, width, resets) in [
        (1, 1, 3, 0),
        (5, 4, 7, 0),
        (3, 2, 32, 0),
        (5, 20, 7, 3),
        (1, 4, 8, 2),
    ] {
        // Every so many rows a stream begins anew; never with 0.
        let flags: Vec<bool> = (0..steps * n)
            .map(|row| resets > 0 && row % resets == 0)
            .collect();
        let run = |kernels: bool| {
            let fresh = (resets > 0).then_some(&flags[..]);
            let gates = leaf(1, [steps * n, 4 * width]);
            let recurrent = leaf(2, [width, 4 * width]);
            let (inputs, weights) = (gates.clone(), recurrent.clone());
            let (hidden, cell) = (random(4, [n, width]), random(5, [n, width]));
            let (y, hidden, cell) = if kernels {
                cpu::lstm(inputs, weights, hidden, cell, fresh, None)
            } else {
                composed::unroll(inputs, weights, hidden, cell, fresh)
            };
            let mut outcome = outcome!(y, gates, recurrent);
            outcome.extend([
                to_host(hidden.inner()).unwrap(),
                to_host(cell.inner()).unwrap(),
            ]);
            outcome
        };
        same("lstm", run(true), run(false));
    }
}

#[test]
fn cross_entropy() {
    let labels = [2, 0, 4, 4, 1, 3, 2];
    for smoothing in [0.0, 0.1] {
        let run = |kernels: bool| {
            let scores = leaf(1, [7, 5]);
            let targets = loss::Targets::Classes(&labels);
            let loss =
                loss::training_loss(scores.clone() * 4.0, &targets, smoothing, 0.25, kernels)
                    .unwrap();
            let mut gradients = loss.scaled.backward();
            let gradient = scores.grad_remove(&mut gradients).unwrap();
            vec![
                to_host(loss.scaled.inner()).unwrap(),
                vec![loss.sum as f32],
                to_host(gradient).unwrap(),
            ]
        };
        same("cross-entropy", run(true), run(false));
    }
    let metrics = |kernels| {
        loss::evaluation(random(1, [7, 5]), &loss::Targets::Classes(&labels), kernels).unwrap()
    };
    let (found, same) = (metrics(true), metrics(false));
    assert!((found.loss - same.loss).abs() < 1e-5 * found.loss);
    assert!(found.errors == same.errors && found.errors > 0.0 && found.weight == 7.0);
}

#[test]
fn pixels_without_a_label_count_for_nothing() {
    let labels = [2, 255, 4, 4, 255, 3, 2];
    for smoothing in [0.0, 0.1] {
        let run = |kernels: bool, labels: &[u8]| {
            let scores = leaf(1, [7, 5]);
            let targets = loss::Targets::Pixels(labels);
            let loss =
                loss::training_loss(scores.clone() * 4.0, &targets, smoothing, 0.25, kernels)
                    .unwrap();
            let mut gradients = loss.scaled.backward();
            let gradient = scores.grad_remove(&mut gradients).unwrap();
            vec![
                to_host(loss.scaled.inner()).unwrap(),
                vec![loss.sum as f32],
                to_host(gradient).unwrap(),
            ]
        };
        let found = run(true, &labels);
        assert!(found[2][5..10].iter().all(|&g| g == 0.0) && found[2][0] != 0.0);
        same("pixels", found, run(false, &labels));
        // No label at all: no loss and no gradient. All labels: nothing is left out.
        for kernels in [true, false] {
            assert!(run(kernels, &[255; 7]).concat().iter().all(|&v| v == 0.0));
        }
        let all = [2u8, 0, 4, 4, 1, 3, 2];
        same("all pixels", run(true, &all), run(false, &all));
    }
    let sums = loss::evaluation(random(1, [7, 5]), &loss::Targets::Pixels(&labels), true).unwrap();
    let labeled = [0, 2, 3, 5, 6].map(|row| random::<2>(1, [7, 5]).narrow(0, row, 1));
    let rows = Tensor::cat(labeled.to_vec(), 0);
    let same = loss::evaluation(rows, &loss::Targets::Classes(&[2, 4, 4, 3, 2]), true).unwrap();
    assert!((sums.loss - same.loss).abs() < 1e-5 * same.loss);
    assert_eq!((sums.errors, sums.weight), (same.errors, same.weight));
    let confusion = sums.confusion.unwrap();
    let right: u64 = (0..5).map(|class| confusion.count(class, class)).sum();
    assert_eq!(right as f64, sums.weight - sums.errors);
}

#[test]
fn upsample() {
    for (factor, out) in [(2, [6, 8]), (8, [23, 32]), (4, [9, 16])] {
        let run = |kernels: bool| {
            let x = leaf(1, [3, 3, 4, 5]);
            let upsample = if kernels {
                cpu::upsample
            } else {
                composed::upsample
            };
            outcome!(upsample(x.clone(), factor, out), x)
        };
        same("upsampling", run(true), run(false));
    }
}

#[test]
fn scores_that_are_not_numbers_count_as_wrong() {
    for kernels in [true, false] {
        let scores = Tensor::<2>::full([2, 3], f32::NAN, &Device::flex());
        for targets in [
            loss::Targets::Classes(&[0, 2]),
            loss::Targets::Pixels(&[0, 2]),
        ] {
            let sums = loss::evaluation(scores.clone(), &targets, kernels).unwrap();
            assert!(sums.loss.is_nan() && sums.errors == 2.0, "{kernels}");
            assert_eq!(
                sums.confusion.and_then(|c| c.mean_iou()).unwrap_or(0.0),
                0.0
            );
        }
    }
}

/// The gradient through an operation is scaled by what follows it.
#[test]
fn the_gradient_of_a_loss_follows_its_factor() {
    let run = |factor: f32| {
        let scores = leaf(1, [2, 3]);
        let (scaled, _) = cpu::cross_entropy(scores.clone(), &[0, 1], 0.0, 1.0);
        let mut gradients = (scaled * factor).backward();
        to_host(scores.grad_remove(&mut gradients).unwrap()).unwrap()
    };
    close(
        "factor",
        &run(3.0),
        &run(1.0).iter().map(|g| 3.0 * g).collect::<Vec<_>>(),
    );
}

/// Operations do not change tensors that others hold.
#[test]
fn inputs_stay_as_they_are() {
    #[derive(Debug, Clone)]
    struct Twice;
    fn twice<T: crate::precision::Number>(x: &[T]) -> burn_flex::FlexTensor {
        let doubled: Vec<T> = x.iter().map(|&x| x + x).collect();
        super::flex(super::copied(&doubled), &[x.len()])
    }
    impl Operation<1> for Twice {
        fn gradients<T: crate::precision::Number>(
            self,
            dy: &[T],
            _: [bool; 1],
        ) -> [Option<burn_flex::FlexTensor>; 1] {
            [Some(twice(dy))]
        }
    }
    let x = leaf(1, [4]);
    let before = to_host(x.clone().inner()).unwrap();
    let arguments = super::Arguments::new([x.clone().into_dispatch()]);
    let doubled = twice::<f32>(super::values(&arguments.values[0]));
    let y: Tensor<1> = arguments.output(doubled, |_, _| Twice);
    let mut gradients = y.sum().backward();
    assert_eq!(
        to_host(x.grad_remove(&mut gradients).unwrap()).unwrap(),
        [2.0; 4]
    );
    assert_eq!(to_host(x.inner()).unwrap(), before);
}
