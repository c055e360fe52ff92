//! The training loop: accumulation, augmentation, checkpoints, and the built-in trainer.
//!
//! [`train_loop`] is the loop itself. Each step it asks a [`GradientSource`] ([`Supervised`] or
//! [`AdversarialSource`]) for the mean gradient and hands it to an [`UpdateRule`], once or several times as its [`StepMethod`]
//! ([`Plain`] or [`Conservative`]) says; between steps it evaluates ([`Evaluator`]), watches for the
//! target and for divergence, and saves the run. [`BuiltIn`] sets up a [`Run`] from a
//! [`batchscope_core::TrialSpec`] and is the [`batchscope_core::Trainer`] of this workspace's own
//! networks and data.
//!
//! A run is a function of its spec: everything random is keyed by the step and the example's
//! position in it, so runs are resumed and split into micro-batches without a change.

pub mod augment;
mod built_in;
mod changing;
mod checkpoint;
mod error;
mod evaluate;
mod exchange;
mod gradient;
mod measurements;
mod methods;
mod micro_batch;
pub mod noise;
mod noise_law;
mod noise_scale;
mod norm_noise;
mod pools;
mod replicas;
mod run;
mod set_up;
mod shards;
mod stop;
#[doc(hidden)]
pub mod testing;
mod timing;
mod train_loop;
mod update;

pub use built_in::{BuiltIn, BuiltInConfig, SingleRun};
pub use checkpoint::{
    Checkpointer, Identity, Origin, Stored, StoredRun, kept, load_network, read_state, write_state,
};
pub use error::TrainError;
pub use evaluate::{EVALUATION_CHUNK, EvaluationSet, Evaluator, insert_metrics, quantities};
pub use exchange::TimedExchange;
pub use gradient::{BatchStream, GradientSource, Portions, Supervised};
pub use measurements::{MEASUREMENTS, Made, MeasurementKind, read_measurements};
pub use methods::gossip;
pub use methods::{
    AdversarialSource, Attack, AttackNorm, Beside, Conservative, Extra, METHODS, MakeRule,
    MakeSource, MethodKind, Mixture, NoiseWatch, Part, Plain, RuleParts, SourceParts, StepContext,
    StepMethod, check_methods, has_own_replicas, read_methods, read_part, written_part,
};
pub use micro_batch::{MICRO_BATCH_CEILING, choose as choose_micro_batch};
pub use noise::{NoiseEstimator, PartNorms, StepNoise};
pub use noise_law::{LawPoint, NoiseLaw};
pub use noise_scale::{NoiseMeasurement, NoiseRequest};
pub use norm_noise::{NoiseNorms, NormNoiseMeasurement};
pub use pools::{start_threads, threads};
pub use replicas::{Call, Replicas};
pub use run::Run;
pub use shards::{ClassSpread, Shard, ShardError, Sharding, Shards, class_labels};
pub use train_loop::train_loop;
pub use update::{Synchronous, UpdateRule};
