//! The training loop.

use std::time::Instant;

use batchscope_core::{Control, Events, Next, Outcome};

use crate::{Run, TrainError, stop::StopSignal};

/// Trains until the target is reached, the cap, a divergence, a race lost or a stop: the one loop
/// of the built-in trainer. Resumes where `run.driver` stands.
///
/// The driver decides what comes next (a step, an evaluation, the end);
/// the loop does it. A run that is interrupted is saved first, and continued from there when it is
/// resumed.
///
/// The replicas of a group all walk through it, and do the same: what one of them alone can know (a stop, the end of a race, the time
/// to save) member 0 tells the others before every step.
///
/// # Errors
/// When the device, the group or the disk fails.
pub fn train_loop(
    run: &mut Run<'_>,
    control: &dyn Control,
    events: &mut Events<'_>,
) -> Result<Outcome, TrainError> {
    run.prepare()?;
    run.driver.start(events);
    loop {
        let heard = match run.group.size() {
            1 => None,
            _ => Some(StopSignal::agreed(control, run.save_is_due(), run.group)?),
        };
        let told = heard
            .as_ref()
            .map_or(control, |signal| signal as &dyn Control);
        match run.driver.next(told) {
            Next::Step { step } => {
                run.keep()?;
                if heard.map_or_else(|| run.save_is_due(), |signal| signal.save_is_due) {
                    run.save_in_passing(events)?;
                }
                let clock = Instant::now();
                let (loss, learning_rate) = run.take_step(step)?;
                let seconds = clock.elapsed().as_secs_f64();
                run.driver.stepped(loss, learning_rate, seconds, events);
                run.take_down_decision(events);
                run.end_if_over();
            }
            Next::Evaluate(what) => {
                let evaluation = run.evaluate(what)?;
                run.driver.measured(evaluation, events);
            }
            Next::Interrupt => {
                run.save(events)?;
                return Ok(Outcome::Interrupted);
            }
            Next::End(outcome) => {
                run.keep()?;
                return Ok(outcome);
            }
        }
    }
}
