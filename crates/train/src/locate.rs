//! Locating a crossing: deterministic replay.
//!
//! Evaluations are spaced geometrically, so a crossing is first known to lie in a bracket
//! `(after, step]` 20 % wide. The steps from `after` on are done again from the snapshot taken
//! there (sampling, augmentation and noise depend on the step alone, so they are the same steps),
//! evaluating the target's split at [`batchscope_core::EvaluationPlan::replay_steps`]. The smoothing
//! continues from `after`. If the finer evaluations never meet the target, the crossing lies
//! between the last of them and `step`.

use batchscope_core::{Crossing, Event};

use crate::{Events, Run, TrainError, train_loop::Reins};

/// Narrows the bracket `(after, step]`; `before` watched the target up to `after`. The run is left
/// as it was at `step`, with the replayed measurements added. `None` if interrupted: then the run
/// is as it was before.
pub(crate) fn locate(
    run: &mut Run<'_>,
    mut crossing: Crossing,
    (after, step): (u64, u64),
    reins: &Reins<'_>,
    events: &mut Events<'_>,
) -> Result<Option<(u64, u64)>, TrainError> {
    let Some(snapshot) = run
        .snapshot
        .take()
        .filter(|snapshot| snapshot.step == after)
    else {
        return Ok(Some((after, step)));
    };
    let finer = run.spec.evaluation.replay_steps(after, step);
    let split = crossing.target().metric.split;
    let metric = crossing.target().metric.clone();
    let (start, end) = seconds_at(run, after);
    let end_state = run.export(step)?;
    let mut replayed = Vec::new();
    let mut bracket = (after, step);
    let mut interrupted = false;

    run.import(&snapshot)?;
    let last = finer.last().copied().unwrap_or(after);
    for at in after + 1..=last {
        run.take_step(reins.group, at - 1)?;
        if finer.binary_search(&at).is_ok() {
            let mut measurement = run.measure(at, &[split])?.measurement;
            measurement.replayed = true;
            // The replay costs the run no time: what it would have taken is interpolated.
            measurement.seconds =
                start + (end - start) * (at - after) as f64 / (step - after) as f64;
            let value = measurement
                .metrics
                .get(&metric)
                .copied()
                .unwrap_or(f64::NAN);
            replayed.push(measurement);
            if let Some(found) = crossing.observe(at, value) {
                bracket = found;
                break;
            }
            bracket.0 = at;
        }
        if reins.pulled()? {
            interrupted = true;
            break;
        }
    }
    run.import(&end_state)?;
    if interrupted {
        run.snapshot = Some(snapshot);
        return Ok(None);
    }
    for measurement in &replayed {
        events(Event::Measured(measurement.clone()));
    }
    run.progress.measurements.extend(replayed);
    Ok(Some(bracket))
}

/// Training seconds at the evaluation after `after` steps, and now.
fn seconds_at(run: &Run<'_>, after: u64) -> (f64, f64) {
    let recorded = run.progress.measurements.iter().rfind(|m| m.step == after);
    (recorded.map_or(0.0, |m| m.seconds), run.progress.seconds)
}
