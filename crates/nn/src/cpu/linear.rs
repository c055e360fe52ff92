use batchscope_kernels::{
    LinearGradients, LinearShape, linear_backward, linear_example_norms, linear_forward,
    pick_tied_scores, tied_pairs,
};
use burn_flex::FlexTensor;
use burn_tensor::Tensor;

use super::{Arguments, Operation, WORKSPACE, buffer, checked, flex, values};
use crate::examples::{AffineNorms, TiedNorms, TiedScores};
use crate::precision::{Number, in_precision};

/// `x·W + b` of `[rows, inputs]`, rectified if `relu`, with `W` `[inputs, outputs]`. On the way back
/// the squared norms of what each example adds to the gradients go to `norms`, where the rows of all
/// examples at one place come before those at the next.
pub(crate) fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    relu: bool,
    norms: Option<AffineNorms>,
) -> Tensor<2> {
    let [rows, inputs] = x.dims();
    let [_, outputs] = weight.dims();
    let shape = checked(LinearShape::new(rows, inputs, outputs));
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    match bias {
        Some(bias) => run(
            Arguments::new([x, weight, bias.into_dispatch()]),
            shape,
            relu,
            Norms { norms, tied: None },
        ),
        None => run(
            Arguments::new([x, weight]),
            shape,
            relu,
            Norms { norms, tied: None },
        ),
    }
}

/// `x·Wᵀ + b` of `[rows, inputs]`, with `W` `[outputs, inputs]`; `norms` as for [`linear`], and to
/// `tied` what the other use of `W` needs.
pub(crate) fn linear_turned(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    norms: Option<AffineNorms>,
    tied: Option<TiedNorms>,
) -> Tensor<2> {
    let [rows, inputs] = x.dims();
    let [outputs, _] = weight.dims();
    let shape = checked(LinearShape::new(rows, inputs, outputs)).with_turned_weights();
    let tensors = [
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ];
    run(Arguments::new(tensors), shape, false, Norms { norms, tied })
}

/// Input, weights and, where `N` is 3, bias.
fn run<const N: usize>(
    arguments: Arguments<N>,
    shape: LinearShape,
    relu: bool,
    norms: Norms,
) -> Tensor<2> {
    let size = [shape.rows(), shape.outputs()];
    let y = in_precision!(arguments.dtype(), T => {
        let inputs = arguments.values.each_ref().map(values::<T>);
        let mut y = buffer(size[0] * size[1]);
        let bias = inputs.get(2).copied();
        checked(linear_forward(
            &WORKSPACE, shape, inputs[0], inputs[1], bias, relu, &mut y,
        ));
        flex(y, &size)
    });
    arguments.output(y, |inputs, y| Linear {
        shape,
        x: inputs[0].clone(),
        weight: inputs[1].clone(),
        rectified: relu.then(|| y.clone()),
        norms,
    })
}

/// Where what each example adds to the gradients goes.
#[derive(Debug, Clone)]
struct Norms {
    norms: Option<AffineNorms>,
    tied: Option<TiedNorms>,
}

#[derive(Debug, Clone)]
struct Linear {
    shape: LinearShape,
    x: FlexTensor,
    weight: FlexTensor,
    /// The output, where it is rectified.
    rectified: Option<FlexTensor>,
    norms: Norms,
}

impl Linear {
    /// Notes what each example adds to the gradients, if that is wanted.
    fn measure<T: Number>(&self, dy: &[T]) {
        let Some(norms) = &self.norms.norms else {
            return;
        };
        norms.add(checked(linear_example_norms(
            &WORKSPACE,
            self.shape,
            norms.sums.examples(),
            values(&self.x),
            self.rectified.as_ref().map(values),
            dy,
        )));
        if let Some(tied) = &self.norms.tied {
            let (tokens, examples) = (&tied.tokens, norms.sums.examples());
            let len = checked(tied_pairs(self.shape, examples, tokens));
            let mut picked = buffer(len);
            checked(pick_tied_scores(
                self.shape,
                examples,
                tokens,
                dy,
                &mut picked,
            ));
            tied.leave(TiedScores {
                x: self.x.clone(),
                picked: flex(picked, &[len]),
            });
        }
    }
}

impl<const N: usize> Operation<N> for Linear {
    fn gradients<T: Number>(self, dy: &[T], wanted: [bool; N]) -> [Option<FlexTensor>; N] {
        self.measure(dy);
        let Self {
            shape,
            x,
            weight,
            rectified,
            norms: _,
        } = self;
        let (inputs, outputs) = (shape.inputs(), shape.outputs());
        let size = weight.layout().shape().to_vec();
        let mut dx = wanted[0].then(|| buffer(shape.rows() * inputs));
        let mut dw = wanted[1].then(|| buffer(inputs * outputs));
        let mut db = (N == 3 && wanted[N - 1]).then(|| buffer(outputs));
        checked(linear_backward(
            &WORKSPACE,
            shape,
            values(&x),
            values(&weight),
            rectified.as_ref().map(values),
            dy,
            LinearGradients {
                dx: dx.as_deref_mut(),
                dw: dw.as_deref_mut(),
                db: db.as_deref_mut(),
            },
        ));
        let mut gradients = [
            dx.map(|dx| flex(dx, &[shape.rows(), inputs])),
            dw.map(|dw| flex(dw, &size)),
            db.map(|db| flex(db, &[outputs])),
        ]
        .into_iter();
        std::array::from_fn(|_| gradients.next().flatten())
    }
}
