use batchwise_kernels::{
    ConvGradients, ConvNormGradients, ConvShape, KernelError, NormParameters, NormStatistics,
    PoolShape, Rectified, Rectifier, Scratch, Window, conv_backward, conv_batch_norm_backward,
    conv_batch_norm_forward, conv_bias_relu_maxpool_backward, conv_bias_relu_maxpool_forward,
    conv_forward,
};
use burn::{backend::Flex, tensor::Tensor};
use burn_flex::FlexTensor;

use super::norm::{Statistics, norm_inference};
use super::{Arguments, Operation, WORKSPACE, buffer, checked, flex, values};
use crate::layers::{self, EPSILON, GroupStatistics, NormArguments, NormBy};

/// `x ∗ w + b`, rectified if `relu`.
pub(crate) fn conv(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    relu: bool,
    filter: layers::Filter,
) -> Tensor<4> {
    let shape = shape(&x, &weight, filter);
    let inputs = Arguments::new([
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ]);
    let [rows, columns, channels] = shape.output();
    let mut y = buffer(shape.output_len());
    let [x, weight, bias] = inputs.values.each_ref().map(values);
    checked(conv_forward(
        &WORKSPACE,
        &shape,
        x,
        weight,
        Some(bias),
        relu,
        &mut y,
    ));
    let y = flex(y, &[shape.images(), rows, columns, channels]);
    inputs.output(y, |[x, weight, _], y| Conv {
        shape,
        x,
        weight,
        rectified: relu.then(|| y.clone()),
    })
}

#[derive(Debug, Clone)]
struct Conv {
    shape: ConvShape,
    x: FlexTensor,
    weight: FlexTensor,
    rectified: Option<FlexTensor>,
}

impl Operation<3> for Conv {
    fn gradients(self, dy: &[f32], wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let (x, weight) = (values(&self.x), values(&self.weight));
        let rectified = self.rectified.as_ref().map(values);
        gradients_of(&self.shape, wanted[0], |gradients| {
            let shape = &self.shape;
            conv_backward(&WORKSPACE, shape, x, weight, dy, rectified, gradients)
        })
    }
}

/// The gradients of image, kernel and bias that a kernel writes.
fn gradients_of(
    shape: &ConvShape,
    want_x: bool,
    backward: impl FnOnce(ConvGradients<f32>) -> Result<(), KernelError>,
) -> [Option<FlexTensor>; 3] {
    let channels = shape.output()[2];
    let mut dx = want_x.then(|| buffer(shape.input_len()));
    let (mut dw, mut db) = (buffer(shape.weight_len()), buffer(channels));
    checked(backward(ConvGradients {
        dx: dx.as_deref_mut(),
        dw: &mut dw,
        db: Some(&mut db),
    }));
    let [height, width, in_channels] = shape.input();
    [
        dx.map(|dx| flex(dx, &[shape.images(), height, width, in_channels])),
        Some(flex(dw, &shape.weight_shape())),
        Some(flex(db, &[channels])),
    ]
}

/// `max_pool(relu(x ∗ w + b))` with windows `pool`.
pub(crate) fn conv_relu_pool(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    filter: layers::Filter,
    pool: layers::Window,
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
    let mut y = buffer(dims.iter().product());
    let mut places = WORKSPACE.take(y.len());
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
    inputs.output(flex(y, &dims), |[x, weight, _], _| ConvReluPool {
        shape,
        pool,
        x,
        weight,
        places,
    })
}

#[derive(Debug, Clone)]
struct ConvReluPool {
    shape: ConvShape,
    pool: PoolShape,
    x: FlexTensor,
    weight: FlexTensor,
    places: Scratch<'static, u8>,
}

impl Operation<3> for ConvReluPool {
    fn gradients(self, dy: &[f32], wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let (x, weight) = (values(&self.x), values(&self.weight));
        let (shape, pool, places) = (&self.shape, &self.pool, &self.places);
        gradients_of(shape, wanted[0], |gradients| {
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
    let [rows, columns, channels] = shape.output();
    let dims = [shape.images(), rows, columns, channels];
    let NormArguments { scale, shift, by } = norm;
    let ghost = match by {
        NormBy::Ghost(ghost) => ghost,
        NormBy::Running { mean, variance } => {
            let [x, weight] = Arguments::new([x.into_dispatch(), weight.into_dispatch()]).values;
            let mut convolved = buffer(shape.output_len());
            checked(conv_forward(
                &WORKSPACE,
                &shape,
                values(&x),
                values(&weight),
                None,
                false,
                &mut convolved,
            ));
            let convolved = Tensor::from_primitive::<Flex>(flex(convolved, &dims));
            return (
                norm_inference(
                    convolved,
                    residual,
                    rectifier,
                    [scale, shift, mean, variance],
                ),
                None,
            );
        }
    };
    let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
    let inputs = [x.into_dispatch(), weight.into_dispatch(), scale, shift];
    let mut y = buffer(shape.output_len());
    let mut convolved = buffer(shape.output_len());
    let mut statistics = Statistics::new(shape.images(), ghost, channels, rows * columns);
    let mut forward = |x: &FlexTensor,
                       weight: &FlexTensor,
                       scale: &FlexTensor,
                       shift: &FlexTensor,
                       residual: Option<&FlexTensor>| {
        let parameters = NormParameters {
            gamma: values(scale),
            beta: values(shift),
            epsilon: EPSILON,
        };
        let moments = NormStatistics {
            mean: &mut statistics.mean,
            variance: &mut statistics.variance,
        };
        let (x, weight, residual) = (values(x), values(weight), residual.map(values));
        checked(conv_batch_norm_forward(
            &WORKSPACE,
            &shape,
            ghost,
            x,
            weight,
            parameters,
            residual,
            rectifier,
            &mut convolved,
            &mut y,
            moments,
        ));
    };
    let y = match residual {
        None => {
            let inputs = Arguments::new(inputs);
            let [x, weight, scale, shift] = &inputs.values;
            forward(x, weight, scale, shift, None);
            inputs.output(flex(y, &dims), |[x, weight, scale, shift], y| ConvNorm {
                shape,
                ghost,
                inputs: [x, weight, scale, shift],
                convolved: flex(convolved, &dims),
                statistics: statistics.clone(),
                rectifier,
                rectified: (rectifier != Rectifier::None).then(|| y.clone()),
            })
        }
        Some(residual) => {
            let [x, weight, scale, shift] = inputs;
            let inputs = Arguments::new([x, weight, scale, shift, residual.into_dispatch()]);
            let [x, weight, scale, shift, residual] = &inputs.values;
            forward(x, weight, scale, shift, Some(residual));
            inputs.output(flex(y, &dims), |[x, weight, scale, shift, _], y| ConvNorm {
                shape,
                ghost,
                inputs: [x, weight, scale, shift],
                convolved: flex(convolved, &dims),
                statistics: statistics.clone(),
                rectifier,
                rectified: (rectifier != Rectifier::None).then(|| y.clone()),
            })
        }
    };
    (y, Some(statistics.groups()))
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
    /// Gradients of image, kernel, scale and shift, and of the residual.
    fn backward(
        self,
        dy: &[f32],
        want_x: bool,
        want_residual: bool,
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
        let mut dw = buffer(shape.weight_len());
        let (mut dscale, mut dshift) = (buffer(channels), buffer(channels));
        let gradients = ConvNormGradients {
            dx: dx.as_deref_mut(),
            dw: &mut dw,
            dgamma: &mut dscale,
            dbeta: &mut dshift,
            dresidual: dresidual.as_deref_mut(),
        };
        let parameters = NormParameters {
            gamma: scale,
            beta: shift,
            epsilon: EPSILON,
        };
        let (mean, variance) = (&statistics.mean, &statistics.variance);
        let (convolved, output) = (values(&convolved), rectified.as_ref().map(values));
        let rectified = output.map_or(None.into(), |y| Rectified::new(rectifier, y));
        checked(conv_batch_norm_backward(
            &WORKSPACE, &shape, ghost, x, weight, parameters, convolved, mean, variance, dy,
            rectified, gradients,
        ));
        let images = shape.images();
        let of_inputs = [
            dx.map(|dx| flex(dx, &[images, height, width, in_channels])),
            Some(flex(dw, &shape.weight_shape())),
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
    fn gradients(self, dy: &[f32], [x, ..]: [bool; 4]) -> [Option<FlexTensor>; 4] {
        self.backward(dy, x, false).0
    }
}

impl Operation<5> for ConvNorm {
    fn gradients(self, dy: &[f32], [x, .., residual]: [bool; 5]) -> [Option<FlexTensor>; 5] {
        let ([dx, dw, dscale, dshift], dresidual) = self.backward(dy, x, residual);
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
