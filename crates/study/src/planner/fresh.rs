//! Fresh seeds: the trials that reported estimates rest on. Never raced.

use std::collections::BTreeMap;

use batchscope_core::{Probe, TrialPurpose, TrialSpec};
use batchscope_rules::Rule;

use super::{Assessment, Finished, Stage, pilot::Pilot, tuning::Rates};
use crate::{Plan, StudyError, Tune, identity, identity::trial_seed};

/// Runs the last stage.
pub(super) fn run(
    plan: &Plan,
    pilot: &Pilot,
    rates: &Rates,
    finished: &Finished,
    study: &mut Assessment,
) -> Result<(), StudyError> {
    let mut specs: Vec<TrialSpec> = Vec::new();
    // Seed by seed, so that an interrupted study has something to say about every batch size.
    for index in 0..plan.seeds {
        for &batch_size in &plan.batch_sizes {
            specs.extend(shared(points(plan, pilot, rates, batch_size, index)));
        }
    }
    study.stage(Stage::Fresh, specs, finished)?;
    Ok(())
}

/// One trial for each curve at a batch size.
fn points(
    plan: &Plan,
    pilot: &Pilot,
    rates: &Rates,
    batch_size: u64,
    index: u32,
) -> Vec<TrialSpec> {
    let fallback = pilot.base_rate();
    let base_rate = rates.get(&plan.base_batch).copied().unwrap_or(fallback);
    let curves: Vec<(String, f64, bool)> = match plan.tune {
        Tune::Every => vec![(
            "tuned".to_owned(),
            rates.get(&batch_size).copied().unwrap_or(fallback),
            false,
        )],
        Tune::Base => plan
            .rules
            .iter()
            .map(|rule| {
                (
                    rule.name().to_owned(),
                    rule.learning_rate(base_rate, plan.base_batch, batch_size),
                    *rule == Rule::Lsr,
                )
            })
            .collect(),
    };
    let purpose = TrialPurpose::Fresh { index };
    curves
        .into_iter()
        .map(|(curve, learning_rate, probed)| TrialSpec {
            id: 0,
            purpose,
            curves: vec![curve],
            batch_size,
            micro_batch: plan.micro_batch,
            learning_rate,
            schedule: plan.schedule_from(base_rate),
            optimizer: plan.optimizer_at(batch_size),
            clip: plan.clip,
            study_seed: plan.study_seed,
            seed: trial_seed(purpose, batch_size),
            cap: pilot.model.cap(plan, batch_size),
            target: Some(pilot.target.clone()),
            evaluation: plan.evaluation,
            probes: probes(plan, probed && index < plan.linearity_seeds),
        })
        .collect()
}

/// What a fresh trial measures besides.
fn probes(plan: &Plan, linearity: bool) -> Vec<Probe> {
    let linearity = linearity.then_some(Probe::Linearity);
    linearity
        .into_iter()
        .chain((plan.noise == Some(true)).then_some(Probe::Noise))
        .collect()
}

/// Curves that ask for the same run share it, and its probes.
fn shared(points: Vec<TrialSpec>) -> Vec<TrialSpec> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut merged: Vec<TrialSpec> = Vec::new();
    for point in points {
        let run = identity(&TrialSpec {
            probes: Vec::new(),
            ..point.clone()
        });
        match places.get(&run) {
            Some(&place) => {
                let trial = &mut merged[place];
                trial.curves.extend(point.curves);
                for probe in point.probes {
                    if !trial.probes.contains(&probe) {
                        trial.probes.push(probe);
                    }
                }
            }
            None => {
                places.insert(run, merged.len());
                merged.push(point);
            }
        }
    }
    merged
}
