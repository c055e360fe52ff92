use batchscope_core::StreamKey;
use burn_tensor::{Device, Tensor};
use rand_chacha::ChaCha8Rng;

use crate::{
    examples::{AffineNorms, ExampleNorms, TensorNorms, TiedNorms},
    layers::{NormId, NormState},
    parameters::{Leaves, ParameterId, Parameters},
    storage::Storage,
    streams::{StateId, Streams},
};

/// One forward computation of a network over a micro-batch: lends parameters to the layers and
/// takes what they leave behind besides their output (statistics, hidden states).
pub struct Pass<'a> {
    parameters: &'a Parameters,
    norms: &'a mut [NormState],
    streams: &'a mut Streams,
    device: &'a Device,
    kernels: bool,
    /// Leaves of the autodiff graph; `None` in evaluation.
    leaves: Option<Leaves>,
    /// The graph begins at the inputs: parameters are constants of it.
    of_inputs: bool,
    /// Where layers leave the squared norms of the examples' gradients; `None` where nobody asks.
    examples: Option<ExampleNorms>,
    /// Examples per group of batch norm; `None` normalizes by the running statistics.
    ghost: Option<usize>,
    /// Key of the dropout masks and position of the first example in the run.
    noise: Option<(StreamKey, u64)>,
    /// One stream per example, made when first used: layers draw from them in the model's order.
    noise_streams: Vec<ChaCha8Rng>,
    /// New hidden states, written back when the pass is over.
    hidden: Vec<(StateId, Tensor<2>)>,
    /// Position of the first example's text stream.
    first: usize,
    /// Number of examples.
    len: usize,
}

/// What a [`Pass`] works on.
pub(crate) struct PassContext<'a> {
    /// The parameters.
    pub parameters: &'a Parameters,
    /// Running statistics of the batch-norm layers.
    pub norms: &'a mut [NormState],
    /// Hidden states.
    pub streams: &'a mut Streams,
    /// The device of all of them.
    pub device: &'a Device,
    /// Compute with the CPU kernels.
    pub kernels: bool,
    /// Position of the first example within the step.
    pub first: usize,
    /// Number of examples.
    pub len: usize,
}

impl<'a> Pass<'a> {
    /// A pass in training mode: parameters are tracked, batch norm uses batch statistics over
    /// groups of `ghost` examples, dropout draws from `noise` (none without it).
    pub(crate) fn train(
        context: PassContext<'a>,
        ghost: usize,
        noise: Option<(StreamKey, u64)>,
    ) -> Self {
        Self {
            noise,
            ..Self::of_objective(context, true, Some(ghost))
        }
    }

    /// A pass whose parameters are not tracked, for gradients of the inputs alone; otherwise as [`Pass::train`], or with the
    /// running statistics where there is no `ghost`.
    pub(crate) fn of_inputs(
        context: PassContext<'a>,
        ghost: Option<usize>,
        noise: Option<(StreamKey, u64)>,
    ) -> Self {
        Self {
            noise,
            of_inputs: true,
            ..Self::of_objective(context, false, ghost)
        }
    }

    /// A pass without noise, of tracked parameters or not, in either mode of batch norm.
    pub(crate) fn of_objective(
        context: PassContext<'a>,
        tracked: bool,
        ghost: Option<usize>,
    ) -> Self {
        Self {
            leaves: tracked.then(|| Leaves::new(context.parameters)),
            ghost,
            ..Self::evaluate(context)
        }
    }

    /// The same pass, its layers leaving the squared norms of the examples' gradients there.
    pub(crate) fn measuring(self, examples: Option<ExampleNorms>) -> Self {
        Self { examples, ..self }
    }

    /// A pass in evaluation mode.
    pub(crate) fn evaluate(context: PassContext<'a>) -> Self {
        let PassContext {
            parameters,
            norms,
            streams,
            device,
            kernels,
            first,
            len,
        } = context;
        Self {
            parameters,
            norms,
            streams,
            device,
            kernels,
            leaves: None,
            of_inputs: false,
            examples: None,
            ghost: None,
            noise: None,
            noise_streams: Vec::new(),
            hidden: Vec::new(),
            first,
            len,
        }
    }

    /// A parameter; `D` is its rank.
    pub fn parameter<const D: usize>(&mut self, id: ParameterId) -> Tensor<D> {
        match &mut self.leaves {
            Some(leaves) => leaves.get(self.parameters, id),
            None if self.of_inputs => self.parameters.tensor(id).autodiff(),
            None => self.parameters.tensor(id),
        }
    }

    /// The device of the pass.
    pub(crate) fn device(&self) -> &Device {
        self.device
    }

    /// The type of the numbers it computes with.
    pub(crate) fn dtype(&self) -> burn_std::DType {
        self.parameters.precision().dtype()
    }

    /// True where layers compute with the CPU kernels rather than burn's operations.
    pub fn kernels(&self) -> bool {
        self.kernels
    }

    /// Where to leave the squared norms of the examples' gradients of a tensor, if they are asked
    /// for.
    pub(crate) fn tensor_norms(&self, tensor: ParameterId) -> Option<TensorNorms> {
        let sums = self.examples.clone()?;
        Some(TensorNorms { sums, tensor })
    }

    /// Where both uses of a table that also scores leave what they share, for the look-up of these
    /// tokens.
    pub(crate) fn tied_norms(&self, tokens: &[u32]) -> Option<TiedNorms> {
        self.examples.as_ref().map(|_| TiedNorms::new(tokens))
    }

    /// The same of weights and a bias.
    pub(crate) fn affine_norms(
        &self,
        weight: ParameterId,
        bias: Option<ParameterId>,
    ) -> Option<AffineNorms> {
        let sums = self.examples.clone()?;
        Some(AffineNorms { sums, weight, bias })
    }

    /// Examples per group of batch norm, in training; `None` in evaluation.
    pub(crate) fn ghost(&self) -> Option<usize> {
        self.ghost
    }

    /// The running statistics of a batch-norm layer.
    pub(crate) fn norm(&mut self, id: NormId) -> &mut NormState {
        &mut self.norms[id.0]
    }

    /// The noise streams of the micro-batch's examples, one each; `None` without dropout.
    pub(crate) fn noise(&mut self) -> Option<&mut [ChaCha8Rng]> {
        let (key, first_draw) = self.noise?;
        if self.noise_streams.is_empty() {
            self.noise_streams = (0..self.len as u64)
                .map(|i| key.stream(first_draw + i))
                .collect();
        }
        Some(&mut self.noise_streams)
    }

    /// A hidden state where the examples' text streams left off, `[examples, width]`.
    pub(crate) fn state(&self, id: StateId) -> Tensor<2> {
        let values = self.streams.read(id, self.first, self.len).to_vec();
        let shape = [self.len, self.streams.width(id)];
        let state: Tensor<2> = Storage::from_host(values, &shape, self.device).tensor();
        state.cast(self.dtype())
    }

    /// Leaves a hidden state for the streams' next window, cut off from the graph.
    pub(crate) fn set_state(&mut self, id: StateId, state: Tensor<2>) {
        self.hidden.push((id, state.inner()));
    }

    /// Ends the pass: writes the hidden states back and returns the leaves.
    pub(crate) fn finish(self) -> Result<Option<Leaves>, batchscope_core::NetworkError> {
        for (id, state) in self.hidden {
            self.streams
                .write(id, self.first, &crate::storage::to_host(state)?);
        }
        Ok(self.leaves)
    }
}
