//! Step times at the end of a study: alone on the machine, whatever ran side by side before.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use batchscope_core::{
    Control, Event, Flow, StepTiming, Trainer, TrialPurpose, TrialRecord, TrialSpec,
};
use batchscope_study::StudyResult;

use crate::{error::CliError, progress::Display, signals::Signals};

/// Seconds per batch size of a trainer that times its steps.
const SECONDS: f64 = 0.3;
/// Seconds of reports per batch size of one that does not.
const SECONDS_OF_REPORTS: f64 = 5.0;

/// What is shown while steps are timed, as part of the whole.
pub struct Shown<'a> {
    /// Where.
    pub display: &'a Display,
    /// When the whole began.
    pub started: Instant,
}

/// Times a step at every studied batch size, alone on the machine, all cores at work; fewer once a signal is raised.
///
/// A trainer that does not time its steps, such as a program, is timed by its reports: those of its trials where they
/// ran one at a time, otherwise those of one more run at each batch size, unless `runs` forbids it. `before` are the
/// times of an earlier session, which are not measured again so.
pub fn time(
    trainer: &dyn Trainer,
    result: &StudyResult,
    (before, runs): (&[StepTiming], bool),
    shown: &Shown<'_>,
    signals: &Signals,
) -> Result<Vec<StepTiming>, CliError> {
    let fresh: BTreeMap<u64, &TrialRecord> = result
        .records
        .iter()
        .filter(|r| matches!(r.spec.purpose, TrialPurpose::Fresh { .. }))
        .map(|r| (r.spec.batch_size, r))
        .collect();
    if trainer.info().capabilities.times_steps {
        trainer.limit_threads(None);
        let own = |record: &TrialRecord| trainer.time(&record.spec, SECONDS, signals);
        return of_each(&fresh, SECONDS, shown, signals, &own);
    }
    if result.plan.jobs == 1 {
        return Ok(reported_times(&result.records));
    }
    let known = |batch_size: &u64| before.iter().any(|timing| timing.batch_size == *batch_size);
    let missing: BTreeMap<u64, &TrialRecord> = fresh
        .into_iter()
        .filter(|(batch_size, record)| {
            runs && !known(batch_size) && !record.measurements.is_empty()
        })
        .collect();
    if !missing.is_empty() {
        shown.display.line("note: trials ran side by side, which slows each down: steps are timed by one more run at each batch size, alone (--time-steps off leaves that out)");
    }
    let run = |record: &TrialRecord| reported_alone(trainer, record, signals);
    let mut timings = before.to_vec();
    timings.extend(of_each(&missing, SECONDS_OF_REPORTS, shown, signals, &run)?);
    timings.sort_by_key(|timing| timing.batch_size);
    Ok(timings)
}

/// Times each batch size, one after the other.
fn of_each(
    fresh: &BTreeMap<u64, &TrialRecord>,
    seconds: f64,
    Shown { display, started }: &Shown<'_>,
    signals: &Signals,
    time: &dyn Fn(&TrialRecord) -> Result<Option<StepTiming>, batchscope_core::TrainerError>,
) -> Result<Vec<StepTiming>, CliError> {
    let mut timings = Vec::new();
    for (i, (batch_size, record)) in fresh.iter().enumerate() {
        let spent = started.elapsed().as_secs_f64();
        let left = seconds * (fresh.len() - i) as f64;
        display.show(
            spent / (spent + left),
            &format!("timing steps at batch size {batch_size}"),
        );
        timings.extend(time(record).map_err(CliError::failed)?);
        if signals.raised().is_some() {
            break;
        }
    }
    Ok(timings)
}

/// Seconds per step by batch size, as the reports of fresh runs show them, one after the other.
fn reported_times(records: &[TrialRecord]) -> Vec<StepTiming> {
    let mut by_batch: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for record in records {
        if matches!(record.spec.purpose, TrialPurpose::Fresh { .. }) {
            let of_batch = by_batch.entry(record.spec.batch_size).or_default();
            of_batch.extend(seconds_per_step(record));
        }
    }
    let timing = |(batch_size, seconds)| StepTiming::of(batch_size, batch_size, seconds);
    by_batch.into_iter().filter_map(timing).collect()
}

/// From the first report of a run to its last, the program's own evaluations included.
fn seconds_per_step(record: &TrialRecord) -> Option<f64> {
    let (first, last) = (record.measurements.first()?, record.measurements.last()?);
    let (steps, seconds) = (last.step - first.step, last.seconds - first.seconds);
    (steps > 0 && seconds > 0.0).then_some(seconds / steps as f64)
}

/// Runs the settings of a trial again, for some seconds after its first report, or to its second.
fn reported_alone(
    trainer: &dyn Trainer,
    record: &TrialRecord,
    signals: &Signals,
) -> Result<Option<StepTiming>, batchscope_core::TrainerError> {
    let spec = TrialSpec {
        purpose: TrialPurpose::Single,
        target: None,
        // Its own, so that it goes on from nothing that a trial has left.
        seed: u64::MAX,
        ..record.spec.clone()
    };
    let patience = Patience {
        signals,
        begun: Instant::now(),
        first: AtomicU64::new(0),
        reports: AtomicU64::new(0),
    };
    let mut watch = |event: Event| {
        if let Event::Measured(_) = event {
            patience.reported();
        }
    };
    let timed = trainer.run(&spec, &patience, &mut watch)?;
    trainer.forget(&spec);
    let seconds = seconds_per_step(&timed).into_iter().collect();
    Ok(StepTiming::of(spec.batch_size, timed.micro_batch, seconds))
}

/// Stops a run once enough reports have come.
struct Patience<'a> {
    signals: &'a Signals,
    begun: Instant,
    /// Milliseconds after which the first report came.
    first: AtomicU64,
    reports: AtomicU64,
}

impl Patience<'_> {
    fn elapsed(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn reported(&self) {
        if self.reports.fetch_add(1, Ordering::Relaxed) == 0 {
            self.first.store(self.elapsed(), Ordering::Relaxed);
        }
    }
}

impl Control for Patience<'_> {
    fn flow(&self) -> Flow {
        let since_first = self.elapsed() - self.first.load(Ordering::Relaxed).min(self.elapsed());
        let enough = self.reports.load(Ordering::Relaxed) >= 2
            && since_first as f64 > 1e3 * SECONDS_OF_REPORTS;
        match enough {
            true => Flow::Interrupt,
            false => self.signals.flow(),
        }
    }
}
