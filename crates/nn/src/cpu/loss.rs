use batchscope_kernels::{LossSums, Real, softmax_cross_entropy};
use burn_flex::FlexTensor;
use burn_tensor::Tensor;

use super::{Arguments, Operation, WORKSPACE, buffer, checked, copied, flex, values};
use crate::precision::{Number, in_precision};

/// Cross-entropy with label smoothing of scores `[rows, classes]`: `scale` times the sum over the
/// rows, to be differentiated, and the sum itself. The gradient is computed in the same pass.
pub(crate) fn cross_entropy(
    scores: Tensor<2>,
    labels: &[u32],
    smoothing: f64,
    scale: f32,
) -> (Tensor<1>, f64) {
    let shape = scores.dims();
    let inputs = Arguments::new([scores.into_dispatch()]);
    let scale = f64::from(scale);
    let (loss, gradient, sum) = in_precision!(inputs.dtype(), T => {
        let scores = values::<T>(&inputs.values[0]);
        let mut gradient = buffer(scores.len());
        let sums = softmax_cross_entropy(
            &WORKSPACE,
            shape[1],
            scores,
            labels,
            smoothing,
            scale,
            Some(&mut gradient),
        );
        let sum = checked(sums).loss;
        let loss = copied(&[T::from_f64(scale * sum)]);
        (flex(loss, &[1]), flex(gradient, &shape), sum)
    });
    (inputs.output(loss, |_, _| CrossEntropy { gradient }), sum)
}

#[derive(Debug, Clone)]
struct CrossEntropy {
    gradient: FlexTensor,
}

impl Operation<1> for CrossEntropy {
    fn gradients<T: Number>(mut self, dy: &[T], _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        if dy[0] != T::ONE {
            let gradient = T::memory(&mut self.gradient);
            gradient.iter_mut().for_each(|g| *g = *g * dy[0]);
        }
        [Some(self.gradient)]
    }
}

/// Sum of cross-entropies without smoothing, and number of rows whose label is not the prediction.
pub(crate) fn cross_entropy_metrics(scores: Tensor<2>, labels: &[u32]) -> LossSums {
    let classes = scores.dims()[1];
    let inputs = Arguments::new([scores.into_dispatch()]);
    in_precision!(inputs.dtype(), T => checked(softmax_cross_entropy(
        &WORKSPACE,
        classes,
        values::<T>(&inputs.values[0]),
        labels,
        0.0,
        1.0,
        None,
    )))
}
