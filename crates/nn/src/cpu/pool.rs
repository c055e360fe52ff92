use batchscope_kernels::{
    PoolShape, Scratch, global_average_pool_backward, global_average_pool_forward,
    max_pool_backward, max_pool_forward,
};
use burn_flex::FlexTensor;
use burn_tensor::Tensor;

use super::{Arguments, Operation, WORKSPACE, buffer, checked, conv::pool_shape, flex, values};
use crate::{
    layers,
    precision::{Number, in_precision},
};

/// Maximum over each window of channels-last images.
pub(crate) fn max_pool(x: Tensor<4>, window: layers::Window) -> Tensor<4> {
    let input = x.dims();
    let [n, height, width, channels] = input;
    let pool = checked(pool_shape(window));
    let [rows, columns] = checked(pool.output(height, width));
    let inputs = Arguments::new([x.into_dispatch()]);
    let dims = [n, rows, columns, channels];
    let len = dims.iter().product();
    let mut places = WORKSPACE.take(len);
    let image = [height, width, channels];
    let y = in_precision!(inputs.dtype(), T => {
        let mut y = buffer::<T>(len);
        checked(max_pool_forward(
            &WORKSPACE,
            &pool,
            n,
            image,
            values(&inputs.values[0]),
            &mut y,
            &mut places,
        ));
        flex(y, &dims)
    });
    inputs.output(y, |_, _| MaxPool {
        pool,
        input,
        places,
    })
}

#[derive(Debug, Clone)]
struct MaxPool {
    pool: PoolShape,
    input: [usize; 4],
    places: Scratch<'static, u8>,
}

impl Operation<1> for MaxPool {
    fn gradients<T: Number>(self, dy: &[T], _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let [n, height, width, channels] = self.input;
        let mut dx = buffer(self.input.iter().product());
        let image = [height, width, channels];
        checked(max_pool_backward(
            &WORKSPACE,
            &self.pool,
            n,
            image,
            dy,
            &self.places,
            &mut dx,
        ));
        [Some(flex(dx, &self.input))]
    }
}

/// Mean over the pixels: `[n, height, width, channels]` to `[n, channels]`.
pub(crate) fn global_average_pool(x: Tensor<4>) -> Tensor<2> {
    let input = x.dims();
    let [n, height, width, channels] = input;
    let inputs = Arguments::new([x.into_dispatch()]);
    let y = in_precision!(inputs.dtype(), T => {
        let mut y = buffer::<T>(n * channels);
        checked(global_average_pool_forward(
            &WORKSPACE,
            n,
            height * width,
            channels,
            values(&inputs.values[0]),
            &mut y,
        ));
        flex(y, &[n, channels])
    });
    inputs.output(y, |_, _| AveragePool { input })
}

#[derive(Debug, Clone)]
struct AveragePool {
    input: [usize; 4],
}

impl Operation<1> for AveragePool {
    fn gradients<T: Number>(self, dy: &[T], _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let [n, height, width, channels] = self.input;
        let mut dx = buffer(self.input.iter().product());
        checked(global_average_pool_backward(
            &WORKSPACE,
            n,
            height * width,
            channels,
            dy,
            &mut dx,
        ));
        [Some(flex(dx, &self.input))]
    }
}
