//! Models on burn, and the [`Network`](batchscope_core::Network) they implement.
//!
//! A [`ModelSpec`] names a model and its settings (`mlp(512,512)`, `resnet20(ghost=64)`), a
//! [`DeviceSpec`] names where it computes, and a [`Factory`] builds networks from both:
//!
//! ```
//! use batchscope_core::{DataShape, InputShape, NetworkFactory, Purpose, StreamKey, Task};
//! use batchscope_nn::{DeviceSpec, Factory, ModelSpec};
//!
//! let model: ModelSpec = "mlp(128,64)".parse()?;
//! let factory = Factory::new(model, DeviceSpec::Cpu)?;
//! let digits = DataShape {
//!     input: InputShape::Image { height: 28, width: 28, channels: 1 },
//!     task: Task::Classify { classes: 10 },
//! };
//! let key = StreamKey { study_seed: 1, trial: 0, purpose: Purpose::Initialization };
//! let network = factory.build(&digits, key)?;
//! assert_eq!(network.layout().parameters(), 784 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`MODELS`] lists every kind of model. Each is one file in `models/` with its descriptor, its
//! facts and its builder. A [`ModelSpec`] can also be read from your own registry
//! (`tests/own_model.rs`).
//!
//! A built model is a description that holds handles of its parameters; tensors live in the
//! network, and a [`Pass`] lends them to the layers (`layers/`) for one forward computation.
//! Images are channels-last everywhere; parameters keep the canonical shapes of
//! [`ParameterKind`](batchscope_core::ParameterKind) whatever the kernels use.

mod builder;
mod cpu;
mod device;
mod examples;
mod factory;
mod init;
mod layers;
mod loss;
mod models;
mod network;
mod objective;
mod parameters;
mod pass;
mod policy;
mod precision;
mod segment;
mod spec;
mod state;
mod storage;
mod streams;

pub use builder::{Builder, LayerOutput, OutputShape};
pub use device::{DeviceError, DeviceSpec};
pub use factory::Factory;
pub use init::Init;
pub use layers::{
    Conv2d, ConvNorm, Dropout, Filter, GhostNorm, ImageSize, Linear, Lstm, MaxPool, Upsample,
    Window, global_average_pool,
};
pub use models::{
    DEFAULT_GHOST, DROPOUT, GHOST, MAX_WIDTH, MODELS, Model, ModelData, ModelKind, SMOOTHING,
    Settings, TokenModel, Unfit, ValueModel, dropout, ghost,
};
pub use objective::{
    ESTIMATION_GROUP, NetworkObjective, NormMode, ObjectiveSettings, SliceMeasure, Statistics,
};
pub use parameters::ParameterId;
pub use pass::Pass;
pub use policy::{Answers, Observations, PolicyNetwork, PolicySpec, Windows};
pub use precision::Precision;
pub use spec::ModelSpec;
