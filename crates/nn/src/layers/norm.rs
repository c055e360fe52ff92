use batchwise_core::ParameterKind;
use burn::tensor::{Device, Tensor};

use crate::{builder::Builder, init::Init, parameters::ParameterId, pass::Pass, storage::Storage};

/// Added to variances, as in PyTorch.
pub(crate) const EPSILON: f64 = 1e-5;

/// Weight of a step's statistics in the running ones, as in PyTorch.
const MOMENTUM: f32 = 0.1;

/// Batch norm (Ioffe and Szegedy 2015) over *ghost batches* (Hoffer et al. 2017): in training each
/// consecutive group of `ghost` examples of a step is normalised by its own mean and variance, so
/// that the network stays the same at every batch size. The last group may be smaller.
///
/// `y = γ·(x − μ)/√(σ² + ε) + β` per channel, the last dimension. Running statistics take in each
/// step once, as the mean over its groups weighted by their examples (variances unbiased, as in
/// PyTorch), and are used in evaluation.
pub(crate) struct GhostNorm {
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
    /// Examples per group.
    pub examples: usize,
    /// Numbers per group and channel.
    pub count: usize,
}

impl GhostNorm {
    /// A layer with γ = 1 and β = 0 over `channels` channels of `len` numbers per example.
    pub(crate) fn new(builder: &mut Builder, name: &str, channels: usize, len: usize) -> Self {
        // Centred, normalised and scaled values are kept.
        builder.activations(3 * len);
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

    /// Normalises `[n, …, channels]`.
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>, pass: &mut Pass) -> Tensor<D> {
        let dims = x.dims();
        let (n, channels) = (dims[0], dims[D - 1]);
        let scale: Tensor<3> = pass.parameter::<1>(self.scale).reshape([1, 1, channels]);
        let shift: Tensor<3> = pass.parameter::<1>(self.shift).reshape([1, 1, channels]);
        let pixels = dims[1..D - 1].iter().product::<usize>();
        let x: Tensor<3> = x.reshape([n, pixels, channels]);
        let y = match pass.ghost() {
            None => {
                let state = pass.norm(self.running);
                let mean: Tensor<3> = state.mean.tensor::<1>().reshape([1, 1, channels]);
                let variance: Tensor<3> = state.variance.tensor::<1>().reshape([1, 1, channels]);
                (x - mean) * ((variance + EPSILON).sqrt().recip() * scale) + shift
            }
            Some(ghost) => {
                let mut normalise = |x: Tensor<3>, groups: usize| {
                    let [examples, ..] = x.dims();
                    let count = examples / groups * pixels;
                    let x: Tensor<3> = x.reshape([groups, count, channels]);
                    let mean = x.clone().mean_dim(1);
                    let centred = x - mean.clone();
                    let variance = centred.clone().square().mean_dim(1);
                    pass.norm(self.running).add(GroupStatistics {
                        mean: mean.inner().reshape([groups, channels]),
                        variance: variance.clone().inner().reshape([groups, channels]),
                        examples: examples / groups,
                        count,
                    });
                    let rate = (variance + EPSILON).sqrt().recip();
                    let y = centred * (rate * scale.clone()) + shift.clone();
                    y.reshape([examples, pixels, channels])
                };
                let whole = n / ghost * ghost;
                if n <= ghost {
                    normalise(x, 1)
                } else if whole == n {
                    normalise(x, n / ghost)
                } else {
                    let main = normalise(x.clone().narrow(0, 0, whole), whole / ghost);
                    let rest = normalise(x.narrow(0, whole, n - whole), 1);
                    Tensor::cat(vec![main, rest], 0)
                }
            }
        };
        y.reshape(dims)
    }
}

/// Running statistics of one layer, and the sums of the current step.
pub(crate) struct NormState {
    /// Dotted path of the layer.
    pub name: String,
    /// Number of channels.
    pub channels: usize,
    /// Running mean.
    pub mean: Storage,
    /// Running variance, unbiased.
    pub variance: Storage,
    /// Example-weighted sums of mean and unbiased variance over the step's groups, and the weight.
    step: Option<(Tensor<1>, Tensor<1>, f64)>,
}

impl NormState {
    /// Mean 0 and variance 1.
    pub(crate) fn new(name: String, channels: usize, device: &Device) -> Self {
        let constant = |value| Storage::from_host(vec![value; channels], &[channels], device);
        Self {
            name,
            channels,
            mean: constant(0.0),
            variance: constant(1.0),
            step: None,
        }
    }

    /// Adds the groups of a micro-batch to the step.
    pub(crate) fn add(&mut self, groups: GroupStatistics) {
        let GroupStatistics {
            mean,
            variance,
            examples,
            count,
        } = groups;
        let [number, _] = mean.dims();
        let total = |x: Tensor<2>, factor: f64| x.sum_dim(0).reshape([self.channels]) * factor;
        let weight = examples as f64;
        // A single number has no variance to unbias.
        let unbias = if count > 1 {
            count as f64 / (count - 1) as f64
        } else {
            1.0
        };
        let (mean, variance, weight) = (
            total(mean, weight),
            total(variance, weight * unbias),
            weight * number as f64,
        );
        self.step = Some(match self.step.take() {
            None => (mean, variance, weight),
            Some((m, v, w)) => (m + mean, v + variance, w + weight),
        });
    }

    /// Forgets the step's statistics.
    pub(crate) fn begin_step(&mut self) {
        self.step = None;
    }

    /// Folds the step's statistics into the running ones.
    pub(crate) fn end_step(&mut self) {
        let Some((mean, variance, weight)) = self.step.take() else {
            return;
        };
        let fold = |running: &Storage, sum: Tensor<1>| {
            let value =
                running.tensor::<1>() * (1.0 - MOMENTUM) + sum * (f64::from(MOMENTUM) / weight);
            Storage::from_dispatch(value.into_dispatch())
        };
        self.mean = fold(&self.mean, mean);
        self.variance = fold(&self.variance, variance);
    }
}
