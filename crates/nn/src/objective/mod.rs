//! The loss of a network on a fixed set of examples, as a function of its parameters.

mod gauss_newton;
mod micro_batch;
mod slice;
mod statistics;

use std::sync::Arc;

use batchscope_core::{
    Batch, DataShape, Inputs, Labels, MetricSums, Network, NetworkError, ParameterLayout, Purpose,
    StateTensor, StreamKey,
};
use batchscope_landscape::{Blocks, Objective, ObjectiveError};
use burn_tensor::Tensor;
use serde::{Deserialize, Serialize};

pub use slice::{SliceMeasure, Statistics};
pub use statistics::ESTIMATION_GROUP;

use crate::{
    factory::Factory,
    layers::NormState,
    loss::{Targets, evaluation, training_loss},
    network::{ExampleRange, ModelNetwork, forward},
    parameters::Leaves,
    pass::{Pass, PassContext},
    precision::Precision,
    storage::Storage,
};

/// By what batch norm normalizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormMode {
    /// Evaluation: by the running statistics, which are constants of the objective.
    #[default]
    Evaluation,
    /// Training: by the statistics of ghost batches, consecutive groups of examples as large as the
    /// model's ghost size. They follow the parameters, and the gradient goes through them.
    Training,
}

/// What a [`NetworkObjective`] computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ObjectiveSettings {
    /// Batch norm's mode; of no consequence for models without it.
    pub norm: NormMode,
    /// The numbers computed with; double unless said otherwise.
    pub precision: Precision,
    /// Smooth the labels as the model does in training. Without it the loss is the one that
    /// evaluations report.
    pub smoothing: bool,
}

/// Numbers of a forward pass that are computed at a time: 16 MiB in single precision, so that a
/// pass stays near the cores.
const CHUNK_FLOATS: usize = 1 << 22;

/// The mean loss of a network over a fixed set of examples, with its gradient: an [`Objective`] on
/// the flat vector of the network's parameters, in the order of its layout.
///
/// No augmentation, no dropout. Regression takes the mean over the examples of the squared error
/// summed over the outputs; text the mean over tokens, every window starting from a hidden state of
/// zeros; segmentation the mean over the labeled pixels.
///
/// Examples are taken in chunks whose size depends on the model alone; gradients are summed within
/// a chunk by the kernels, in a fixed order, and over the chunks in double precision. The same
/// parameters give the same bits, whatever the number of threads.
///
/// ```
/// use batchscope_core::{Batch, DataShape, InputShape, Inputs, Labels, NetworkFactory, Purpose};
/// use batchscope_core::{StreamKey, Task};
/// use batchscope_landscape::Objective;
/// use batchscope_nn::{DeviceSpec, Factory, ObjectiveSettings};
///
/// let shape = DataShape {
///     input: InputShape::Vector { features: 2 },
///     task: Task::Classify { classes: 2 },
/// };
/// let factory = Factory::new("softmax".parse()?, DeviceSpec::Cpu)?;
/// let key = StreamKey { study_seed: 0, trial: 0, purpose: Purpose::Initialization };
/// let state = factory.build(&shape, key)?.export()?;
/// let examples = Batch {
///     len: 2,
///     inputs: Inputs::Values(vec![1.0, 0.0, 0.0, 1.0]),
///     labels: Labels::Classes(vec![0, 1]),
///     ..Batch::empty(shape)
/// };
/// let mut loss = factory.objective(&shape, &state, vec![examples], ObjectiveSettings::default())?;
/// assert_eq!(loss.dimension(), 6);
/// // with all weights zero both classes are equally likely
/// assert!((loss.value(&[0.0; 6])? - 2f64.ln()).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct NetworkObjective {
    factory: Factory,
    settings: ObjectiveSettings,
    network: ModelNetwork,
    examples: Arc<Batch>,
    /// What the sum over the examples is divided by.
    weight: f64,
    /// Examples of a chunk.
    chunk: usize,
    /// Examples of a ghost batch; `None` without batch norm.
    ghost: Option<usize>,
    blocks: Blocks,
    /// The parameters of the state it was made with.
    parameters: Vec<f64>,
}

impl Factory {
    /// The mean loss over the examples as a function of the parameters of this factory's model.
    /// `state` gives the running statistics and [`NetworkObjective::parameters`]; the examples come
    /// in any number of batches and are taken as one set, in their order.
    ///
    /// # Errors
    /// [`NetworkError::Unfit`] when the model cannot take such data, the examples are none or do
    /// not have that shape, or the device does not compute in the precision;
    /// [`NetworkError::State`] when the state is another model's.
    pub fn objective(
        &self,
        shape: &DataShape,
        state: &[StateTensor],
        examples: Vec<Batch>,
        settings: ObjectiveSettings,
    ) -> Result<NetworkObjective, NetworkError> {
        let mut network = self.empty(shape)?;
        examples.iter().try_for_each(|batch| network.check(batch))?;
        let examples = joined(*shape, examples);
        network.check(&examples)?;
        network.import(state)?;
        NetworkObjective::new(self.clone(), settings, network, Arc::new(examples))
    }

    /// A network whose parameters are still to be taken from elsewhere.
    fn empty(&self, shape: &DataShape) -> Result<ModelNetwork, NetworkError> {
        let key = StreamKey {
            study_seed: 0,
            trial: 0,
            purpose: Purpose::Initialization,
        };
        self.network(shape, key)
    }
}

impl NetworkObjective {
    /// The objective of a network in single precision on checked examples.
    fn new(
        factory: Factory,
        settings: ObjectiveSettings,
        mut network: ModelNetwork,
        examples: Arc<Batch>,
    ) -> Result<Self, NetworkError> {
        let precision = settings.precision;
        let weight = examples.weight();
        if weight == 0.0 {
            return Err(NetworkError::Unfit {
                model: factory.model().to_string(),
                why: "none of the examples has a label".to_owned(),
            });
        }
        let values = network.parameters.to_host()?;
        let parameters: Vec<f64> = values.into_iter().flatten().map(f64::from).collect();
        let ghost = network.ghost_size(examples.len as u64);
        let ghost = ghost.map(|ghost| ghost as usize);
        let chunk = (CHUNK_FLOATS / network.activations.max(1)).max(1);
        let chunk = match (settings.norm, ghost) {
            (NormMode::Training, Some(ghost)) => (chunk / ghost).max(1) * ghost,
            _ => chunk,
        };
        network.parameters.set_flat(&parameters, precision);
        for norm in &mut network.norms {
            for statistics in [&mut norm.main.mean, &mut norm.main.variance] {
                let values: Vec<f64> = statistics.to_host()?.into_iter().map(f64::from).collect();
                let shape = [norm.channels];
                *statistics = Storage::from_numbers(&values, &shape, precision, &network.device);
            }
        }
        let blocks = Blocks::from_layout(network.layout());
        Ok(Self {
            factory,
            settings,
            network,
            examples,
            weight,
            chunk,
            ghost,
            blocks,
            parameters,
        })
    }

    /// Another objective that gives the same numbers, for another thread; the examples are shared.
    ///
    /// # Errors
    /// When the device fails.
    pub fn worker(&self) -> Result<Self, NetworkError> {
        let shape = self.examples.shape;
        let network = self.factory.empty(&shape)?;
        let examples = self.examples.clone();
        let mut worker = Self::new(self.factory.clone(), self.settings, network, examples)?;
        worker.set_statistics(&self.statistics()?)?;
        worker.parameters.clone_from(&self.parameters);
        Ok(worker)
    }

    /// The parameters of the state it was made with.
    pub fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    /// The table of the parameters.
    pub fn layout(&self) -> &ParameterLayout {
        self.network.layout()
    }

    /// Number of examples.
    pub fn examples(&self) -> usize {
        self.examples.len
    }

    /// What it computes.
    pub fn settings(&self) -> ObjectiveSettings {
        self.settings
    }

    /// True for a model with batch norm, whose objective depends on [`NormMode`].
    pub fn has_norm(&self) -> bool {
        !self.network.norms.is_empty()
    }

    /// Sums of losses (without smoothing) and errors at `x`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn metrics(&mut self, x: &[f64]) -> Result<MetricSums, NetworkError> {
        let mut sums = MetricSums::default();
        self.run(x, Wanted::Metrics(&mut sums), self.chunk, self.groups())?;
        Ok(sums)
    }

    /// Size of the ghost batches that this objective normalizes by, if it does.
    fn groups(&self) -> Option<usize> {
        let training = self.settings.norm == NormMode::Training;
        self.ghost.filter(|_| training)
    }

    /// One pass over all examples, `chunk` at a time.
    fn run(
        &mut self,
        x: &[f64],
        mut wanted: Wanted<'_>,
        chunk: usize,
        ghost: Option<usize>,
    ) -> Result<(), NetworkError> {
        let kernels = self.network.kernels;
        let smoothing = match self.settings.smoothing {
            true => self.network.label_smoothing,
            false => 0.0,
        };
        let factor = 1.0 / self.weight;
        self.network.parameters.set_flat(x, self.settings.precision);
        let norms = &mut self.network.norms;
        norms.iter_mut().for_each(NormState::begin_step);
        for start in (0..self.examples.len).step_by(chunk) {
            let chunk = Chunk {
                start,
                len: chunk,
                ghost,
                tracked: matches!(wanted, Wanted::Gradient(..)),
            };
            let (loss, leaves) = self.forward(&chunk, |outputs, targets| {
                Ok(match &mut wanted {
                    Wanted::Statistics => None,
                    Wanted::Metrics(sums) => {
                        **sums += evaluation(outputs, targets, kernels)?;
                        None
                    }
                    Wanted::Loss(sum) | Wanted::Gradient(sum, _) => {
                        let loss = training_loss(outputs, targets, smoothing, 1.0, kernels)?;
                        **sum += loss.sum;
                        Some(loss.scaled)
                    }
                })
            })?;
            if let (Some(leaves), Some(loss), Wanted::Gradient(_, sum)) =
                (leaves, loss, &mut wanted)
            {
                let parameters = &self.network.parameters;
                parameters.add_flat(&leaves, loss.backward(), factor, sum)?;
            }
        }
        Ok(())
    }

    /// A forward pass over a chunk with the parameters as they are; what `then` makes of the
    /// outputs, and the leaves of a tracked pass.
    fn forward<T>(
        &mut self,
        chunk: &Chunk,
        then: impl FnOnce(Tensor<2>, &Targets) -> Result<T, NetworkError>,
    ) -> Result<(T, Option<Leaves>), NetworkError> {
        let network = &mut self.network;
        let rows = ExampleRange {
            batch: &self.examples,
            start: chunk.start,
            len: chunk.len.min(self.examples.len - chunk.start),
        };
        if !network.evaluation.is_empty() {
            network.evaluation.resize(rows.len);
            network.evaluation.clear(0, rows.len);
        }
        let context = PassContext {
            parameters: &network.parameters,
            norms: &mut network.norms,
            streams: &mut network.evaluation,
            device: &network.device,
            kernels: network.kernels,
            first: 0,
            len: rows.len,
        };
        let mut pass = Pass::of_objective(context, chunk.tracked, chunk.ghost);
        let (model, input) = (&network.model, &mut network.input);
        let made = forward(model, &rows, input, &mut pass, then)?;
        Ok((made, pass.finish()?))
    }
}

/// Examples that are computed at a time, and how.
struct Chunk {
    start: usize,
    /// At most so many.
    len: usize,
    /// Size of the ghost batches; `None` normalizes by the running statistics.
    ghost: Option<usize>,
    /// Keep the graph for a gradient.
    tracked: bool,
}

/// `x + step·v`.
fn along(x: &[f64], step: f64, v: &[f64]) -> Vec<f64> {
    x.iter().zip(v).map(|(x, v)| x + step * v).collect()
}

/// What a pass over the examples is made for.
enum Wanted<'a> {
    /// The statistics of batch norm.
    Statistics,
    /// Sums of losses and errors.
    Metrics(&'a mut MetricSums),
    /// The sum of the losses.
    Loss(&'a mut f64),
    /// The same, and the mean gradient added to a vector.
    Gradient(&'a mut f64, &'a mut [f64]),
}

impl Objective for NetworkObjective {
    fn dimension(&self) -> usize {
        self.parameters.len()
    }

    fn value_and_gradient(
        &mut self,
        x: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64, ObjectiveError> {
        let mut sum = 0.0;
        gradient.fill(0.0);
        let wanted = Wanted::Gradient(&mut sum, gradient);
        self.run(x, wanted, self.chunk, self.groups())
            .map_err(ObjectiveError::new)?;
        Ok(sum / self.weight)
    }

    fn value(&mut self, x: &[f64]) -> Result<f64, ObjectiveError> {
        let mut sum = 0.0;
        self.run(x, Wanted::Loss(&mut sum), self.chunk, self.groups())
            .map_err(ObjectiveError::new)?;
        Ok(sum / self.weight)
    }

    fn gauss_newton_vector(
        &mut self,
        x: &[f64],
        v: &[f64],
        product: &mut [f64],
    ) -> Option<Result<(), ObjectiveError>> {
        Some(
            self.gauss_newton(x, v, product)
                .map_err(ObjectiveError::new),
        )
    }

    fn relative_precision(&self) -> f64 {
        self.settings.precision.epsilon()
    }

    fn is_smooth(&self) -> bool {
        self.factory.model().kind().is_smooth
    }

    fn blocks(&self) -> Blocks {
        self.blocks.clone()
    }
}

/// All examples in one batch. The batches have been checked, so their parts are of one kind.
fn joined(shape: DataShape, batches: Vec<Batch>) -> Batch {
    let mut all = Batch::empty(shape);
    for batch in batches {
        all.len += batch.len;
        match (&mut all.inputs, batch.inputs) {
            (Inputs::Values(all), Inputs::Values(values)) => all.extend(values),
            (Inputs::Tokens(all), Inputs::Tokens(tokens)) => all.extend(tokens),
            _ => unreachable!("checked: inputs are of the shape's kind"),
        }
        match (&mut all.labels, batch.labels) {
            (Labels::Classes(all), Labels::Classes(classes)) => all.extend(classes),
            (Labels::Values(all), Labels::Values(values)) => all.extend(values),
            (Labels::Tokens(all), Labels::Tokens(tokens)) => all.extend(tokens),
            (Labels::Pixels(all), Labels::Pixels(pixels)) => all.extend(pixels),
            _ => unreachable!("checked: labels are of the shape's kind"),
        }
    }
    all
}
