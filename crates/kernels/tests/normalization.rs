//! Batch norm, alone and behind a convolution, against naive loops and central differences.

mod common;

use batchscope_kernels::{
    ConvGradients, ConvNormGradients, ConvShape, NormGradients, NormParameters, NormShape,
    NormStatistics, Real, Rectified, Rectifier, Window, Workspace, batch_norm_backward,
    batch_norm_forward, batch_norm_inference, batch_norm_inference_backward, conv_backward,
    conv_batch_norm_backward, conv_batch_norm_forward, conv_forward,
};
use common::*;
use proptest::prelude::*;

const EPSILON: f64 = 1e-3;

/// The definition, in double precision: `(y, mean, variance)`.
fn naive(
    shape: [usize; 4],
    x: &[f64],
    gamma: &[f64],
    beta: &[f64],
    residual: Option<&[f64]>,
    relu: bool,
) -> [Vec<f64>; 3] {
    let [n, pixels, c, ghost] = shape;
    let (mut y, mut means, mut variances) = (vec![0.0; x.len()], Vec::new(), Vec::new());
    for start in (0..n).step_by(ghost) {
        let places = start * pixels..(start + ghost).min(n) * pixels;
        for k in 0..c {
            let values: Vec<f64> = places.clone().map(|p| x[p * c + k]).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance =
                values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
            for p in places.clone() {
                let at = p * c + k;
                let value = gamma[k] * (x[at] - mean) / (variance + EPSILON).sqrt() + beta[k];
                let value = value + residual.map_or(0.0, |r| r[at]);
                y[at] = if relu { value.max(0.0) } else { value };
            }
            means.push(mean);
            variances.push(variance);
        }
    }
    [y, means, variances]
}

fn forward<T: Real>(
    workspace: &Workspace,
    shape: &NormShape,
    x: &[T],
    parameters: NormParameters<'_, T>,
    residual: Option<&[T]>,
    relu: bool,
) -> [Vec<T>; 3] {
    let nan = T::from_f64(f64::NAN);
    let (mut y, mut mean) = (vec![nan; x.len()], vec![nan; shape.statistics_len()]);
    let mut variance = mean.clone();
    let statistics = NormStatistics {
        mean: &mut mean,
        variance: &mut variance,
    };
    batch_norm_forward(
        workspace, shape, x, parameters, residual, relu, &mut y, statistics,
    )
    .unwrap();
    [y, mean, variance]
}

#[allow(clippy::too_many_arguments)]
fn backward<T: Real>(
    workspace: &Workspace,
    shape: &NormShape,
    x: &[T],
    parameters: NormParameters<'_, T>,
    [mean, variance]: [&[T]; 2],
    dy: &[T],
    output: Option<&[T]>,
) -> [Vec<T>; 4] {
    let nan = T::from_f64(f64::NAN);
    let (mut dx, mut dgamma, mut dbeta) = (
        vec![nan; x.len()],
        vec![nan; parameters.gamma.len()],
        vec![nan; parameters.beta.len()],
    );
    let mut dresidual = dx.clone();
    let gradients = NormGradients {
        dx: &mut dx,
        dgamma: &mut dgamma,
        dbeta: &mut dbeta,
        dresidual: Some(&mut dresidual),
    };
    batch_norm_backward(
        workspace, shape, x, parameters, mean, variance, dy, output, gradients,
    )
    .unwrap();
    [dx, dgamma, dbeta, dresidual]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn matches_the_definition_and_its_differences(
        n in 1usize..=6, pixels in 1usize..=9, c in prop_oneof![1usize..=9, Just(16), Just(21)],
        ghost in 1usize..=7, relu in any::<bool>(), with_residual in any::<bool>(),
    ) {
        let shape = NormShape::new(n, pixels, c, ghost).unwrap();
        let len = n * pixels * c;
        let rounded = |seed, len| double(&single(&numbers(seed, len)));
        let (x, dy, residual) = (rounded(1, len), rounded(2, len), rounded(3, len));
        let (gamma, beta) = (rounded(4, c), rounded(5, c));
        let sizes = [n, pixels, c, ghost];
        let parameters = NormParameters { gamma: &gamma, beta: &beta, epsilon: EPSILON };
        let residual = with_residual.then_some(&residual[..]);
        let workspace = Workspace::new();

        let expected = naive(sizes, &x, &gamma, &beta, residual, relu);
        let [y, mean, variance] = forward(&workspace, &shape, &x, parameters, residual, relu);
        assert_close("y", &y, &expected[0], 1e-10);
        assert_close("mean", &mean, &expected[1], 1e-12);
        assert_close("variance", &variance, &expected[2], 1e-12);

        // Away from the kink of the rectifier central differences are exact to about 1e-8.
        let output = relu.then_some(&y[..]);
        let found = backward(&workspace, &shape, &x, parameters, [&mean, &variance], &dy, output);
        if !relu || naive(sizes, &x, &gamma, &beta, residual, false)[0].iter().all(|y| y.abs() > 1e-3) {
            let loss = |x: &[f64], gamma: &[f64], beta: &[f64], residual: Option<&[f64]>| {
                dot(&naive(sizes, x, gamma, beta, residual, relu)[0], &dy)
            };
            assert_close("dx", &found[0], &central_differences(&x, |x| loss(x, &gamma, &beta, residual)), 1e-5);
            assert_close("dgamma", &found[1], &central_differences(&gamma, |g| loss(&x, g, &beta, residual)), 1e-6);
            assert_close("dbeta", &found[2], &central_differences(&beta, |b| loss(&x, &gamma, b, residual)), 1e-6);
            if let Some(r) = residual {
                let expected = central_differences(r, |r| loss(&x, &gamma, &beta, Some(r)));
                assert_close("dresidual", &found[3], &expected, 1e-6);
            }
        }

        let [x32, dy32, gamma32, beta32, mean32, variance32] =
            [&x, &dy, &gamma, &beta, &mean, &variance].map(|t| single(t));
        let residual32 = residual.map(single);
        let mask = single(&y.iter().map(|&y| if y > 0.0 { 1.0 } else { 0.0 }).collect::<Vec<_>>());
        let parameters = NormParameters { gamma: &gamma32, beta: &beta32, epsilon: EPSILON };
        for workspace in workspaces() {
            let isa = workspace.isa();
            let [y, mean, variance] = forward(&workspace, &shape, &x32, parameters, residual32.as_deref(), relu);
            assert_close32(&format!("{isa:?} y"), &y, &expected[0], 2e-5);
            assert_close32(&format!("{isa:?} mean"), &mean, &expected[1], 1e-6);
            assert_close32(&format!("{isa:?} variance"), &variance, &expected[2], 1e-6);
            let statistics: [&[f32]; 2] = [&mean32, &variance32];
            let single = backward(&workspace, &shape, &x32, parameters, statistics, &dy32, relu.then_some(&mask));
            for (name, (single, double)) in ["dx", "dgamma", "dbeta", "dresidual"].iter().zip(single.iter().zip(&found)) {
                assert_close32(&format!("{isa:?} {name}"), single, double, 1e-3);
            }
        }
    }
}

#[test]
fn a_large_mean_does_not_spoil_the_variance() {
    let shape = NormShape::new(3, 500, 2, 8).unwrap();
    let x: Vec<f64> = numbers(1, shape.tensor_len())
        .iter()
        .map(|v| f64::from((1e4 + v) as f32))
        .collect();
    let expected = naive([3, 500, 2, 8], &x, &[1.0; 2], &[0.0; 2], None, false);
    for workspace in workspaces() {
        let parameters = NormParameters {
            gamma: &[1.0; 2],
            beta: &[0.0; 2],
            epsilon: EPSILON,
        };
        let found = forward(&workspace, &shape, &single(&x), parameters, None, false);
        for (found, expected) in found[2].iter().zip(&expected[2]) {
            assert!(
                (f64::from(*found) / expected - 1.0).abs() < 1e-5,
                "{found} {expected}"
            );
        }
    }
}

#[test]
fn evaluation_uses_the_running_statistics() {
    let shape = NormShape::new(3, 4, 18, 2).unwrap();
    let (x, residual) = (
        numbers(1, shape.tensor_len()),
        numbers(2, shape.tensor_len()),
    );
    let (gamma, beta, mean) = (numbers(3, 18), numbers(4, 18), numbers(5, 18));
    let variance: Vec<f64> = numbers(6, 18).iter().map(|v| v + 1.5).collect();
    let expected: Vec<f64> = (0..x.len())
        .map(|i| {
            let k = i % 18;
            (gamma[k] * (x[i] - mean[k]) / (variance[k] + EPSILON).sqrt() + beta[k] + residual[i])
                .max(0.0)
        })
        .collect();
    for workspace in workspaces() {
        let [x, residual, gamma, beta, mean, variance] =
            [&x, &residual, &gamma, &beta, &mean, &variance].map(|t| single(t));
        let parameters = NormParameters {
            gamma: &gamma,
            beta: &beta,
            epsilon: EPSILON,
        };
        let mut y = vec![f32::NAN; x.len()];
        batch_norm_inference(
            &workspace,
            &shape,
            &x,
            parameters,
            &mean,
            &variance,
            Some(&residual),
            true,
            &mut y,
        )
        .unwrap();
        assert_close32("y", &y, &expected, 1e-5);
    }
}

/// With constant statistics no number of the batch has a part in the gradient of another.
#[test]
fn the_gradient_in_evaluation_is_that_of_constant_statistics() {
    let shape = NormShape::new(5, 3, 18, 2).unwrap();
    let len = shape.tensor_len();
    let [x, residual, dy] = [1, 2, 3].map(|seed| numbers(seed, len));
    let [gamma, beta, mean] = [4, 5, 6].map(|seed| numbers(seed, 18));
    let variance: Vec<f64> = numbers(7, 18).iter().map(|v| v + 1.5).collect();
    let workspace = Workspace::new();
    let output = |x: &[f64], gamma: &[f64], beta: &[f64], residual: &[f64]| {
        let epsilon = EPSILON;
        let parameters = NormParameters {
            gamma,
            beta,
            epsilon,
        };
        let mut y = vec![f64::NAN; len];
        batch_norm_inference(
            &workspace,
            &shape,
            x,
            parameters,
            &mean,
            &variance,
            Some(residual),
            true,
            &mut y,
        )
        .unwrap();
        y
    };
    let loss =
        |x: &[f64], gamma: &[f64], beta: &[f64], r: &[f64]| dot(&dy, &output(x, gamma, beta, r));
    let y = output(&x, &gamma, &beta, &residual);
    let mut found = [len, 18, 18, len].map(|len| vec![f64::NAN; len]);
    let [dx, dgamma, dbeta, dresidual] = &mut found;
    let gradients = NormGradients {
        dx,
        dgamma,
        dbeta,
        dresidual: Some(dresidual),
    };
    let parameters = NormParameters {
        gamma: &gamma,
        beta: &beta,
        epsilon: EPSILON,
    };
    batch_norm_inference_backward(
        &workspace,
        &shape,
        &x,
        parameters,
        &mean,
        &variance,
        &dy,
        Some(&y[..]),
        gradients,
    )
    .unwrap();
    let expected = [
        central_differences(&x, |x| loss(x, &gamma, &beta, &residual)),
        central_differences(&gamma, |gamma| loss(&x, gamma, &beta, &residual)),
        central_differences(&beta, |beta| loss(&x, &gamma, beta, &residual)),
        central_differences(&residual, |residual| loss(&x, &gamma, &beta, residual)),
    ];
    for (name, (found, expected)) in ["dx", "dgamma", "dbeta", "dresidual"]
        .iter()
        .zip(found.iter().zip(&expected))
    {
        assert_close(name, found, expected, 1e-8);
    }
}

/// ReLU6 is a bound above a ReLU's output, and lets the gradient through below it.
#[test]
fn relu6_bounds_above_and_below() {
    let shape = NormShape::new(4, 5, 19, 4).unwrap();
    let tensor = |seed, len| single(&numbers(seed, len));
    let (x, dy) = (tensor(1, shape.tensor_len()), tensor(2, shape.tensor_len()));
    let (gamma, beta) = (vec![7.0f32; 19], tensor(4, 19));
    let parameters = NormParameters {
        gamma: &gamma,
        beta: &beta,
        epsilon: EPSILON,
    };
    for workspace in workspaces() {
        let [plain, mean, variance] = forward(&workspace, &shape, &x, parameters, None, false);
        let mut y = vec![f32::NAN; x.len()];
        let (mut same_mean, mut same_variance) = (mean.clone(), variance.clone());
        let statistics = NormStatistics {
            mean: &mut same_mean,
            variance: &mut same_variance,
        };
        batch_norm_forward(
            &workspace,
            &shape,
            &x,
            parameters,
            None,
            Rectifier::Relu6,
            &mut y,
            statistics,
        )
        .unwrap();
        let clamped: Vec<f32> = plain.iter().map(|v| v.clamp(0.0, 6.0)).collect();
        assert_eq!(y, clamped);
        assert!(y.contains(&6.0) && y.contains(&0.0));
        // The same gradient as of the linear norm from a gradient masked by hand.
        let inside = |v: f32| if v > 0.0 && v < 6.0 { 1.0 } else { 0.0 };
        let masked: Vec<f32> = dy.iter().zip(&plain).map(|(d, &v)| d * inside(v)).collect();
        let statistics: [&[f32]; 2] = [&mean, &variance];
        let expected = backward(
            &workspace, &shape, &x, parameters, statistics, &masked, None,
        );
        let mut found = [x.len(), 19, 19, x.len()].map(|len| vec![f32::NAN; len]);
        let [dx, dgamma, dbeta, dresidual] = &mut found;
        let gradients = NormGradients {
            dx,
            dgamma,
            dbeta,
            dresidual: Some(dresidual),
        };
        let rectified = Rectified::new(Rectifier::Relu6, &y);
        batch_norm_backward(
            &workspace, &shape, &x, parameters, &mean, &variance, &dy, rectified, gradients,
        )
        .unwrap();
        assert_eq!(found, expected);
    }
}

/// The fused operation is the two it is made of, to the last bit of everything but sums whose
/// order differs with the pieces.
#[test]
fn the_fused_convolution_is_its_parts() {
    for (n, image, out, window, ghost, groups) in [
        (5, [7, 6, 3], 16, Window::square(3, 1, 1), 2, 1),
        (4, [8, 8, 16], 20, Window::square(3, 2, 1), 4, 1),
        (3, [5, 5, 32], 32, Window::square(1, 2, 0), 1, 1),
        (5, [9, 11, 20], 20, Window::square(3, 2, 1), 2, 20),
        (4, [8, 9, 16], 32, Window::square(3, 1, 1), 2, 1),
    ] {
        let shape = ConvShape::new(n, image, out, window)
            .and_then(|shape| shape.with_groups(groups))
            .unwrap();
        let [height, width, _] = shape.output();
        let norm = NormShape::new(n, height * width, out, ghost).unwrap();
        let tensor = |seed, len| single(&numbers(seed, len));
        let (x, w) = (tensor(1, shape.input_len()), tensor(2, shape.weight_len()));
        let (gamma, beta) = (tensor(3, out), tensor(4, out));
        let (residual, dy) = (tensor(5, shape.output_len()), tensor(6, shape.output_len()));
        let parameters = NormParameters {
            gamma: &gamma,
            beta: &beta,
            epsilon: EPSILON,
        };
        for workspace in workspaces() {
            let mut convolved = vec![f32::NAN; shape.output_len()];
            conv_forward(&workspace, &shape, &x, &w, None, false, &mut convolved).unwrap();
            let [y, mean, variance] = forward(
                &workspace,
                &norm,
                &convolved,
                parameters,
                Some(&residual),
                true,
            );
            let (mut fused, mut kept) = (vec![f32::NAN; y.len()], vec![f32::NAN; y.len()]);
            let (mut fused_mean, mut fused_variance) = (mean.clone(), variance.clone());
            let statistics = NormStatistics {
                mean: &mut fused_mean,
                variance: &mut fused_variance,
            };
            conv_batch_norm_forward(
                &workspace,
                &shape,
                ghost,
                &x,
                &w,
                parameters,
                Some(&residual),
                true,
                &mut kept,
                &mut fused,
                statistics,
            )
            .unwrap();
            assert_eq!((&fused, &kept), (&y, &convolved));
            assert_eq!((&fused_mean, &fused_variance), (&mean, &variance));

            let [dconv, dgamma, dbeta, dresidual] = backward(
                &workspace,
                &norm,
                &convolved,
                parameters,
                [&mean, &variance],
                &dy,
                Some(&y),
            );
            let (mut dx, mut dw) = (vec![f32::NAN; x.len()], vec![f32::NAN; w.len()]);
            let gradients = ConvGradients {
                dx: Some(&mut dx),
                dw: Some(&mut dw),
                db: None,
            };
            conv_backward(&workspace, &shape, &x, &w, &dconv, None, gradients).unwrap();
            let expected = [dx, dw, dgamma, dbeta, dresidual];
            for with_weights in [true, false] {
                let mut found =
                    [x.len(), w.len(), out, out, y.len()].map(|len| vec![f32::NAN; len]);
                let [fx, fw, fg, fb, fr] = &mut found;
                let gradients = ConvNormGradients {
                    dx: Some(fx),
                    dw: with_weights.then_some(&mut fw[..]),
                    dgamma: fg,
                    dbeta: fb,
                    dresidual: Some(fr),
                };
                conv_batch_norm_backward(
                    &workspace,
                    &shape,
                    ghost,
                    &x,
                    &w,
                    parameters,
                    &kept,
                    &mean,
                    &variance,
                    &dy,
                    Some(&y[..]),
                    gradients,
                )
                .unwrap();
                if !with_weights {
                    assert!(found[1].iter().all(|w| w.is_nan()));
                    found[1].clone_from(&expected[1]);
                }
                assert_eq!(found, expected);
            }
        }
    }
}
