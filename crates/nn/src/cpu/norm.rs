use batchwise_kernels::{
    NormGradients, NormParameters, NormShape, NormStatistics, Rectifier, batch_norm_backward,
    batch_norm_forward, batch_norm_inference,
};
use burn::{backend::Flex, tensor::Tensor};
use burn_flex::FlexTensor;

use super::{Arguments, Buffer, Operation, WORKSPACE, buffer, checked, flex, values};
use crate::layers::{EPSILON, GroupStatistics, NormArguments, NormBy};

/// Moments of the ghost batches of a micro-batch, `[groups, channels]`.
#[derive(Debug, Clone)]
pub(super) struct Statistics {
    pub(super) mean: Buffer,
    pub(super) variance: Buffer,
    examples: usize,
    ghost: usize,
    channels: usize,
    pixels: usize,
}

impl Statistics {
    /// Room for those of `examples` examples of `pixels` numbers a channel.
    pub(super) fn new(examples: usize, ghost: usize, channels: usize, pixels: usize) -> Self {
        let ghost = ghost.min(examples);
        let len = examples.div_ceil(ghost) * channels;
        Self {
            mean: buffer(len),
            variance: buffer(len),
            examples,
            ghost,
            channels,
            pixels,
        }
    }

    /// The same for the running statistics.
    pub(super) fn groups(self) -> GroupStatistics {
        let shape = [self.examples.div_ceil(self.ghost), self.channels];
        let tensor = |values| Tensor::from_primitive::<Flex>(flex(values, &shape));
        GroupStatistics {
            mean: tensor(self.mean),
            variance: tensor(self.variance),
            examples: self.examples,
            ghost: self.ghost,
            pixels: self.pixels,
        }
    }
}

/// `relu(norm(x))` of `[n, pixels, channels]`.
pub(crate) fn norm_relu(
    x: Tensor<3>,
    arguments: NormArguments,
) -> (Tensor<3>, Option<GroupStatistics>) {
    let NormArguments { scale, shift, by } = arguments;
    let ghost = match by {
        NormBy::Ghost(ghost) => ghost,
        NormBy::Running { mean, variance } => {
            return (
                norm_inference(x, None, Rectifier::Relu, [scale, shift, mean, variance]),
                None,
            );
        }
    };
    let dims = x.dims();
    let [n, pixels, channels] = dims;
    let shape = checked(NormShape::new(n, pixels, channels, ghost));
    let inputs = Arguments::new([
        x.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
    ]);
    let [x, scale, shift] = inputs.values.each_ref().map(values);
    let parameters = NormParameters {
        gamma: scale,
        beta: shift,
        epsilon: EPSILON,
    };
    let mut y = buffer(shape.tensor_len());
    let mut statistics = Statistics::new(n, ghost, channels, pixels);
    let moments = NormStatistics {
        mean: &mut statistics.mean,
        variance: &mut statistics.variance,
    };
    checked(batch_norm_forward(
        &WORKSPACE, &shape, x, parameters, None, true, &mut y, moments,
    ));
    let y = inputs.output(flex(y, &dims), |inputs, y| NormRelu {
        shape,
        dims,
        inputs,
        statistics: statistics.clone(),
        output: y.clone(),
    });
    (y, Some(statistics.groups()))
}

#[derive(Debug, Clone)]
struct NormRelu {
    shape: NormShape,
    dims: [usize; 3],
    /// Input, scale and shift.
    inputs: [FlexTensor; 3],
    statistics: Statistics,
    output: FlexTensor,
}

impl Operation<3> for NormRelu {
    fn gradients(self, dy: &[f32], _: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let [x, scale, shift] = self.inputs.each_ref().map(values);
        let channels = self.dims[2];
        let mut dx = buffer(x.len());
        let (mut dscale, mut dshift) = (buffer(channels), buffer(channels));
        let gradients = NormGradients {
            dx: &mut dx,
            dgamma: &mut dscale,
            dbeta: &mut dshift,
            dresidual: None,
        };
        let parameters = NormParameters {
            gamma: scale,
            beta: shift,
            epsilon: EPSILON,
        };
        let (mean, variance) = (&self.statistics.mean, &self.statistics.variance);
        let rectified = Some(values(&self.output));
        checked(batch_norm_backward(
            &WORKSPACE,
            &self.shape,
            x,
            parameters,
            mean,
            variance,
            dy,
            rectified,
            gradients,
        ));
        [
            Some(flex(dx, &self.dims)),
            Some(flex(dscale, &[channels])),
            Some(flex(dshift, &[channels])),
        ]
    }
}

/// Batch norm in evaluation, `[n, …, channels]`, plus `residual`, rectified; without a gradient. The vectors are scale, shift, running mean and running variance.
pub(super) fn norm_inference<const D: usize>(
    x: Tensor<D>,
    residual: Option<Tensor<D>>,
    rectifier: Rectifier,
    vectors: [Tensor<1>; 4],
) -> Tensor<D> {
    let dims = x.dims();
    let (n, channels) = (dims[0], dims[D - 1]);
    let pixels = dims[1..D - 1].iter().product();
    let shape = checked(NormShape::new(n, pixels, channels, n));
    let x = Arguments::new([x.into_dispatch()]).values;
    let [scale, shift, mean, variance] = Arguments::new(vectors.map(Tensor::into_dispatch)).values;
    let residual = residual.map(|residual| Arguments::new([residual.into_dispatch()]).values);
    let residual = residual.as_ref().map(|[residual]| values(residual));
    let parameters = NormParameters {
        gamma: values(&scale),
        beta: values(&shift),
        epsilon: EPSILON,
    };
    let (mean, variance) = (values(&mean), values(&variance));
    let mut y = buffer(shape.tensor_len());
    let x = values(&x[0]);
    checked(batch_norm_inference(
        &WORKSPACE, &shape, x, parameters, mean, variance, residual, rectifier, &mut y,
    ));
    Tensor::from_primitive::<Flex>(flex(y, &dims))
}
