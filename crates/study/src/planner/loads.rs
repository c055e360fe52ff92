//! What a tuned study has to do, as far as it can be foreseen.

use batchscope_core::{TrainerInfo, TrialPurpose};

use super::{
    Assessment, Stage, fresh,
    pilot::{self, PilotModel, pilot_cap},
    tuning,
};
use crate::{Load, Plan, Tune};

/// The loads of a study, stage by stage, from where it stands.
///
/// Expected steps come from the pilot's model; before it there is none, and the base batch size is
/// taken to reach its target with half of the pilot's examples (which is what `auto` targets
/// make true), in steps that fall with the batch size to half of that.
pub(super) fn loads(
    plan: &Plan,
    info: &TrainerInfo,
    study: &Assessment,
    model: Option<PilotModel>,
) -> Vec<Load> {
    let forecast = Forecast {
        plan,
        info,
        study,
        model,
    };
    let pilots = [
        Some(plan.base_batch),
        plan.pilot_batch.filter(|&b| b != plan.base_batch),
    ];
    let mut loads = Vec::new();
    loads.extend(pilots.into_iter().flatten().map(|b| forecast.pilot(b)));
    loads.extend(plan.tuned_sizes().into_iter().map(|b| forecast.tuning(b)));
    loads.extend(plan.batch_sizes.iter().map(|&b| forecast.fresh(b)));
    loads
}

/// What loads follow from.
struct Forecast<'a> {
    plan: &'a Plan,
    info: &'a TrainerInfo,
    study: &'a Assessment,
    /// The pilot's, once it is known.
    model: Option<PilotModel>,
}

impl Forecast<'_> {
    fn pilot(&self, batch_size: u64) -> Load {
        let cap = pilot_cap(self.plan, self.info, batch_size) as f64;
        Load {
            stage: pilot::stage(),
            batch_size,
            trials: u64::from(self.plan.pilot_trials),
            done: self.done(batch_size, |p| matches!(p, TrialPurpose::Pilot { .. })),
            expected_steps: cap,
            most_steps: cap,
        }
    }

    fn tuning(&self, batch_size: u64) -> Load {
        let done = self.done(batch_size, |p| matches!(p, TrialPurpose::Tune { .. }));
        let running = self.study.trials.iter().find_map(|t| match t.purpose {
            TrialPurpose::Tune { round, .. } if t.batch_size == batch_size => {
                Some(u64::from(round) + 1)
            }
            _ => None,
        });
        let per_round = u64::from(self.plan.tune_trials);
        let rounds = running.unwrap_or(1).max(done.div_ceil(per_round));
        self.beyond_pilot(tuning::stage(0), batch_size, rounds * per_round, done)
    }

    fn fresh(&self, batch_size: u64) -> Load {
        let plan = self.plan;
        let stage = fresh::stage();
        let done = self.done(batch_size, |p| matches!(p, TrialPurpose::Fresh { .. }));
        let wanted = if self.study.stage.as_ref() == Some(&stage) {
            let trials = self.study.trials.iter();
            trials.filter(|t| t.batch_size == batch_size).count() as u64
        } else {
            // At the base batch size all rules agree.
            let curves = if plan.tune == Tune::Every || batch_size == plan.base_batch {
                1
            } else {
                plan.rules.len() as u64
            };
            u64::from(plan.seeds) * curves
        };
        self.beyond_pilot(stage, batch_size, wanted.max(done), done)
    }

    /// A load whose steps the pilot's model tells.
    fn beyond_pilot(&self, stage: Stage, batch_size: u64, trials: u64, done: u64) -> Load {
        let most_steps = self.most_steps(batch_size);
        Load {
            stage,
            batch_size,
            trials,
            done,
            expected_steps: self.expected_steps(batch_size).min(most_steps),
            most_steps,
        }
    }

    fn expected_steps(&self, batch_size: u64) -> f64 {
        match self.model {
            Some(model) => model.steps(batch_size),
            None => self.pilot_bound() / 4.0 * self.relative_steps(batch_size),
        }
    }

    fn most_steps(&self, batch_size: u64) -> f64 {
        let limit = self
            .plan
            .max_steps
            .map_or(f64::INFINITY, |most| most as f64);
        match self.model {
            Some(model) => model.cap(self.plan, batch_size) as f64,
            None => (self.plan.cap_factor * self.pilot_bound() * self.relative_steps(batch_size))
                .min(limit),
        }
    }

    /// Steps that a pilot trial at the base batch size makes at most.
    fn pilot_bound(&self) -> f64 {
        pilot_cap(self.plan, self.info, self.plan.base_batch) as f64
    }

    /// `1 + B₀/B`: 2 at the base batch size, falling to 1.
    fn relative_steps(&self, batch_size: u64) -> f64 {
        1.0 + self.plan.base_batch as f64 / batch_size as f64
    }

    /// Finished trials at a batch size.
    fn done(&self, batch_size: u64, is: fn(TrialPurpose) -> bool) -> u64 {
        let records = self.study.records.iter();
        records
            .filter(|r| r.spec.batch_size == batch_size && is(r.spec.purpose))
            .count() as u64
    }
}
