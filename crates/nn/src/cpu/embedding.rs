use batchwise_kernels::{embedding_example_norms, embedding_gather, embedding_scatter_add};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::{Arguments, Operation, WORKSPACE, buffer, checked, flex, values, zeros};
use crate::examples::TensorNorms;
use crate::precision::{Number, in_precision};

/// Rows `tokens` of a table `[vocabulary, width]`: `[tokens, width]`; on the way back the squared
/// norms of what each example adds to the gradient go to `norms`.
pub(crate) fn embed(table: Tensor<2>, tokens: &[u32], norms: Option<TensorNorms>) -> Tensor<2> {
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
        norms,
    })
}

#[derive(Debug, Clone)]
struct Embed {
    shape: [usize; 2],
    tokens: Vec<u32>,
    norms: Option<TensorNorms>,
}

impl Operation<1> for Embed {
    fn gradients<T: Number>(self, dy: &[T], _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let [vocabulary, width] = self.shape;
        if let Some(norms) = &self.norms {
            let examples = norms.sums.examples();
            norms.add(checked(embedding_example_norms(
                &WORKSPACE,
                vocabulary,
                width,
                examples,
                &self.tokens,
                dy,
            )));
        }
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
