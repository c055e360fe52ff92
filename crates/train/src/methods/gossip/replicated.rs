use batchscope_core::{Group, LossSum, Network, StateTensor};
use batchscope_group::topology::Topology;
use batchscope_optim::StateError;

use super::arithmetic::{Gossip, Mix, Momentum, Point};
use crate::{TrainError, UpdateRule, update::sum_in_order};

/// One replica's update rule, around a rule's arithmetic.
pub(crate) struct Replicated {
    gossip: Box<dyn Gossip<f32>>,
    /// Who its neighbors are, where the rule has some.
    topology: Option<Topology>,
    /// Weight decay of each tensor.
    decay: Vec<f32>,
    momentum: Momentum<f32>,
    /// Checksum of the graph.
    graph: Vec<f32>,
    /// Reused: parameters, gradient, message.
    x: Vec<f32>,
    g: Vec<f32>,
    message: Vec<f32>,
    /// Root mean square distance of the replicas from their mean, when they were last averaged.
    consensus: Option<f64>,
}

const MOMENTUM: &str = "momentum";
const RATE: &str = "rate";
const GRAPH: &str = "graph";

/// A checksum of the weights of a graph, in two numbers that single precision holds exactly. A file of edges may
/// have changed since.
fn checksum(topology: Option<&Topology>) -> Vec<f32> {
    let Some(topology) = topology else {
        return Vec::new();
    };
    let mut crc = crc32fast::Hasher::new();
    for step in 0..topology.period() {
        for member in 0..topology.members() {
            for (other, weight) in topology.weights(step, member) {
                crc.update(&(*other as u64).to_le_bytes());
                crc.update(&weight.to_le_bytes());
            }
        }
    }
    let crc = crc.finalize();
    [crc >> 16, crc & 0xffff].map(|half| half as f32).to_vec()
}

impl Replicated {
    /// Around this arithmetic.
    pub(super) fn new(
        gossip: Box<dyn Gossip<f32>>,
        topology: Option<Topology>,
        decay: Vec<f32>,
        momentum: Momentum<f32>,
    ) -> Self {
        Self {
            gossip,
            graph: checksum(topology.as_ref()),
            topology,
            decay,
            momentum,
            x: Vec::new(),
            g: Vec::new(),
            message: Vec::new(),
            consensus: None,
        }
    }

    /// Mixes this replica's message with others'.
    fn mix(&mut self, mix: Mix, group: &dyn Group, step: u64) -> Result<(), TrainError> {
        let (size, rank) = (group.size(), group.rank());
        match (mix, &self.topology) {
            (Mix::Nothing, _) => {}
            (Mix::Neighbors, Some(topology)) if topology.members() == size => {
                mix_neighbors(topology, group, step, &mut self.message)?;
            }
            (Mix::Neighbors, _) => {
                let why = format!("replica {rank} of {size} has no place in the graph");
                return Err(TrainError::Bug(why));
            }
            (Mix::All, _) => {
                group.all_reduce_sum(&mut self.message)?;
                let share = 1.0 / size as f32;
                self.message.iter_mut().for_each(|x| *x *= share);
            }
        }
        Ok(())
    }
}

/// `Σ_j w_ij·y_j` as `y_i + Σ_j w_ij·(y_j − y_i)`, in the order of `j`: where all have the same, it stays, though weights are
/// rounded.
fn mix_neighbors(
    topology: &Topology,
    group: &dyn Group,
    step: u64,
    message: &mut Vec<f32>,
) -> Result<(), TrainError> {
    let rank = group.rank();
    let (to, from) = topology.peers(step, rank);
    let given = group.exchange(message, &to, &from)?;
    let weights = topology.weights(step, rank).iter();
    let weights = weights.filter(|&&(member, _)| member != rank);
    let mut mixed = message.clone();
    for (&(_, weight), theirs) in weights.zip(&given) {
        let weight = weight as f32;
        for ((mixed, own), x) in mixed.iter_mut().zip(&*message).zip(theirs) {
            *mixed += weight * (x - own);
        }
    }
    *message = mixed;
    Ok(())
}

impl UpdateRule for Replicated {
    /// Each replica keeps its gradient; only the losses are summed.
    fn agree(
        &mut self,
        _network: &mut dyn Network,
        group: &dyn Group,
        sum: LossSum,
    ) -> Result<LossSum, TrainError> {
        let mut sums = [sum.loss, sum.weight];
        sum_in_order(group, &mut sums)?;
        let [loss, weight] = sums;
        Ok(LossSum { loss, weight })
    }

    fn update(
        &mut self,
        network: &mut dyn Network,
        group: &dyn Group,
        learning_rate: f64,
        step: u64,
    ) -> Result<(), TrainError> {
        let Self { x, g, decay, .. } = self;
        x.clear();
        g.clear();
        network.visit(&mut |tensor, parameters, gradient| {
            x.extend_from_slice(parameters);
            let decayed = gradient.iter().zip(&*parameters);
            g.extend(decayed.map(|(&g, &x)| g + decay[tensor] * x));
        })?;
        let gamma = learning_rate as f32;
        self.momentum.begin(gamma);
        for (round, &mix) in self.gossip.rounds(step).iter().enumerate() {
            let at = Point {
                x: &self.x,
                g: &self.g,
                gamma,
            };
            let Self {
                gossip, momentum, ..
            } = self;
            gossip.message(round, step, at, momentum, &mut self.message);
            self.mix(mix, group, step)?;
            let Self {
                gossip, momentum, ..
            } = self;
            gossip.receive(round, step, &self.message, &mut self.x, momentum);
        }
        let mut from = 0;
        network.visit(&mut |_, parameters, _| {
            parameters.copy_from_slice(&self.x[from..from + parameters.len()]);
            from += parameters.len();
        })?;
        Ok(())
    }

    fn is_synchronous(&self) -> bool {
        false
    }

    fn averages(&self) -> bool {
        true
    }

    fn average(&mut self, network: &mut dyn Network, group: &dyn Group) -> Result<(), TrainError> {
        self.x.clear();
        network.visit(&mut |_, parameters, _| self.x.extend_from_slice(parameters))?;
        self.message.clone_from(&self.x);
        self.mix(Mix::All, group, 0)?;
        let places = self.x.iter().zip(&self.message);
        let distance: f64 = places.map(|(x, mean)| f64::from(x - mean).powi(2)).sum();
        let mut sum = [distance];
        sum_in_order(group, &mut sum)?;
        self.consensus = Some((sum[0] / group.size() as f64).sqrt());
        let mut from = 0;
        network.visit(&mut |_, parameters, _| {
            parameters.copy_from_slice(&self.message[from..from + parameters.len()]);
            from += parameters.len();
        })?;
        Ok(())
    }

    fn consensus(&self) -> Option<f64> {
        self.consensus
    }

    fn bytes_sent(&self, parameters: u64, replicas: u64, step: u64) -> u64 {
        let vector = 4 * parameters;
        let of_round = |mix: &Mix| match (mix, &self.topology) {
            (Mix::Nothing, _) | (Mix::Neighbors, None) => 0,
            (Mix::Neighbors, Some(topology)) => {
                let to_others = |member: usize| topology.peers(step, member).0.len() as u64;
                vector * (0..replicas as usize).map(to_others).sum::<u64>()
            }
            (Mix::All, _) => vector * 2 * replicas.saturating_sub(1),
        };
        self.gossip.rounds(step).iter().map(of_round).sum()
    }

    fn state(&self) -> Vec<StateTensor> {
        let tensor = |name: &str, values: Vec<f32>| StateTensor {
            name: name.to_owned(),
            shape: vec![values.len()],
            values,
        };
        let Momentum { u, gamma, .. } = &self.momentum;
        vec![
            tensor(MOMENTUM, u.clone()),
            tensor(RATE, vec![*gamma]),
            tensor(GRAPH, self.graph.clone()),
        ]
    }

    fn load(&mut self, state: &[StateTensor]) -> Result<(), StateError> {
        let own = self.state();
        if let Some(unknown) = state.iter().find(|t| !own.iter().any(|o| o.name == t.name)) {
            return Err(StateError::Unknown(unknown.name.clone()));
        }
        let find = |own: &StateTensor| -> Result<Vec<f32>, StateError> {
            let found = state.iter().find(|t| t.name == own.name);
            let found = found.ok_or_else(|| StateError::Missing(own.name.clone()))?;
            match found.values.len() == own.values.len() {
                true => Ok(found.values.clone()),
                false => Err(StateError::Shape {
                    name: own.name.clone(),
                    found: found.shape.clone(),
                    expected: own.shape.clone(),
                }),
            }
        };
        let (u, rate) = (find(&own[0])?, find(&own[1])?);
        if find(&own[2])? != self.graph {
            return Err(StateError::Differs("the graph of the replicas".to_owned()));
        }
        self.momentum.u = u;
        self.momentum.gamma = rate[0];
        Ok(())
    }
}
