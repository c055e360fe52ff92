use batchwise_kernels::{LossSums, softmax_cross_entropy};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::{Arguments, Operation, WORKSPACE, buffer, checked, copied, flex, values};

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
    let scores = values(&inputs.values[0]);
    let mut gradient = buffer(scores.len());
    let scale = f64::from(scale);
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
    let loss = flex(copied(&[(scale * sum) as f32]), &[1]);
    (
        inputs.output(loss, |_, _| CrossEntropy {
            gradient: flex(gradient, &shape),
        }),
        sum,
    )
}

#[derive(Debug, Clone)]
struct CrossEntropy {
    gradient: FlexTensor,
}

impl Operation<1> for CrossEntropy {
    fn gradients(mut self, dy: &[f32], _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        if dy[0] != 1.0 {
            let gradient = self.gradient.storage_mut::<f32>();
            gradient.iter_mut().for_each(|g| *g *= dy[0]);
        }
        [Some(self.gradient)]
    }
}

/// Sum of cross-entropies without smoothing, and number of rows whose label is not the prediction.
pub(crate) fn cross_entropy_metrics(scores: Tensor<2>, labels: &[u32]) -> LossSums {
    let classes = scores.dims()[1];
    let inputs = Arguments::new([scores.into_dispatch()]);
    checked(softmax_cross_entropy(
        &WORKSPACE,
        classes,
        values(&inputs.values[0]),
        labels,
        0.0,
        1.0,
        None,
    ))
}
