use batchscope_kernels::{
    NormGradients, NormParameters, NormShape, NormStatistics, Rectified, Rectifier,
    batch_norm_backward, batch_norm_forward, batch_norm_inference, batch_norm_inference_backward,
};
use burn_flex::{Flex, FlexTensor};
use burn_tensor::Tensor;

use super::{Arguments, Operation, WORKSPACE, buffer, checked, flex, values};
use crate::{
    layers::{EPSILON, GroupStatistics, NormArguments, NormBy},
    precision::{Number, in_precision},
};

/// Moments of the ghost batches of a micro-batch, `[groups, channels]`.
#[derive(Debug, Clone)]
pub(super) struct Statistics {
    pub(super) mean: FlexTensor,
    pub(super) variance: FlexTensor,
    examples: usize,
    ghost: usize,
    pixels: usize,
}

impl Statistics {
    /// Those of `examples` examples of `pixels` numbers a channel, which `take` writes.
    pub(super) fn taken<T: Number>(
        examples: usize,
        ghost: usize,
        channels: usize,
        pixels: usize,
        take: impl FnOnce(NormStatistics<T>),
    ) -> Self {
        let ghost = ghost.min(examples);
        let shape = [examples.div_ceil(ghost), channels];
        let [mut mean, mut variance] = [(); 2].map(|()| buffer(shape[0] * channels));
        take(NormStatistics {
            mean: &mut mean,
            variance: &mut variance,
        });
        Self {
            mean: flex(mean, &shape),
            variance: flex(variance, &shape),
            examples,
            ghost,
            pixels,
        }
    }

    /// The same for the running statistics.
    pub(super) fn groups(self) -> GroupStatistics {
        GroupStatistics {
            mean: Tensor::from_primitive::<Flex>(self.mean),
            variance: Tensor::from_primitive::<Flex>(self.variance),
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
            let vectors = [scale, shift, mean, variance];
            return (norm_fixed(x, None, Rectifier::Relu, vectors), None);
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
    let (y, statistics) = in_precision!(inputs.dtype(), T => {
        let [x, scale, shift] = inputs.values.each_ref().map(values::<T>);
        let parameters = NormParameters {
            gamma: scale,
            beta: shift,
            epsilon: EPSILON,
        };
        let mut y = buffer(shape.tensor_len());
        let statistics = Statistics::taken(n, ghost, channels, pixels, |moments| {
            checked(batch_norm_forward(
                &WORKSPACE, &shape, x, parameters, None, true, &mut y, moments,
            ));
        });
        (flex(y, &dims), statistics)
    });
    let y = inputs.output(y, |inputs, y| NormRelu {
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
    fn gradients<T: Number>(self, dy: &[T], _: [bool; 3]) -> [Option<FlexTensor>; 3] {
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
        let (mean, variance) = (values(mean), values(variance));
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

/// Batch norm with fixed statistics, `[n, …, channels]`, plus `residual`, rectified: evaluation.
/// The vectors are scale, shift, running mean and running variance; the last two are constants.
pub(super) fn norm_fixed<const D: usize>(
    x: Tensor<D>,
    residual: Option<Tensor<D>>,
    rectifier: Rectifier,
    vectors: [Tensor<1>; 4],
) -> Tensor<D> {
    let dims = x.dims();
    let (n, channels) = (dims[0], dims[D - 1]);
    let pixels = dims[1..D - 1].iter().product();
    let shape = checked(NormShape::new(n, pixels, channels, n));
    let [scale, shift, mean, variance] = vectors.map(Tensor::into_dispatch);
    let statistics = Arguments::new([mean, variance]).values;
    let x = x.into_dispatch();
    match residual {
        None => {
            let inputs = Arguments::new([x, scale, shift]);
            run_fixed(inputs, shape, &dims, rectifier, statistics)
        }
        Some(residual) => {
            let inputs = Arguments::new([x, scale, shift, residual.into_dispatch()]);
            run_fixed(inputs, shape, &dims, rectifier, statistics)
        }
    }
}

/// Input, scale, shift and, where `N` is 4, residual; mean and variance.
fn run_fixed<const N: usize, const D: usize>(
    inputs: Arguments<N>,
    shape: NormShape,
    dims: &[usize],
    rectifier: Rectifier,
    statistics: [FlexTensor; 2],
) -> Tensor<D> {
    let y = in_precision!(inputs.dtype(), T => {
        let tensors = inputs.values.each_ref().map(values::<T>);
        let [mean, variance] = statistics.each_ref().map(values);
        let parameters = NormParameters {
            gamma: tensors[1],
            beta: tensors[2],
            epsilon: EPSILON,
        };
        let residual = tensors.get(3).copied();
        let mut y = buffer(shape.tensor_len());
        checked(batch_norm_inference(
            &WORKSPACE, &shape, tensors[0], parameters, mean, variance, residual, rectifier, &mut y,
        ));
        flex(y, dims)
    });
    inputs.output(y, |inputs, y| NormFixed {
        shape,
        dims: dims.to_vec(),
        inputs: std::array::from_fn(|i| inputs[i].clone()),
        statistics,
        rectifier,
        rectified: (rectifier != Rectifier::None).then(|| y.clone()),
    })
}

#[derive(Debug, Clone)]
struct NormFixed {
    shape: NormShape,
    dims: Vec<usize>,
    /// Input, scale and shift.
    inputs: [FlexTensor; 3],
    /// Mean and variance.
    statistics: [FlexTensor; 2],
    rectifier: Rectifier,
    rectified: Option<FlexTensor>,
}

impl<const N: usize> Operation<N> for NormFixed {
    fn gradients<T: Number>(self, dy: &[T], wanted: [bool; N]) -> [Option<FlexTensor>; N] {
        let [x, scale, shift] = self.inputs.each_ref().map(values);
        let [mean, variance] = self.statistics.each_ref().map(values);
        let channels = scale.len();
        let mut dx = buffer(x.len());
        let (mut dscale, mut dshift) = (buffer(channels), buffer(channels));
        let mut dresidual = (N == 4 && wanted[N - 1]).then(|| buffer(x.len()));
        let gradients = NormGradients {
            dx: &mut dx,
            dgamma: &mut dscale,
            dbeta: &mut dshift,
            dresidual: dresidual.as_deref_mut(),
        };
        let parameters = NormParameters {
            gamma: scale,
            beta: shift,
            epsilon: EPSILON,
        };
        let rectified = self.rectified.as_ref().map(values);
        let rectified = rectified.map_or(None.into(), |y| Rectified::new(self.rectifier, y));
        checked(batch_norm_inference_backward(
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
        let mut gradients = [
            Some(flex(dx, &self.dims)),
            Some(flex(dscale, &[channels])),
            Some(flex(dshift, &[channels])),
            dresidual.map(|dresidual| flex(dresidual, &self.dims)),
        ]
        .into_iter();
        std::array::from_fn(|_| gradients.next().flatten())
    }
}
