use std::sync::Arc;

use batchscope_kernels::{
    LstmGradients, LstmShape, lstm_backward, lstm_example_norms, lstm_forward,
};
use burn_flex::{Flex, FlexTensor};
use burn_tensor::Tensor;

use super::{Arguments, Operation, WORKSPACE, buffer, checked, copied, flex, values};
use crate::examples::TensorNorms;
use crate::precision::{Number, in_precision};

/// All steps of an LSTM: see [`crate::layers`]' composed form, which this equals. On the way back the
/// squared norms of what each stream adds to the recurrent weights' gradient go to `norms`, which
/// takes streams that do not begin anew: `fresh` is `None` then.
pub(crate) fn lstm(
    gates: Tensor<2>,
    recurrent: Tensor<2>,
    hidden: Tensor<2>,
    cell: Tensor<2>,
    fresh: Option<&[bool]>,
    norms: Option<TensorNorms>,
) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
    let [rows, _] = gates.dims();
    let [streams, width] = hidden.dims();
    assert!(fresh.is_none() || norms.is_none());
    let shape = checked(LstmShape::new(rows / streams, streams, width));
    let inputs = Arguments::new([gates.into_dispatch(), recurrent.into_dispatch()]);
    let first = Arguments::new([hidden.into_dispatch(), cell.into_dispatch()]).values;
    let ([outputs, cells, gates], last) = in_precision!(inputs.dtype(), T => {
        let mut gates = copied(values::<T>(&inputs.values[0]));
        let mut cells = buffer(rows * width);
        let mut outputs = buffer(rows * width);
        let [first_hidden, first_cell] = first.each_ref().map(values);
        checked(lstm_forward(
            &WORKSPACE,
            shape,
            &mut gates,
            values(&inputs.values[1]),
            first_hidden,
            first_cell,
            fresh,
            &mut cells,
            &mut outputs,
        ));
        let last = [&outputs, &cells].map(|states| {
            let state = copied(&states[(rows - streams) * width..]);
            Tensor::from_primitive::<Flex>(flex(state, &[streams, width]))
        });
        let [outputs, cells] = [outputs, cells].map(|states| flex(states, &[rows, width]));
        ([outputs, cells, flex(gates, &[rows, 4 * width])], last)
    });
    let outputs = inputs.output(outputs, |[_, recurrent], hidden| Lstm {
        shape,
        width,
        first,
        fresh: fresh.map(Arc::from),
        gates,
        cells,
        hidden: hidden.clone(),
        recurrent,
        norms,
    });
    let [hidden, cell] = last;
    (outputs, hidden, cell)
}

#[derive(Debug, Clone)]
struct Lstm {
    shape: LstmShape,
    width: usize,
    /// Hidden and cell state before the first step.
    first: [FlexTensor; 2],
    /// Rows before which a state counts as zero.
    fresh: Option<Arc<[bool]>>,
    /// Activations of the gates, cell states and hidden states of every step.
    gates: FlexTensor,
    cells: FlexTensor,
    hidden: FlexTensor,
    recurrent: FlexTensor,
    norms: Option<TensorNorms>,
}

impl Operation<2> for Lstm {
    fn gradients<T: Number>(self, dy: &[T], _: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let gates = values::<T>(&self.gates);
        let mut dgates = buffer(gates.len());
        let mut drecurrent = buffer(4 * self.width * self.width);
        let [first_hidden, first_cell] = self.first.each_ref().map(values);
        checked(lstm_backward(
            &WORKSPACE,
            self.shape,
            gates,
            values(&self.recurrent),
            first_hidden,
            first_cell,
            self.fresh.as_deref(),
            values(&self.cells),
            values(&self.hidden),
            dy,
            LstmGradients {
                dgates: &mut dgates,
                drecurrent: &mut drecurrent,
            },
        ));
        if let Some(norms) = &self.norms {
            let hidden = values(&self.hidden);
            norms.add(checked(lstm_example_norms(
                &WORKSPACE,
                self.shape,
                first_hidden,
                hidden,
                &dgates,
            )));
        }
        let rows = gates.len() / (4 * self.width);
        [
            Some(flex(dgates, &[rows, 4 * self.width])),
            Some(flex(drecurrent, &[self.width, 4 * self.width])),
        ]
    }
}
