//! The sharpness of a state.

use std::{ops::ControlFlow, time::Instant};

use batchscope_core::{Control, Estimate, Flow};
use batchscope_landscape::{
    LandscapeError, Objective, ObjectiveError, Stopped, Watched, lbfgsb,
    sharpness::{self, Keskar, WorstCase, keskar_from, worst_case_from},
};

use super::lab::{ExperimentContext, parameters};
use super::record::SharpnessRecord;
use super::setting::Setting;
use super::task::{Quantity, Space, StateId, searches_file, sharpness_file, state_file};
use super::training::stored_state;
use crate::{Folder, ReproduceError, interval::LEVEL};

/// Whether an error is a wish to stop.
pub(crate) fn is_stop(error: &LandscapeError) -> bool {
    matches!(error, LandscapeError::Objective(ObjectiveError(source)) if source.is::<Stopped>())
}

/// The error of a measurement that was told to stop.
pub(crate) fn stopped() -> ObjectiveError {
    ObjectiveError::new(Stopped)
}

/// Iterations of a quantity's searches at most.
pub(crate) fn iterations(setting: &Setting, quantity: &Quantity) -> u64 {
    match quantity {
        Quantity::Converged { .. } => setting.sharpness.patience.max(setting.sharpness.iterations),
        Quantity::Phi { .. } | Quantity::Adaptive { .. } => setting.sharpness.iterations,
    }
}

/// Evaluations that a maximization of so many iterations takes, about.
pub(crate) fn evaluations(iterations: u64) -> f64 {
    1.3 * iterations as f64 + 2.0
}

/// Measures and stores a sharpness.
pub(crate) fn measure(
    setting: &Setting,
    lab: &ExperimentContext<'_>,
    folder: &Folder,
    state: &StateId,
    quantity: &Quantity,
    control: &dyn Control,
    tell: &(dyn Fn(f64) + Sync),
) -> Result<SharpnessRecord, ReproduceError> {
    let clock = Instant::now();
    let task = || format!("{quantity} of {state}");
    let failed = |source: LandscapeError| match is_stop(&source) {
        true => ReproduceError::Interrupted,
        false => ReproduceError::Measuring {
            task: task(),
            source,
        },
    };
    let mut record = SharpnessRecord {
        state: state.clone(),
        quantity: *quantity,
        phi: Estimate::undefined(LEVEL, 0, "there is no such state"),
        converged: None,
        loss: None,
        evaluations: 0,
        seconds: 0.0,
    };
    let path = folder.file(&state_file(state));
    if path.exists() {
        let network = lab.network(setting.seed, state.run.start)?;
        let (tensors, _) = stored_state(&path, &network.export()?, &task())?;
        let x = parameters(network.as_ref(), &tensors);
        drop(network);
        let wanted = &setting.sharpness;
        let mut objective = (lab.objective)(&tensors, wanted.examples)
            .map_err(|error| failed(LandscapeError::from(error)))?;
        let all = f64::from(wanted.starts) * evaluations(iterations(setting, quantity));
        let unfinished = searches_file(state, quantity);
        let known: Vec<sharpness::Run> = folder.read(&unfinished)?.unwrap_or_default();
        let before: u64 = known.iter().map(|run| run.evaluations).sum();
        let mut evaluations = 0;
        let mut watched = Watched::new(objective.as_mut(), |done| {
            evaluations = before + done;
            tell(evaluations as f64 / all);
            match control.flow() {
                Flow::Interrupt => ControlFlow::Break(()),
                Flow::Continue => ControlFlow::Continue(()),
            }
        });
        let mut kept = Ok(());
        let mut keep = |runs: &[sharpness::Run]| {
            // The last search is kept by the record.
            if kept.is_ok() && runs.len() < wanted.starts as usize {
                kept = folder.write(&unfinished, &runs);
            }
        };
        let searches = Searches {
            known,
            keep: &mut keep,
        };
        let found = search(setting, &mut watched, &x, (state, quantity), searches);
        let found = found.map_err(failed)?;
        kept?;
        let converged = found.runs.iter().filter(|run| run.status.converged());
        record.converged = Some(converged.count() as u64);
        record.phi = found.phi;
        record.loss = Some(found.value);
        record.evaluations = evaluations;
    }
    record.seconds = clock.elapsed().as_secs_f64();
    folder.write(&sharpness_file(state, quantity), &record)?;
    folder.remove(&searches_file(state, quantity));
    Ok(record)
}

/// The searches that were made before, and who keeps those that are made now.
struct Searches<'a> {
    known: Vec<sharpness::Run>,
    keep: &'a mut dyn FnMut(&[sharpness::Run]),
}

/// Searches from every start, on from those that were kept.
fn search(
    setting: &Setting,
    objective: &mut dyn Objective,
    x: &[f64],
    (state, quantity): (&StateId, &Quantity),
    Searches { known, keep }: Searches<'_>,
) -> Result<sharpness::Sharpness, LandscapeError> {
    let wanted = &setting.sharpness;
    // The small and the large batch of a start are perturbed alike.
    let seed = setting.seed ^ (u64::from(state.run.start) << 32);
    let phi = |space, epsilon| Keskar {
        epsilon,
        space,
        starts: wanted.starts,
        search: lbfgsb::Settings {
            max_iterations: iterations(setting, quantity),
            ..lbfgsb::Settings::default()
        },
        seed,
        level: LEVEL,
    };
    match *quantity {
        Quantity::Phi {
            space: Space::Random,
            epsilon,
        } => {
            let space = sharpness::Space::Random {
                dimension: wanted.dimension.min(x.len()),
                memory_limit: SUBSPACE_BYTES,
            };
            keskar_from(objective, x, &phi(space, epsilon), known, keep)
        }
        Quantity::Phi {
            space: Space::Full,
            epsilon,
        }
        | Quantity::Converged { epsilon } => {
            let full = phi(sharpness::Space::Full, epsilon);
            keskar_from(objective, x, &full, known, keep)
        }
        Quantity::Adaptive { radius } => {
            let settings = WorstCase {
                starts: wanted.starts,
                iterations: wanted.iterations,
                seed,
                level: LEVEL,
                ..WorstCase::adaptive_box(radius)
            };
            worst_case_from(objective, x, &settings, known, keep)
        }
    }
}

/// Bytes that the matrix of a random subspace may take; above that it is made anew at every use.
const SUBSPACE_BYTES: u64 = 1 << 30;
