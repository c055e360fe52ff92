//! Losses: one number per row of outputs (an example, a token of text, a pixel).

use batchscope_core::{MetricSums, NetworkError, UNLABELED};
use burn_tensor::{Device, Int, Tensor, TensorData, activation::log_softmax};

use crate::{
    cpu,
    segment::{labeled, segmentation},
    storage::{Storage, to_numbers},
};

/// What the rows should have been.
pub(crate) enum Targets<'a> {
    /// A class for each row.
    Classes(&'a [u32]),
    /// Values for each row, row by row.
    Values(&'a [f32]),
    /// A class for each row that has a label.
    Pixels(&'a [u8]),
}

/// The loss of a micro-batch in training.
pub(crate) struct TrainingLoss {
    /// The sum over the rows times the scale, to be differentiated.
    pub scaled: Tensor<1>,
    /// The sum over the rows, added up in double precision in their order.
    pub sum: f64,
}

/// The loss of outputs `[rows, outputs]`: cross-entropy with label smoothing, or squared error.
/// `kernels` says whether the CPU kernels may compute it.
pub(crate) fn training_loss(
    outputs: Tensor<2>,
    targets: &Targets,
    smoothing: f64,
    scale: f32,
    kernels: bool,
) -> Result<TrainingLoss, NetworkError> {
    let losses = match *targets {
        Targets::Classes(labels) if kernels => {
            let (scaled, sum) = cpu::cross_entropy(outputs, labels, smoothing, scale);
            return Ok(TrainingLoss { scaled, sum });
        }
        Targets::Pixels(labels) if kernels => {
            let (scaled, sum) = cpu::pixel_cross_entropy(outputs, labels, smoothing, scale);
            return Ok(TrainingLoss { scaled, sum });
        }
        // Nothing to learn from, but a graph to go back through.
        Targets::Pixels(labels) if labels.iter().all(|&label| label == UNLABELED) => {
            outputs.mul_scalar(0.0)
        }
        Targets::Pixels(labels) => {
            let (outputs, labels) = labeled(outputs, labels);
            cross_entropy(outputs, &labels, smoothing)
        }
        Targets::Classes(labels) => cross_entropy(outputs, labels, smoothing),
        Targets::Values(values) => squared_error(outputs, values),
    };
    let scaled = losses.clone().sum().mul_scalar(scale);
    Ok(TrainingLoss {
        scaled,
        sum: sum(losses.inner())?,
    })
}

/// Metric sums: of losses without smoothing, and the number of rows whose largest output is not at
/// their class (0 for values). Outputs that are not numbers count as wrong.
pub(crate) fn evaluation(
    outputs: Tensor<2>,
    targets: &Targets,
    kernels: bool,
) -> Result<MetricSums, NetworkError> {
    let rows = outputs.dims()[0] as f64;
    let sums = |loss, errors| MetricSums {
        loss,
        errors,
        weight: rows,
        confusion: None,
    };
    match *targets {
        Targets::Pixels(labels) => segmentation(outputs, labels),
        Targets::Classes(labels) if kernels => {
            let found = cpu::cross_entropy_metrics(outputs, labels);
            Ok(sums(found.loss, found.errors as f64))
        }
        Targets::Classes(labels) => {
            let predicted = outputs.clone().argmax(1).try_into_vec_as::<i64>();
            let predicted =
                predicted.map_err(|error| NetworkError::Device(format!("{error:?}")))?;
            let losses = to_numbers(cross_entropy(outputs, labels, 0.0))?;
            let (mut total, mut errors) = (0.0, 0.0);
            for ((&loss, &class), &label) in losses.iter().zip(&predicted).zip(labels) {
                total += loss;
                errors += f64::from(u8::from(loss.is_nan() || class != i64::from(label)));
            }
            Ok(sums(total, errors))
        }
        Targets::Values(values) => Ok(sums(sum(squared_error(outputs, values))?, 0.0)),
    }
}

/// Cross-entropy with label smoothing ε (Szegedy et al. 2016): the target of a row of class `c` is
/// `(1 − ε)·1[k = c] + ε/K` over its `K` classes, so the loss is
/// `−(1 − ε)·log p_c − (ε/K)·Σ_k log p_k`. Scores `[rows, K]`; gives `[rows, 1]`.
pub(crate) fn cross_entropy(scores: Tensor<2>, labels: &[u32], smoothing: f64) -> Tensor<2> {
    let device = device(&scores);
    let classes: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
    let classes = Tensor::<2, Int>::from_data(TensorData::new(classes, [labels.len(), 1]), &device);
    let logs = log_softmax(scores, 1);
    if smoothing == 0.0 {
        return -logs.gather(1, classes);
    }
    let uniform = logs.clone().mean_dim(1);
    -(logs.gather(1, classes) * (1.0 - smoothing) + uniform * smoothing)
}

/// Squared error `Σ_k (y_k − t_k)²` over a row's outputs, `[rows, outputs]`; gives `[rows, 1]`.
pub(crate) fn squared_error(outputs: Tensor<2>, targets: &[f32]) -> Tensor<2> {
    let targets = Storage::from_host(targets.to_vec(), &outputs.dims(), &device(&outputs));
    let targets = targets.tensor::<2>().cast(outputs.dtype());
    (outputs - targets).square().sum_dim(1)
}

fn device(tensor: &Tensor<2>) -> Device {
    tensor.device().without_autodiff()
}

/// The sum in double precision, in the order of the rows.
fn sum(losses: Tensor<2>) -> Result<f64, NetworkError> {
    Ok(to_numbers(losses)?.iter().sum())
}
