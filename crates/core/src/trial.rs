use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    Choice, Crossed, Crossing, DecayPolicy, Decision, Estimate, EvaluationPlan, Measurement,
    Purpose, Schedule, ScheduleRow, StreamKey, Target, Value,
};

/// What a trial is for. Only `Fresh` trials enter reported estimates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum TrialPurpose {
    /// Finds the scale of steps-to-target, and the target when it is `auto`.
    Pilot {
        /// Number of the trial among the pilot's of its batch size.
        index: u32,
    },
    /// Finds the learning rate of its batch size.
    Tune {
        /// Number of the trial among its batch size's, all rounds counted: racing goes by it.
        index: u32,
        /// 0 for the first range, 1 after the first widening, …
        round: u32,
    },
    /// Measures, at a learning rate already chosen.
    Fresh {
        /// Number of the repetition, from 0.
        index: u32,
    },
    /// A single run outside any study.
    Single,
}

/// Something measured beside the metrics, without touching the run: an entry of the trainer's registry, with its settings.
///
/// Stored as its name, or with its settings where it has some.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic(pub Choice);

impl Diagnostic {
    /// Gradient noise along training, from the gradients of the steps themselves. Reported as
    /// [`crate::Measurement::noise`]. A step that is split in two to be measured may differ from the
    /// unsplit one by rounding, as with any other micro-batch.
    pub const NOISE: &str = "noise";
    /// The learning rate and the batch size of every step where either changes, as other trainers can follow them.
    /// Reported as [`TrialRecord::schedule`].
    pub const SCHEDULE: &str = "schedule";
    /// `|L(w) − L̂(w)|` of Golmant et al. 2018 at each evaluation, as metric `train-linearity`.
    pub const LINEARITY: &str = "linearity";
    /// The noise scale of optimizers that go by signs, as metric `train-noise_l1`.
    pub const SIGN_NOISE: &str = "sign_noise";

    /// The entry of this name, with its defaults.
    pub fn named(name: &str) -> Self {
        Self(Choice::new(name, std::iter::empty::<(String, Value)>()))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.name()
    }
}

impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.0.values().next() {
            None => s.serialize_str(self.name()),
            Some(_) => self.0.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Diagnostic {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Name(String),
            Choice(Choice),
        }
        Ok(match Written::deserialize(d)? {
            Written::Name(name) => Self::named(&name),
            Written::Choice(choice) => Self(choice),
        })
    }
}

/// Where a trial begins, if not at fresh weights: at a checkpoint, whose weights and optimizer's memory it takes over. It is a
/// run of its own all the same: steps, examples and the order of the data begin anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The checkpoint: a file of the built-in trainer's, or whatever a program takes for one.
    pub checkpoint: String,
    /// CRC-32 of a file of the built-in trainer's, as hexadecimal digits: another file at the same place is another start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// Optimizer steps that the checkpoint had made.
    pub step: u64,
    /// A program that goes on from it counts its steps from 0 again, rather than from there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counts_anew: bool,
}

impl Start {
    /// True for the same checkpoint: by its content where that is known, wherever it lies.
    pub fn is(&self, other: &Self) -> bool {
        match (&self.checksum, &other.checksum) {
            (Some(own), Some(of_other)) => own == of_other && self.step == other.step,
            _ => self == other,
        }
    }
}

/// One training run to do: everything a trainer needs beyond the model and the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialSpec {
    /// Number of the trial in its study, from 0.
    pub id: u64,
    /// What it is for.
    pub purpose: TrialPurpose,
    /// Curves it serves: `tuned`, or the names of rules or methods that agree here. In tuning empty, or the methods of a
    /// comparison that it is for.
    pub curves: Vec<String>,
    /// Examples per step over all devices; at the beginning, where a controller changes it.
    pub batch_size: u64,
    /// Examples per forward pass at most; `None` lets the trainer choose.
    pub micro_batch: Option<u64>,
    /// Full learning rate, after the rule and before the schedule.
    pub learning_rate: f64,
    /// Warm-up and decay.
    pub schedule: Schedule,
    /// Optimizer and its constants.
    #[serde(alias = "optimiser")]
    pub optimizer: Choice,
    /// Step methods other than the plain step: at most one for the gradient, and one for what is
    /// done with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Choice>,
    /// What leads the run, where it does not follow the schedule at one batch size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<Choice>,
    /// Largest allowed norm of the mean gradient; `None` is no clipping.
    pub clip: Option<f64>,
    /// Which parameters the optimizer's weight decay applies to.
    #[serde(default, skip_serializing_if = "DecayPolicy::is_default")]
    pub decay: DecayPolicy,
    /// The checkpoint that it begins from; `None` begins at fresh weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// Seed of the whole study: first part of every stream key.
    pub study_seed: u64,
    /// Seed of the trial: second part of every stream key.
    pub seed: u64,
    /// Steps after which the trial ends not reached.
    pub cap: u64,
    /// Examples after which it does, where the controller decides on the way how many a step has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_examples: Option<u64>,
    /// The goal; `None` trains to the cap.
    pub target: Option<Target>,
    /// When and on how much to evaluate.
    pub evaluation: EvaluationPlan,
    /// What to measure besides.
    #[serde(alias = "probes")]
    pub diagnostics: Vec<Diagnostic>,
}

impl TrialSpec {
    /// True where a diagnostic of this name is to be measured.
    pub fn asks_for(&self, diagnostic: &str) -> bool {
        self.diagnostics.iter().any(|own| own.name() == diagnostic)
    }

    /// Where the trial's random numbers for a purpose come from.
    pub fn key(&self, purpose: Purpose) -> StreamKey {
        StreamKey {
            study_seed: self.study_seed,
            trial: self.seed,
            purpose,
        }
    }
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Outcome {
    /// The metric crossed the target in `(after, step]`.
    Reached {
        /// Whole steps by which it did: the reported steps-to-target.
        step: u64,
        /// A standard error below the crossing, exclusive; 0 where the target was met from the first
        /// evaluation on. In older records, the last step at which it was not met.
        after: u64,
        /// Where the metric without its noise crosses ([`Crossing`]). `None` in older records, whose
        /// `step` is where the smoothed metric first met the target.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        located: Option<Located>,
    },
    /// The cap came first: steps-to-target is censored there.
    NotReached {
        /// Steps done.
        cap: u64,
    },
    /// There was no target; the run went to its cap.
    Completed {
        /// Steps done.
        step: u64,
    },
    /// Tuning only: a lower-numbered trial had been faster. Enters no statistic of reaching.
    Raced {
        /// The bound at which the record is cut.
        at: u64,
    },
    /// A loss was not finite, or the averaged training loss stayed above the limit of
    /// [`crate::Divergence`].
    Diverged {
        /// When it was noticed.
        step: u64,
    },
    /// It cannot be run: too large for the memory or the data.
    Infeasible {
        /// What stands in the way.
        why: String,
    },
    /// The trainer failed.
    Failed {
        /// Its message.
        why: String,
    },
    /// Stopped from outside; to be taken up again.
    Interrupted,
}

/// A crossing, as estimated from the evaluations around it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Located {
    /// Steps at which the metric without its noise crosses the target, not rounded.
    pub crossing: f64,
    /// The evaluated step at which that was found, and at which training ended.
    pub found: u64,
    /// Width, in steps, of the interval that the crossing was rounded to and in whose middle it is taken to
    /// lie; 0 where nothing was rounded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rounding: f64,
}

/// For fields that are left out where they are nothing.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

/// A finished trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// What was asked.
    pub spec: TrialSpec,
    /// How it ended.
    pub outcome: Outcome,
    /// The evaluations, in the order of their steps.
    pub measurements: Vec<Measurement>,
    /// Examples per forward pass actually used.
    pub micro_batch: u64,
    /// Seconds of training, evaluations left out. Never steers a decision.
    pub seconds: f64,
    /// What its controller decided, in the order of the steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
    /// What its steps were made with, where that was asked for ([`Diagnostic::SCHEDULE`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<ScheduleRow>,
    /// Remarks a reader must know (batch-norm ghost size reduced, target reached in warm-up).
    pub notes: Vec<String>,
}

impl TrialRecord {
    /// Steps to the target, if it was reached.
    pub fn steps(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Reached { step, .. } => Some(step),
            _ => None,
        }
    }

    /// The examples drawn before a step: between two evaluations in proportion to the steps, since a controller may change
    /// the batch size; beyond the last at the batch size that the trial began with.
    pub fn examples_at(&self, step: u64) -> f64 {
        let after = self.measurements.partition_point(|m| m.step < step);
        let before = after.checked_sub(1).map(|at| &self.measurements[at]);
        let (from, seen) = before.map_or((0, 0), |m| (m.step, m.examples));
        match self.measurements.get(after) {
            Some(next) if next.step > from => {
                let part = (step - from) as f64 / (next.step - from) as f64;
                seen as f64 + part * next.examples.saturating_sub(seen) as f64
            }
            _ => {
                seen as f64
                    + step
                        .saturating_sub(from)
                        .saturating_mul(self.spec.batch_size) as f64
            }
        }
    }

    /// Where a target (any, not only the trial's own) was crossed by the regular evaluations, the end
    /// of the trial being the end of the evaluations. The finer ones are about the trial's own.
    pub fn crossing(&self, target: &Target) -> Option<Crossed> {
        let mut crossing = Crossing::new(target.clone());
        let mut last = 0;
        for m in self.measurements.iter().filter(|m| !m.finer) {
            if let Some(&value) = m.metrics.get(&target.metric)
                && m.step > last
            {
                last = m.step;
                if let Some(crossed) = crossing.observe(last, value) {
                    return Some(crossed);
                }
            }
        }
        crossing.at_end(last)
    }

    /// This record as if the trial had been stopped at `bound` by racing: what a lower-numbered
    /// trial's success makes of it. A record that ended at or before the bound is unchanged.
    pub fn cut(mut self, bound: u64) -> Self {
        if self.outcome.last_step().is_some_and(|end| end > bound) {
            self.measurements.retain(|m| m.step <= bound);
            self.outcome = Outcome::Raced { at: bound };
        }
        self
    }
}

/// A convenience for readers of records: the number an outcome gives, as an estimate of one run.
impl From<&Outcome> for Estimate {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Reached { step, located, .. } => {
                Estimate::exact(located.map_or(*step as f64, |at| at.crossing))
            }
            Outcome::NotReached { cap } => {
                Estimate::at_least(*cap as f64, 1.0, 1, "not reached by the cap")
            }
            Outcome::Raced { at } => {
                let why = "stopped: another tuning trial had reached the target in fewer steps";
                Estimate::at_least(*at as f64, 1.0, 1, why)
            }
            Outcome::Diverged { step } => {
                Estimate::undefined(1.0, 1, format!("diverged at step {step}"))
            }
            Outcome::Completed { .. } => Estimate::undefined(1.0, 1, "no target"),
            Outcome::Infeasible { why } | Outcome::Failed { why } => {
                Estimate::undefined(1.0, 1, why.clone())
            }
            Outcome::Interrupted => Estimate::undefined(1.0, 1, "interrupted"),
        }
    }
}
