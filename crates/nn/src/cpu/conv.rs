use batchscope_kernels::{
    ConvGradients, ConvNormGradients, ConvShape, KernelError, NormParameters, PoolShape, Rectified,
    Rectifier, Scratch, Window, conv_backward, conv_batch_norm_backward, conv_batch_norm_forward,
    conv_bias_relu_maxpool_backward, conv_bias_relu_maxpool_example_norms,
    conv_bias_relu_maxpool_forward, conv_example_norms, conv_forward,
};
use burn_flex::FlexTensor;
use burn_tensor::Tensor;

use super::norm::{Statistics, norm_fixed};
use super::{Arguments, Operation, WORKSPACE, buffer, checked, flex, values};
use crate::{
    examples::AffineNorms,
    layers::{self, EPSILON, GroupStatistics, NormArguments, NormBy},
    precision::{Number, in_precision},
};

/// `x ∗ w + b`, rectified if `relu`, without `b` where there is none; on the way back the squared
/// norms of what each image adds to the gradients go to `norms`.
pub(crate) fn conv(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    relu: bool,
    filter: layers::Filter,
    norms: Option<AffineNorms>,
) -> Tensor<4> {
    let shape = shape(&x, &weight, filter);
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    match bias {
        Some(bias) => {
            let inputs = [x, weight, bias.into_dispatch()];
            run(Arguments::new(inputs), shape, relu, norms)
        }
        None => run(Arguments::new([x, weight]), shape, relu, norms),
    }
}

/// Image, kernel and, where `N` is 3, bias.
fn run<const N: usize>(
    inputs: Arguments<N>,
    shape: ConvShape,
    relu: bool,
    norms: Option<AffineNorms>,
) -> Tensor<4> {
    let [rows, columns, channels] = shape.output();
    let y = in_precision!(inputs.dtype(), T => {
        let mut y = buffer::<T>(shape.output_len());
        let tensors = inputs.values.each_ref().map(values);
        let bias = tensors.get(2).copied();
        checked(conv_forward(
            &WORKSPACE, &shape, tensors[0], tensors[1], bias, relu, &mut y,
        ));
        flex(y, &[shape.images(), rows, columns, channels])
    });
    inputs.output(y, |inputs, y| Conv {
        shape,
        x: inputs[0].clone(),
        weight: inputs[1].clone(),
        rectified: relu.then(|| y.clone()),
        norms,
    })
}

#[derive(Debug, Clone)]
struct Conv {
    shape: ConvShape,
    x: FlexTensor,
    weight: FlexTensor,
    rectified: Option<FlexTensor>,
    norms: Option<AffineNorms>,
}

impl<const N: usize> Operation<N> for Conv {
    fn gradients<T: Number>(self, dy: &[T], wanted: [bool; N]) -> [Option<FlexTensor>; N] {
        let (x, weight) = (values(&self.x), values(&self.weight));
        let rectified = self.rectified.as_ref().map(values);
        if let Some(norms) = &self.norms {
            let found = conv_example_norms(&WORKSPACE, &self.shape, x, dy, rectified);
            norms.add(checked(found));
        }
        gradients_of(&self.shape, wanted, |gradients| {
            let shape = &self.shape;
            conv_backward(&WORKSPACE, shape, x, weight, dy, rectified, gradients)
        })
    }
}

/// The gradients `wanted` of image, kernel and, where `N` is 3, bias that a kernel writes.
fn gradients_of<T: Number, const N: usize>(
    shape: &ConvShape,
    wanted: [bool; N],
    backward: impl FnOnce(ConvGradients<T>) -> Result<(), KernelError>,
) -> [Option<FlexTensor>; N] {
    let channels = shape.output()[2];
    let mut dx = wanted[0].then(|| buffer(shape.input_len()));
    let mut dw = wanted[1].then(|| buffer(shape.weight_len()));
    let mut db = (N == 3 && wanted[N - 1]).then(|| buffer(channels));
    checked(backward(ConvGradients {
        dx: dx.as_deref_mut(),
        dw: dw.as_deref_mut(),
        db: db.as_deref_mut(),
    }));
    let [height, width, in_channels] = shape.input();
    let mut gradients = [
        dx.map(|dx| flex(dx, &[shape.images(), height, width, in_channels])),
        dw.map(|dw| flex(dw, &shape.weight_shape())),
        db.map(|db| flex(db, &[channels])),
    ]
    .into_iter();
    std::array::from_fn(|_| gradients.next().flatten())
}

/// `max_pool(relu(x ∗ w + b))` with windows `pool`; `norms` as for [`conv`].
pub(crate) fn conv_relu_pool(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    filter: layers::Filter,
    pool: layers::Window,
    norms: Option<AffineNorms>,
) -> Tensor<4> {
    let shape = shape(&x, &weight, filter);
    let pool = checked(pool_shape(pool));
    let inputs = Arguments::new([
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ]);
    let [rows, columns, channels] = shape.output();
    let [rows, columns] = checked(pool.output(rows, columns));
    let dims = [shape.images(), rows, columns, channels];
    let len = dims.iter().product();
    let mut places = WORKSPACE.take(len);
    let y = in_precision!(inputs.dtype(), T => {
        let mut y = buffer::<T>(len);
        let [x, weight, bias] = inputs.values.each_ref().map(values);
        checked(conv_bias_relu_maxpool_forward(
            &WORKSPACE,
            &shape,
            &pool,
            x,
            weight,
            bias,
            &mut y,
            &mut places,
        ));
        flex(y, &dims)
    });
    inputs.output(y, |[x, weight, _], _| ConvReluPool {
        shape,
        pool,
        x,
        weight,
        places,
        norms,
    })
}

#[derive(Debug, Clone)]
struct ConvReluPool {
    shape: ConvShape,
    pool: PoolShape,
    x: FlexTensor,
    weight: FlexTensor,
    places: Scratch<'static, u8>,
    norms: Option<AffineNorms>,
}

impl Operation<3> for ConvReluPool {
    fn gradients<T: Number>(self, dy: &[T], wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let (x, weight) = (values(&self.x), values(&self.weight));
        let (shape, pool, places) = (&self.shape, &self.pool, &self.places);
        if let Some(norms) = &self.norms {
            norms.add(checked(conv_bias_relu_maxpool_example_norms(
                &WORKSPACE, shape, pool, x, dy, places,
            )));
        }
        gradients_of(shape, wanted, |gradients| {
            conv_bias_relu_maxpool_backward(
                &WORKSPACE, shape, pool, x, weight, dy, places, gradients,
            )
        })
    }
}

/// `batch_norm(x ∗ w) + residual`, rectified; in training with the statistics of each
/// ghost batch.
pub(crate) fn conv_norm(
    x: Tensor<4>,
    weight: Tensor<4>,
    residual: Option<Tensor<4>>,
    rectifier: Rectifier,
    filter: layers::Filter,
    norm: NormArguments,
) -> (Tensor<4>, Option<GroupStatistics>) {
    let shape = shape(&x, &weight, filter);
    let NormArguments { scale, shift, by } = norm;
    let ghost = match by {
        NormBy::Ghost(ghost) => ghost,
        NormBy::Running { mean, variance } => {
            let inputs = Arguments::new([x.into_dispatch(), weight.into_dispatch()]);
            let convolved = run(inputs, shape, false, None);
            let vectors = [scale, shift, mean, variance];
            return (norm_fixed(convolved, residual, rectifier, vectors), None);
        }
    };
    let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
    let inputs = [x.into_dispatch(), weight.into_dispatch(), scale, shift];
    let (y, statistics) = match residual {
        None => run_norm(Arguments::new(inputs), shape, rectifier, ghost),
        Some(residual) => {
            let [x, weight, scale, shift] = inputs;
            let inputs = [x, weight, scale, shift, residual.into_dispatch()];
            run_norm(Arguments::new(inputs), shape, rectifier, ghost)
        }
    };
    (y, Some(statistics.groups()))
}

/// Image, kernel, scale, shift and, where `N` is 5, residual.
fn run_norm<const N: usize>(
    inputs: Arguments<N>,
    shape: ConvShape,
    rectifier: Rectifier,
    ghost: usize,
) -> (Tensor<4>, Statistics)
where
    ConvNorm: Operation<N>,
{
    let [rows, columns, channels] = shape.output();
    let dims = [shape.images(), rows, columns, channels];
    let (y, convolved, statistics) = in_precision!(inputs.dtype(), T => {
        let tensors = inputs.values.each_ref().map(values::<T>);
        let parameters = NormParameters {
            gamma: tensors[2],
            beta: tensors[3],
            epsilon: EPSILON,
        };
        let [mut y, mut convolved] = [(); 2].map(|()| buffer(shape.output_len()));
        let statistics = Statistics::taken(shape.images(), ghost, channels, rows * columns, |moments| {
            checked(conv_batch_norm_forward(
                &WORKSPACE,
                &shape,
                ghost,
                tensors[0],
                tensors[1],
                parameters,
                tensors.get(4).copied(),
                rectifier,
                &mut convolved,
                &mut y,
                moments,
            ));
        });
        (flex(y, &dims), flex(convolved, &dims), statistics)
    });
    let y = inputs.output(y, |inputs, y| ConvNorm {
        shape,
        ghost,
        inputs: std::array::from_fn(|i| inputs[i].clone()),
        convolved,
        statistics: statistics.clone(),
        rectifier,
        rectified: (rectifier != Rectifier::None).then(|| y.clone()),
    });
    (y, statistics)
}

#[derive(Debug, Clone)]
struct ConvNorm {
    shape: ConvShape,
    ghost: usize,
    /// Image, kernel, scale and shift.
    inputs: [FlexTensor; 4],
    convolved: FlexTensor,
    statistics: Statistics,
    rectifier: Rectifier,
    rectified: Option<FlexTensor>,
}

impl ConvNorm {
    /// Gradients of image, kernel, scale and shift, and of the residual; all but those of scale and
    /// shift where they are wanted.
    fn backward<T: Number>(
        self,
        dy: &[T],
        [want_x, want_weight, want_residual]: [bool; 3],
    ) -> ([Option<FlexTensor>; 4], Option<FlexTensor>) {
        let Self {
            shape,
            ghost,
            inputs,
            convolved,
            statistics,
            rectifier,
            rectified,
        } = self;
        let [height, width, in_channels] = shape.input();
        let [rows, columns, channels] = shape.output();
        let [x, weight, scale, shift] = inputs.each_ref().map(values);
        let mut dx = want_x.then(|| buffer(shape.input_len()));
        let mut dresidual = want_residual.then(|| buffer(shape.output_len()));
        let mut dw = want_weight.then(|| buffer(shape.weight_len()));
        let (mut dscale, mut dshift) = (buffer(channels), buffer(channels));
        let gradients = ConvNormGradients {
            dx: dx.as_deref_mut(),
            dw: dw.as_deref_mut(),
            dgamma: &mut dscale,
            dbeta: &mut dshift,
            dresidual: dresidual.as_deref_mut(),
        };
        let parameters = NormParameters {
            gamma: scale,
            beta: shift,
            epsilon: EPSILON,
        };
        let (mean, variance) = (values(&statistics.mean), values(&statistics.variance));
        let (convolved, output) = (values(&convolved), rectified.as_ref().map(values));
        let rectified = output.map_or(None.into(), |y| Rectified::new(rectifier, y));
        checked(conv_batch_norm_backward(
            &WORKSPACE, &shape, ghost, x, weight, parameters, convolved, mean, variance, dy,
            rectified, gradients,
        ));
        let images = shape.images();
        let of_inputs = [
            dx.map(|dx| flex(dx, &[images, height, width, in_channels])),
            dw.map(|dw| flex(dw, &shape.weight_shape())),
            Some(flex(dscale, &[channels])),
            Some(flex(dshift, &[channels])),
        ];
        (
            of_inputs,
            dresidual.map(|d| flex(d, &[images, rows, columns, channels])),
        )
    }
}

impl Operation<4> for ConvNorm {
    fn gradients<T: Number>(self, dy: &[T], [x, weight, ..]: [bool; 4]) -> [Option<FlexTensor>; 4] {
        self.backward(dy, [x, weight, false]).0
    }
}

impl Operation<5> for ConvNorm {
    fn gradients<T: Number>(
        self,
        dy: &[T],
        [x, weight, .., residual]: [bool; 5],
    ) -> [Option<FlexTensor>; 5] {
        let ([dx, dw, dscale, dshift], dresidual) = self.backward(dy, [x, weight, residual]);
        [dx, dw, dscale, dshift, dresidual]
    }
}

fn shape(x: &Tensor<4>, weight: &Tensor<4>, filter: layers::Filter) -> ConvShape {
    let [n, height, width, channels] = x.dims();
    let layers::Window {
        size,
        stride,
        padding,
    } = filter.window;
    let window = Window {
        dilation: [filter.dilation; 2],
        ..Window::square(size, stride, padding)
    };
    let image = [height, width, channels];
    let shape = ConvShape::new(n, image, weight.dims()[0], window);
    checked(shape.and_then(|shape| shape.with_groups(filter.groups)))
}

/// A pooling window.
pub(super) fn pool_shape(pool: layers::Window) -> Result<PoolShape, KernelError> {
    PoolShape::new([pool.size; 2], [pool.stride; 2], [pool.padding; 2])
}
