//! What environments and policy did together over some steps: the data of the updates that follow.

use batchscope_core::{
    StreamKey,
    order::{self, uniform},
};
use batchscope_nn::{Answers, Observations, PolicyNetwork, Windows};
use rayon::prelude::*;

use crate::{
    NavigationError,
    ppo::{ACTIONS, Ppo, Sample, generalized_advantages, log_probabilities},
    render::{Renderer, View},
    simulator::{Action, GOAL, Simulator, Stepped},
};

/// What the agents of some environments see and remember: their network's input.
#[derive(Debug, Clone, Default)]
pub struct Senses {
    views: Vec<View>,
    /// Depth as a share of what can be seen, `environments × pixels`.
    pub depth: Vec<f32>,
    /// [`GOAL`] numbers each.
    pub goal: Vec<f32>,
    /// The action before, from 1; 0 at the beginning of an episode.
    pub previous: Vec<u32>,
    /// An episode begins.
    pub fresh: Vec<bool>,
    /// What the network remembers.
    pub state: Vec<f32>,
}

impl Senses {
    /// Of so many environments at the beginning of their episodes.
    pub fn new(environments: usize, state_width: usize) -> Self {
        Self {
            views: Vec::new(),
            depth: Vec::new(),
            goal: Vec::new(),
            previous: vec![0; environments],
            fresh: vec![true; environments],
            state: vec![0.0; environments * state_width],
        }
    }

    /// Looks at the environments as they are now, in this order.
    ///
    /// # Errors
    /// When they cannot be drawn.
    pub fn look(
        &mut self,
        simulator: &Simulator,
        renderer: &Renderer,
        environments: impl Iterator<Item = usize>,
    ) -> Result<(), NavigationError> {
        self.views.clear();
        self.goal.clear();
        for environment in environments {
            self.views.push(simulator.view(environment));
            self.goal.extend(simulator.goal(environment));
        }
        let camera = renderer.camera();
        self.depth.resize(self.views.len() * camera.pixels(), 0.0);
        renderer.render(&self.views, &mut self.depth)?;
        let scale = 1.0 / camera.limit;
        let images = self.depth.par_chunks_mut(camera.pixels());
        images.for_each(|image| image.iter_mut().for_each(|depth| *depth *= scale));
        Ok(())
    }

    /// Forgets all environments but the first ones.
    pub fn keep_first(&mut self, environments: usize, state_width: usize) {
        self.previous.truncate(environments);
        self.fresh.truncate(environments);
        self.state.truncate(environments * state_width);
    }

    /// Takes down what was done, and where it ended an episode.
    pub fn remember(&mut self, actions: &[Action], stepped: &Stepped) {
        let ended = stepped.ended.iter().map(Option::is_some);
        for (i, (&action, ended)) in actions.iter().zip(ended).enumerate() {
            self.previous[i] = if ended { 0 } else { 1 + action as u32 };
            self.fresh[i] = ended;
        }
    }
}

/// Draws an action for every row of logits, in their order, from the stream of a frame; with the logarithm of its probability.
pub fn draw_actions(
    answers: &Answers,
    key: StreamKey,
    frame: u64,
    mut then: impl FnMut(usize, Action, f64),
) {
    let mut rng = key.stream(frame);
    for (row, logits) in answers.logits.as_chunks::<ACTIONS>().0.iter().enumerate() {
        let logs = log_probabilities(logits);
        let drawn = uniform(&mut rng);
        let mut sum = 0.0;
        // What rounding leaves goes to the last.
        let chosen = logs.iter().position(|log| {
            sum += log.exp();
            drawn < sum
        });
        let chosen = chosen.unwrap_or(ACTIONS - 1);
        then(row, Action::ALL[chosen], logs[chosen]);
    }
}

/// The data of a rollout, rows in the order of time: `t · environments + i`.
#[derive(Debug, Clone, Default)]
pub struct Rollout {
    environments: usize,
    depth: Vec<f32>,
    goal: Vec<f32>,
    previous: Vec<u32>,
    fresh: Vec<bool>,
    /// What the network remembered before the first step, each environment's.
    state: Vec<f32>,
    samples: Vec<Sample>,
    /// The environments in the order in which the mini-batches take them.
    order: Vec<u32>,
}

/// Everything that acts in a rollout.
pub struct Actors<'a> {
    /// The environments.
    pub simulator: &'a mut Simulator,
    /// What draws what they see.
    pub renderer: &'a Renderer,
    /// The policy.
    pub network: &'a mut PolicyNetwork,
    /// What it sees and remembers.
    pub senses: &'a mut Senses,
    /// Rows that pass through the network together at most.
    pub rows: usize,
}

/// Streams of the actions, and of the order of environments.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    /// Of the purpose [`Actions`](batchscope_core::Purpose::Actions), by frame.
    pub actions: StreamKey,
    /// Of the purpose [`Order`](batchscope_core::Purpose::Order), by rollout.
    pub order: StreamKey,
}

impl Rollout {
    /// Lets the policy act for `ppo.steps` steps. `number` counts the rollouts of the run; `seen` is told of every step.
    ///
    /// # Errors
    /// When the environments cannot be drawn or the network fails.
    pub fn collect(
        &mut self,
        ppo: &Ppo,
        actors: Actors<'_>,
        streams: Streams,
        number: u64,
        mut seen: impl FnMut(&Stepped),
    ) -> Result<(), NavigationError> {
        let Actors {
            simulator,
            renderer,
            network,
            senses,
            rows,
        } = actors;
        let environments = simulator.environments();
        self.clear(environments);
        self.state.extend(&senses.state);
        let frames = ppo.steps * environments;
        let (mut rewards, mut ended) = (Vec::with_capacity(frames), Vec::with_capacity(frames));
        let mut values = Vec::with_capacity(frames + environments);
        let mut stepped = Stepped::new(environments);
        let mut actions = vec![Action::Stop; environments];
        for t in 0..ppo.steps as u64 {
            senses.look(simulator, renderer, 0..environments)?;
            self.depth.extend(&senses.depth);
            self.goal.extend(&senses.goal);
            self.previous.extend(&senses.previous);
            self.fresh.extend(&senses.fresh);
            let answers = act(network, senses, rows)?;
            let frame = number * ppo.steps as u64 + t;
            draw_actions(&answers, streams.actions, frame, |row, action, log| {
                actions[row] = action;
                self.samples.push(Sample {
                    action: action as u8,
                    log_probability: log as f32,
                    advantage: 0.0,
                    target: 0.0,
                });
            });
            values.extend(answers.values);
            simulator.step(&actions, &mut stepped);
            rewards.extend(&stepped.rewards);
            ended.extend(stepped.ended.iter().map(Option::is_some));
            senses.remember(&actions, &stepped);
            seen(&stepped);
        }
        // What comes after the last step is worth what the network says of it, which does not advance for it.
        senses.look(simulator, renderer, 0..environments)?;
        let state = senses.state.clone();
        values.extend(act(network, senses, rows)?.values);
        senses.state = state;
        let found = generalized_advantages(ppo, &rewards, &values, &ended);
        let worth = found.advantages.iter().zip(&found.returns);
        for (sample, (&advantage, &target)) in self.samples.iter_mut().zip(worth) {
            (sample.advantage, sample.target) = (advantage, target);
        }
        let mut rng = streams.order.stream(number);
        self.order = order::permutation(environments as u32, &mut rng);
        Ok(())
    }

    fn clear(&mut self, environments: usize) {
        self.environments = environments;
        self.depth.clear();
        self.goal.clear();
        self.previous.clear();
        self.fresh.clear();
        self.state.clear();
        self.samples.clear();
    }

    /// The environments of a mini-batch.
    pub fn mini_batch(&self, ppo: &Ppo, index: usize) -> &[u32] {
        let each = self.environments / ppo.mini_batches;
        &self.order[index * each..(index + 1) * each]
    }

    /// Puts the rows of some environments side by side, as windows for the network.
    pub fn gather(&self, ppo: &Ppo, environments: &[u32], to: &mut Gathered) {
        let pixels = self.depth.len() / self.fresh.len();
        let width = self.state.len() / self.environments;
        to.clear(ppo.steps, environments.len());
        for &environment in environments {
            to.state
                .extend(&self.state[environment as usize * width..][..width]);
        }
        for t in 0..ppo.steps {
            for &environment in environments {
                let row = t * self.environments + environment as usize;
                to.depth.extend(&self.depth[row * pixels..][..pixels]);
                to.goal.extend(&self.goal[row * GOAL..][..GOAL]);
                to.previous.push(self.previous[row]);
                to.fresh.push(self.fresh[row]);
                to.samples.push(self.samples[row]);
            }
        }
    }
}

/// The network's answers to what the agents sense, so many rows at a time; what it remembers goes on.
pub(crate) fn act(
    network: &mut PolicyNetwork,
    senses: &mut Senses,
    rows: usize,
) -> Result<Answers, NavigationError> {
    let agents = senses.previous.len();
    let [pixels, width] = [senses.depth.len(), senses.state.len()].map(|len| len / agents.max(1));
    let mut all = Answers::default();
    for first in (0..agents).step_by(rows.max(1)) {
        let own = first..agents.min(first + rows.max(1));
        let observations = Observations {
            depth: &senses.depth[own.start * pixels..own.end * pixels],
            goal: &senses.goal[own.start * GOAL..own.end * GOAL],
            previous: &senses.previous[own.clone()],
        };
        let state = &mut senses.state[own.start * width..own.end * width];
        let answers = network.act(&observations, &senses.fresh[own], state)?;
        all.logits.extend(answers.logits);
        all.values.extend(answers.values);
    }
    Ok(all)
}

/// Rows of a rollout that pass through the network together.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    steps: usize,
    streams: usize,
    depth: Vec<f32>,
    goal: Vec<f32>,
    previous: Vec<u32>,
    fresh: Vec<bool>,
    state: Vec<f32>,
    /// What was done, row by row.
    pub samples: Vec<Sample>,
}

impl Gathered {
    fn clear(&mut self, steps: usize, streams: usize) {
        (self.steps, self.streams) = (steps, streams);
        self.depth.clear();
        self.goal.clear();
        self.previous.clear();
        self.fresh.clear();
        self.state.clear();
        self.samples.clear();
    }

    /// As the network takes them.
    pub fn windows(&self) -> Windows<'_> {
        Windows {
            steps: self.steps,
            streams: self.streams,
            observations: Observations {
                depth: &self.depth,
                goal: &self.goal,
                previous: &self.previous,
            },
            fresh: &self.fresh,
            state: &self.state,
        }
    }
}
