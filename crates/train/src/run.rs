use std::collections::BTreeMap;

use batchscope_core::{
    Decision, Diagnostic, Divergence, Evaluate, Evaluation, Events, Group, Metric, Network,
    NoiseRecord, Quantity, ScheduleRow, Split, StateTensor, StepBatch, TrialDriver, TrialPurpose,
};
use batchscope_rules::{Controller, StepSeen};

use crate::{
    Evaluator, GradientSource, NoiseWatch, Portions, StepContext, StepMethod, TrainError,
    UpdateRule, checkpoint::Checkpointer,
};

/// A training run: everything [`crate::train_loop`] works with.
pub struct Run<'a> {
    /// Leads the run: what was asked, what has been done, what comes next.
    pub driver: TrialDriver<'a>,
    /// The network in training.
    pub network: Box<dyn Network>,
    /// Where gradients come from.
    pub source: Box<dyn GradientSource + 'a>,
    /// How they change the parameters.
    pub rule: Box<dyn UpdateRule>,
    /// How a step uses both.
    pub method: Box<dyn StepMethod>,
    /// The learning rate and the batch size of every step.
    pub controller: Box<dyn Controller>,
    /// What evaluations measure on.
    pub evaluator: Evaluator<'a>,
    /// Saves the run, if it is to be saved.
    pub checkpointer: Option<Checkpointer>,
    /// The replicas that make its steps together, of which this is one.
    pub group: &'a dyn Group,
    /// This replica's part of every step.
    pub portions: Portions,
}

impl Run<'_> {
    /// Does what must precede the first step of a new run.
    pub(crate) fn prepare(&mut self) -> Result<(), TrainError> {
        if self.driver.progress().divergence.is_none() {
            let uninformed = match Divergence::uninformed(&self.evaluator.shape) {
                Some(loss) => loss,
                None => {
                    let sums = (self.evaluator.train).measure(self.network.as_mut(), self.group)?;
                    sums.loss / sums.weight
                }
            };
            self.driver.watch_divergence(uninformed);
        }
        self.end_if_over();
        Ok(())
    }

    /// Tells the driver where the run is over before its cap.
    pub(crate) fn end_if_over(&mut self) {
        let drawn = self.controller.at(self.driver.step()).batch.first_draw;
        let most = self.driver.spec().max_examples;
        let over = self.controller.has_ended() || most.is_some_and(|most| drawn >= most);
        self.driver.drew(drawn, over);
    }

    /// Tells the driver what the controller has decided for the next step.
    pub(crate) fn take_down_decision(&mut self, events: &mut Events<'_>) {
        let step = self.driver.step();
        if let Some(why) = self.controller.decision(step) {
            let setting = self.controller.at(step);
            let decision = Decision {
                step,
                learning_rate: setting.learning_rate,
                batch_size: setting.batch.batch_size,
                why,
            };
            self.driver.decided(decision, events);
        }
    }

    /// One optimizer step: gradient, update, bookkeeping. Returns the mean loss over its examples
    /// and the learning rate.
    pub(crate) fn take_step(&mut self, step: u64) -> Result<(f64, f64), TrainError> {
        let setting = self.controller.at(step);
        self.driver.made_with(ScheduleRow {
            step,
            batch_size: setting.batch.batch_size,
            learning_rate: setting.learning_rate,
        });
        let is_recorded = self.driver.spec().asks_for(Diagnostic::NOISE);
        let is_watched = is_recorded || self.controller.watches_noise();
        let mut noise = None;
        // Where trials are many, in tuning, they are not looked at layer by layer.
        let layers = matches!(
            self.driver.spec().purpose,
            TrialPurpose::Single | TrialPurpose::Fresh { .. }
        );
        let own_part = self.own_part(setting.batch);
        let sum = self.method.take(StepContext {
            network: self.network.as_mut(),
            source: self.source.as_mut(),
            rule: self.rule.as_mut(),
            group: self.group,
            learning_rate: setting.learning_rate,
            step: own_part,
            noise: is_watched.then_some(NoiseWatch {
                record: &mut noise,
                layers,
            }),
        })?;
        self.network.end_step();
        let loss = sum.mean();
        let moments = match &noise {
            Some(NoiseRecord::Measured(moments)) => Some(moments),
            // Later it is a gradient that has overflowed: the watch for divergence will see it.
            Some(NoiseRecord::Undefined { why })
                if self.controller.watches_noise() && step == 0 =>
            {
                return Err(TrainError::Refused(format!(
                    "the controller goes by the gradient noise, which is undefined: {why}"
                )));
            }
            _ => None,
        };
        self.controller.observe(&StepSeen {
            setting,
            loss,
            noise: moments,
        });
        if let Some(found) = noise.filter(|_| is_recorded) {
            NoiseRecord::merge(self.driver.noise(), found);
        }
        Ok((loss, setting.learning_rate))
    }

    /// What this replica takes for a step: where replicas go their own ways each has as many examples, of its own.
    fn own_part(&self, batch: StepBatch) -> StepBatch {
        if self.rule.is_synchronous() {
            return batch;
        }
        let replicas = self.group.size() as u64;
        StepBatch {
            step: batch.step,
            first_draw: batch.first_draw / replicas,
            batch_size: batch.batch_size / replicas,
        }
    }

    /// Measures what the driver asks for after the current step.
    pub(crate) fn evaluate(&mut self, what: Evaluate) -> Result<Evaluation, TrainError> {
        let whole = [Split::Train, Split::Val];
        let splits: Vec<Split> = match what {
            Evaluate::Whole => whole.to_vec(),
            Evaluate::Only(split) => vec![split],
            Evaluate::Rest(split) => whole.into_iter().filter(|&s| s != split).collect(),
            Evaluate::Test => vec![Split::Test],
        };
        let step = self.driver.step();
        let mut metrics = BTreeMap::new();
        let in_training = self.judge_by_average(step)?;
        let mut finite = true;
        for split in splits {
            let network = self.network.as_mut();
            let loss = (self.evaluator).measure(split, network, self.group, &mut metrics)?;
            finite &= loss.is_none_or(f64::is_finite);
        }
        if what == Evaluate::Test {
            self.measure_at_test(&mut metrics)?;
        }
        if let Some(state) = in_training {
            self.network.import(&state)?;
            if let Some(distance) = self.rule.consensus() {
                let quantity = Quantity::Other("consensus".to_owned());
                metrics.insert(Metric::new(Split::Train, quantity), distance);
            }
        }
        if self.driver.wants_diagnostics() {
            self.measure_at_evaluation(&mut metrics)?;
        }
        Ok(Evaluation {
            metrics,
            learning_rate: self.controller.at(step.saturating_sub(1)).learning_rate,
            finite,
            examples: Some(self.controller.at(step).batch.first_draw),
        })
    }

    /// Brings the network to the parameters that the run is judged by after `step` steps, with batch norm's statistics
    /// measured there. Returns its state in training, to be put back; `None` where nothing has changed.
    fn judge_by_average(&mut self, step: u64) -> Result<Option<Vec<StateTensor>>, TrainError> {
        let Some(last) = step.checked_sub(1).filter(|_| self.rule.averages()) else {
            return Ok(None);
        };
        let state = self.network.export()?;
        self.rule.average(self.network.as_mut(), self.group)?;
        let batch_size = self.own_part(self.controller.at(last).batch).batch_size;
        if let Some(ghost) = self.network.ghost_size(batch_size) {
            self.evaluator
                .train
                .recalibrate(self.network.as_mut(), ghost, self.group)?;
        }
        Ok(Some(state))
    }
}
