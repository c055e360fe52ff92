//! A run of policy optimization: environments, network and optimizer, an update at a time.

use std::collections::BTreeMap;

use batchscope_core::{
    Diagnostic, Evaluate, Evaluation, Metric, NoiseMoments, NoiseRecord, Purpose, Quantity, Split,
    TrialSpec,
};
use batchscope_nn::{Answers, DeviceSpec, PolicyNetwork};
use batchscope_optim::{Optimizer, clip_factor, sum_of_squares};
use batchscope_rules::LearningRate;
use batchscope_scaling::noise::Pieces;

use crate::{
    NavigationError,
    evaluation::{Exam, Judged, judge},
    ppo::{ACTIONS, LossParts, PolicyLoss, Sample},
    rollout::{Actors, Gathered, Rollout, Senses, Streams},
    settings::NavigationSettings,
    simulator::{Simulator, Stepped},
    tally::Tally,
    world::{SceneSet, World},
};

/// Everything that a run changes.
pub struct Session<'a> {
    settings: &'a NavigationSettings,
    world: &'a World,
    spec: &'a TrialSpec,
    rates: LearningRate,
    /// The policy.
    pub network: PolicyNetwork,
    /// What updates it.
    pub optimizer: Box<dyn Optimizer>,
    /// The environments.
    pub simulator: Simulator,
    /// What the agents see and remember.
    pub senses: Senses,
    /// The episodes of training since the last evaluation.
    pub tally: Tally,
    rollout: Rollout,
    gathered: Gathered,
    /// Environments that pass through the network together in updates.
    streams: usize,
    /// Rows that pass through it together while agents act.
    rows: usize,
}

impl<'a> Session<'a> {
    /// A run before its first update, of at most `micro_batch` frames in a pass.
    ///
    /// # Errors
    /// When the spec asks for what cannot be done, or the network cannot be made.
    pub fn new(
        settings: &'a NavigationSettings,
        world: &'a World,
        spec: &'a TrialSpec,
        micro_batch: u64,
    ) -> Result<Self, NavigationError> {
        let environments = settings.environments(spec.batch_size)?;
        let network = PolicyNetwork::new(
            settings.policy,
            spec.key(Purpose::Initialization),
            DeviceSpec::Cpu,
        )?;
        let scenes = world.train.scenes.clone();
        let episodes = spec.key(Purpose::Episodes);
        Ok(Self {
            rates: LearningRate::new(&spec.schedule, spec.learning_rate, spec.batch_size, None)?,
            optimizer: batchscope_optim::build(&spec.optimizer, network.layout(), spec.decay)?,
            simulator: Simulator::new(scenes, settings.difficulty, episodes, environments),
            senses: Senses::new(environments, network.state_width()),
            tally: Tally::new(environments),
            network,
            rollout: Rollout::default(),
            gathered: Gathered::default(),
            streams: (micro_batch / settings.ppo.steps as u64).max(1) as usize,
            rows: micro_batch.max(1) as usize,
            settings,
            world,
            spec,
        })
    }

    /// Steps of warm-up.
    pub fn warm_up_steps(&self) -> u64 {
        self.rates.warm_up_steps()
    }

    /// True where a step is the first of a rollout: nothing of one is left.
    pub fn is_between_rollouts(&self, step: u64) -> bool {
        step.is_multiple_of(self.settings.ppo.mini_batches as u64)
    }

    /// One update, with the rollout before it where a new one begins. Returns the mean loss and the learning rate; takes its
    /// gradient noise down where that is asked for.
    ///
    /// # Errors
    /// When the environments cannot be drawn or the network fails.
    pub fn take_step(
        &mut self,
        step: u64,
        noise: &mut Option<NoiseRecord>,
    ) -> Result<(f64, f64), NavigationError> {
        let mini_batches = self.settings.ppo.mini_batches as u64;
        if self.is_between_rollouts(step) {
            self.collect(step / mini_batches)?;
        }
        let index = (step % mini_batches) as usize;
        let is_watched = self.spec.asks_for(Diagnostic::NOISE);
        let (parts, loss) = self.accumulate(index, is_watched)?;
        let squared_norm = self.squared_norm()?;
        if is_watched {
            NoiseRecord::merge(noise, noise_of(&parts, squared_norm));
        }
        let learning_rate = self.rates.at(step);
        self.update(step, learning_rate, squared_norm)?;
        Ok((loss, learning_rate))
    }

    /// Lets the policy act for a rollout.
    fn collect(&mut self, number: u64) -> Result<(), NavigationError> {
        let actors = Actors {
            simulator: &mut self.simulator,
            renderer: &self.world.train.renderer,
            network: &mut self.network,
            senses: &mut self.senses,
            rows: self.rows,
        };
        let streams = Streams {
            actions: self.spec.key(Purpose::Actions),
            order: self.spec.key(Purpose::Order),
        };
        let tally = &mut self.tally;
        let seen = |stepped: &Stepped| tally.add(stepped);
        (self.rollout).collect(&self.settings.ppo, actors, streams, number, seen)
    }

    /// The gradient of a mini-batch's mean loss, in the network's window; the parts that it was made of, as
    /// [`noise_of`] takes them, and the loss.
    fn accumulate(
        &mut self,
        index: usize,
        is_watched: bool,
    ) -> Result<(Vec<(u64, f64)>, f64), NavigationError> {
        let Self {
            settings,
            network,
            rollout,
            gathered,
            ..
        } = self;
        let ppo = &settings.ppo;
        let environments = rollout.mini_batch(ppo, index);
        // Noise shows between parts: where there is one alone it is cut in two.
        let halves = environments.len().div_ceil(2);
        let streams = match is_watched {
            true => self.streams.min(halves),
            false => self.streams,
        };
        let rows = ppo.steps * environments.len();
        let loss = PolicyLoss::new(*ppo, rows);
        let mut parts = Vec::new();
        let mut norms = vec![0.0; network.layout().tensors.len()];
        let mut sums = LossParts::default();
        network.begin_step();
        for environments in environments.chunks(streams) {
            rollout.gather(ppo, environments, gathered);
            let samples = &gathered.samples;
            norms.fill(0.0);
            network.accumulate(
                &gathered.windows(),
                &mut |answers, gradients| sums += loss_of(&loss, samples, answers, gradients),
                is_watched.then_some(&mut norms[..]),
            )?;
            // It has added its share of the mean to the window.
            let own = ppo.steps * environments.len();
            let share = own as f64 / rows as f64;
            parts.push((own as u64, norms.iter().sum::<f64>() / (share * share)));
        }
        Ok((parts, loss.mean(&sums)))
    }

    fn squared_norm(&mut self) -> Result<f64, NavigationError> {
        let mut sum = 0.0;
        (self.network).visit(&mut |_, _, gradient| sum += sum_of_squares(gradient))?;
        Ok(sum)
    }

    fn update(
        &mut self,
        step: u64,
        learning_rate: f64,
        squared_norm: f64,
    ) -> Result<(), NavigationError> {
        let factor = self
            .spec
            .clip
            .and_then(|most| clip_factor(squared_norm, most));
        let optimizer = self.optimizer.as_mut();
        optimizer.begin_step(learning_rate, step);
        self.network.visit(&mut |tensor, parameters, gradient| {
            if let Some(factor) = factor {
                gradient.iter_mut().for_each(|g| *g *= factor);
            }
            optimizer.update(tensor, parameters, gradient);
        })?;
        Ok(())
    }

    /// Measures what is asked for after a step.
    ///
    /// # Errors
    /// When scenes cannot be drawn or the network fails.
    pub fn evaluate(&mut self, what: Evaluate, step: u64) -> Result<Evaluation, NavigationError> {
        let splits: &[Split] = match what {
            Evaluate::Whole => &[Split::Train, Split::Val],
            Evaluate::Only(Split::Train) | Evaluate::Rest(Split::Val) => &[Split::Train],
            Evaluate::Only(_) | Evaluate::Rest(_) => &[Split::Val],
            Evaluate::Test => &[Split::Test],
        };
        let mut metrics = BTreeMap::new();
        for &split in splits {
            match split {
                Split::Train => self.tally.take(&mut metrics),
                Split::Val => self.examine(split, &self.world.held_out, step, &mut metrics)?,
                Split::Test => self.examine(split, &self.world.test, step, &mut metrics)?,
            }
        }
        let last = self.rates.at(step.saturating_sub(1));
        Ok(Evaluation::new(metrics, last))
    }

    fn examine(
        &mut self,
        split: Split,
        set: &'a SceneSet,
        step: u64,
        metrics: &mut BTreeMap<Metric, f64>,
    ) -> Result<(), NavigationError> {
        let judged = self.judged(split, set, step)?;
        metrics.insert(metric(split, SUCCESS), judged.success());
        metrics.insert(metric(split, SPL), judged.spl());
        Ok(())
    }

    /// The episodes of an evaluation after a step.
    ///
    /// # Errors
    /// As [`Session::evaluate`].
    fn judged(
        &mut self,
        split: Split,
        set: &SceneSet,
        step: u64,
    ) -> Result<Judged, NavigationError> {
        let episodes = self.settings.episodes.min(self.spec.evaluation.examples);
        let exam = Exam {
            set,
            split,
            difficulty: self.settings.difficulty,
            seed: self.settings.scene_seed,
            episodes: episodes as usize,
            step,
            actions: self.spec.key(Purpose::Actions),
            rows: self.rows,
        };
        judge(exam, &mut self.network)
    }
}

/// Name of the share of episodes that succeed.
pub const SUCCESS: &str = "success";
/// Name of the mean success weighted by path length.
pub const SPL: &str = "spl";

/// A metric of the workload.
pub fn metric(split: Split, name: &str) -> Metric {
    Metric::new(split, Quantity::Other(name.to_owned()))
}

/// The loss of all rows of a pass, with its gradients.
fn loss_of(
    loss: &PolicyLoss,
    samples: &[Sample],
    answers: &Answers,
    gradients: &mut Answers,
) -> LossParts {
    let mut sums = LossParts::default();
    let logits = answers
        .logits
        .as_chunks::<ACTIONS>()
        .0
        .iter()
        .zip(&answers.values);
    let to = gradients
        .logits
        .as_chunks_mut::<ACTIONS>()
        .0
        .iter_mut()
        .zip(&mut gradients.values);
    for ((sample, (logits, &value)), (dlogits, dvalue)) in samples.iter().zip(logits).zip(to) {
        sums += loss.of_row(logits, value, sample, dlogits, dvalue);
    }
    sums
}

/// What an update tells of its noise: its parts, as (rows, squared norm of their mean gradient), and the squared norm of the whole.
///
/// Frames of an episode depend on each other, so the unit that is drawn is an environment's window of `T` frames: parts are
/// whole windows. Counted in frames, the noise scale is that of windows times `T`.
fn noise_of(parts: &[(u64, f64)], squared_norm: f64) -> NoiseRecord {
    match Pieces::from_micro_batches(parts, squared_norm) {
        Ok(pieces) => {
            let mut step = NoiseMoments::new(pieces.batch_size);
            step.push(pieces.trace, pieces.squared_norm);
            NoiseRecord::Measured(step)
        }
        Err(error) => NoiseRecord::Undefined {
            why: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The moments of parts with these gradients, each the mean of so many rows.
    fn moments(parts: &[(u64, [f64; 2])]) -> NoiseMoments {
        let rows: u64 = parts.iter().map(|(rows, _)| rows).sum();
        let norm = |gradient: [f64; 2]| gradient.iter().map(|g| g * g).sum::<f64>();
        let norms: Vec<_> = parts
            .iter()
            .map(|&(own, gradient)| (own, norm(gradient)))
            .collect();
        let mean = [0, 1].map(|i| {
            let sum: f64 = parts
                .iter()
                .map(|(own, gradient)| *own as f64 * gradient[i])
                .sum();
            sum / rows as f64
        });
        match noise_of(&norms, norm(mean)) {
            NoiseRecord::Measured(moments) => moments,
            other => panic!("{other:?}"),
        }
    }

    /// By hand. Equal parts have no noise. Of two parts of `b` rows with gradients `m ± d` the covariance of a row's gradient
    /// is estimated at `b·2|d|²`, and `|m|²` less a `2b`-th of it.
    #[test]
    fn noise_is_that_between_parts() {
        let found = moments(&[(16, [3.0, 4.0]), (16, [3.0, 4.0]), (32, [3.0, 4.0])]);
        assert!(found.trace.abs() < 1e-9 && (found.squared_norm - 25.0).abs() < 1e-9);
        let found = moments(&[(16, [5.0, 4.0]), (16, [1.0, 4.0])]);
        assert!((found.trace - 16.0 * 2.0 * 4.0).abs() < 1e-9, "{found:?}");
        assert!((found.squared_norm - (25.0 - 128.0 / 32.0)).abs() < 1e-9);
        assert_eq!(found.batch_size, 32);
    }
}
