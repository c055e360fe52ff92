//! Losses: one number per row of outputs (an example, or a token of text).

use burn::tensor::{Int, Tensor, activation::log_softmax};

/// Cross-entropy with label smoothing ε (Szegedy et al. 2016): the target of a row of class `c` is
/// `(1 − ε)·1[k = c] + ε/K` over its `K` classes, so the loss is
/// `−(1 − ε)·log p_c − (ε/K)·Σ_k log p_k`. Scores `[rows, K]`, classes `[rows, 1]`; gives `[rows, 1]`.
pub(crate) fn cross_entropy(
    scores: Tensor<2>,
    classes: Tensor<2, Int>,
    smoothing: f64,
) -> Tensor<2> {
    let logs = log_softmax(scores, 1);
    if smoothing == 0.0 {
        return -logs.gather(1, classes);
    }
    let uniform = logs.clone().mean_dim(1);
    -(logs.gather(1, classes) * (1.0 - smoothing) + uniform * smoothing)
}

/// Squared error `Σ_k (y_k − t_k)²` over a row's outputs. Both `[rows, outputs]`; gives `[rows, 1]`.
pub(crate) fn squared_error(outputs: Tensor<2>, targets: Tensor<2>) -> Tensor<2> {
    (outputs - targets).square().sum_dim(1)
}

/// The class of the largest score of each row, `[rows, 1]`.
pub(crate) fn predictions(scores: Tensor<2>) -> Tensor<2, Int> {
    scores.argmax(1)
}
