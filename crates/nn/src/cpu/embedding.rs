use batchwise_kernels::{embedding_gather, embedding_scatter_add};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::{Arguments, Operation, buffer, checked, flex, values, zeros};
use crate::precision::{Number, in_precision};

/// Rows `tokens` of a table `[vocabulary, width]`: `[tokens, width]`.
pub(crate) fn embed(table: Tensor<2>, tokens: &[u32]) -> Tensor<2> {
    let [vocabulary, width] = table.dims();
    let inputs = Arguments::new([table.into_dispatch()]);
    let y = in_precision!(inputs.dtype(), T => {
        let mut y = buffer::<T>(tokens.len() * width);
        checked(embedding_gather(
            vocabulary,
            width,
            values(&inputs.values[0]),
            tokens,
            &mut y,
        ));
        flex(y, &[tokens.len(), width])
    });
    inputs.output(y, |_, _| Embed {
        shape: [vocabulary, width],
        tokens: tokens.to_vec(),
    })
}

#[derive(Debug, Clone)]
struct Embed {
    shape: [usize; 2],
    tokens: Vec<u32>,
}

impl Operation<1> for Embed {
    fn gradients<T: Number>(self, dy: &[T], _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let [vocabulary, width] = self.shape;
        let mut table = zeros::<T>(vocabulary * width);
        checked(embedding_scatter_add(
            vocabulary,
            width,
            &self.tokens,
            dy,
            &mut table,
        ));
        [Some(flex(table, &self.shape))]
    }
}
