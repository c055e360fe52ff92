use std::sync::atomic::{AtomicU64, Ordering};

use batchscope_core::{
    Batch, DataShape, InputShape, Inputs, Labels, LossSum, MetricSums, Mode, Network, NetworkError,
    NetworkFactory, NormStatistics, NormsOf, ParameterKind, ParameterLayout, ParameterTensor,
    StateTensor, StreamKey, Task,
};
use rand_core::Rng;

/// Makes perceptrons with one hidden layer.
#[derive(Debug, Clone, Copy)]
pub struct TinyFactory {
    /// Hidden units.
    pub hidden: usize,
    /// Size of the batch-norm groups, if the hidden layer is normalized.
    pub ghost: Option<u64>,
    /// Fraction of hidden units dropped in training.
    pub dropout: f32,
    /// Squared norms can be had of single examples' gradients.
    pub per_example_grad_norms: bool,
    /// What these are said to cost beside a pass.
    pub example_norms_cost: f64,
    /// Passes until the device of one of its networks fails.
    pub passes_left: Option<&'static AtomicU64>,
}

impl Default for TinyFactory {
    fn default() -> Self {
        Self {
            hidden: 12,
            ghost: None,
            dropout: 0.0,
            per_example_grad_norms: false,
            example_norms_cost: 0.0,
            passes_left: None,
        }
    }
}

impl NetworkFactory for TinyFactory {
    fn name(&self) -> String {
        format!("tiny({})", self.hidden)
    }

    fn build(&self, shape: &DataShape, key: StreamKey) -> Result<Box<dyn Network>, NetworkError> {
        Ok(Box::new(TinyNetwork::new(*self, shape, key)?))
    }

    fn memory(&self, shape: &DataShape, micro_batch: u64) -> u64 {
        let (d, h) = (shape.input.len() as u64, self.hidden as u64);
        4 * (4 * d * h + micro_batch.saturating_mul(d + 3 * h))
    }

    fn device(&self) -> String {
        "cpu (by hand)".to_owned()
    }
}

/// `softmax(W₂·drop(tanh(bn(W₁·x + b₁))) + b₂)` with gradients written out by hand; squared error
/// without the softmax for regression.
#[derive(Debug, Clone)]
pub struct TinyNetwork {
    settings: TinyFactory,
    task: Task,
    inputs: usize,
    outputs: usize,
    layout: ParameterLayout,
    parameters: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    running: Running,
    /// Those of other examples, once they have been asked for.
    auxiliary: Option<Running>,
    collects: NormStatistics,
    group: usize,
}

/// Running statistics.
#[derive(Debug, Clone)]
struct Running {
    /// Mean and variance.
    moments: [Vec<f32>; 2],
    /// Sums of the step's group means and variances, and the number of groups.
    window: ([Vec<f32>; 2], f32),
}

impl Running {
    fn new(hidden: usize) -> Self {
        let zeros = vec![0.0; hidden];
        Self {
            moments: [zeros.clone(), vec![1.0; hidden]],
            window: ([zeros.clone(), zeros], 0.0),
        }
    }

    fn begin_step(&mut self) {
        self.window.0.iter_mut().for_each(|sum| sum.fill(0.0));
        self.window.1 = 0.0;
    }

    fn end_step(&mut self) {
        if self.window.1 > 0.0 {
            for (running, sum) in self.moments.iter_mut().zip(&self.window.0) {
                for (r, s) in running.iter_mut().zip(sum) {
                    *r += 0.1 * (s / self.window.1 - *r);
                }
            }
        }
    }
}

/// What the backward pass needs of a forward pass.
struct Forward {
    normalized: Vec<f32>,
    deviations: Vec<f32>,
    hidden: Vec<f32>,
    dropped: Vec<f32>,
    out: Vec<f32>,
}

const W1: usize = 0;
const B1: usize = 1;
const W2: usize = 2;
const B2: usize = 3;
const SCALE: usize = 4;
const SHIFT: usize = 5;

impl TinyNetwork {
    fn new(settings: TinyFactory, shape: &DataShape, key: StreamKey) -> Result<Self, NetworkError> {
        let outputs = match shape.task {
            Task::Classify { classes } => classes,
            Task::Regress { outputs } => outputs,
            Task::NextToken | Task::Segment { .. } => {
                let why = "it takes no text or masks; choose classes or real values".to_owned();
                return Err(NetworkError::Unfit {
                    model: settings.name(),
                    why,
                });
            }
        };
        let (inputs, hidden) = (shape.input.len(), settings.hidden);
        let tensor = |name: &str, shape: &[usize], kind| ParameterTensor {
            name: name.into(),
            shape: shape.into(),
            kind,
        };
        let mut tensors = vec![
            tensor("hidden.weight", &[inputs, hidden], ParameterKind::Matrix),
            tensor("hidden.bias", &[hidden], ParameterKind::Bias),
            tensor("out.weight", &[hidden, outputs], ParameterKind::Matrix),
            tensor("out.bias", &[outputs], ParameterKind::Bias),
        ];
        if settings.ghost.is_some() {
            tensors.push(tensor("norm.scale", &[hidden], ParameterKind::NormScale));
            tensors.push(tensor("norm.shift", &[hidden], ParameterKind::NormShift));
        }
        let mut stream = key.stream(0);
        let mut initial = |t: &ParameterTensor| match t.kind {
            ParameterKind::Matrix => {
                let bound = (3.0 / t.shape[0] as f32).sqrt();
                (0..t.len())
                    .map(|_| bound * ((stream.next_u64() >> 40) as f32 / (1u64 << 23) as f32 - 1.0))
                    .collect()
            }
            ParameterKind::NormScale => vec![1.0; t.len()],
            _ => vec![0.0; t.len()],
        };
        let parameters: Vec<Vec<f32>> = tensors.iter().map(&mut initial).collect();
        Ok(Self {
            settings,
            task: shape.task,
            inputs,
            outputs,
            gradients: parameters.iter().map(|p| vec![0.0; p.len()]).collect(),
            parameters,
            layout: ParameterLayout { tensors },
            running: Running::new(hidden),
            auxiliary: None,
            collects: NormStatistics::Main,
            group: 1,
        })
    }

    /// The forward pass; `training` normalizes by the groups' own statistics and drops units.
    fn forward(&mut self, batch: &Batch, training: bool) -> Result<Forward, NetworkError> {
        let Inputs::Values(x) = &batch.inputs else {
            return Err(NetworkError::Device(
                "expected values, found tokens".to_owned(),
            ));
        };
        let (n, d, h, c) = (batch.len, self.inputs, self.settings.hidden, self.outputs);
        let mut z = affine(x, &self.parameters[W1], &self.parameters[B1], n, d, h);
        let mut deviations = Vec::new();
        let mut normalized = Vec::new();
        if self.settings.ghost.is_some() {
            let group = if training { self.group } else { n.max(1) };
            let statistics = match (self.collects, &mut self.auxiliary) {
                (NormStatistics::Auxiliary, Some(auxiliary)) if training => auxiliary,
                _ => &mut self.running,
            };
            for rows in z.chunks_mut(group * h) {
                let m = (rows.len() / h) as f32;
                for unit in 0..h {
                    let column = || rows.iter().skip(unit).step_by(h);
                    let (mean, variance) = if training {
                        let mean = column().sum::<f32>() / m;
                        let variance = column().map(|v| (v - mean).powi(2)).sum::<f32>() / m;
                        statistics.window.0[0][unit] += mean;
                        statistics.window.0[1][unit] += variance;
                        (mean, variance)
                    } else {
                        (statistics.moments[0][unit], statistics.moments[1][unit])
                    };
                    let deviation = (variance + 1e-5).sqrt();
                    deviations.push(deviation);
                    rows.iter_mut()
                        .skip(unit)
                        .step_by(h)
                        .for_each(|v| *v = (*v - mean) / deviation);
                }
                statistics.window.1 += f32::from(u8::from(training));
            }
            normalized.clone_from(&z);
            for row in z.chunks_mut(h) {
                for (unit, v) in row.iter_mut().enumerate() {
                    *v = *v * self.parameters[SCALE][unit] + self.parameters[SHIFT][unit];
                }
            }
        }
        let hidden: Vec<f32> = z.iter().map(|v| v.tanh()).collect();
        let mut dropped = hidden.clone();
        if let (true, Some(noise)) = (training && self.settings.dropout > 0.0, batch.noise) {
            for (i, row) in dropped.chunks_mut(h).enumerate() {
                let mut stream = noise.stream(batch.first_draw + i as u64);
                for v in row {
                    let kept = (stream.next_u64() >> 40) as f32
                        >= self.settings.dropout * (1u64 << 24) as f32;
                    *v = if kept {
                        *v / (1.0 - self.settings.dropout)
                    } else {
                        0.0
                    };
                }
            }
        }
        let out = affine(
            &dropped,
            &self.parameters[W2],
            &self.parameters[B2],
            n,
            h,
            c,
        );
        Ok(Forward {
            normalized,
            deviations,
            hidden,
            dropped,
            out,
        })
    }

    /// Loss of every example, gradient of their sum by the outputs, number of errors.
    fn loss(&self, batch: &Batch, out: &[f32]) -> Result<(f64, Vec<f32>, f64), NetworkError> {
        let c = self.outputs;
        let (mut loss, mut errors) = (0.0, 0.0);
        let mut gradient = out.to_vec();
        match (&batch.labels, self.task) {
            (Labels::Classes(classes), Task::Classify { .. }) => {
                for (row, &class) in gradient.chunks_mut(c).zip(classes) {
                    let class = class as usize;
                    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    errors += f64::from(u8::from(row[class] < most));
                    let sum: f32 = row.iter().map(|v| (v - most).exp()).sum();
                    loss += f64::from(sum.ln() + most - row[class]);
                    row.iter_mut().for_each(|v| *v = (*v - most).exp() / sum);
                    row[class] -= 1.0;
                }
            }
            (Labels::Values(values), Task::Regress { .. }) => {
                for (g, &y) in gradient.iter_mut().zip(values) {
                    let error = *g - y;
                    loss += f64::from(error * error);
                    *g = 2.0 * error;
                }
            }
            _ => return Err(NetworkError::Device("labels of another kind".to_owned())),
        }
        Ok((loss, gradient, errors))
    }

    /// Forward and backward: the loss sum, and the gradient of every example's loss with respect to
    /// the hidden layer before its normalization.
    fn backward(
        &mut self,
        batch: &Batch,
        scale: f32,
        mode: Mode,
    ) -> Result<(LossSum, Vec<f32>), NetworkError> {
        let Inputs::Values(x) = &batch.inputs else {
            return Err(NetworkError::Device(
                "expected values, found tokens".to_owned(),
            ));
        };
        let (d, h, c) = (self.inputs, self.settings.hidden, self.outputs);
        let forward = self.forward(batch, mode == Mode::Training)?;
        let (loss, out_gradient, _) = self.loss(batch, &forward.out)?;

        let (first, second) = self.gradients.split_at_mut(W2);
        let (second, norm) = second.split_at_mut(2);
        let [w2, b2] = second else {
            unreachable!("the layout has two output tensors")
        };
        affine_backward(&forward.dropped, &out_gradient, h, c, scale, w2, b2);
        let mut g = vec![0.0f32; forward.hidden.len()];
        for ((g, hidden), (dropped, o)) in g
            .chunks_mut(h)
            .zip(forward.hidden.chunks(h))
            .zip(forward.dropped.chunks(h).zip(out_gradient.chunks(c)))
        {
            for unit in 0..h {
                let back: f32 = o
                    .iter()
                    .zip(&self.parameters[W2][unit * c..][..c])
                    .map(|(o, w)| o * w)
                    .sum();
                let through = if hidden[unit] == 0.0 {
                    1.0
                } else {
                    dropped[unit] / hidden[unit]
                };
                g[unit] = back * through * (1.0 - hidden[unit] * hidden[unit]);
            }
        }
        if let [scale_gradient, shift_gradient] = norm {
            let group = match mode {
                Mode::Training => self.group,
                Mode::Evaluation => batch.len.max(1),
            };
            let groups = g
                .chunks_mut(group * h)
                .zip(forward.normalized.chunks(group * h));
            for ((g, normalized), deviations) in groups.zip(forward.deviations.chunks(h)) {
                let m = (g.len() / h) as f32;
                for unit in 0..h {
                    let places = || (unit..g.len()).step_by(h);
                    let sum: f32 = places().map(|p| g[p]).sum();
                    let product: f32 = places().map(|p| g[p] * normalized[p]).sum();
                    scale_gradient[unit] += scale * product;
                    shift_gradient[unit] += scale * sum;
                    let factor = self.parameters[SCALE][unit] / (deviations[unit] * m);
                    for p in (unit..g.len()).step_by(h) {
                        let through_moments = match mode {
                            Mode::Training => sum + normalized[p] * product,
                            Mode::Evaluation => 0.0,
                        };
                        g[p] = factor * (m * g[p] - through_moments);
                    }
                }
            }
        }
        let [w1, b1] = first else {
            unreachable!("the layout has two hidden tensors")
        };
        affine_backward(x, &g, d, h, scale, w1, b1);
        let sum = LossSum {
            loss,
            weight: batch.weight(),
        };
        Ok((sum, g))
    }
}

/// `x·w + b` for `n` rows.
fn affine(x: &[f32], w: &[f32], b: &[f32], n: usize, d: usize, h: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(n * h);
    for row in x.chunks(d).take(n) {
        let start = out.len();
        out.extend_from_slice(b);
        for (k, &v) in row.iter().enumerate() {
            for (o, &weight) in out[start..].iter_mut().zip(&w[k * h..][..h]) {
                *o += v * weight;
            }
        }
    }
    out
}

/// Adds `scale · xᵀ·g` and `scale · Σ g` to the gradients of an affine map.
fn affine_backward(
    x: &[f32],
    g: &[f32],
    d: usize,
    h: usize,
    scale: f32,
    w: &mut [f32],
    b: &mut [f32],
) {
    for (row, g) in x.chunks(d).zip(g.chunks(h)) {
        for (k, &v) in row.iter().enumerate() {
            for (w, &g) in w[k * h..][..h].iter_mut().zip(g) {
                *w += scale * v * g;
            }
        }
        for (b, &g) in b.iter_mut().zip(g) {
            *b += scale * g;
        }
    }
}

/// Example `i` of a batch, alone.
fn example(batch: &Batch, i: usize) -> Batch {
    let of = |values: &[f32]| {
        let each = values.len() / batch.len;
        values[i * each..(i + 1) * each].to_vec()
    };
    Batch {
        len: 1,
        inputs: match &batch.inputs {
            Inputs::Values(values) => Inputs::Values(of(values)),
            tokens => tokens.clone(),
        },
        labels: match &batch.labels {
            Labels::Classes(classes) => Labels::Classes(vec![classes[i]]),
            Labels::Values(values) => Labels::Values(of(values)),
            other => other.clone(),
        },
        first_position: batch.first_position + i as u64,
        first_draw: batch.first_draw + i as u64,
        ..batch.clone()
    }
}

impl Network for TinyNetwork {
    fn layout(&self) -> &ParameterLayout {
        &self.layout
    }

    fn ghost_size(&self, batch_size: u64) -> Option<u64> {
        self.settings.ghost.map(|ghost| ghost.min(batch_size))
    }

    fn begin_step(&mut self, batch_size: u64) {
        self.gradients.iter_mut().for_each(|g| g.fill(0.0));
        self.collects = NormStatistics::Main;
        self.running.begin_step();
        if let Some(auxiliary) = &mut self.auxiliary {
            auxiliary.begin_step();
        }
        self.group = self.ghost_size(batch_size).unwrap_or(1) as usize;
    }

    fn collect_statistics(&mut self, of: NormStatistics) {
        if self.settings.ghost.is_none() {
            return;
        }
        self.collects = of;
        if of == NormStatistics::Auxiliary {
            let hidden = self.settings.hidden;
            self.auxiliary.get_or_insert_with(|| Running::new(hidden));
        }
    }

    fn accumulate(&mut self, batch: &Batch, scale: f32) -> Result<LossSum, NetworkError> {
        if let Some(left) = self.settings.passes_left
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            return Err(NetworkError::Device("it was unplugged".to_owned()));
        }
        Ok(self.backward(batch, scale, Mode::Training)?.0)
    }

    fn input_gradient(
        &mut self,
        batch: &Batch,
        mode: Mode,
        gradient: &mut Vec<f32>,
    ) -> Result<LossSum, NetworkError> {
        // On a copy: neither window nor statistics may take anything in.
        let (sum, g) = self.clone().backward(batch, 1.0, mode)?;
        let h = self.settings.hidden;
        gradient.clear();
        for g in g.chunks(h) {
            let slope = |row: &[f32]| row.iter().zip(g).map(|(w, g)| w * g).sum::<f32>();
            gradient.extend(self.parameters[W1].chunks(h).map(slope));
        }
        Ok(sum)
    }

    fn accumulate_measured(
        &mut self,
        batch: &Batch,
        scale: f32,
        of: NormsOf,
        squared_norms: &mut [f64],
    ) -> Result<LossSum, NetworkError> {
        let parts: Vec<Batch> = match of {
            NormsOf::MicroBatch => vec![batch.clone()],
            NormsOf::Examples => (0..batch.len).map(|i| example(batch, i)).collect(),
        };
        // A plain way, in a copy: the window must not notice.
        for part in &parts {
            let mut apart = self.clone();
            apart.gradients.iter_mut().for_each(|g| g.fill(0.0));
            apart.accumulate(part, scale)?;
            for (norm, gradient) in squared_norms.iter_mut().zip(&apart.gradients) {
                *norm += gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
            }
        }
        self.accumulate(batch, scale)
    }

    fn measures_per_example_grad_norms(&self) -> bool {
        self.settings.per_example_grad_norms && self.settings.ghost.is_none()
    }

    fn example_norms_cost(&self) -> f64 {
        self.settings.example_norms_cost
    }

    fn visit(
        &mut self,
        visitor: &mut batchscope_core::ParameterVisitor<'_>,
    ) -> Result<(), NetworkError> {
        for (tensor, (p, g)) in self
            .parameters
            .iter_mut()
            .zip(&mut self.gradients)
            .enumerate()
        {
            visitor(tensor, p, g);
        }
        Ok(())
    }

    fn step_statistics(&mut self) -> Result<Vec<f32>, NetworkError> {
        let mut sums = Vec::new();
        if self.settings.ghost.is_some() {
            let none = Running::new(self.settings.hidden);
            for running in [&self.running, self.auxiliary.as_ref().unwrap_or(&none)] {
                sums.extend(running.window.0.iter().flatten());
                sums.push(running.window.1);
            }
        }
        Ok(sums)
    }

    fn set_step_statistics(&mut self, sums: &[f32]) -> Result<(), NetworkError> {
        let hidden = self.settings.hidden;
        let mut parts = sums.chunks(2 * hidden + 1);
        let window = |part: &[f32]| {
            let (mean, variance) = part[..2 * hidden].split_at(hidden);
            ([mean.to_vec(), variance.to_vec()], part[2 * hidden])
        };
        if let (Some(main), Some(auxiliary)) = (parts.next(), parts.next()) {
            self.running.window = window(main);
            if auxiliary[2 * hidden] > 0.0 {
                let running = self.auxiliary.get_or_insert_with(|| Running::new(hidden));
                running.window = window(auxiliary);
            }
        }
        Ok(())
    }

    fn end_step(&mut self) {
        self.running.end_step();
        if let Some(auxiliary) = &mut self.auxiliary {
            auxiliary.end_step();
        }
    }

    fn recalibrate(
        &mut self,
        ghost: u64,
        next: &mut dyn FnMut(&mut Batch) -> bool,
        sum: &mut dyn FnMut(&mut [f64]),
    ) -> Result<(), NetworkError> {
        if self.settings.ghost.is_none() {
            return Ok(());
        }
        let fresh = Running::new(self.settings.hidden).window;
        let window = std::mem::replace(&mut self.running.window, fresh);
        let collects = std::mem::take(&mut self.collects);
        let group = std::mem::replace(&mut self.group, ghost as usize);
        let mut batch = Batch::empty(DataShape {
            input: InputShape::Vector {
                features: self.inputs,
            },
            task: self.task,
        });
        while next(&mut batch) {
            self.forward(&batch, true)?;
        }
        self.group = group;
        self.collects = collects;
        let (sums, count) = std::mem::replace(&mut self.running.window, window);
        let numbers = sums.iter().flatten().chain([&count]);
        let mut numbers: Vec<f64> = numbers.map(|&x| f64::from(x)).collect();
        sum(&mut numbers);
        let (count, sums) = numbers.split_last().expect("the count is one of them");
        let moments = |sums: &[f64]| sums.iter().map(|sum| (sum / count) as f32).collect();
        let (mean, variance) = sums.split_at(self.settings.hidden);
        self.running.moments = [moments(mean), moments(variance)];
        Ok(())
    }

    fn evaluate(&mut self, batch: &Batch) -> Result<MetricSums, NetworkError> {
        let forward = self.forward(batch, false)?;
        let (loss, _, errors) = self.loss(batch, &forward.out)?;
        Ok(MetricSums {
            loss,
            errors,
            weight: batch.weight(),
            confusion: None,
        })
    }

    fn export(&self) -> Result<Vec<StateTensor>, NetworkError> {
        let parameters = self
            .layout
            .tensors
            .iter()
            .zip(&self.parameters)
            .map(|(t, values)| StateTensor {
                name: t.name.clone(),
                shape: t.shape.clone(),
                values: values.clone(),
            });
        let auxiliary = self.auxiliary.iter().flat_map(|a| &a.moments);
        let running = ["norm.mean", "norm.variance", "other.mean", "other.variance"]
            .into_iter()
            .zip(self.running.moments.iter().chain(auxiliary))
            .map(|(name, values)| StateTensor {
                name: name.to_owned(),
                shape: vec![values.len()],
                values: values.clone(),
            });
        Ok(parameters.chain(running).collect())
    }

    fn import(&mut self, state: &[StateTensor]) -> Result<(), NetworkError> {
        let has_auxiliary = state.iter().any(|tensor| tensor.name == "other.mean");
        let auxiliary = has_auxiliary.then(|| Running::new(self.settings.hidden));
        let before = std::mem::replace(&mut self.auxiliary, auxiliary);
        let imported = self.take_over(state);
        if imported.is_err() {
            self.auxiliary = before;
        }
        imported
    }
}

impl TinyNetwork {
    /// Takes over a state of as many statistics.
    fn take_over(&mut self, state: &[StateTensor]) -> Result<(), NetworkError> {
        let own = self.export()?;
        for (own, given) in own.iter().zip(state) {
            if own.name != given.name
                || own.shape != given.shape
                || own.values.len() != given.values.len()
            {
                return Err(NetworkError::State(format!(
                    "tensor {} of shape {:?}",
                    given.name, given.shape
                )));
            }
        }
        if own.len() != state.len() {
            return Err(NetworkError::State(format!(
                "{} tensors instead of {}",
                state.len(),
                own.len()
            )));
        }
        let auxiliary = self.auxiliary.iter_mut().flat_map(|a| &mut a.moments);
        let running = self.running.moments.iter_mut().chain(auxiliary);
        let targets = self.parameters.iter_mut().chain(running);
        for (target, given) in targets.zip(state) {
            target.copy_from_slice(&given.values);
        }
        Ok(())
    }
}
