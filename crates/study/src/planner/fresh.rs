//! Fresh seeds: the trials that reported estimates rest on. Never raced.

use std::collections::BTreeMap;

use batchscope_core::{Choice, Diagnostic, SettingError, TrainerInfo, TrialPurpose, TrialSpec};
use batchscope_rules::{Base, Setting};

use super::{Assessment, Finished, Stage, pilot::Pilot, tuning::Tunings};
use crate::{Plan, StudyError, Tune, identity, identity::trial_seed};

/// Measures, with fresh seeds.
pub(super) fn stage() -> Stage {
    Stage::new("fresh").labeled("fresh seeds")
}

/// Runs the last stage.
pub(super) fn run(
    plan: &Plan,
    info: &TrainerInfo,
    pilot: &Pilot,
    tunings: &Tunings,
    finished: &Finished,
    study: &mut Assessment,
) -> Result<(), StudyError> {
    let mut specs: Vec<TrialSpec> = Vec::new();
    // Seed by seed, so that an interrupted study has something to say about every batch size.
    for index in 0..plan.seeds {
        for &batch_size in &plan.batch_sizes {
            let points = points(plan, info, pilot, tunings, batch_size, index)?;
            specs.extend(shared(points));
        }
    }
    study.records_of(&stage(), specs, finished)?;
    Ok(())
}

/// One trial for each curve at a batch size.
fn points(
    plan: &Plan,
    info: &TrainerInfo,
    pilot: &Pilot,
    tunings: &Tunings,
    batch_size: u64,
    index: u32,
) -> Result<Vec<TrialSpec>, SettingError> {
    let tuned_at = |batch_size: u64| -> (f64, Choice) {
        let mut optimizer = plan.optimizer.clone();
        let Some(tuned) = tunings.get(&batch_size) else {
            return (pilot.base_rate(), optimizer);
        };
        if let Some(momentum) = tuned.momentum {
            optimizer.set("momentum", momentum);
        }
        (tuned.rate, optimizer)
    };
    let (base_rate, optimizer) = tuned_at(plan.base_batch);
    let base = Base {
        setting: Setting {
            learning_rate: base_rate,
            schedule: plan.schedule_from(base_rate),
            optimizer,
        },
        batch_size: plan.base_batch,
        train_examples: info.train_examples,
        noise_scale: None,
    };
    let curves: Vec<(String, Setting, bool)> = match plan.tune {
        Tune::Every => {
            let (learning_rate, optimizer) = tuned_at(batch_size);
            let tuned = Setting {
                learning_rate,
                optimizer,
                ..base.setting
            };
            vec![("tuned".to_owned(), tuned, false)]
        }
        Tune::Base => {
            let curves = plan.rules.iter().map(|rule| {
                let setting = rule.apply(&base, batch_size).map_err(|e| {
                    SettingError::new("rules", format!("{rule} at batch size {batch_size}: {e}"))
                })?;
                Ok((rule.to_string(), setting, rule.is_linear()))
            });
            curves.collect::<Result<_, SettingError>>()?
        }
    };
    let purpose = TrialPurpose::Fresh { index };
    let specs = curves
        .into_iter()
        .map(|(curve, setting, probed)| TrialSpec {
            curves: vec![curve],
            schedule: setting.schedule,
            optimizer: plan.with_half_life(setting.optimizer, batch_size),
            seed: trial_seed(purpose, batch_size),
            cap: pilot.model.cap(plan, batch_size),
            target: Some(pilot.target.clone()),
            diagnostics: diagnostics(plan, info, probed && index < plan.linearity_seeds),
            ..plan.trial(purpose, batch_size, setting.learning_rate)
        });
    Ok(specs.collect())
}

/// What a fresh trial measures besides.
fn diagnostics(plan: &Plan, info: &TrainerInfo, linearity: bool) -> Vec<Diagnostic> {
    let linearity = linearity.then_some(Diagnostic::named(Diagnostic::LINEARITY));
    let noise = plan.noise == Some(true) && info.capabilities.measures_noise;
    let noise = noise.then_some(Diagnostic::named(Diagnostic::NOISE));
    let own = plan.diagnostics.iter().cloned();
    let mut all: Vec<Diagnostic> = Vec::new();
    for diagnostic in linearity.into_iter().chain(noise).chain(own) {
        if !all.contains(&diagnostic) {
            all.push(diagnostic);
        }
    }
    all
}

/// Curves that ask for the same run share it, and its diagnostics.
pub(super) fn shared(points: Vec<TrialSpec>) -> Vec<TrialSpec> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut merged: Vec<TrialSpec> = Vec::new();
    for point in points {
        let run = identity(&TrialSpec {
            diagnostics: Vec::new(),
            ..point.clone()
        });
        match places.get(&run) {
            Some(&place) => {
                let trial = &mut merged[place];
                trial.curves.extend(point.curves);
                for diagnostic in point.diagnostics {
                    if !trial.diagnostics.contains(&diagnostic) {
                        trial.diagnostics.push(diagnostic);
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
