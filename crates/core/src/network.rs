use serde::{Deserialize, Serialize};

use crate::{Batch, Confusion, DataShape, NormsOf};

/// The role of a parameter tensor, by which optimizers choose to decay or adapt it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterKind {
    /// Matrix of a linear or recurrent layer, `[inputs, outputs]`.
    Matrix,
    /// Convolution kernel, `[out, in, height, width]`.
    Kernel,
    /// Embedding table, `[vocabulary, width]`.
    Embedding,
    /// Bias of any layer.
    Bias,
    /// Scale of a normalization.
    NormScale,
    /// Shift of a normalization.
    NormShift,
}

/// One tensor of the parameter vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterTensor {
    /// Dotted path, as in checkpoints: `conv1.weight`.
    pub name: String,
    /// Canonical shape, the same on every device.
    pub shape: Vec<usize>,
    /// Its role.
    pub kind: ParameterKind,
}

impl ParameterTensor {
    /// Number of scalars.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True for a tensor without scalars.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The table of layers: the tensors of a parameter vector, in their fixed order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ParameterLayout {
    /// The tensors.
    pub tensors: Vec<ParameterTensor>,
}

impl ParameterLayout {
    /// The tensor of weights that makes the network's outputs: a matrix or kernel of the layer whose tensors stand last
    /// (`output.weight` before `output.bias`). `None` where that layer has none, as with an embedding used twice.
    pub fn head(&self) -> Option<usize> {
        fn layer(tensor: &ParameterTensor) -> Option<&str> {
            tensor.name.rsplit_once('.').map(|(layer, _)| layer)
        }
        let is_weights =
            |kind: ParameterKind| matches!(kind, ParameterKind::Matrix | ParameterKind::Kernel);
        let last = self.tensors.last()?;
        let same = |t: &&ParameterTensor| {
            std::ptr::eq(*t, last) || layer(t).is_some() && layer(t) == layer(last)
        };
        let of_layer = self.tensors.iter().rev().take_while(same);
        let position = of_layer
            .into_iter()
            .position(|tensor| is_weights(tensor.kind))?;
        Some(self.tensors.len() - 1 - position)
    }

    /// Number of scalars in all.
    pub fn parameters(&self) -> usize {
        self.tensors.iter().map(ParameterTensor::len).sum()
    }
}

/// A named tensor of a network's complete state.
#[derive(Debug, Clone, PartialEq)]
pub struct StateTensor {
    /// Dotted path.
    pub name: String,
    /// Canonical shape.
    pub shape: Vec<usize>,
    /// Row-major values.
    pub values: Vec<f32>,
}

/// The training loss of a micro-batch.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LossSum {
    /// Sum of the example (token, pixel) losses, label smoothing included.
    pub loss: f64,
    /// Number of examples (tokens, labeled pixels) summed.
    pub weight: f64,
}

impl LossSum {
    /// The mean loss; 0 for a batch without labeled pixels.
    pub fn mean(&self) -> f64 {
        if self.weight == 0.0 {
            self.loss
        } else {
            self.loss / self.weight
        }
    }
}

/// Sums from which the metrics of a split are computed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricSums {
    /// Sum of example (token, pixel) losses, without label smoothing.
    pub loss: f64,
    /// Number of examples (tokens, pixels) classified wrongly; 0 for regression.
    pub errors: f64,
    /// Number of examples (tokens, labeled pixels).
    pub weight: f64,
    /// Labels and predictions of the pixels; for segmentation only.
    pub confusion: Option<Confusion>,
}

impl MetricSums {
    /// The sums as numbers, for another process: loss, errors, weight, and the counts of the confusion.
    pub fn numbers(&self) -> Vec<f64> {
        let counts = self.confusion.iter().flat_map(Confusion::counts);
        let sums = [self.loss, self.errors, self.weight];
        sums.into_iter().chain(counts.map(|&n| n as f64)).collect()
    }

    /// The sums of [`MetricSums::numbers`]; `None` where they are no such numbers.
    pub fn from_numbers(numbers: &[f64]) -> Option<Self> {
        let (&[loss, errors, weight], counts) = numbers.split_first_chunk()?;
        let counts: Vec<u64> = counts.iter().map(|&n| n as u64).collect();
        Some(Self {
            loss,
            errors,
            weight,
            confusion: match counts.is_empty() {
                true => None,
                false => Some(Confusion::from_counts(counts)?),
            },
        })
    }
}

impl std::ops::AddAssign for MetricSums {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.errors += other.errors;
        self.weight += other.weight;
        match (&mut self.confusion, other.confusion) {
            (Some(sum), Some(confusion)) => *sum += &confusion,
            (None, confusion) => self.confusion = confusion,
            (Some(_), None) => {}
        }
    }
}

/// The running statistics of batch norm that a pass of training is taken into.
///
/// C. Xie et al., "Adversarial Examples Improve Image Recognition" (arXiv 1911.09665), keep those of adversarial examples
/// apart, since they are of another distribution than the clean ones: *mixed batch norm*. Here scale and shift are the same
/// for both; theirs are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NormStatistics {
    /// Those that evaluation normalizes by.
    #[default]
    Main,
    /// Those of other examples, which evaluation never uses.
    Auxiliary,
}

/// How a network computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch norm by the statistics of ghost batches, with dropout and label smoothing.
    Training,
    /// Batch norm by the main running statistics, without dropout and label smoothing.
    Evaluation,
}

/// Why a network refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The model cannot take this data.
    #[error("model {model} cannot be trained on this data: {why}")]
    Unfit {
        /// The model's name.
        model: String,
        /// What does not fit, and what would.
        why: String,
    },
    /// A stored state does not belong to this network.
    #[error("the stored state does not fit the network: {0}")]
    State(String),
    /// A micro-batch that would change the network being studied.
    #[error(
        "micro-batch {micro_batch} is not a multiple of the batch-norm ghost size {ghost}: choose a multiple of {ghost}"
    )]
    GhostSize {
        /// What was asked for.
        micro_batch: u64,
        /// Size of the groups batch norm normalizes over.
        ghost: u64,
    },
    /// There is no gradient with respect to the inputs.
    #[error("the network gives no gradient with respect to its inputs: {0}")]
    NoInputGradient(String),
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
}

/// What [`Network::visit`] calls: `(tensor index, parameters, gradient)`.
pub type ParameterVisitor<'a> = dyn FnMut(usize, &mut [f32], &mut [f32]) + 'a;

/// A network in training: parameters, the gradient window of the current step, and whatever state
/// (running statistics, hidden states) goes with them. Tensors stay inside; slices come out.
///
/// One step is: [`Network::begin_step`], then [`Network::accumulate`] for each micro-batch, then
/// [`Network::visit`] to update the parameters, then [`Network::end_step`].
pub trait Network: Send {
    /// The table of parameter tensors, in the order of [`Network::visit`].
    fn layout(&self) -> &ParameterLayout;

    /// Size of the groups batch norm normalizes over at this batch size, if it has batch norm:
    /// the model's ghost size, or the batch size where that is smaller.
    fn ghost_size(&self, batch_size: u64) -> Option<u64>;

    /// Clears the gradient window for a step of `batch_size` examples.
    fn begin_step(&mut self, batch_size: u64);

    /// Takes batch norm's statistics of the coming [`Network::accumulate`]s into these running ones; a step begins with the
    /// main ones. Auxiliary ones begin at mean 0 and variance 1 when they are first asked for, and are part of
    /// [`Network::export`] from then on. Without batch norm nothing changes, which is the default.
    fn collect_statistics(&mut self, _of: NormStatistics) {}

    /// Adds `scale · ∇ Σ loss(example)` over the micro-batch to the gradient window and returns
    /// the (unscaled) loss sum. Micro-batches come in the order of their positions.
    ///
    /// # Errors
    /// When the batch does not fit the network or the device fails.
    fn accumulate(&mut self, batch: &Batch, scale: f32) -> Result<LossSum, NetworkError>;

    /// As [`Network::accumulate`], to the bit, and adds to `squared_norms[t]`, for every tensor `t`
    /// of the layout, the squared norm of what was added to its window: of the whole micro-batch, or
    /// the sum over what each of its examples added. No further pass is made for it.
    ///
    /// With batch norm over groups an example's gradient is not its own; a micro-batch's is where it
    /// is a multiple of [`Network::ghost_size`], which `accumulate` demands.
    ///
    /// # Errors
    /// As [`Network::accumulate`].
    ///
    /// # Panics
    /// When `squared_norms` is not as long as the layout, or examples are asked for where
    /// [`Network::measures_per_example_grad_norms`] is false.
    fn accumulate_measured(
        &mut self,
        batch: &Batch,
        scale: f32,
        of: NormsOf,
        squared_norms: &mut [f64],
    ) -> Result<LossSum, NetworkError>;

    /// True where [`Network::accumulate_measured`] can tell the examples apart, which it does
    /// without keeping their gradients. An example of a text is a window, the state its stream
    /// was in before it taken as given (truncated back-propagation).
    fn measures_per_example_grad_norms(&self) -> bool {
        false
    }

    /// Extra multiply-adds of these norms as a fraction of those of a plain forward and backward
    /// pass. It is near 0 where an example meets each weight once, and up to about 1/3 where the
    /// norms need the gradient of the weights once more, as in most convolutions.
    fn example_norms_cost(&self) -> f64 {
        0.0
    }

    /// Puts `∇_x Σ loss(example)` over the micro-batch, with respect to its input values, into
    /// `gradient`, in the order of the values, and returns the loss sum. In training the loss is that of
    /// [`Network::accumulate`]: batch norm by the statistics of its ghost batches, the same dropout
    /// masks. In evaluation it is that of [`Network::evaluate`]. Neither the gradient window nor any
    /// statistics take anything in.
    ///
    /// # Errors
    /// As [`Network::accumulate`]; [`NetworkError::NoInputGradient`] where the inputs are tokens, or
    /// the network does not offer it, which is the default.
    fn input_gradient(
        &mut self,
        _batch: &Batch,
        _mode: Mode,
        _gradient: &mut Vec<f32>,
    ) -> Result<LossSum, NetworkError> {
        Err(NetworkError::NoInputGradient(
            "choose another network".to_owned(),
        ))
    }

    /// Calls `visitor(tensor index, parameters, gradient)` for every tensor of the layout in
    /// order, with contiguous row-major slices in the canonical shape. Both may be changed in
    /// place; changes to the parameters persist.
    ///
    /// # Errors
    /// When the device fails.
    fn visit(&mut self, visitor: &mut ParameterVisitor<'_>) -> Result<(), NetworkError>;

    /// The sums of batch norm's statistics over the examples of the step so far, with the numbers of
    /// examples, in canonical order. Added up over the replicas that make a step together, and given to
    /// [`Network::set_step_statistics`], they are those of the whole step. Nothing without batch norm, which is
    /// the default.
    ///
    /// # Errors
    /// When the device fails.
    fn step_statistics(&mut self) -> Result<Vec<f32>, NetworkError> {
        Ok(Vec::new())
    }

    /// Replaces the sums that [`Network::step_statistics`] tells.
    ///
    /// # Errors
    /// When there are more or fewer numbers than it told.
    fn set_step_statistics(&mut self, sums: &[f32]) -> Result<(), NetworkError> {
        match sums.is_empty() {
            true => Ok(()),
            false => Err(NetworkError::State(
                "it has no batch norm whose statistics could be set".to_owned(),
            )),
        }
    }

    /// Calls `visitor(position, state)` for every hidden state of the stream of text at every position of the
    /// step; changes persist. Nothing without hidden states, which is the default.
    fn visit_streams(&mut self, _visitor: &mut dyn FnMut(u64, &mut [f32])) {}

    /// Ends the step: folds the step's batch-norm statistics into the running ones, once per step.
    fn end_step(&mut self);

    /// Replaces batch norm's running statistics by the exact ones of all examples that `next` fills in, batch by batch
    /// until it returns false: at the parameters as they are, normalized in groups of `ghost` examples as in training, without
    /// noise. A batch holds a multiple of `ghost` examples; the last may hold fewer. Neither the gradient window nor the
    /// step's statistics take anything in. Without batch norm nothing changes, which is the default.
    ///
    /// Replicas may share the examples out: `sum` is given the sums over those of this one, once, and replaces them by the
    /// sums over all.
    ///
    /// # Errors
    /// When a batch does not fit the network or the device fails; the statistics are unchanged then.
    fn recalibrate(
        &mut self,
        _ghost: u64,
        _next: &mut dyn FnMut(&mut Batch) -> bool,
        _sum: &mut dyn FnMut(&mut [f64]),
    ) -> Result<(), NetworkError> {
        Ok(())
    }

    /// Metric sums of a batch in evaluation mode (running statistics, no dropout, no smoothing).
    /// Text streams: batches of an evaluation come in order, `fresh_streams` marks the first.
    ///
    /// # Errors
    /// When the batch does not fit the network or the device fails.
    fn evaluate(&mut self, batch: &Batch) -> Result<MetricSums, NetworkError>;

    /// The complete state in canonical layout: parameters, running statistics, hidden states.
    ///
    /// # Errors
    /// When the device fails.
    fn export(&self) -> Result<Vec<StateTensor>, NetworkError>;

    /// Takes over a state made by [`Network::export`] of the same model.
    ///
    /// # Errors
    /// [`NetworkError::State`] naming the tensor that is missing, unknown or of another shape.
    fn import(&mut self, state: &[StateTensor]) -> Result<(), NetworkError>;
}

/// Makes networks of one model: the trait between `nn` and the loop.
pub trait NetworkFactory: Send + Sync {
    /// The model's name with its settings, for records: `mlp(512,512)`.
    fn name(&self) -> String;

    /// A freshly initialized network; the weights depend only on the key (purpose
    /// `Initialization`), the model and the shape.
    ///
    /// # Errors
    /// [`NetworkError::Unfit`] when the model cannot take such data.
    fn build(
        &self,
        shape: &DataShape,
        key: crate::StreamKey,
    ) -> Result<Box<dyn Network>, NetworkError>;

    /// Upper estimate of the bytes that a training step takes with a micro-batch of this size:
    /// parameters, gradient, optimizer state and activations. Memory limits are checked against it.
    fn memory(&self, shape: &DataShape, micro_batch: u64) -> u64;

    /// Where it computes: `cpu (flex)`, `cuda:0`, …
    fn device(&self) -> String;
}
