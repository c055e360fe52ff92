//! A run of policy optimization from its beginning, or a checkpoint, to its end.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use batchscope_core::{Control, Event, Flow, Next, Outcome, TrialDriver};

use crate::{
    NavigationError,
    checkpoint::{self, Identity},
    session::Session,
};

/// Time between checkpoints of a running trial.
const EVERY: Duration = Duration::from_secs(60);

/// A run under way.
pub(crate) struct NavigationRun<'a> {
    /// Leads it.
    pub driver: TrialDriver<'a>,
    /// What it trains.
    pub session: Session<'a>,
    /// What its checkpoints carry.
    pub identity: Identity,
    /// Where it is saved, if it is.
    pub save_to: Option<PathBuf>,
    /// When it was saved last.
    pub saved: Instant,
}

/// Lets a run stop between rollouts alone.
struct BetweenRollouts<'a> {
    control: &'a dyn Control,
    is_between: bool,
}

impl Control for BetweenRollouts<'_> {
    fn flow(&self) -> Flow {
        match self.is_between {
            true => self.control.flow(),
            false => Flow::Continue,
        }
    }

    fn race_bound(&self) -> Option<u64> {
        self.control.race_bound()
    }
}

impl NavigationRun<'_> {
    /// Goes on from a checkpoint; `longer` allows another cap.
    pub fn resume(&mut self, path: &Path, longer: bool) -> Result<(), NavigationError> {
        let progress = checkpoint::resume(path, &self.identity, longer, &mut self.session)?;
        self.driver.resume(progress);
        Ok(())
    }

    /// Saves it, where it is to be saved.
    pub fn save(&mut self, events: &mut (dyn FnMut(Event) + Send)) -> Result<(), NavigationError> {
        let Some(path) = &self.save_to else {
            return Ok(());
        };
        checkpoint::save(path, &self.identity, self.driver.progress(), &self.session)?;
        self.saved = Instant::now();
        events(Event::Checkpointed {
            step: self.driver.step(),
        });
        Ok(())
    }

    /// Trains to its end, or until it is stopped: between rollouts, where it is saved.
    pub fn train(
        &mut self,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Outcome, NavigationError> {
        self.driver.start(events);
        loop {
            let is_between = self.session.is_between_rollouts(self.driver.step());
            match self.driver.next(&BetweenRollouts {
                control,
                is_between,
            }) {
                Next::Step { step } => {
                    if is_between && self.driver.has_stepped() && self.saved.elapsed() >= EVERY {
                        self.save(events)?;
                    }
                    let clock = Instant::now();
                    let taken = self.session.take_step(step, self.driver.noise());
                    let (loss, learning_rate) = taken?;
                    let seconds = clock.elapsed().as_secs_f64();
                    self.driver.stepped(loss, learning_rate, seconds, events);
                }
                Next::Evaluate(what) => {
                    let evaluation = self.session.evaluate(what, self.driver.step())?;
                    self.driver.measured(evaluation, events);
                }
                Next::Interrupt => {
                    self.save(events)?;
                    return Ok(Outcome::Interrupted);
                }
                Next::End(outcome) => return Ok(outcome),
            }
        }
    }
}
