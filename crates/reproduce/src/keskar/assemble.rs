//! From what is stored to what is reported: pure, but for the reading.

use std::collections::BTreeMap;

use batchscope_core::Estimate;

use super::compare::claims;
use super::plan::{Part, Plan};
use super::record::{Ended, RunRecord, SharpnessRecord, SliceRecord};
use super::results::{Distance, Minimum, Remedy, Results, SlicePair, WarmStart};
use super::stored::{Stored, Value, What, ratio_of};
use super::table::table;
use super::task::{Method, RunId, Shape, StateId, Statistics, Task, run_file, slice_file};
use crate::interval::difference;
use crate::{Folder, ReproduceError};

/// How many searches for the sharpest point met their convergence test, by quantity.
#[derive(Default)]
struct Searches {
    /// Converged, and all.
    counts: BTreeMap<String, [u64; 2]>,
}

impl Searches {
    fn add(&mut self, record: &SharpnessRecord) {
        if let Some(converged) = record.converged {
            let [sum, all] = self.counts.entry(record.quantity.to_string()).or_default();
            *sum += converged;
            *all += record.phi.n;
        }
    }

    /// A note for each quantity of which some did not.
    fn notes(&self) -> impl Iterator<Item = String> {
        let short = self.counts.iter().filter(|(_, [sum, all])| sum < all);
        short.map(|(quantity, [sum, all])| {
            format!("{quantity}: {sum} of {all} searches converged; the others are lower bounds")
        })
    }
}

/// What the folder holds of a plan, put together.
///
/// # Errors
/// When a stored result is damaged.
pub fn results(plan: &Plan, folder: &Folder) -> Result<Results, ReproduceError> {
    let stored = Stored { plan, folder };
    let (setting, scope) = (&plan.setting, &plan.scope);
    let mut runs = Vec::new();
    let mut notes = Vec::new();
    let mut searches = Searches::default();
    for task in plan.tasks() {
        match &task {
            Task::Train(run) => {
                if let Some(record) = folder.read::<RunRecord>(&run_file(run))? {
                    notes.extend(note(&record));
                    runs.push(record);
                }
            }
            Task::Sharpness { state, quantity } => {
                if let Some(record) = stored.sharpness(state, quantity)? {
                    searches.add(&record);
                }
            }
            Task::Slice { .. } => {}
        }
    }
    notes.extend(searches.notes());
    let has = |part: Part| scope.parts.contains(&part);
    let mut found = Results {
        setting: setting.clone(),
        table: table(&stored)?,
        distance: distance(&stored)?,
        slices: match has(Part::Slices) {
            true => slices(&stored)?,
            false => Vec::new(),
        },
        batch_sizes: match has(Part::BatchSizes) {
            true => batch_sizes(&stored)?,
            false => Vec::new(),
        },
        trajectory: match has(Part::Trajectory) {
            true => trajectory(&stored)?,
            false => Vec::new(),
        },
        warm_starts: match has(Part::WarmStarts) {
            true => warm_starts(&stored)?,
            false => Vec::new(),
        },
        remedies: match has(Part::Remedies) {
            true => remedies(&stored)?,
            false => Vec::new(),
        },
        claims: Vec::new(),
        notes,
        runs,
    };
    found.claims = claims(&found);
    Ok(found)
}

/// What a reader must know of a run.
fn note(record: &RunRecord) -> Option<String> {
    let run = &record.run;
    match &record.ended {
        Ended::Plateau => None,
        Ended::Cap => Some(format!(
            "{run} was still improving when the cap of {} epochs ended it",
            record.epochs.len()
        )),
        Ended::Diverged => Some(format!("{run} diverged: nothing is measured of it")),
        Ended::Skipped { why } => Some(format!("{run} was left out: {why}")),
    }
}

fn distance(stored: &Stored<'_>) -> Result<Option<Distance>, ReproduceError> {
    let setting = &stored.plan.setting;
    let ends = [
        (setting.small, Method::Plain),
        (setting.large, Method::Plain),
    ];
    let pairs = stored.pairs(ends, stored.plan.scope.starts, &What::Distance)?;
    if pairs.is_empty() {
        return Ok(None);
    }
    let (small, large): (Vec<Value>, Vec<Value>) = pairs.iter().copied().unzip();
    Ok(Some(Distance {
        small: What::Distance.mean(&small),
        large: What::Distance.mean(&large),
        ratio: ratio_of(&pairs),
    }))
}

/// The slices of the first start; what was drawn by an earlier call is shown too.
fn slices(stored: &Stored<'_>) -> Result<Vec<SlicePair>, ReproduceError> {
    let mut slices = Vec::new();
    for statistics in [Statistics::Interpolated, Statistics::Estimated] {
        let read = |shape: Shape| {
            let file = slice_file(0, shape, statistics);
            stored.folder.read::<SliceRecord>(&file)
        };
        let pair = SlicePair {
            start: 0,
            statistics,
            straight: read(Shape::Straight)?,
            curved: read(Shape::Curved)?,
        };
        if pair.straight.is_some() || pair.curved.is_some() {
            slices.push(pair);
        }
    }
    Ok(slices)
}

fn batch_sizes(stored: &Stored<'_>) -> Result<Vec<Minimum>, ReproduceError> {
    let (setting, scope) = (&stored.plan.setting, &stored.plan.scope);
    let mut sizes: Vec<u64> = scope.between.clone();
    sizes.extend([setting.small, setting.large]);
    sizes.sort_unstable();
    sizes.dedup();
    let mut minima = Vec::new();
    for batch_size in sizes {
        for start in 0..scope.between_starts {
            let state = StateId::last(RunId::plain(batch_size, start));
            minima.extend(stored.minimum(&state)?);
        }
    }
    Ok(minima)
}

fn trajectory(stored: &Stored<'_>) -> Result<Vec<Minimum>, ReproduceError> {
    let (setting, scope) = (&stored.plan.setting, &stored.plan.scope);
    let mut states = Vec::new();
    for batch_size in [setting.small, setting.large] {
        let run = RunId::plain(batch_size, 0);
        let epochs = scope.snapshots.iter().copied().map(Some);
        for epoch in epochs.chain([None]) {
            states.extend(stored.minimum(&StateId {
                run: run.clone(),
                epoch,
            })?);
        }
    }
    Ok(states)
}

fn warm_starts(stored: &Stored<'_>) -> Result<Vec<WarmStart>, ReproduceError> {
    let mut found = Vec::new();
    for &after in &stored.plan.scope.warm_epochs {
        let run = RunId {
            warm: Some(after),
            ..RunId::plain(stored.plan.setting.large, 0)
        };
        let minimum = stored.minimum(&StateId::last(run))?;
        found.extend(minimum.map(|minimum| WarmStart { after, minimum }));
    }
    Ok(found)
}

fn remedies(stored: &Stored<'_>) -> Result<Vec<Remedy>, ReproduceError> {
    let (setting, scope) = (&stored.plan.setting, &stored.plan.scope);
    let plain = (setting.large, Method::Plain);
    let rows = [(setting.small, Method::Plain), plain]
        .into_iter()
        .chain(Method::REMEDIES.map(|method| (setting.large, method)));
    let mut found = Vec::new();
    for (batch_size, method) in rows {
        let kinds = [(batch_size, method), plain];
        let accuracies = stored.pairs(kinds, scope.remedy_starts, &What::TestAccuracy)?;
        if accuracies.is_empty() {
            continue;
        }
        let sharpness = What::Sharpness(stored.first());
        let phis = stored.pairs(kinds, scope.remedy_starts, &sharpness)?;
        let numbers: Vec<_> = accuracies.iter().map(|(a, b)| (a.value, b.value)).collect();
        let first = |pairs: &[(Value, Value)]| -> Vec<Value> {
            pairs.iter().map(|(value, _)| *value).collect()
        };
        // those that the others are compared with are not compared with themselves
        let itself = (batch_size, method) == plain;
        found.push(Remedy {
            method,
            batch_size,
            test_accuracy: What::TestAccuracy.mean(&first(&accuracies)),
            gain: match itself {
                true => Estimate::exact(0.0),
                false => difference(&numbers),
            },
            phi: sharpness.mean(&first(&phis)),
            phi_ratio: match itself {
                true => Estimate::exact(1.0),
                false => ratio_of(&phis),
            },
        });
    }
    Ok(found)
}
