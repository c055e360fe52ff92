use batchscope_core::{NetworkError, NormStatistics, ParameterKind};
use burn_tensor::{Device, Tensor, activation::relu};

use crate::{
    builder::Builder,
    cpu,
    init::Init,
    parameters::ParameterId,
    pass::Pass,
    storage::{Storage, to_host},
};

/// Added to variances, as in PyTorch.
pub(crate) const EPSILON: f64 = 1e-5;

/// Weight of a step's statistics in the running ones, as in PyTorch.
const MOMENTUM: f32 = 0.1;

/// Batch norm (Ioffe and Szegedy 2015) over *ghost batches* (Hoffer et al. 2017): in training each
/// consecutive group of `ghost` examples of a step is normalized by its own mean and variance, so
/// that the network stays the same at every batch size. The last group may be smaller.
///
/// `y = γ·(x − μ)/√(σ² + ε) + β` per channel, the last dimension. Running statistics take in each
/// step once, as the mean over its groups weighted by their examples (variances unbiased, as in
/// PyTorch), and are used in evaluation.
pub struct GhostNorm {
    scale: ParameterId,
    shift: ParameterId,
    running: NormId,
}

/// Handle of a layer's running statistics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NormId(pub usize);

/// Statistics of the groups of one micro-batch.
pub(crate) struct GroupStatistics {
    /// Means, `[groups, channels]`.
    pub mean: Tensor<2>,
    /// Biased variances, `[groups, channels]`.
    pub variance: Tensor<2>,
    /// Examples in all.
    pub examples: usize,
    /// Examples per group; the last may have fewer.
    pub ghost: usize,
    /// Numbers per example and channel.
    pub pixels: usize,
}

/// What a batch norm works with besides its input.
pub(crate) struct NormArguments {
    /// γ, `[channels]`.
    pub scale: Tensor<1>,
    /// β, `[channels]`.
    pub shift: Tensor<1>,
    /// By what the input is normalized.
    pub by: NormBy,
}

/// Statistics that normalize.
#[expect(
    clippy::large_enum_variant,
    reason = "one lives for the length of a layer's call"
)]
pub(crate) enum NormBy {
    /// Training: those of groups of so many examples.
    Ghost(usize),
    /// Evaluation: the running ones.
    Running {
        /// Mean, `[channels]`.
        mean: Tensor<1>,
        /// Variance, `[channels]`.
        variance: Tensor<1>,
    },
}

impl GhostNorm {
    /// A layer with γ = 1 and β = 0 over `channels` channels of `len` numbers per example.
    pub fn new(builder: &mut Builder, name: &str, channels: usize, len: usize) -> Self {
        // The output; centered, normalized and scaled values.
        builder.activations(len);
        builder.composed(3 * len);
        Self {
            scale: builder.parameter(
                format!("{name}.weight"),
                &[channels],
                ParameterKind::NormScale,
                Init::Constant(1.0),
            ),
            shift: builder.parameter(
                format!("{name}.bias"),
                &[channels],
                ParameterKind::NormShift,
                Init::Constant(0.0),
            ),
            running: builder.norm(name, channels),
        }
    }

    /// What the layer works with in this pass.
    pub(crate) fn arguments(&self, pass: &mut Pass) -> NormArguments {
        let by = match pass.ghost() {
            Some(ghost) => NormBy::Ghost(ghost),
            None => {
                let state = pass.norm(self.running);
                NormBy::Running {
                    mean: state.main.mean.tensor(),
                    variance: state.main.variance.tensor(),
                }
            }
        };
        NormArguments {
            scale: pass.parameter(self.scale),
            shift: pass.parameter(self.shift),
            by,
        }
    }

    /// Takes statistics into the step.
    pub(crate) fn observe(&self, statistics: Option<GroupStatistics>, pass: &mut Pass) {
        if let Some(statistics) = statistics {
            pass.norm(self.running).add(statistics);
        }
    }

    /// `relu(norm(x))` of `[n, channels]`.
    pub fn relu(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let arguments = self.arguments(pass);
        let x: Tensor<3> = x.unsqueeze_dim(1);
        let (y, statistics) = if pass.kernels() {
            cpu::norm_relu(x, arguments)
        } else {
            norm_relu(x, arguments)
        };
        self.observe(statistics, pass);
        y.squeeze_dim(1)
    }
}

/// `relu(norm(x))`, composed of burn's operations.
pub(crate) fn norm_relu(
    x: Tensor<3>,
    arguments: NormArguments,
) -> (Tensor<3>, Option<GroupStatistics>) {
    let (y, statistics) = norm(x, arguments);
    (relu(y), statistics)
}

/// Batch norm of `[n, pixels, channels]`, composed of burn's operations.
pub(crate) fn norm(x: Tensor<3>, arguments: NormArguments) -> (Tensor<3>, Option<GroupStatistics>) {
    let [n, pixels, channels] = x.dims();
    let row = |x: Tensor<1>| -> Tensor<3> { x.reshape([1, 1, channels]) };
    let NormArguments { scale, shift, by } = arguments;
    let (scale, shift) = (row(scale), row(shift));
    let ghost = match by {
        NormBy::Ghost(ghost) => ghost.min(n),
        NormBy::Running { mean, variance } => {
            let rate = (row(variance) + EPSILON).sqrt().recip();
            return ((x - row(mean)) * (rate * scale) + shift, None);
        }
    };
    // Normalizes `groups` groups of equal size; gives their means and variances too.
    let normalize = |x: Tensor<3>, groups: usize| {
        let [examples, ..] = x.dims();
        let x: Tensor<3> = x.reshape([groups, examples / groups * pixels, channels]);
        let mean = x.clone().mean_dim(1);
        let centered = x - mean.clone();
        let variance = centered.clone().square().mean_dim(1);
        let rate = (variance.clone() + EPSILON).sqrt().recip();
        let y = centered * (rate * scale.clone()) + shift.clone();
        let moment = |x: Tensor<3>| x.inner().reshape([groups, channels]);
        (
            y.reshape([examples, pixels, channels]),
            moment(mean),
            moment(variance),
        )
    };
    let whole = n / ghost * ghost;
    let (y, mean, variance) = if whole == n {
        normalize(x, n / ghost)
    } else {
        let (main, main_mean, main_variance) =
            normalize(x.clone().narrow(0, 0, whole), whole / ghost);
        let (rest, mean, variance) = normalize(x.narrow(0, whole, n - whole), 1);
        let join = |a: Tensor<2>, b: Tensor<2>| Tensor::cat(vec![a, b], 0);
        (
            Tensor::cat(vec![main, rest], 0),
            join(main_mean, mean),
            join(main_variance, variance),
        )
    };
    (
        y,
        Some(GroupStatistics {
            mean,
            variance,
            examples: n,
            ghost,
            pixels,
        }),
    )
}

/// Running statistics, and the sums of the current step.
pub(crate) struct Running {
    /// Running mean.
    pub mean: Storage,
    /// Running variance, unbiased.
    pub variance: Storage,
    /// Example-weighted sums of mean and unbiased variance over the step's groups, and the examples.
    step: Option<(Tensor<1>, Tensor<1>, usize)>,
}

impl Running {
    /// Mean 0 and variance 1.
    pub(crate) fn new(channels: usize, device: &Device) -> Self {
        let constant = |value| Storage::from_host(vec![value; channels], &[channels], device);
        Self {
            mean: constant(0.0),
            variance: constant(1.0),
            step: None,
        }
    }

    /// Adds sums over groups of so many examples in all.
    fn add(&mut self, mean: Tensor<1>, variance: Tensor<1>, examples: usize) {
        self.step = Some(match self.step.take() {
            None => (mean, variance, examples),
            Some((m, v, e)) => (m + mean, v + variance, e + examples),
        });
    }

    /// Appends the sums of the step: means, variances, examples.
    fn add_sums_to(&self, sums: &mut Vec<f32>, channels: usize) -> Result<(), NetworkError> {
        match &self.step {
            None => sums.resize(sums.len() + 2 * channels + 1, 0.0),
            Some((mean, variance, examples)) => {
                sums.extend(to_host(mean.clone())?);
                sums.extend(to_host(variance.clone())?);
                sums.push(*examples as f32);
            }
        }
        Ok(())
    }

    /// Replaces the sums of the step by those of [`Running::add_sums_to`].
    fn set_sums(&mut self, sums: &[f32], device: &Device) {
        let channels = sums.len() / 2;
        let tensor =
            |values: &[f32]| Storage::from_host(values.to_vec(), &[channels], device).tensor::<1>();
        let examples = sums[2 * channels] as usize;
        self.step = (examples > 0).then(|| {
            let (mean, variance) = sums[..2 * channels].split_at(channels);
            (tensor(mean), tensor(variance), examples)
        });
    }

    /// Folds the step's statistics into the running ones.
    fn end_step(&mut self) {
        let Some((mean, variance, examples)) = self.step.take() else {
            return;
        };
        let fold = |running: &Storage, sum: Tensor<1>| {
            let value =
                running.tensor::<1>() * (1.0 - MOMENTUM) + sum * (MOMENTUM / examples as f32);
            Storage::from_dispatch(value.into_dispatch())
        };
        self.mean = fold(&self.mean, mean);
        self.variance = fold(&self.variance, variance);
    }
}

/// Running statistics of one layer.
pub(crate) struct NormState {
    /// Dotted path of the layer.
    pub name: String,
    /// Number of channels.
    pub channels: usize,
    /// Those that evaluation normalizes by.
    pub main: Running,
    /// Those of other examples, once they have been asked for.
    pub auxiliary: Option<Running>,
    /// Which of them passes of training are taken into.
    collects: NormStatistics,
    /// Groups put by for [`NormState::add_moments_to`] in place of a step's; `None` outside of that.
    collected: Option<Vec<GroupStatistics>>,
}

/// The main statistics of a step under way.
pub(crate) struct StepStatistics(Option<(Tensor<1>, Tensor<1>, usize)>, NormStatistics);

impl NormState {
    /// Mean 0 and variance 1.
    pub(crate) fn new(name: String, channels: usize, device: &Device) -> Self {
        Self {
            name,
            channels,
            main: Running::new(channels, device),
            auxiliary: None,
            collects: NormStatistics::Main,
            collected: None,
        }
    }

    /// From now on groups are taken into these statistics.
    pub(crate) fn collects(&mut self, of: NormStatistics, device: &Device) {
        self.collects = of;
        if of == NormStatistics::Auxiliary && self.auxiliary.is_none() {
            self.auxiliary = Some(Running::new(self.channels, device));
        }
    }

    /// Adds the groups of a micro-batch to the step.
    pub(crate) fn add(&mut self, statistics: GroupStatistics) {
        if let Some(groups) = &mut self.collected {
            groups.push(statistics);
            return;
        }
        let GroupStatistics {
            mean,
            variance,
            examples,
            ghost,
            pixels,
        } = statistics;
        let device = mean.device();
        let sizes = (0..examples)
            .step_by(ghost)
            .map(|first| ghost.min(examples - first));
        // A single number has no variance to unbias.
        let unbias = |count: usize| count as f32 / count.saturating_sub(1).max(1) as f32;
        let (weights, unbiased): (Vec<f32>, Vec<f32>) = sizes
            .map(|size| (size as f32, size as f32 * unbias(size * pixels)))
            .unzip();
        let total = |x: Tensor<2>, weights: Vec<f32>| {
            let shape = [weights.len(), 1];
            let weights: Tensor<2> = Storage::from_host(weights, &shape, &device).tensor();
            let weights = weights.cast(x.dtype());
            (x * weights).sum_dim(0).reshape([self.channels])
        };
        let (mean, variance) = (total(mean, weights), total(variance, unbiased));
        let running = match (self.collects, &mut self.auxiliary) {
            (NormStatistics::Auxiliary, Some(auxiliary)) => auxiliary,
            _ => &mut self.main,
        };
        running.add(mean, variance, examples);
    }

    /// Takes the step's statistics out, to be put back after a pass that is no part of the step.
    pub(crate) fn set_aside(&mut self) -> StepStatistics {
        let collected = std::mem::take(&mut self.collects);
        StepStatistics(self.main.step.take(), collected)
    }

    /// Puts back what was set aside in place of what has come since.
    pub(crate) fn put_back(&mut self, StepStatistics(step, collects): StepStatistics) {
        self.main.step = step;
        self.collects = collects;
    }

    /// Forgets the step's statistics.
    pub(crate) fn begin_step(&mut self) {
        self.collects = NormStatistics::Main;
        self.main.step = None;
        if let Some(auxiliary) = &mut self.auxiliary {
            auxiliary.step = None;
        }
    }

    /// From now on groups are put by for [`NormState::add_moments_to`], and are no part of a step.
    pub(crate) fn collect(&mut self) {
        self.collected = Some(Vec::new());
    }

    /// Appends the first and second moments of the groups put by, summed over their numbers, and how many numbers these are:
    /// `Σ n_g·μ_g`, `Σ n_g·(σ_g² + μ_g²)` with σ_g² biased, `n`. The groups are forgotten.
    pub(crate) fn add_moments_to(&mut self, sums: &mut Vec<f64>) -> Result<(), NetworkError> {
        let mut mean = vec![0.0; self.channels];
        let mut square = vec![0.0; self.channels];
        let mut numbers = 0.0;
        for groups in self.collected.take().unwrap_or_default() {
            let starts = (0..groups.examples).step_by(groups.ghost);
            let sizes: Vec<f64> = starts
                .map(|first| (groups.ghost.min(groups.examples - first) * groups.pixels) as f64)
                .collect();
            let host = |x: Tensor<2>| {
                let mut values = vec![0.0; sizes.len() * self.channels];
                let values_of = Storage::from_dispatch(x.into_dispatch());
                values_of.add_to(1.0, &mut values).map(|()| values)
            };
            let (means, variances) = (host(groups.mean)?, host(groups.variance)?);
            let rows = means
                .chunks(self.channels)
                .zip(variances.chunks(self.channels));
            for (size, (means, variances)) in sizes.iter().zip(rows) {
                for (channel, (m, v)) in means.iter().zip(variances).enumerate() {
                    mean[channel] += size * m;
                    square[channel] += size * (v + m * m);
                }
                numbers += size;
            }
        }
        sums.extend(mean);
        sums.extend(square);
        sums.push(numbers);
        Ok(())
    }

    /// Mean and unbiased variance from its own sums of [`NormState::add_moments_to`], at the front of all; and the rest:
    /// `μ = Σ n_g·μ_g/n` and `σ² = (Σ n_g·(σ_g² + μ_g²)/n − μ²)·n/(n − 1)`. A single number varies by 0.
    pub(crate) fn take_moments<'a>(&self, sums: &'a [f64]) -> ([Vec<f64>; 2], &'a [f64]) {
        let (own, rest) = sums.split_at(2 * self.channels + 1);
        let (mean, square) = own[..2 * self.channels].split_at(self.channels);
        let numbers = own[2 * self.channels];
        let unbias = numbers / (numbers - 1.0).max(1.0);
        let mean: Vec<f64> = mean.iter().map(|sum| sum / numbers).collect();
        let variance = square.iter().zip(&mean);
        let variance = variance
            .map(|(square, mean)| (square / numbers - mean * mean).max(0.0) * unbias)
            .collect();
        ([mean, variance], rest)
    }

    /// Appends the sums of the step's statistics: the main ones, then the auxiliary ones, zeros where there are none.
    pub(crate) fn add_sums_to(&self, sums: &mut Vec<f32>) -> Result<(), NetworkError> {
        self.main.add_sums_to(sums, self.channels)?;
        match &self.auxiliary {
            Some(auxiliary) => auxiliary.add_sums_to(sums, self.channels),
            None => {
                sums.resize(sums.len() + 2 * self.channels + 1, 0.0);
                Ok(())
            }
        }
    }

    /// Takes its own from the front of the sums of [`NormState::add_sums_to`]; returns the rest.
    pub(crate) fn take_sums<'a>(
        &mut self,
        sums: &'a [f32],
        device: &Device,
    ) -> Result<&'a [f32], NetworkError> {
        let each = 2 * self.channels + 1;
        let (main, rest) = sums.split_at_checked(each).ok_or_else(Self::wrong_sums)?;
        let (auxiliary, rest) = rest.split_at_checked(each).ok_or_else(Self::wrong_sums)?;
        self.main.set_sums(main, device);
        if auxiliary[each - 1] > 0.0 {
            // This replica may have had no such examples.
            let running = self
                .auxiliary
                .get_or_insert_with(|| Running::new(self.channels, device));
            running.set_sums(auxiliary, device);
        }
        Ok(rest)
    }

    /// Sums that are those of another network.
    pub(crate) fn wrong_sums() -> NetworkError {
        NetworkError::State("the statistics of a step are of another network".to_owned())
    }

    /// Folds the step's statistics into the running ones.
    pub(crate) fn end_step(&mut self) {
        self.main.end_step();
        if let Some(auxiliary) = &mut self.auxiliary {
            auxiliary.end_step();
        }
    }
}
