use batchscope_core::{
    Batch, DataShape, InputShape, Inputs, Labels, LossSum, MetricSums, Mode, Network, NetworkError,
    NormStatistics, NormsOf, ParameterLayout, StateTensor, Task, UNLABELED,
};
use burn_tensor::{Device, Tensor};

use crate::{
    builder::{Builder, Built},
    cpu,
    examples::ExampleNorms,
    layers::NormState,
    loss::{Targets, evaluation, training_loss},
    models::Model,
    parameters::Parameters,
    pass::{Pass, PassContext},
    spec::ModelSpec,
    state,
    storage::{Storage, to_host},
    streams::Streams,
};

/// Any model of this crate in training: implements the contract of [`Network`].
pub(crate) struct ModelNetwork {
    name: String,
    shape: DataShape,
    pub(crate) model: Model,
    /// Numbers computed per example in a forward pass.
    pub(crate) activations: usize,
    pub(crate) label_smoothing: f64,
    /// Its layers tell the gradients of single examples apart.
    measures_per_example_grad_norms: bool,
    /// What that costs beside a plain pass.
    example_norms_cost: f64,
    /// Ghost size of the model; `None` without batch norm.
    ghost: Option<u64>,
    pub(crate) device: Device,
    /// Compute with the CPU kernels rather than burn's operations.
    pub(crate) kernels: bool,
    pub(crate) parameters: Parameters,
    pub(crate) norms: Vec<NormState>,
    /// Hidden states of training.
    streams: Streams,
    /// Hidden states of the evaluation under way.
    pub(crate) evaluation: Streams,
    /// Examples per step, from `begin_step`.
    batch_size: u64,
    /// Memory of the last input, reused.
    pub(crate) input: Option<Storage>,
}

/// Numbers of a forward pass an evaluation computes at a time: 64 MiB, which stay near the cores.
const EVALUATION_FLOATS: usize = 1 << 24;

/// A run of examples of a batch.
pub(crate) struct ExampleRange<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

impl ExampleRange<'_> {
    /// The share of these examples in a buffer that holds those of the whole batch.
    fn of<'b, T>(&self, buffer: &'b [T]) -> &'b [T] {
        let each = buffer.len() / self.batch.len;
        &buffer[self.start * each..(self.start + self.len) * each]
    }
}

impl ModelNetwork {
    /// A network of a model that the builder has collected.
    pub(crate) fn new(
        spec: &ModelSpec,
        shape: DataShape,
        model: Model,
        builder: Builder,
        device: Device,
    ) -> Self {
        let activations = builder.activations_per_example();
        let measures_per_example_grad_norms = builder.measures_per_example_grad_norms();
        let example_norms_cost = builder.example_norms_cost();
        let Built {
            parameters,
            norms,
            streams,
        } = builder.finish(&device);
        Self {
            name: spec.to_string(),
            shape,
            model,
            activations,
            label_smoothing: spec.label_smoothing(),
            measures_per_example_grad_norms,
            example_norms_cost,
            ghost: spec.ghost(),
            kernels: device == Device::flex(),
            device,
            parameters,
            norms,
            evaluation: streams.clone(),
            streams,
            batch_size: 1,
            input: None,
        }
    }

    /// Checks everything about a batch that could make the arithmetic below fail.
    pub(crate) fn check(&self, batch: &Batch) -> Result<(), NetworkError> {
        let unfit = |why: String| {
            Err(NetworkError::Unfit {
                model: self.name.clone(),
                why,
            })
        };
        if batch.shape != self.shape {
            return unfit(format!(
                "the network was built for {:?}, the batch holds {:?}",
                self.shape, batch.shape
            ));
        }
        if batch.len == 0 {
            return unfit("the batch is empty".to_owned());
        }
        let inputs = batch.len * self.shape.input.len();
        let given = match (&batch.inputs, self.shape.input) {
            (Inputs::Tokens(tokens), InputShape::Tokens { vocabulary, .. }) => {
                if let Some(token) = tokens.iter().find(|&&t| t as usize >= vocabulary) {
                    return unfit(format!(
                        "token {token} is outside the vocabulary of {vocabulary}"
                    ));
                }
                tokens.len()
            }
            (Inputs::Values(values), InputShape::Image { .. } | InputShape::Vector { .. }) => {
                values.len()
            }
            _ => return unfit("inputs and input shape are of different kinds".to_owned()),
        };
        if given != inputs {
            return unfit(format!(
                "{} examples need {inputs} input numbers, the batch holds {given}",
                batch.len
            ));
        }
        let (labels, given, classes) = match (&batch.labels, self.shape.task) {
            (Labels::Classes(labels), Task::Classify { classes }) => {
                (batch.len, labels.len(), Some((labels, classes)))
            }
            (Labels::Values(values), Task::Regress { outputs }) => {
                (batch.len * outputs, values.len(), None)
            }
            (Labels::Tokens(labels), Task::NextToken) => {
                let InputShape::Tokens { vocabulary, .. } = self.shape.input else {
                    return unfit("next-token prediction needs tokens".to_owned());
                };
                (inputs, labels.len(), Some((labels, vocabulary)))
            }
            (Labels::Pixels(labels), Task::Segment { classes }) => {
                let unknown = |&&label: &&u8| label != UNLABELED && usize::from(label) >= classes;
                if let Some(label) = labels.iter().find(unknown) {
                    return unfit(format!("label {label} is outside the {classes} classes"));
                }
                (batch.len * self.shape.input.pixels(), labels.len(), None)
            }
            _ => return unfit("labels and task are of different kinds".to_owned()),
        };
        if given != labels {
            return unfit(format!(
                "{} examples need {labels} labels, the batch holds {given}",
                batch.len
            ));
        }
        if let Some((labels, classes)) = classes
            && let Some(label) = labels.iter().find(|&&label| label as usize >= classes)
        {
            return unfit(format!("label {label} is outside the {classes} classes"));
        }
        Ok(())
    }

    /// Group size of batch norm for a micro-batch, or why it cannot be grouped.
    fn group(&self, batch: &Batch) -> Result<usize, NetworkError> {
        let Some(ghost) = self.ghost_size(self.batch_size) else {
            return Ok(1);
        };
        let len = batch.len as u64;
        let last = batch.first_position + len >= self.batch_size;
        if !batch.first_position.is_multiple_of(ghost) || (!last && !len.is_multiple_of(ghost)) {
            return Err(NetworkError::GhostSize {
                micro_batch: len,
                ghost,
            });
        }
        Ok(ghost as usize)
    }

    /// Forward and backward pass of a micro-batch, added to the window; squared norms on request.
    fn add(
        &mut self,
        batch: &Batch,
        scale: f32,
        measured: Option<(NormsOf, &mut [f64])>,
    ) -> Result<LossSum, NetworkError> {
        self.check(batch)?;
        let ghost = self.group(batch)?;
        let end = batch.first_position + batch.len as u64;
        if end > self.batch_size {
            return Err(NetworkError::Unfit {
                model: self.name.clone(),
                why: format!(
                    "the micro-batch ends at position {end} of a step of {}",
                    self.batch_size
                ),
            });
        }
        let first = batch.first_position as usize;
        if batch.fresh_streams && !self.streams.is_empty() {
            self.streams.clear(first, batch.len);
        }
        let rows = ExampleRange {
            batch,
            start: 0,
            len: batch.len,
        };
        let context = PassContext {
            parameters: &self.parameters,
            norms: &mut self.norms,
            streams: &mut self.streams,
            device: &self.device,
            kernels: self.kernels,
            first,
            len: batch.len,
        };
        let examples = measured
            .as_ref()
            .filter(|(of, _)| *of == NormsOf::Examples)
            .map(|(_, squared_norms)| ExampleNorms::new(squared_norms.len(), batch.len));
        let mut pass = Pass::train(
            context,
            ghost,
            batch.noise.map(|key| (key, batch.first_draw)),
        )
        .measuring(examples.clone());
        let (smoothing, kernels) = (self.label_smoothing, self.kernels);
        let loss = forward(
            &self.model,
            &rows,
            &mut self.input,
            &mut pass,
            |outputs, targets| training_loss(outputs, targets, smoothing, scale, kernels),
        )?;
        let gradients = loss.scaled.backward();
        if let Some(leaves) = pass.finish()? {
            let (whole, single) = match (measured, examples) {
                (Some((_, norms)), Some(examples)) => (None, Some((examples, norms))),
                (measured, _) => (measured.map(|(_, norms)| norms), None),
            };
            self.parameters.add_gradients(&leaves, gradients, whole)?;
            if let Some((examples, squared_norms)) = single {
                examples.add_to(squared_norms);
            }
        }
        Ok(LossSum {
            loss: loss.sum,
            weight: batch.weight(),
        })
    }
}

impl ModelNetwork {
    /// Examples that an evaluation computes at a time.
    fn evaluation_chunk(&self) -> usize {
        (EVALUATION_FLOATS / self.activations.max(1)).max(1)
    }

    /// Forward passes over all examples that `next` fills in, normalized in groups of `ghost`, without noise.
    fn pass_through(
        &mut self,
        ghost: usize,
        next: &mut dyn FnMut(&mut Batch) -> bool,
    ) -> Result<(), NetworkError> {
        let chunk = self.evaluation_chunk().next_multiple_of(ghost);
        let mut batch = Batch::empty(self.shape);
        while next(&mut batch) {
            self.check(&batch)?;
            for start in (0..batch.len).step_by(chunk) {
                let rows = ExampleRange {
                    batch: &batch,
                    start,
                    len: chunk.min(batch.len - start),
                };
                if !self.evaluation.is_empty() {
                    self.evaluation.resize(rows.len);
                    self.evaluation.clear(0, rows.len);
                }
                let context = PassContext {
                    parameters: &self.parameters,
                    norms: &mut self.norms,
                    streams: &mut self.evaluation,
                    device: &self.device,
                    kernels: self.kernels,
                    first: 0,
                    len: rows.len,
                };
                let mut pass = Pass::of_objective(context, false, Some(ghost));
                forward(&self.model, &rows, &mut self.input, &mut pass, |_, _| ());
                pass.finish()?;
            }
        }
        Ok(())
    }
}

impl ModelNetwork {
    /// The moments of the groups that all layers have put by, once the pass that put them by has ended so.
    pub(crate) fn moments_put_by(
        &mut self,
        passed: Result<(), NetworkError>,
    ) -> Result<Vec<f64>, NetworkError> {
        let mut sums = Vec::new();
        // Every layer forgets them, whatever has gone wrong.
        let added = (self.norms.iter_mut()).map(|norm| norm.add_moments_to(&mut sums));
        let added = added.fold(Ok(()), Result::and);
        passed.and(added)?;
        Ok(sums)
    }
}

/// A run has ended: its memory is for whoever comes next, of another size perhaps.
impl Drop for ModelNetwork {
    fn drop(&mut self) {
        cpu::release_memory();
    }
}

/// Values as a tensor `[rows, len / rows]`, in memory kept from the last call where it fits.
fn input(values: &[f32], rows: usize, memory: &mut Option<Storage>, device: &Device) -> Tensor<2> {
    let kept = memory
        .as_mut()
        .and_then(Storage::as_mut_slice)
        .filter(|kept| kept.len() == values.len());
    match kept {
        Some(kept) => kept.copy_from_slice(values),
        None => *memory = Some(Storage::from_host(values.to_vec(), &[values.len()], device)),
    }
    let tensor = memory.as_ref().map(Storage::tensor::<1>);
    tensor
        .expect("filled above")
        .reshape([rows, values.len() / rows])
}

/// Windows of tokens in the order of time: the first of every window, then the second, …
fn by_time(windows: &[u32], n: usize) -> Vec<u32> {
    let sequence = windows.len() / n;
    (0..sequence)
        .flat_map(|t| (0..n).map(move |i| windows[i * sequence + t]))
        .collect()
}

/// Outputs of the model for these rows, `[examples, outputs]`, `[pixels, classes]` or, in the order
/// of time, `[tokens, vocabulary]`; given to `then` with what they should have been.
pub(crate) fn forward<T>(
    model: &Model,
    rows: &ExampleRange,
    memory: &mut Option<Storage>,
    pass: &mut Pass,
    then: impl FnOnce(Tensor<2>, &Targets) -> T,
) -> T {
    let outputs = match (model, &rows.batch.inputs) {
        (Model::Tokens(model), Inputs::Tokens(tokens)) => {
            model.forward(&by_time(rows.of(tokens), rows.len), pass)
        }
        (Model::Values(model), Inputs::Values(values)) => {
            let x = input(rows.of(values), rows.len, memory, pass.device());
            model.forward(x.cast(pass.dtype()), pass)
        }
        _ => unreachable!("checked: inputs are of the model's kind"),
    };
    match &rows.batch.labels {
        Labels::Classes(labels) => then(outputs, &Targets::Classes(rows.of(labels))),
        Labels::Tokens(labels) => then(
            outputs,
            &Targets::Classes(&by_time(rows.of(labels), rows.len)),
        ),
        Labels::Values(values) => then(outputs, &Targets::Values(rows.of(values))),
        Labels::Pixels(labels) => then(outputs, &Targets::Pixels(rows.of(labels))),
    }
}

impl Network for ModelNetwork {
    fn layout(&self) -> &ParameterLayout {
        self.parameters.layout()
    }

    fn ghost_size(&self, batch_size: u64) -> Option<u64> {
        self.ghost.map(|ghost| ghost.min(batch_size).max(1))
    }

    fn begin_step(&mut self, batch_size: u64) {
        self.batch_size = batch_size;
        self.parameters.clear_gradients();
        self.norms.iter_mut().for_each(NormState::begin_step);
        if !self.streams.is_empty() {
            self.streams.resize(batch_size as usize);
        }
    }

    fn collect_statistics(&mut self, of: NormStatistics) {
        for norm in &mut self.norms {
            norm.collects(of, &self.device);
        }
    }

    fn accumulate(&mut self, batch: &Batch, scale: f32) -> Result<LossSum, NetworkError> {
        self.add(batch, scale, None)
    }

    fn accumulate_measured(
        &mut self,
        batch: &Batch,
        scale: f32,
        of: NormsOf,
        squared_norms: &mut [f64],
    ) -> Result<LossSum, NetworkError> {
        assert_eq!(squared_norms.len(), self.layout().tensors.len());
        assert!(
            of == NormsOf::MicroBatch || self.measures_per_example_grad_norms(),
            "{} cannot tell examples apart",
            self.name
        );
        self.add(batch, scale, Some((of, squared_norms)))
    }

    fn measures_per_example_grad_norms(&self) -> bool {
        self.kernels && self.measures_per_example_grad_norms
    }

    fn example_norms_cost(&self) -> f64 {
        self.example_norms_cost
    }

    fn input_gradient(
        &mut self,
        batch: &Batch,
        mode: Mode,
        gradient: &mut Vec<f32>,
    ) -> Result<LossSum, NetworkError> {
        self.check(batch)?;
        let (ghost, smoothing) = match mode {
            Mode::Training => (Some(self.group(batch)?), self.label_smoothing),
            Mode::Evaluation => (None, 0.0),
        };
        let (Model::Values(model), Inputs::Values(values)) = (&self.model, &batch.inputs) else {
            return Err(NetworkError::NoInputGradient(
                "tokens cannot be moved by a little".to_owned(),
            ));
        };
        let targets = match &batch.labels {
            Labels::Classes(labels) | Labels::Tokens(labels) => Targets::Classes(labels),
            Labels::Values(values) => Targets::Values(values),
            Labels::Pixels(labels) => Targets::Pixels(labels),
        };
        let kept: Vec<_> = self.norms.iter_mut().map(NormState::set_aside).collect();
        let context = PassContext {
            parameters: &self.parameters,
            norms: &mut self.norms,
            streams: &mut self.streams,
            device: &self.device,
            kernels: self.kernels,
            first: batch.first_position as usize,
            len: batch.len,
        };
        let noise = batch.noise.map(|key| (key, batch.first_draw));
        let noise = noise.filter(|_| mode == Mode::Training);
        let mut pass = Pass::of_inputs(context, ghost, noise);
        let shape = [batch.len, values.len() / batch.len];
        let x: Tensor<2> = Storage::from_host(values.clone(), &shape, &self.device).tensor();
        let x = x.autodiff().require_grad();
        let outputs = model.forward(x.clone(), &mut pass);
        let loss = training_loss(outputs, &targets, smoothing, 1.0, self.kernels);
        for (norm, kept) in self.norms.iter_mut().zip(kept) {
            norm.put_back(kept);
        }
        let loss = loss?;
        let mut gradients = loss.scaled.backward();
        let slope = x.grad_remove(&mut gradients).ok_or_else(|| {
            NetworkError::Device("no gradient has come back to the inputs".to_owned())
        })?;
        *gradient = to_host(slope)?;
        Ok(LossSum {
            loss: loss.sum,
            weight: batch.weight(),
        })
    }

    fn visit(
        &mut self,
        visitor: &mut batchscope_core::ParameterVisitor<'_>,
    ) -> Result<(), NetworkError> {
        self.parameters.visit(visitor)
    }

    fn step_statistics(&mut self) -> Result<Vec<f32>, NetworkError> {
        let mut sums = Vec::new();
        for norm in &self.norms {
            norm.add_sums_to(&mut sums)?;
        }
        Ok(sums)
    }

    fn set_step_statistics(&mut self, sums: &[f32]) -> Result<(), NetworkError> {
        let mut rest = sums;
        for norm in &mut self.norms {
            rest = norm.take_sums(rest, &self.device)?;
        }
        match rest.is_empty() {
            true => Ok(()),
            false => Err(NormState::wrong_sums()),
        }
    }

    fn visit_streams(&mut self, visitor: &mut dyn FnMut(u64, &mut [f32])) {
        self.streams.visit(visitor);
    }

    fn end_step(&mut self) {
        self.norms.iter_mut().for_each(NormState::end_step);
    }

    fn recalibrate(
        &mut self,
        ghost: u64,
        next: &mut dyn FnMut(&mut Batch) -> bool,
        sum: &mut dyn FnMut(&mut [f64]),
    ) -> Result<(), NetworkError> {
        if self.norms.is_empty() {
            return Ok(());
        }
        self.norms.iter_mut().for_each(NormState::collect);
        let passed = self.pass_through(ghost.max(1) as usize, next);
        let mut sums = self.moments_put_by(passed)?;
        sum(&mut sums);
        let mut rest = &sums[..];
        for norm in &mut self.norms {
            let ([mean, variance], others) = norm.take_moments(rest);
            let shape = [norm.channels];
            norm.main.mean.set_numbers(&mean, &shape, &self.device);
            (norm.main.variance).set_numbers(&variance, &shape, &self.device);
            rest = others;
        }
        Ok(())
    }

    fn evaluate(&mut self, batch: &Batch) -> Result<MetricSums, NetworkError> {
        self.check(batch)?;
        let mut sums = MetricSums::default();
        let first = batch.first_position as usize;
        if !self.evaluation.is_empty() {
            if batch.fresh_streams && batch.first_position == 0 {
                self.evaluation.resize(0);
            }
            self.evaluation.grow(first + batch.len);
            if batch.fresh_streams {
                self.evaluation.clear(first, batch.len);
            }
        }
        let chunk = self.evaluation_chunk();
        for start in (0..batch.len).step_by(chunk) {
            let rows = ExampleRange {
                batch,
                start,
                len: chunk.min(batch.len - start),
            };
            let context = PassContext {
                parameters: &self.parameters,
                norms: &mut self.norms,
                streams: &mut self.evaluation,
                device: &self.device,
                kernels: self.kernels,
                first: first + start,
                len: rows.len,
            };
            let mut pass = Pass::evaluate(context);
            let kernels = self.kernels;
            sums += forward(
                &self.model,
                &rows,
                &mut self.input,
                &mut pass,
                |outputs, targets| evaluation(outputs, targets, kernels),
            )?;
            pass.finish()?;
        }
        Ok(sums)
    }

    fn export(&self) -> Result<Vec<StateTensor>, NetworkError> {
        state::export(&self.parameters, &self.norms, &self.streams)
    }

    fn import(&mut self, state: &[StateTensor]) -> Result<(), NetworkError> {
        state::import(
            state,
            &mut self.parameters,
            &mut self.norms,
            &mut self.streams,
            &self.device,
        )
    }
}
