//! The findings of a study: the contract of `findings.json`.
//!
//! Every number that was measured or fitted is an [`Estimate`]. Field names are part of the
//! contract; additions raise the minor part of [`SCHEMA`], changes the major.

use std::collections::BTreeMap;

use batchscope_core::{Choice, DecayPolicy, Estimate, Metric, Schedule, StepTiming, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::laws::Law;
use crate::noise::NoiseTrajectory;
use crate::shapes::{LeastSquares, ShapeComparison};

/// Version of the layout of `findings.json`.
pub const SCHEMA: &str = "batchscope.findings/1.4";

/// Everything a study found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Findings {
    /// [`SCHEMA`].
    pub schema: String,
    /// What was studied.
    pub study: StudySummary,
    /// Curves by learning-rate policy: one `tuned`, or one per rule.
    pub curves: Vec<Curve>,
    /// By curve: the critical batch size by several definitions.
    pub critical_batch_size: BTreeMap<String, CriticalBatchSizes>,
    /// By curve: where each regime lies.
    pub regimes: BTreeMap<String, Regimes>,
    /// By curve: how the answer moves with the target, from the same runs, hardest target first.
    pub targets: BTreeMap<String, Vec<TargetMovement>>,
    /// By curve: generalization against batch size.
    #[serde(alias = "generalisation")]
    pub generalization: BTreeMap<String, Generalization>,
    /// Golmant's `|L − L̂|` by batch size, where it was probed (the LSR curve).
    pub linearity: Vec<LinearityPoint>,
    /// By curve: the gradient noise scale `B_simple` at each batch size, where it was watched.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub noise: BTreeMap<String, Vec<NoiseTrajectory>>,
    /// Tuning: what each batch size spent and chose.
    pub tuning: Vec<TuningSummary>,
    /// Laws across curves, for measurements made elsewhere whose curves have sizes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub laws: Vec<Law>,
    /// What to train with, where it could be said.
    pub advice: Option<Advice>,
    /// One sentence: the verdict a reader meets first. Empty until the findings are put into words.
    pub verdict: String,
    /// What the verdict rests on and what would change it, a sentence each.
    pub remarks: Vec<String>,
}

impl Findings {
    /// The noise scale that is quoted for a curve: that of a batch size fixed beforehand, the base,
    /// or else of the smallest that was watched.
    pub fn quoted_noise(&self, curve: &str) -> Option<&NoiseTrajectory> {
        let courses = self.noise.get(curve)?;
        let base = self.study.base_batch;
        let at_base = courses.iter().find(|course| course.batch_size == base);
        at_base.or(courses.first())
    }
}

/// What was studied, as text and settings: enough to understand the numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StudySummary {
    /// The model, with its settings.
    pub model: String,
    /// The data, with its settings.
    pub data: String,
    /// Trainer name and version.
    pub trainer: String,
    /// Where it computed.
    pub device: String,
    /// Training examples, `N`, where there is a training set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_examples: Option<u64>,
    /// Trainable parameters.
    pub parameters: u64,
    /// The goal; `None` where measurements made elsewhere do not state it.
    pub target: Option<Target>,
    /// Where the goal came from: `fixed beforehand`, `from the pilot at batch size 64`, ….
    pub target_origin: String,
    /// Batch sizes studied, increasing.
    pub batch_sizes: Vec<u64>,
    /// Fresh seeds per point.
    pub seeds: u64,
    /// Study seed.
    pub study_seed: u64,
    /// Base batch size of the rules and the pilot.
    pub base_batch: u64,
    /// `every` or `base`.
    pub tune: String,
    /// Trials by end state, all purposes.
    pub trials: BTreeMap<String, u64>,
    /// How every trial trained. Findings of 0.1.0 do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Conditions>,
    /// True if a program of somebody's trained, with an optimizer and a schedule of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_settings: bool,
    /// True if steps are those at which the smoothed metric first met the target, as up to 0.1.0.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_smoothing: bool,
    /// Where the measurements come from, where batchscope did not make them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_elsewhere: Option<MeasuredElsewhere>,
}

impl StudySummary {
    /// The goal as a sentence names it: `val-error=0.03`, or `the target` where it is not stated.
    pub fn goal(&self) -> String {
        let target = self.target.as_ref();
        target.map_or_else(|| "the target".to_owned(), Target::to_string)
    }
}

/// Measurements that somebody else made: files, and what was read from them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MeasuredElsewhere {
    /// Names of the files, without their folders.
    pub files: Vec<String>,
    /// Rows that hold data.
    pub rows: u64,
    /// Runs that the rows make up.
    pub runs: u64,
    /// What each column that was used was taken for, and its heading.
    pub columns: Vec<(String, String)>,
}

/// What steps to a target depend on beside the model, the data and the target: a critical batch size
/// belongs to them, and its interval does not hold their choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conditions {
    /// Optimizer and its constants, learning rate aside.
    pub optimizer: Choice,
    /// The range of momenta that were tuned, in place of the optimizer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuned_momentum: Option<(f64, f64)>,
    /// The optimizer's β2 is that of the base batch size: at others its half-life in examples is kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub token_half_life: bool,
    /// Warm-up and what follows.
    pub schedule: Schedule,
    /// Largest norm of a gradient, where it is clipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Which parameters weight decay applies to.
    #[serde(default, skip_serializing_if = "DecayPolicy::is_default")]
    pub decay: DecayPolicy,
    /// Step methods other than the plain step; empty for plain steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Choice>,
    /// At most this many examples of a split are evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_examples: Option<u64>,
}

/// One curve of steps to the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Curve {
    /// `tuned`, or the rule's name.
    pub rule: String,
    /// One point per batch size, increasing.
    pub points: Vec<Point>,
    /// The fit of `S(B) = S_min + E_min/B`, where it could be made.
    pub fit: Option<Fit>,
    /// The hyperbola against another law, for measurements made elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<ShapeComparison>,
}

/// What is known of one batch size on one curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Examples per step.
    pub batch_size: u64,
    /// How its fresh trials ended, in one word.
    pub state: PointState,
    /// Steps to the target: geometric mean over fresh seeds.
    pub steps: Estimate,
    /// Examples to the target.
    pub examples: Estimate,
    /// Training seconds to the target on the machine and jobs of the study (indicative).
    pub seconds: Estimate,
    /// The learning rate used (exact, or with the range tuning could not tell apart).
    pub learning_rate: Estimate,
    /// The momentum used, where it was tuned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Steps of warm-up its trials ran with.
    #[serde(default)]
    pub warm_up_steps: u64,
    /// `S(B₀)/S(B)` against the smallest batch size of the curve that reached the target.
    pub speed_up: Estimate,
    /// Shallue et al. 2018's steps-to-result: the minimum over the tuning trials, selection and
    /// all. `None` where this batch size was not tuned.
    pub minimum_over_trials: Option<u64>,
    /// Each fresh seed's result.
    pub repeats: Vec<Repeat>,
    /// End states of the fresh trials, counted.
    pub outcomes: BTreeMap<String, u64>,
}

/// The end of one batch size in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PointState {
    /// Every fresh trial reached the target.
    Reached,
    /// Some did, some hit the cap (censored) or diverged.
    Partly,
    /// None did; at least one was censored.
    NotReached,
    /// All diverged.
    Diverged,
    /// Could not be run.
    Infeasible,
}

/// One fresh trial of a point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Repeat {
    /// Number of the trial in the study.
    pub trial: u64,
    /// Steps to the target, the cap where it was not reached, or the step where it diverged.
    pub steps: u64,
    /// Lower end of the crossing's bracket (equals `steps` unless reached).
    pub after: u64,
    /// `reached`, `not_reached`, `diverged`, ….
    pub state: String,
}

/// The censored log-space fit of `S(B) = S_min·(1 + B_c/B)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fit {
    /// Steps at infinite batch size.
    pub s_min: Estimate,
    /// Examples to the target in the limit of small batch sizes: `E(B) = E_min + S_min·B`.
    pub e_min: Estimate,
    /// Residual standard deviation of `ln S` about the fit, at a typical batch size.
    pub sigma: f64,
    /// Standard deviation of `ln S` between seeds, pooled over the batch sizes: that at their geometric
    /// mean, each weighted by its seeds less one.
    pub seed_sigma: Option<f64>,
    /// `d ln σ/d ln B`: the deviation between seeds at a batch size `B` is `seed_sigma·(B/B̄)` to this
    /// power, `B̄` that geometric mean. Shrunk to 0; `None` without a repeated batch size, and in files of
    /// schema 1.1 and before, which took it for 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma_slope: Option<f64>,
    /// Lack-of-fit F statistic (residuals against pooled seed variance).
    pub lack_of_fit_f: Option<f64>,
    /// Its p-value; below 0.05 the model does not describe the curve.
    pub lack_of_fit_p: Option<f64>,
    /// The same curve by plain least squares, for measurements made elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_squares: Option<LeastSquares>,
    /// Fresh trials in the fit: exact and censored.
    pub n: u64,
    /// Of them censored.
    pub censored: u64,
    /// Diverged trials left out.
    pub diverged: u64,
    /// The fitted `S(B)` with its interval on a fine grid of batch sizes, for drawing.
    pub band: Vec<BandPoint>,
}

/// The fit at one batch size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BandPoint {
    /// Batch size, in examples; any positive number.
    pub batch_size: f64,
    /// Fitted steps.
    pub steps: f64,
    /// Lower end of the pointwise interval of the mean curve.
    pub low: f64,
    /// Upper end of the pointwise interval, in steps.
    pub high: f64,
}

/// The critical batch size of one curve by three definitions, each with its source in
/// `critical.rs`. (a), (b) and (c) are put on one scale, on which they are equal if the curve is a
/// hyperbola.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CriticalBatchSizes {
    /// (a) `B_c` of the hyperbola.
    pub hyperbola: Estimate,
    /// (b) The largest batch with at most 20 % more examples than `E_min`, divided by 0.2.
    pub overhead20: Estimate,
    /// (c) The batch at which steps are within 10 % of `S_min`, divided by 10.
    pub plateau: Estimate,
    /// (b) before normalization: the batch size itself.
    pub overhead20_batch: Estimate,
    /// (c) before normalization.
    pub plateau_batch: Estimate,
    /// Zhang et al. 2024's own definition, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overhead_from: Option<OverheadFrom>,
    /// Largest ratio between the values of two of the normalized definitions. Without their intervals it
    /// says nothing of agreement: see [`Findings::agreement`].
    pub disagreement: Option<f64>,
    /// What would settle what is only bounded, and what it would cost.
    pub to_settle: Option<Settle>,
}

/// The critical batch size of Zhang et al. 2024 (arXiv 2410.21676): the batch size `B*` that needs 20 % more
/// examples than a stated one, `B* = 1.2·B₀ + 0.2·B_c` on the fitted hyperbola. It is another definition: its
/// numbers are not to be compared with those above.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OverheadFrom {
    /// `B₀`.
    pub from: u64,
    /// `B*`.
    pub batch_size: Estimate,
}

/// How to turn a bound into a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settle {
    /// Batch sizes to add.
    pub batch_sizes: Vec<u64>,
    /// The command line; empty until the findings are put into words.
    pub command: String,
    /// Examples it would train on, at most.
    pub examples: f64,
    /// Seconds it would take at the speed of this study, at most.
    pub seconds: f64,
}

/// Where the regimes lie by the local slope of the fit; also each point's own regime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Regimes {
    /// Linear (perfect) scaling below this batch size: slope −0.8, `B_c/4`.
    pub linear_below: Estimate,
    /// Stagnation above this batch size: slope −0.2, `4·B_c`.
    pub stagnation_above: Estimate,
    /// The regime of each studied batch size.
    pub points: Vec<RegimePoint>,
}

/// The regime of one batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegimePoint {
    /// Examples per step.
    pub batch_size: u64,
    /// Which regime.
    pub regime: Regime,
    /// Measured local slope `d ln S/d ln B` (central difference over neighbors), if there is one.
    pub slope: Option<f64>,
}

/// Golmant et al. 2018's three regimes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Regime {
    /// Doubling the batch halves the steps.
    Linear,
    /// It saves less than half.
    Diminishing,
    /// It saves next to nothing.
    Stagnation,
    /// Not known.
    Unknown,
}

/// The critical batch size at another, easier target, from the same runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetMovement {
    /// The target.
    pub target: Target,
    /// `B_c` there.
    pub hyperbola: Estimate,
    /// Trials that reached it.
    pub reached: u64,
}

/// Generalization against batch size under three comparisons that must not be mixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Generalization {
    /// What is compared (the validation metric of the target's quantity, or loss).
    pub metric: Metric,
    /// At the largest number of examples that all batch sizes trained on, where they are passes over
    /// a training set.
    pub equal_epochs: Option<GeneralizationAt>,
    /// At the largest number of steps that all batch sizes made.
    pub equal_steps: Option<GeneralizationAt>,
    /// At the lowest training loss that all batch sizes reached.
    pub equal_loss: Option<GeneralizationAt>,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GeneralizationAt {
    /// Epochs, steps or training loss at which the batch sizes are compared.
    pub at: f64,
    /// The validation metric of each batch size there.
    pub points: Vec<(u64, Estimate)>,
}

/// The linearization error of one batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LinearityPoint {
    /// Examples per step.
    pub batch_size: u64,
    /// Curve it was measured on.
    pub curve: String,
    /// Geometric mean of `|L − L̂|` over the run's evaluations, over seeds.
    pub gap: Estimate,
}

/// What tuning did at one batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TuningSummary {
    /// Examples per step.
    pub batch_size: u64,
    /// Trials spent: equal at every batch size in each round.
    pub trials: u64,
    /// Steps spent in all.
    pub steps: u64,
    /// Lowest learning rate searched, all widenings included.
    pub low: f64,
    /// Highest learning rate searched.
    pub high: f64,
    /// Widenings, as sentences.
    pub widenings: Vec<String>,
    /// The rate chosen, if any trial reached the target.
    pub chosen: Option<f64>,
    /// The momentum chosen, where it was tuned. `low` and `high` are then of rates at the plan's own
    /// momentum: the same steps at another momentum have another rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Rates whose steps were within 10 % of the best: what tuning could not tell apart.
    pub indistinct: Option<(f64, f64)>,
    /// True if the best still sits on the edge of the widest range.
    pub on_edge: bool,
}

/// What to train with on this machine, and how far devices help.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Advice {
    /// The recommended setting on one device.
    pub recommended: Recommendation,
    /// Measured step times (alone on the machine).
    pub timings: Vec<StepTiming>,
    /// The all-reduce model used for more than one device, and the prices.
    pub assumptions: Assumptions,
    /// Predicted options for 1..N devices: time against cost.
    pub options: Vec<DeviceOption>,
    /// Which numbers are measured and which modeled.
    pub provenance: Vec<String>,
}

/// A complete setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recommendation {
    /// Examples per step.
    pub batch_size: u64,
    /// Examples per forward pass and device.
    pub micro_batch: u64,
    /// Micro-batches per step and device.
    pub accumulation: u64,
    /// Learning rate; `None` where measurements made elsewhere do not state it.
    pub learning_rate: Option<f64>,
    /// Momentum, where it was tuned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Warm-up steps.
    pub warm_up_steps: u64,
    /// Devices.
    pub devices: u64,
    /// Seconds to the target.
    pub seconds: Estimate,
    /// Examples to the target.
    pub examples: Estimate,
    /// The curve it is taken from.
    pub curve: String,
}

/// What the user states and nothing measures: the links between devices, prices and power.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Assumptions {
    /// Seconds per message of the ring all-reduce.
    pub latency: f64,
    /// Bytes per second of a link.
    pub bandwidth: f64,
    /// Price of a device, per hour, in the user's currency.
    pub price_per_hour: Option<f64>,
    /// Watts of a device.
    pub watts: Option<f64>,
}

/// One row of the time–cost table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceOption {
    /// Devices.
    pub devices: u64,
    /// Examples per step over all of them.
    pub batch_size: u64,
    /// Examples per forward pass and device (a size that was timed).
    pub micro_batch: u64,
    /// Micro-batches per step and device.
    pub accumulation: u64,
    /// Seconds to the target.
    pub seconds: Estimate,
    /// Device-hours to the target.
    pub device_hours: Estimate,
    /// Money, where a price was given.
    pub money: Option<Estimate>,
    /// Kilowatt-hours, where watts were given.
    pub energy: Option<Estimate>,
    /// True if no other option is both faster and cheaper.
    pub pareto: bool,
}
