use batchscope_core::UNLABELED;
use batchscope_kernels::{Real, softmax_cross_entropy};
use burn_flex::FlexTensor;
use burn_tensor::Tensor;

use super::{
    Arguments, Operation, WORKSPACE, buffer, checked, copied, flex, memory::Buffer, values, zeros,
};
use crate::precision::{Number, in_precision};

/// Cross-entropy with label smoothing of the scores of pixels `[pixels, classes]`, those without a
/// label left out: `scale` times the sum, to be differentiated, and the sum itself. The gradient is
/// computed in the same pass.
pub(crate) fn pixel_cross_entropy(
    scores: Tensor<2>,
    labels: &[u8],
    smoothing: f64,
    scale: f32,
) -> (Tensor<1>, f64) {
    let shape = scores.dims();
    let inputs = Arguments::new([scores.into_dispatch()]);
    let scale = f64::from(scale);
    let (loss, gradient, sum) = in_precision!(inputs.dtype(), T => {
        let scores = values::<T>(&inputs.values[0]);
        let (sum, gradient) = differentiated(scores, shape[1], labels, smoothing, scale);
        let loss = copied(&[T::from_f64(scale * sum)]);
        (flex(loss, &[1]), flex(gradient, &shape), sum)
    });
    (
        inputs.output(loss, |_, _| PixelCrossEntropy { gradient }),
        sum,
    )
}

/// The sum over the labeled pixels, and `scale` times its gradient.
fn differentiated<T: Number>(
    scores: &[T],
    classes: usize,
    labels: &[u8],
    smoothing: f64,
    scale: f64,
) -> (f64, Buffer<T>) {
    let labeled: Vec<usize> = (0..labels.len())
        .filter(|&pixel| labels[pixel] != UNLABELED)
        .collect();
    let targets: Vec<u32> = labeled.iter().map(|&p| u32::from(labels[p])).collect();
    let loss = |scores: &[T], gradient: &mut [T]| {
        let gradient = Some(gradient);
        checked(softmax_cross_entropy(
            &WORKSPACE, classes, scores, &targets, smoothing, scale, gradient,
        ))
        .loss
    };
    let mut gradient = zeros(scores.len());
    let sum = if labeled.len() == labels.len() {
        loss(scores, &mut gradient)
    } else {
        let row = |pixel: usize| pixel * classes..(pixel + 1) * classes;
        let mut kept = buffer(labeled.len() * classes);
        for (&pixel, kept) in labeled.iter().zip(kept.chunks_exact_mut(classes)) {
            kept.copy_from_slice(&scores[row(pixel)]);
        }
        let mut of_kept = buffer(kept.len());
        let sum = loss(&kept, &mut of_kept);
        for (&pixel, of_kept) in labeled.iter().zip(of_kept.chunks_exact(classes)) {
            gradient[row(pixel)].copy_from_slice(of_kept);
        }
        sum
    };
    (sum, gradient)
}

#[derive(Debug, Clone)]
struct PixelCrossEntropy {
    gradient: FlexTensor,
}

impl Operation<1> for PixelCrossEntropy {
    fn gradients<T: Number>(mut self, dy: &[T], _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        if dy[0] != T::ONE {
            let gradient = T::memory(&mut self.gradient);
            gradient.iter_mut().for_each(|g| *g = *g * dy[0]);
        }
        [Some(self.gradient)]
    }
}
