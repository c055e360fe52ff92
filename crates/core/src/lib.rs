//! The types that batchscope's crates share, and the traits by which they use each other.
//!
//! A [`TrialSpec`] asks for a training run, [`Event`]s report it, an [`Outcome`] ends it, and an
//! [`Estimate`] carries what was learned from it. This crate has no tensors, files, clocks or
//! randomness of its own.
//!
//! Words that are never mixed:
//!
//! * a *step* is one optimizer update;
//! * *batch size* is the number of examples per step over all devices;
//! * *micro-batch* is the number of examples per forward pass.

mod batch;
mod choice;
mod confusion;
mod crossing;
mod decay;
mod divergence;
mod driver;
mod driving;
mod estimate;
mod evaluation;
mod event;
pub mod format;
mod group;
mod metric;
mod network;
mod noise;
pub mod order;
mod outcome;
mod progress;
mod random;
mod schedule;
pub mod setting;
mod smoothing;
pub mod statistics;
mod trainer;
mod trial;

pub use batch::{
    Batch, DataShape, Examples, ExamplesError, InputShape, Inputs, Labels, Sampler, StepBatch,
    Task, UNLABELED,
};
pub use choice::{
    Argument, Call, CallError, Choice, ChoiceError, Default as ParameterDefault, Described,
    Descriptor, Kind, MAX_TEXT, Parameter, Range, Registry, Value, split_list, split_sum,
};
pub use confusion::Confusion;
pub use crossing::{Crossed, Crossing, IN_SIGHT, NEAR, WINDOW};
pub use decay::{DecayPolicy, DecayPolicyError};
pub use divergence::{Divergence, MEMORY as DIVERGENCE_MEMORY, PATIENCE as DIVERGENCE_PATIENCE};
pub use driver::{Events, Report, ReportError, TrialDriver};
pub use driving::{Driving, Evaluate, Evaluation, EvaluationCost, Next};
pub use estimate::{Estimate, EstimateState};
pub use evaluation::EvaluationPlan;
pub use event::{Decision, Event, Measurement, ScheduleRow};
pub use group::{Group, GroupError, Solo};
pub use metric::{Direction, Metric, Quantity, Split, Target, TargetError, plain_name};
pub use network::{
    LossSum, MetricSums, Mode, Network, NetworkError, NetworkFactory, NormStatistics,
    ParameterKind, ParameterLayout, ParameterTensor, ParameterVisitor, StateTensor,
};
pub use noise::{LayerNoise, NoiseMoments, NoiseRecord, NormsOf};
pub use progress::{Cadence, Progress};
pub use random::{Purpose, StreamKey};
pub use schedule::{Decay, Length, LengthError, Schedule, WarmUp, WarmUpShape, WarmUpShapeError};
pub use setting::SettingError;
pub use smoothing::{SMOOTHING_LOG_STEPS, Smoother};
pub use trainer::{
    Capabilities, Control, Flow, NeverStop, StepTiming, Trainer, TrainerError, TrainerInfo,
    check_untrained,
};
pub use trial::{Diagnostic, Located, Outcome, Start, TrialPurpose, TrialRecord, TrialSpec};
