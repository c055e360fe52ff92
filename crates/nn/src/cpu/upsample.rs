use batchscope_kernels::{UpsampleShape, upsample_backward, upsample_forward};
use burn_flex::FlexTensor;
use burn_tensor::Tensor;

use super::{Arguments, Operation, WORKSPACE, buffer, checked, flex, values};
use crate::precision::{Number, in_precision};

/// Bilinear interpolation of channels-last images by `factor`, cut to `out` rows and columns.
pub(crate) fn upsample(x: Tensor<4>, factor: usize, out: [usize; 2]) -> Tensor<4> {
    let input = x.dims();
    let [n, height, width, channels] = input;
    let image = [height, width, channels];
    let shape = checked(UpsampleShape::new(n, image, factor, out));
    let inputs = Arguments::new([x.into_dispatch()]);
    let y = in_precision!(inputs.dtype(), T => {
        let mut y = buffer::<T>(shape.output_len());
        let x = values(&inputs.values[0]);
        checked(upsample_forward(&WORKSPACE, &shape, x, &mut y));
        flex(y, &[n, out[0], out[1], channels])
    });
    inputs.output(y, |_, _| Upsample { shape, input })
}

#[derive(Debug, Clone)]
struct Upsample {
    shape: UpsampleShape,
    input: [usize; 4],
}

impl Operation<1> for Upsample {
    fn gradients<T: Number>(self, dy: &[T], _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let mut dx = buffer(self.shape.input_len());
        checked(upsample_backward(&WORKSPACE, &self.shape, dy, &mut dx));
        [Some(flex(dx, &self.input))]
    }
}
