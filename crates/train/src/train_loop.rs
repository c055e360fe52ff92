//! The training loop.

use std::time::Instant;

use batchscope_core::{Control, Events, Group, Next, Outcome};

use crate::{Run, TrainError, stop::StopSignal};

/// Trains until the target is reached, the cap, a divergence, a race lost or a stop: the one loop
/// of the built-in trainer. Resumes where `run.driver` stands.
///
/// The driver decides what comes next (a step, an evaluation, the end);
/// the loop does it. A run that is interrupted is saved first, and continued from there when it is
/// resumed.
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
    run.driver.start(events);
    let signal = StopSignal::new(control, group);
    loop {
        let next = run.driver.next(&signal);
        signal.check()?;
        match next {
            Next::Step { step } => {
                run.keep();
                run.save_if_due(events);
                let clock = Instant::now();
                let (loss, learning_rate) = run.take_step(group, step)?;
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
                run.keep();
                return Ok(outcome);
            }
        }
    }
}
