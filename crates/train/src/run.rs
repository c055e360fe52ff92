use std::{collections::BTreeMap, time::Instant};

use batchscope_core::{
    Diagnostic, Event, Group, LossSum, Measurement, Network, Split, TrialPurpose, TrialSpec,
};
use batchscope_rules::LearningRate;

use crate::{
    Cadence, Conservative, Evaluator, GradientSource, Progress, Snapshot, TrainError, UpdateRule,
    checkpoint::Checkpointer, divergence::Divergence, linearity, noise,
};

/// Receives the events of a run, one at a time.
pub type Events<'a> = dyn FnMut(Event) + Send + 'a;

/// A training run: everything [`crate::train_loop`] works with.
pub struct Run<'a> {
    /// What was asked.
    pub spec: &'a TrialSpec,
    /// The network in training.
    pub network: Box<dyn Network>,
    /// Where gradients come from.
    pub source: Box<dyn GradientSource + 'a>,
    /// How they change the parameters.
    pub rule: Box<dyn UpdateRule>,
    /// Solves a proximal problem in every step, where steps are conservative.
    pub conservative: Option<Conservative>,
    /// The learning rate of every step.
    pub rates: LearningRate,
    /// What evaluations measure on.
    pub evaluator: Evaluator<'a>,
    /// When evaluations are made.
    pub cadence: Cadence,
    /// What has been done so far.
    pub progress: Progress,
    /// The state at the last evaluated step, where a crossing found next would be replayed.
    pub snapshot: Option<Snapshot>,
    /// Saves the run, if it is to be saved.
    pub checkpointer: Option<Checkpointer>,
}

impl Run<'_> {
    /// Does what must precede the first step of a new run.
    pub(crate) fn prepare(&mut self) -> Result<(), TrainError> {
        if self.progress.divergence.is_none() {
            let uninformed = match Divergence::uninformed(&self.evaluator.shape) {
                Some(loss) => loss,
                None => {
                    let sums = self.evaluator.train.measure(self.network.as_mut())?;
                    sums.loss / sums.weight
                }
            };
            self.progress.divergence = Some(Divergence::new(uninformed));
            self.take_snapshot()?;
        }
        Ok(())
    }

    /// One optimizer step: gradient, update, bookkeeping. Returns the mean loss over its examples
    /// and the learning rate.
    pub(crate) fn take_step(
        &mut self,
        group: &dyn Group,
        step: u64,
    ) -> Result<(f64, f64), TrainError> {
        let rate = self.rates.at(step);
        let network = self.network.as_mut();
        let (source, rule) = (self.source.as_mut(), self.rule.as_mut());
        let noise = self.spec.diagnostics.contains(&Diagnostic::Noise);
        let sum = match self.conservative {
            Some(conservative) => {
                if noise {
                    noise::undefined(
                        &mut self.progress.noise,
                        "a conservative step takes several gradients, at several points",
                    );
                }
                conservative.take(network, (source, rule), group, rate, step)?
            }
            None => {
                let sum = if noise {
                    let (sum, found) = source.measured_gradient(network, step)?;
                    // Where trials are many, in tuning, they are not looked at layer by layer.
                    let layers = matches!(
                        self.spec.purpose,
                        TrialPurpose::Single | TrialPurpose::Fresh { .. }
                    );
                    noise::observe(&mut self.progress.noise, network, found, layers)?;
                    sum
                } else {
                    source.gradient(network, step)?
                };
                rule.update(network, group, rate, step)?;
                sum
            }
        };
        network.end_step();
        if group.size() == 1 {
            return Ok((sum.mean(), rate));
        }
        let mut sums = [sum.loss as f32, sum.weight as f32];
        group.all_reduce_sum(&mut sums)?;
        let sum = LossSum {
            loss: f64::from(sums[0]),
            weight: f64::from(sums[1]),
        };
        Ok((sum.mean(), rate))
    }

    /// The next regularly evaluated step.
    pub(crate) fn next_evaluation(&self) -> u64 {
        self.cadence.next_after(
            self.progress.evaluated,
            &self.spec.evaluation,
            self.spec.cap,
        )
    }

    /// Measures these splits after `step` steps.
    pub(crate) fn measure(&mut self, step: u64, splits: &[Split]) -> Result<Measured, TrainError> {
        let mut metrics = BTreeMap::new();
        let mut finite = true;
        for &split in splits {
            let loss = self
                .evaluator
                .measure(split, self.network.as_mut(), &mut metrics)?;
            finite &= loss.is_none_or(f64::is_finite);
        }
        let measurement = Measurement {
            step,
            examples: step.saturating_mul(self.spec.batch_size),
            seconds: self.progress.seconds,
            learning_rate: self.rates.at(step.saturating_sub(1)),
            metrics,
            replayed: false,
            noise: None,
        };
        Ok(Measured {
            measurement,
            finite,
        })
    }

    /// Adds what the trial's diagnostics find after the current step.
    pub(crate) fn diagnose(&mut self, measurement: &mut Measurement) -> Result<(), TrainError> {
        for diagnostic in &self.spec.diagnostics {
            match diagnostic {
                Diagnostic::Linearity => linearity::measure(self, measurement)?,
                // Taken from every step on the way, in `take_step`.
                Diagnostic::Noise => {}
            }
        }
        Ok(())
    }

    /// Keeps the current state, if a crossing found at the next evaluation would be replayed.
    pub(crate) fn take_snapshot(&mut self) -> Result<(), TrainError> {
        let step = self.progress.step;
        let between = self
            .spec
            .evaluation
            .replay_steps(step, self.next_evaluation());
        self.snapshot = match self.spec.target {
            Some(_) if !between.is_empty() => Some(self.export(step)?),
            _ => None,
        };
        Ok(())
    }

    /// The complete state after `step` steps.
    pub(crate) fn export(&self, step: u64) -> Result<Snapshot, TrainError> {
        Ok(Snapshot {
            step,
            network: self.network.export()?,
            rule: self.rule.state(),
        })
    }

    /// Returns to a state.
    pub(crate) fn import(&mut self, snapshot: &Snapshot) -> Result<(), TrainError> {
        self.network.import(&snapshot.network)?;
        self.rule.load(&snapshot.rule)?;
        Ok(())
    }

    /// Adds the seconds since `clock` to the training time.
    pub(crate) fn clocked(&mut self, clock: Instant) {
        self.progress.seconds += clock.elapsed().as_secs_f64();
    }
}

/// What an evaluation found.
pub(crate) struct Measured {
    pub measurement: Measurement,
    /// False if the loss on some split was no finite number.
    pub finite: bool,
}
