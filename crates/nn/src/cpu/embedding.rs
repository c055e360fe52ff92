use batchscope_kernels::{
    LinearShape, embedding_example_norms, embedding_gather, embedding_scatter_add,
    tied_example_products,
};
use burn_flex::FlexTensor;
use burn_tensor::Tensor;

use super::{Arguments, Operation, WORKSPACE, buffer, checked, flex, values, zeros};
use crate::examples::{TensorNorms, TiedNorms};
use crate::precision::{Number, in_precision};

/// Rows `tokens` of a table `[vocabulary, width]`: `[tokens, width]`; on the way back the squared
/// norms of what each example adds to the gradient go to `norms`. Where the table scores too, `tied` has
/// what its examples' gradients there leave behind.
pub(crate) fn embed(
    table: Tensor<2>,
    tokens: &[u32],
    norms: Option<TensorNorms>,
    tied: Option<TiedNorms>,
) -> Tensor<2> {
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
        tied,
    })
}

#[derive(Debug, Clone)]
struct Embed {
    shape: [usize; 2],
    tokens: Vec<u32>,
    norms: Option<TensorNorms>,
    tied: Option<TiedNorms>,
}

impl Embed {
    /// Notes what each example adds to the gradient, if that is wanted.
    fn measure<T: Number>(&self, dy: &[T]) {
        let Some(norms) = &self.norms else { return };
        let ([vocabulary, width], examples) = (self.shape, norms.sums.examples());
        norms.add(checked(embedding_example_norms(
            &WORKSPACE,
            vocabulary,
            width,
            examples,
            &self.tokens,
            dy,
        )));
        if let Some(scores) = self.tied.as_ref().and_then(TiedNorms::take) {
            let shape = checked(LinearShape::new(self.tokens.len(), width, vocabulary));
            let (x, picked) = (values(&scores.x), values(&scores.picked));
            norms.add(checked(tied_example_products(
                &WORKSPACE, shape, examples, x, picked, dy,
            )));
        }
    }
}

impl Operation<1> for Embed {
    fn gradients<T: Number>(self, dy: &[T], _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let [vocabulary, width] = self.shape;
        self.measure(dy);
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
