use burn::tensor::{Int, Tensor, TensorData, module::embedding};

use crate::{cpu, pass::Pass};

/// Rows `tokens` of a table `[vocabulary, width]`: `[tokens, width]`.
pub(crate) fn embed(table: Tensor<2>, tokens: &[u32], pass: &Pass) -> Tensor<2> {
    if pass.kernels() {
        cpu::embed(table, tokens)
    } else {
        embed_composed(table, tokens)
    }
}

/// The same, composed of burn's operations.
pub(crate) fn embed_composed(table: Tensor<2>, tokens: &[u32]) -> Tensor<2> {
    let device = table.device().without_autodiff();
    let tokens: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
    let shape = [1, tokens.len()];
    let tokens = Tensor::<2, Int>::from_data(TensorData::new(tokens, shape), &device);
    embedding(table, tokens).squeeze_dim(0)
}
