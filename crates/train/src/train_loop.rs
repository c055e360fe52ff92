//! The training loop.

use std::time::Instant;

use batchscope_core::{Control, Event, Flow, Group, Outcome, Split};

use crate::{Events, Run, TrainError, locate::locate};

/// Trains until the target is reached, the cap, a divergence, a race lost or a stop: the one loop
/// of the built-in trainer. Takes up where `run.progress` stands.
///
/// Each round evaluates if it is time to, asks whether to go on, and takes one step. A round that
/// is interrupted is saved first, and done again from there when the run is resumed.
///
/// # Errors
/// When the device, the group or the disk fails.
pub fn train_loop(
    run: &mut Run<'_>,
    group: &dyn Group,
    control: &dyn Control,
    events: &mut Events<'_>,
) -> Result<Outcome, TrainError> {
    run.prepare()?;
    events(Event::Started {
        step: run.progress.step,
    });
    if let Some(ended) = &run.progress.ended {
        return Ok(ended.clone());
    }
    let mut stepped = false;
    loop {
        let step = run.progress.step;

        if run.progress.evaluated < step && run.next_evaluation() <= step {
            // A replay is cut short only in a session that has come further than it began, so
            // that even a run interrupted at every turn gets to its end.
            let reins = Reins {
                control,
                group,
                armed: stepped,
            };
            if let Some(outcome) = evaluate(run, &reins, events)? {
                return Ok(outcome);
            }
        }
        if step >= run.spec.cap {
            return Ok(match run.spec.target {
                Some(_) => Outcome::NotReached { cap: run.spec.cap },
                None => Outcome::Completed { step },
            });
        }
        // The race is decided at regular evaluations only: the one at or past the bound still
        // counts, for the crossing it may bracket can lie before the bound.
        let lost = control
            .race_bound()
            .filter(|&bound| run.progress.evaluated >= bound);
        if agreed(group, lost.is_some())? {
            let at = lost.unwrap_or(run.progress.evaluated);
            run.progress.measurements.retain(|m| m.step <= at);
            return Ok(Outcome::Raced { at });
        }
        if stepped {
            if agreed(group, control.flow() == Flow::Interrupt)? {
                run.save(events)?;
                return Ok(Outcome::Interrupted);
            }
            run.save_if_due(events);
        }

        let clock = Instant::now();
        let (loss, learning_rate) = run.take_step(group, step)?;
        run.clocked(clock);
        run.progress.step += 1;
        stepped = true;
        events(Event::Step {
            step: step + 1,
            loss,
            learning_rate,
        });
        if run
            .progress
            .divergence
            .as_mut()
            .is_some_and(|watch| watch.observe(loss))
        {
            return Ok(Outcome::Diverged { step: step + 1 });
        }
    }
}

/// Who may stop a run, and whether they are obeyed.
pub(crate) struct Reins<'a> {
    pub control: &'a dyn Control,
    pub group: &'a dyn Group,
    pub armed: bool,
}

impl Reins<'_> {
    pub fn pulled(&self) -> Result<bool, TrainError> {
        agreed(
            self.group,
            self.armed && self.control.flow() == Flow::Interrupt,
        )
    }
}

/// Evaluates after the current step and watches for the target; returns how the run ends, if it does.
fn evaluate(
    run: &mut Run<'_>,
    reins: &Reins<'_>,
    events: &mut Events<'_>,
) -> Result<Option<Outcome>, TrainError> {
    let step = run.progress.step;
    let mut measured = run.measure(step, &[Split::Train, Split::Val])?;
    run.diagnose(&mut measured.measurement)?;
    measured.measurement.noise = run.progress.noise.take();

    let before = run.progress.crossing.clone();
    let bracket = match &mut run.progress.crossing {
        Some(crossing) => {
            let value = measured
                .measurement
                .metrics
                .get(&crossing.target().metric)
                .copied();
            value.and_then(|value| crossing.observe(step, value))
        }
        None => None,
    };
    let last = measured.finite && (bracket.is_some() || step >= run.spec.cap);
    if last && run.evaluator.test.is_some() {
        let test = run.measure(step, &[Split::Test])?;
        measured
            .measurement
            .metrics
            .extend(test.measurement.metrics);
    }

    if let (Some(bracket), Some(before)) = (bracket, before) {
        let Some((after, reached)) = locate(run, before.clone(), bracket, reins, events)? else {
            // Interrupted in the replay: as if this evaluation had not been made.
            run.progress.crossing = Some(before);
            run.progress.noise = measured.measurement.noise;
            run.save(events)?;
            return Ok(Some(Outcome::Interrupted));
        };
        // The replayed steps have been measured before.
        run.progress.noise = None;
        events(Event::Measured(measured.measurement.clone()));
        run.progress.measurements.push(measured.measurement);
        run.progress.evaluated = step;
        let warm_up = run.rates.warm_up_steps();
        if reached <= warm_up {
            run.progress.note(format!(
                "target reached during warm-up (step {reached} of {warm_up})"
            ));
        }
        return Ok(Some(Outcome::Reached {
            step: reached,
            after,
        }));
    }

    events(Event::Measured(measured.measurement.clone()));
    run.progress.measurements.push(measured.measurement);
    run.progress.evaluated = step;
    if !measured.finite {
        return Ok(Some(Outcome::Diverged { step }));
    }
    run.take_snapshot()?;
    Ok(None)
}

/// What member 0 of the group decides, on every member.
fn agreed(group: &dyn Group, decision: bool) -> Result<bool, TrainError> {
    if group.size() == 1 {
        return Ok(decision);
    }
    let mut flag = [f32::from(u8::from(decision))];
    group.broadcast(&mut flag, 0)?;
    Ok(flag[0] != 0.0)
}
