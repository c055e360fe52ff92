//! Replicas that hold parameters of their own and mix them with their neighbors': decentralized training, one rule a file.
//!
//! Replica `i` of `n` trains on a part of its own of the training set (`shards`), and takes `1/n` of every batch from it.
//! With `x_i` its parameters, `g_i` its mean gradient there, `γ` the learning rate and `W = (w_ij)` the mixing matrix of a
//! graph ([`batchscope_group::topology`]), decentralized descent is
//!
//! ```text
//! x_i ← Σ_j w_ij (x_j − γ·g_j)
//! ```
//!
//! The rules differ in where the momentum stands. The run is judged by the mean of the replicas, with batch norm's statistics
//! measured anew there. Momentum and weight decay are those of `sgd`, and `m` is kept as `u = γ·m`, which needs no division by
//! a small rate: where the rate changes, `u` is scaled by `γ_k/γ_(k−1)`. A rate of 0 forgets it.

mod arithmetic;
mod da_dmsgd;
mod decentlam;
mod dmsgd;
mod dsgd;
mod local_sgd;
mod pmsgd;
mod post_local_sgd;
mod qg_dmsgd;
mod replicated;

use batchscope_core::{
    Choice, DataShape, Kind, Parameter, ParameterDefault, Range, SettingError, Task,
};
use batchscope_group::topology::{TOPOLOGIES, Topology};

pub use arithmetic::{Gossip, Mix, Momentum, Point};
pub(super) use da_dmsgd::DA_DMSGD;
pub use da_dmsgd::DaDmSgd;
pub(super) use decentlam::DECENTLAM;
pub use decentlam::DecentLam;
pub(super) use dmsgd::DMSGD;
pub use dmsgd::DmSgd;
pub(super) use dsgd::DSGD;
pub use dsgd::Dsgd;
pub(super) use local_sgd::LOCAL_SGD;
pub use local_sgd::LocalSgd;
pub(super) use pmsgd::PMSGD;
pub use pmsgd::PmSgd;
pub(super) use post_local_sgd::POST_LOCAL_SGD;
pub use post_local_sgd::PostLocalSgd;
pub(super) use qg_dmsgd::QG_DMSGD;
pub use qg_dmsgd::QgDmSgd;
pub(crate) use replicated::Replicated;

use super::{Extra, RuleParts};
use crate::{TrainError, UpdateRule, shards::Sharding};

/// Most replicas of a run: each holds a network.
const MOST: u64 = 4096;

/// Replicas of a run.
const REPLICAS: Parameter = Parameter {
    name: "replicas",
    about: "Replicas, each with parameters of its own: threads of this machine, or the processes that mpirun started",
    kind: Kind::Whole(2, MOST),
    default: ParameterDefault::Whole(8),
};

/// The graph of neighbors.
const GRAPH: Parameter = Parameter {
    name: "graph",
    about: "Who mixes with whom: ring, grid, exponential, symmetric-exponential, one-peer, star, full, or file:PATH with an edge a line",
    kind: Kind::Text("NAME"),
    default: ParameterDefault::Text("ring"),
};

/// How the training set is shared out.
const DIRICHLET: Parameter = Parameter {
    name: "dirichlet",
    about: "Concentration of each replica's classes, α: the smaller, the less alike the replicas' examples; evenly where not said",
    kind: Kind::Number(Range::POSITIVE),
    default: ParameterDefault::Absent,
};

/// Local steps between two averages.
const PERIOD: Parameter = Parameter {
    name: "period",
    about: "Steps that each replica takes between two averages",
    kind: Kind::Whole(1, 1_000_000_000),
    default: ParameterDefault::Whole(8),
};

/// What a replica keeps: parameters, gradient and message, the momentum, and the last two once more for the others.
const KEPT: Extra = Extra {
    networks: 0,
    weights: 3,
};

/// How a method shares out the training set.
pub(crate) fn sharding(choice: &Choice) -> Sharding {
    match choice.number("dirichlet") {
        Some(alpha) => Sharding::Dirichlet { alpha },
        None => Sharding::Even,
    }
}

fn refused(why: impl Into<String>) -> TrainError {
    SettingError::new("method", why).into()
}

/// Refuses data that are not shared out, and graphs that are none.
fn check(choice: &Choice, shape: &DataShape) -> Result<(), TrainError> {
    if shape.task == Task::NextToken {
        return Err(refused(format!(
            "{} gives each replica examples of its own, and the windows of a text continue each other: leave it out for text",
            choice.name()
        )));
    }
    if choice.number("dirichlet").is_some() && !matches!(shape.task, Task::Classify { .. }) {
        return Err(refused(format!(
            "{} shares examples out by their classes, and these have none: leave dirichlet out",
            choice.name()
        )));
    }
    topology(choice).map(|_| ())
}

/// The graph of a method; `None` where it has none.
fn topology(choice: &Choice) -> Result<Option<Topology>, TrainError> {
    let Some(graph) = choice.text("graph") else {
        return Ok(None);
    };
    let replicas = choice.whole("replicas").unwrap_or_default() as usize;
    let wrong = |why: String| refused(format!("graph of {}: {why}", choice.name()));
    let (_, graph) = TOPOLOGIES.read(graph).map_err(|e| wrong(e.to_string()))?;
    Topology::new(&graph, replicas)
        .map(Some)
        .map_err(|e| wrong(e.to_string()))
}

/// The momentum of a trial's optimizer.
fn momentum(parts: &RuleParts<'_>) -> f64 {
    parts.spec.optimizer.number("momentum").unwrap_or(0.0)
}

/// An update rule around a rule's arithmetic, with the momentum and the weight decay of the trial's optimizer, which must be
/// plain SGD.
fn rule(
    choice: &Choice,
    parts: &RuleParts<'_>,
    gossip: impl Gossip<f32> + 'static,
) -> Result<Box<dyn UpdateRule>, TrainError> {
    let (spec, name) = (parts.spec, choice.name());
    if spec.optimizer.name() != "sgd" || spec.optimizer.is_on("nesterov") {
        return Err(refused(format!(
            "{name} stands in place of an optimizer: choose sgd without nesterov, whose momentum and weight decay it takes"
        )));
    }
    if spec.clip.is_some() {
        return Err(refused(format!(
            "{name} does not go with clip: leave one of them out"
        )));
    }
    if spec.start.is_some() {
        return Err(refused(format!(
            "replicas of {name} do not begin at a checkpoint: such a run is resumed, and not branched"
        )));
    }
    let weight_decay = spec.optimizer.number("weight_decay").unwrap_or(0.0);
    let decay = parts
        .layout
        .tensors
        .iter()
        .map(|tensor| match spec.decay.decays(tensor.kind) {
            true => weight_decay as f32,
            false => 0.0,
        });
    Ok(Box::new(Replicated::new(
        Box::new(gossip),
        topology(choice)?,
        decay.collect(),
        Momentum::new(momentum(parts), parts.layout.parameters()),
    )))
}
