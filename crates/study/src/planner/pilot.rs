//! The pilot: a few trials that find the scale of things. Its trials never serve as estimates.
//!
//! Scrambled Sobol learning rates over the plan's whole range, at the base batch size and at one
//! other (16 times larger where the range allows; the largest for a quartile target), each trial
//! bounded in epochs. The best of each batch size give `S(B) ≈ S₀ + E₀/B`, from which come the caps
//! of all later trials, and the best rates, from which come the centers of the tuning ranges.

use batchscope_core::{
    Outcome, Target, TrainerInfo, TrialPurpose, TrialRecord, TrialSpec, format::number,
};

use super::{Assessment, Finished, Stage, target};
use crate::{Plan, StudyError, TargetChoice, identity::trial_seed};

/// Finds the scale of steps-to-target, and the target when it is `auto` or `quartile`.
pub(super) fn stage() -> Stage {
    Stage::new("pilot")
}

/// What the pilot found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pilot {
    pub target: Target,
    pub model: PilotModel,
    /// The best rate at the base batch size.
    base_rate: f64,
    base_batch: u64,
    /// Exponent with which the best rate grows with the batch size.
    exponent: f64,
}

impl Pilot {
    /// Where tuning at a batch size centers its range.
    pub fn center(&self, batch_size: u64) -> f64 {
        self.base_rate * (batch_size as f64 / self.base_batch as f64).powf(self.exponent)
    }

    /// The rate gradual warm-up starts from while none is tuned.
    pub fn base_rate(&self) -> f64 {
        self.base_rate
    }
}

/// `S(B) ≈ S₀ + E₀/B`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PilotModel {
    /// Steps left at infinite batch size.
    pub s0: f64,
    /// Examples needed in the limit of small batch sizes.
    pub e0: f64,
}

impl PilotModel {
    /// From steps `s` at batch size `b`, and at another, larger batch size if it reached the target.
    ///
    /// Neither part may fall below half of what the nearer point alone allows it at most
    /// (`S₀ ≥ s₁/2`, `E₀ ≥ s·b/2`): noise, or two batch sizes in one regime, must not make caps
    /// that censor the other end of the range. With one point both parts are that most.
    fn fit((b, s): (u64, u64), other: Option<(u64, u64)>) -> Self {
        let (b, s) = (b as f64, s as f64);
        match other {
            Some((b1, s1)) if b1 as f64 != b => {
                let (b1, s1) = (b1 as f64, s1 as f64);
                let ((bl, sl), (bh, sh)) = if b < b1 {
                    ((b, s), (b1, s1))
                } else {
                    ((b1, s1), (b, s))
                };
                let e0 = (sl - sh) / (1.0 / bl - 1.0 / bh);
                let s0 = sl - e0 / bl;
                Self {
                    s0: s0.max(sh / 2.0),
                    e0: e0.max(sl * bl / 2.0),
                }
            }
            _ => Self { s0: s, e0: s * b },
        }
    }

    /// Steps to the target at a batch size, roughly.
    pub fn steps(&self, batch_size: u64) -> f64 {
        self.s0 + self.e0 / batch_size as f64
    }

    /// The cap of a trial: `c·(S₀ + E₀/B)`, within the plan's own limit.
    pub fn cap(&self, plan: &Plan, batch_size: u64) -> u64 {
        let cap = (plan.cap_factor * self.steps(batch_size)).ceil() as u64;
        cap.max(1).min(plan.max_steps.unwrap_or(u64::MAX))
    }
}

/// The bound of a pilot trial in steps.
pub(crate) fn pilot_cap(plan: &Plan, info: &TrainerInfo, batch_size: u64) -> u64 {
    let most = plan.max_steps.unwrap_or(u64::MAX);
    let Some(examples) = info.train_examples else {
        return most;
    };
    let steps = (plan.pilot_epochs * examples as f64 / batch_size as f64).ceil() as u64;
    steps.max(1).min(most)
}

/// Runs the pilot's stages; `None` while trials are missing.
pub(super) fn run(
    plan: &Plan,
    info: &TrainerInfo,
    finished: &Finished,
    study: &mut Assessment,
) -> Result<Option<Pilot>, StudyError> {
    let base = plan.base_batch;
    let other = plan.pilot_batch.filter(|&b| b != base);
    let trials = PilotTrials { plan, info };
    let (target, origin, base_records, other_records) = match &plan.target {
        TargetChoice::Fixed(target) => {
            // Nothing to wait for: both batch sizes at once.
            let specs: Vec<TrialSpec> = [Some(base), other]
                .into_iter()
                .flatten()
                .flat_map(|b| trials.specs(b, Some(target)))
                .collect();
            let Some(records) = study.records_of(&stage(), specs, finished)? else {
                return Ok(None);
            };
            let (at_base, at_other) = records
                .into_iter()
                .partition(|r: &TrialRecord| r.spec.batch_size == base);
            (
                target.clone(),
                "fixed beforehand".to_owned(),
                at_base,
                at_other,
            )
        }
        TargetChoice::Auto { metric } => {
            let Some(at_base) = study.records_of(&stage(), trials.specs(base, None), finished)?
            else {
                return Ok(None);
            };
            let target = target::auto(metric, info.direction(metric), base, &at_base)?;
            let specs = other.map_or_else(Vec::new, |b| trials.specs(b, Some(&target)));
            let Some(at_other) = study.records_of(&stage(), specs, finished)? else {
                return Ok(None);
            };
            let origin = format!(
                "from the pilot at batch size {base}: nine tenths of its best run's improvement"
            );
            (target, origin, at_base, at_other)
        }
        TargetChoice::Quartile { metric } => {
            let largest = plan.pilot_batch.unwrap_or(base);
            let Some(at_largest) =
                study.records_of(&stage(), trials.specs(largest, None), finished)?
            else {
                return Ok(None);
            };
            let target = target::quartile(metric, info.direction(metric), largest, &at_largest)?;
            let origin = format!(
                "the lowest quartile of the pilot's best run at batch size {largest} (Golmant et al. 2018)"
            );
            if largest == base {
                (target, origin, at_largest, Vec::new())
            } else {
                let Some(at_base) =
                    study.records_of(&stage(), trials.specs(base, Some(&target)), finished)?
                else {
                    return Ok(None);
                };
                (target, origin, at_base, at_largest)
            }
        }
    };
    study.decide(format!("target {target}, {origin}"));
    study.target = Some((target.clone(), origin));
    let smoothed = finished.is_by_smoothing();
    conclude(
        (plan, info),
        target,
        &base_records,
        &other_records,
        smoothed,
        study,
    )
    .map(Some)
}

/// The pilot's trials.
struct PilotTrials<'a> {
    plan: &'a Plan,
    info: &'a TrainerInfo,
}

impl PilotTrials<'_> {
    fn specs(&self, batch_size: u64, target: Option<&Target>) -> Vec<TrialSpec> {
        let plan = self.plan;
        let search = trial_seed(TrialPurpose::Pilot { index: 0 }, batch_size);
        let rates = plan
            .learning_rates
            .rates(plan.pilot_trials, plan.study_seed, search);
        (0..)
            .zip(rates)
            .map(|(index, rate)| {
                let purpose = TrialPurpose::Pilot { index };
                // No base rate is known yet; a trial that starts from its own rate has no climb.
                TrialSpec {
                    seed: trial_seed(purpose, batch_size),
                    cap: pilot_cap(plan, self.info, batch_size),
                    target: target.cloned(),
                    ..plan.trial(purpose, batch_size, rate)
                }
            })
            .collect()
    }
}

/// The fastest trial of one batch size: (steps, rate).
fn fastest(records: &[TrialRecord], target: &Target, smoothed: bool) -> Option<(u64, f64)> {
    records
        .iter()
        .filter(|record| {
            !matches!(
                record.outcome,
                Outcome::Diverged { .. } | Outcome::Failed { .. } | Outcome::Infeasible { .. }
            )
        })
        .filter_map(|record| {
            // A trial without a target of its own is looked at afterwards.
            let afterwards = || match smoothed {
                true => target::smoothed_meets(record, target),
                false => record.crossing(target).map(|crossed| crossed.step()),
            };
            let steps = record.steps().or_else(afterwards)?;
            Some((steps, record.spec.learning_rate))
        })
        .min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))
}

fn conclude(
    (plan, info): (&Plan, &TrainerInfo),
    target: Target,
    at_base: &[TrialRecord],
    at_other: &[TrialRecord],
    smoothed: bool,
    study: &mut Assessment,
) -> Result<Pilot, StudyError> {
    let base = plan.base_batch;
    let Some((steps, base_rate)) = fastest(at_base, &target, smoothed) else {
        let seen = at_base
            .iter()
            .flat_map(|r| target::smoothed(r, &target.metric))
            .map(|(_, value)| value);
        return Err(StudyError::TargetNotReached {
            best: target::best(seen, target.direction),
            target,
            batch_size: base,
            epochs: info.train_examples.map(|_| plan.pilot_epochs),
        });
    };
    study.decide(format!(
        "pilot: batch size {base} reached the target in {steps} steps at learning rate {}",
        number(base_rate)
    ));
    let other = fastest(at_other, &target, smoothed).zip(plan.pilot_batch);
    let model = PilotModel::fit(
        (base, steps),
        other.map(|((steps, _), batch)| (batch, steps)),
    );
    let exponent = match other {
        Some(((steps, rate), batch)) => {
            // Between keeping the rate and growing it linearly: no theory asks for more, noise may.
            let measured = (rate / base_rate).ln() / (batch as f64 / base as f64).ln();
            study.decide(format!(
                "pilot: batch size {batch} reached the target in {steps} steps at learning rate {}: the best rate grows with batch size to the power {}",
                number(rate),
                number(measured.clamp(0.0, 1.0))
            ));
            measured.clamp(0.0, 1.0)
        }
        None => {
            if let Some(batch) = plan.pilot_batch.filter(|&b| b != base) {
                study.decide(format!(
                    "pilot: batch size {batch} did not reach the target in {} epochs; tuning \
                     ranges are centered on the base rate times the square root of the ratio of \
                     batch sizes",
                    plan.pilot_epochs
                ));
            }
            0.5
        }
    };
    let capped = plan
        .max_steps
        .map_or_else(String::new, |most| format!(", at most {most}"));
    study.decide(format!(
        "caps: {}·({} + {}/B) steps{capped}",
        plan.cap_factor,
        number(model.s0),
        number(model.e0)
    ));
    Ok(Pilot {
        target,
        model,
        base_rate,
        base_batch: base,
        exponent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_points_on_a_hyperbola_give_it_back() {
        let steps = |b: u64| 100 + 51_200 / b;
        let model = PilotModel::fit((64, steps(64)), Some((1024, steps(1024))));
        assert!(
            (model.s0 - 100.0).abs() < 1e-9 && (model.e0 - 51_200.0).abs() < 1e-6,
            "{model:?}"
        );
        // The order of the batch sizes does not matter.
        assert_eq!(
            PilotModel::fit((1024, steps(1024)), Some((64, steps(64)))),
            model
        );
    }

    #[test]
    fn noise_cannot_make_a_part_vanish() {
        // Perfect scaling: no S₀ is visible.
        let linear = PilotModel::fit((64, 1600), Some((1024, 100)));
        assert_eq!(linear.s0, 50.0);
        // The larger batch needed more steps than the smaller: no E₀ is visible.
        let flat = PilotModel::fit((64, 1000), Some((1024, 1100)));
        assert_eq!(flat.e0, 32_000.0);
        assert!(flat.steps(8) >= 1000.0);
    }
}
