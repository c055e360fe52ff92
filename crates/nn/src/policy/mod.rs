//! The policy network of B. Shacklett et al., "Large Batch Simulation for Deep Reinforcement
//! Learning" (ICLR 2021, arXiv 2103.07013): the agent sees a depth image
//! and where its goal lies, and chooses an action.
//!
//! ```text
//! depth [64, 64] ─ space to depth(4) ─ 1×1 conv, relu ─ 4 × Fixup block with squeeze-and-excitation
//!     ─ 3×3 conv, relu ─ linear, relu ─┐
//! goal [3] ──────────── linear (32) ───┼─ LSTM layers ─┬─ actor: logits of the actions
//! previous action ── embedding (32) ───┘               └─ critic: value
//! ```
//!
//! At width `w` the blocks have `w`, `2w`, `4w` and `8w` channels and strides 1, 2, 2 and 2
//! (a nine-layer SE-ResNet), and the last convolution `4w` channels. As the paper's text says there
//! is no normalization anywhere: Fixup initialization stands for it. (The released code normalizes
//! the visual encoding by layer norm and adds ten channels of discretized depth; neither is here.)
//! Convolutions with a bias, linear layers and LSTMs start as PyTorch's do, the heads small.

mod input;
mod model;
mod spec;
#[cfg(test)]
mod tests;

pub use input::{Answers, Observations, Windows};
pub use spec::PolicySpec;

use batchscope_core::{NetworkError, ParameterLayout, ParameterVisitor, StateTensor, StreamKey};
use burn_tensor::{Device, Tensor, TensorData};

use crate::{
    builder::Builder,
    cpu,
    device::DeviceSpec,
    factory::MAX_PARAMETERS,
    parameters::Parameters,
    pass::{Pass, PassContext},
    state,
    storage::to_host,
    streams::Streams,
};
use model::{Outputs, Policy};

/// Numbers that describe the goal.
const GOAL: usize = 3;

/// A recurrent policy with its value function, in training or at work. A step of training is:
/// [`PolicyNetwork::begin_step`], [`PolicyNetwork::accumulate`] for each micro-batch of streams,
/// [`PolicyNetwork::visit`] to update the parameters.
pub struct PolicyNetwork {
    spec: PolicySpec,
    policy: Policy,
    device: Device,
    /// Compute with the CPU kernels rather than burn's operations.
    kernels: bool,
    parameters: Parameters,
    /// The states are the caller's: none are kept here.
    streams: Streams,
}

impl PolicyNetwork {
    /// A network with initial weights drawn from the key.
    ///
    /// # Errors
    /// [`NetworkError::Unfit`] where a size is outside its range, [`NetworkError::Device`] where
    /// the device cannot be used.
    pub fn new(spec: PolicySpec, key: StreamKey, device: DeviceSpec) -> Result<Self, NetworkError> {
        spec.check()?;
        let kernels = device == DeviceSpec::Cpu;
        let device = device.open();
        let device = device.map_err(|error| NetworkError::Device(error.to_string()))?;
        // Measure first: a network too large is refused before any weight is drawn.
        let mut measuring = Builder::measuring(kernels);
        Policy::new(&mut measuring, spec);
        if measuring.layout().parameters() > MAX_PARAMETERS {
            return Err(spec.unfit(format!(
                "it would have more than {MAX_PARAMETERS} parameters: choose smaller widths"
            )));
        }
        let mut builder = Builder::new(key, kernels);
        let policy = Policy::new(&mut builder, spec);
        let built = builder.finish(&device);
        Ok(Self {
            spec,
            policy,
            kernels,
            parameters: built.parameters,
            streams: built.streams,
            device,
        })
    }

    /// The sizes.
    pub fn spec(&self) -> PolicySpec {
        self.spec
    }

    /// The table of parameter tensors, in the order of [`PolicyNetwork::visit`].
    pub fn layout(&self) -> &ParameterLayout {
        self.parameters.layout()
    }

    /// Numbers of a stream's state: hidden and cell state of each recurrent layer.
    pub fn state_width(&self) -> usize {
        self.spec.state_width()
    }

    /// One step of as many streams as there are rows, without what a gradient would need. `state`,
    /// `[rows, state_width]`, moves on; where `fresh`, `[rows]`, an episode begins and the state
    /// counts as zero.
    ///
    /// # Errors
    /// [`NetworkError::Unfit`] where a length or an action does not fit; the state stays.
    pub fn act(
        &mut self,
        observations: &Observations,
        fresh: &[bool],
        state: &mut [f32],
    ) -> Result<Answers, NetworkError> {
        let windows = Windows {
            steps: 1,
            streams: observations.previous.len(),
            observations: *observations,
            fresh,
            state,
        };
        self.spec.check_windows(&windows)?;
        let (policy, context) = self.context(windows.streams);
        let mut pass = Pass::evaluate(context);
        let outputs = policy.forward(&windows, &mut pass);
        let answers = answers(&outputs)?;
        policy.write_state(outputs.state, state)?;
        Ok(answers)
    }

    /// Zeroes the gradient window.
    pub fn begin_step(&mut self) {
        self.parameters.clear_gradients();
    }

    /// Passes through the windows, forward and back, and adds to the gradient window. `loss` reads
    /// the answers to all rows and writes its gradient with respect to them over the zeros it is
    /// given. States before the windows are constants (truncated back-propagation). The squared norm
    /// of what this call adds to the gradient of each tensor is added to `squared_norms`, one for
    /// each tensor of the layout.
    ///
    /// # Errors
    /// [`NetworkError::Unfit`] where a length or an action does not fit: nothing has been added
    /// then.
    pub fn accumulate(
        &mut self,
        windows: &Windows,
        loss: &mut dyn FnMut(&Answers, &mut Answers),
        squared_norms: Option<&mut [f64]>,
    ) -> Result<(), NetworkError> {
        let spec = self.spec;
        spec.check_windows(windows)?;
        let tensors = self.layout().tensors.len();
        if let Some(norms) = squared_norms
            .as_ref()
            .filter(|norms| norms.len() != tensors)
        {
            let found = norms.len();
            return Err(spec.unfit(format!(
                "there is room for {found} squared norms of {tensors} tensors"
            )));
        }
        let (policy, context) = self.context(windows.streams);
        let mut pass = Pass::of_objective(context, true, None);
        let Outputs { logits, values, .. } = {
            let outputs = policy.forward(windows, &mut pass);
            let answers = answers(&outputs)?;
            let rows = answers.values.len();
            let mut gradient = Answers::zeros(rows, spec.actions);
            loss(&answers, &mut gradient);
            spec.check_gradient(&gradient, rows)?;
            outputs.weighted(gradient)
        };
        let gradients = (logits.sum() + values.sum()).backward();
        if let Some(leaves) = pass.finish()? {
            self.parameters
                .add_gradients(&leaves, gradients, squared_norms)?;
        }
        Ok(())
    }

    /// Calls the visitor with each tensor's values and gradient, which it may change.
    ///
    /// # Errors
    /// When the device fails.
    pub fn visit(&mut self, visitor: &mut ParameterVisitor<'_>) -> Result<(), NetworkError> {
        self.parameters.visit(visitor)
    }

    /// The parameters under their names.
    ///
    /// # Errors
    /// When the device fails.
    pub fn export(&self) -> Result<Vec<StateTensor>, NetworkError> {
        state::export(&self.parameters, &[], &self.streams)
    }

    /// Takes over a state made by [`PolicyNetwork::export`] of a network of the same sizes.
    ///
    /// # Errors
    /// [`NetworkError::State`] naming the tensor that is missing, unknown or of another shape.
    pub fn import(&mut self, state: &[StateTensor]) -> Result<(), NetworkError> {
        let Self {
            parameters,
            streams,
            device,
            ..
        } = self;
        state::import(state, parameters, &mut [], streams, device)
    }

    /// The layers, and what a pass over so many streams works on.
    fn context(&mut self, streams: usize) -> (&Policy, PassContext<'_>) {
        let context = PassContext {
            parameters: &self.parameters,
            norms: &mut [],
            streams: &mut self.streams,
            device: &self.device,
            kernels: self.kernels,
            first: 0,
            len: streams,
        };
        (&self.policy, context)
    }
}

impl Outputs {
    /// Logits and values times the gradient of a loss with respect to them: the sum of all is a
    /// scalar of the same gradient.
    fn weighted(self, gradient: Answers) -> Self {
        let times = |outputs: Tensor<2>, factors: Vec<f32>| {
            let options = (&outputs.device().without_autodiff(), outputs.dtype());
            let factors = TensorData::new(factors, outputs.dims());
            outputs * Tensor::from_data(factors, options)
        };
        Self {
            logits: times(self.logits, gradient.logits),
            values: times(self.values, gradient.values),
            state: self.state,
        }
    }
}

/// The outputs on the host.
fn answers(outputs: &Outputs) -> Result<Answers, NetworkError> {
    let [logits, values] = [&outputs.logits, &outputs.values].map(|outputs| {
        let outputs = outputs.clone();
        let plain = if outputs.is_autodiff() {
            outputs.inner()
        } else {
            outputs
        };
        to_host(plain)
    });
    Ok(Answers {
        logits: logits?,
        values: values?,
    })
}

/// A run has ended: its memory is for whoever comes next, of another size perhaps.
impl Drop for PolicyNetwork {
    fn drop(&mut self) {
        cpu::release_memory();
    }
}
