use burn_tensor::{Int, Tensor, TensorData, module::embedding};

use crate::{cpu, examples::TiedNorms, parameters::ParameterId, pass::Pass};

/// Rows `tokens` of a table `[vocabulary, width]`: `[tokens, width]`; token `t · examples + i` is
/// place `t` of example `i`. `tied` where [`affine_transposed`](super::affine_transposed) scores with the table.
pub(crate) fn embed(
    table: ParameterId,
    tokens: &[u32],
    tied: Option<TiedNorms>,
    pass: &mut Pass,
) -> Tensor<2> {
    let norms = pass.tensor_norms(table);
    let table = pass.parameter(table);
    if pass.kernels() {
        cpu::embed(table, tokens, norms, tied)
    } else {
        embed_reference(table, tokens)
    }
}

/// The same, composed of burn's operations.
pub(crate) fn embed_reference(table: Tensor<2>, tokens: &[u32]) -> Tensor<2> {
    let device = table.device().without_autodiff();
    let tokens: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
    let shape = [1, tokens.len()];
    let tokens = Tensor::<2, Int>::from_data(TensorData::new(tokens, shape), &device);
    embedding(table, tokens).squeeze_dim(0)
}
