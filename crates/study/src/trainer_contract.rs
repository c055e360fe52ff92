use std::sync::atomic::{AtomicU64, Ordering};

use batchscope_core::{Control, Event, Flow, NeverStop, Outcome, Trainer, TrialRecord, TrialSpec};

use crate::{planner::coarse_end, without_times};

/// Tests the contract of [`Trainer`] with one spec: a tuning trial that takes between about 20 and
/// a few hundred steps, and is never larger than the data. It is trained a dozen times.
///
/// The contract is the one in [`Trainer`]'s own words, as far as the trainer's
/// [`Capabilities`](batchscope_core::Capabilities) promise it; besides, a bound of the race at or above
/// the end of a run changes nothing, and an unmet target ends at the cap as `NotReached`.
///
/// # Panics
/// Where the contract is broken, saying how.
pub fn trainer_contract(trainer: &dyn Trainer, spec: &TrialSpec) {
    assert_eq!(
        trainer.info(),
        trainer.info(),
        "the trainer describes itself differently from call to call"
    );
    let can = trainer.info().capabilities;
    let whole = straight(trainer, spec);
    record_is_sound(spec, &whole);
    // A program evaluates when it likes.
    if !trainer.info().own_settings {
        evaluations_follow_the_plan(spec, &whole);
    }
    without_a_target(trainer, spec, &whole);
    if !can.deterministic {
        return;
    }
    let again = straight(trainer, spec);
    assert_eq!(
        without_times(&again),
        without_times(&whole),
        "the same spec gave another record"
    );
    events_tell_the_record(trainer, spec, &whole);
    if can.exact_resume {
        interruption_changes_nothing(trainer, spec, &whole);
    }
    racing_cuts(trainer, spec, &whole);
    side_by_side(trainer, spec, &whole);
}

fn straight(trainer: &dyn Trainer, spec: &TrialSpec) -> TrialRecord {
    let record = run(trainer, spec, &NeverStop, &mut |_| {});
    trainer.forget(spec);
    record
}

fn run(
    trainer: &dyn Trainer,
    spec: &TrialSpec,
    control: &dyn Control,
    events: &mut (dyn FnMut(Event) + Send),
) -> TrialRecord {
    trainer
        .run(spec, control, events)
        .unwrap_or_else(|e| panic!("the trainer could not run {spec:?}: {e}"))
}

/// Steps that a record's trial made, as far as its outcome says.
fn end(record: &TrialRecord) -> u64 {
    let last = record.outcome.last_step();
    last.unwrap_or_else(|| {
        let end = &record.outcome;
        panic!("the contract needs a spec that trains, this ended {end:?}")
    })
}

/// Steps whose evaluations the plan asks for, up to `end`.
fn planned(spec: &TrialSpec, end: u64) -> Vec<u64> {
    let mut steps = Vec::new();
    let mut step = spec.evaluation.next_after(0);
    while step <= end {
        steps.push(step);
        step = spec.evaluation.next_after(step);
    }
    steps
}

fn record_is_sound(spec: &TrialSpec, record: &TrialRecord) {
    assert_eq!(&record.spec, spec, "the record is of another spec");
    let end = end(record);
    assert!(
        (15..=5000).contains(&end),
        "the contract needs a spec of some 20 to a few hundred steps, this made {end}"
    );
    assert!(
        end <= spec.cap,
        "trained {end} steps past the cap {}",
        spec.cap
    );
    assert!(
        record
            .measurements
            .windows(2)
            .all(|w| w[0].step <= w[1].step),
        "measurements are out of order"
    );
    for m in &record.measurements {
        assert_eq!(
            m.examples,
            m.step * spec.batch_size,
            "examples at step {}",
            m.step
        );
    }
}

fn evaluations_follow_the_plan(spec: &TrialSpec, record: &TrialRecord) {
    let end = end(record);
    let evaluated: Vec<u64> = record
        .measurements
        .iter()
        .filter(|m| !m.finer)
        .map(|m| m.step)
        .collect();
    let mut expected = planned(
        spec,
        evaluated
            .last()
            .copied()
            .unwrap_or(end)
            .max(end.min(spec.cap)),
    );
    if let Outcome::NotReached { cap } | Outcome::Completed { step: cap } = record.outcome
        && expected.last() != Some(&cap)
    {
        expected.push(cap);
    }
    if let Outcome::Reached { step, after, .. } = record.outcome {
        assert!(after < step, "the bracket ({after}, {step}] is empty");
        // The evaluation that found the crossing is the last: a finer one, made whole.
        expected.retain(|&s| s < end);
        expected.push(end);
    }
    if let Outcome::Diverged { step } = record.outcome {
        expected.retain(|&s| s < step || evaluated.contains(&s));
    }
    // Two planned evaluations of three may be left out where they would cost too much.
    let places: Vec<usize> = evaluated
        .iter()
        .map_while(|step| expected.iter().position(|planned| planned == step))
        .collect();
    assert!(
        places.len() == evaluated.len()
            && places.first().is_none_or(|&first| first == 0)
            && places.last().is_none_or(|&last| last + 1 == expected.len())
            && places.windows(2).all(|w| (1..=3).contains(&(w[1] - w[0]))),
        "evaluations at {evaluated:?} do not follow the plan {expected:?}"
    );
}

fn events_tell_the_record(trainer: &dyn Trainer, spec: &TrialSpec, whole: &TrialRecord) {
    let mut started = 0;
    let mut steps = Vec::new();
    let mut measured = Vec::new();
    run(trainer, spec, &NeverStop, &mut |event| match event {
        Event::Started { step } => {
            assert_eq!(step, 0, "a forgotten trial resumed");
            started += 1;
        }
        Event::Step {
            step,
            learning_rate,
            ..
        } => {
            assert!(
                learning_rate.is_finite() && learning_rate >= 0.0,
                "learning rate {learning_rate} at step {step}"
            );
            steps.push(step);
        }
        Event::Measured(m) => measured.push(m.step),
        Event::Decided(_) | Event::Checkpointed { .. } => {}
    });
    trainer.forget(spec);
    assert_eq!(started, 1, "one Started for a run");
    let first_steps: Vec<u64> = (1..=end(whole)).collect();
    assert!(
        steps.len() >= first_steps.len() && steps[..first_steps.len()] == first_steps,
        "Step events do not count 1, 2, 3, …: {steps:?}"
    );
    for m in whole.measurements.iter().filter(|m| !m.finer) {
        assert!(
            measured.contains(&m.step),
            "no Measured event for step {}",
            m.step
        );
    }
}

/// Stops at the question after so many.
struct StopAfter(AtomicU64);

impl Control for StopAfter {
    fn flow(&self) -> Flow {
        let left = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left.is_ok() {
            Flow::Continue
        } else {
            Flow::Interrupt
        }
    }
}

fn interruption_changes_nothing(trainer: &dyn Trainer, spec: &TrialSpec, whole: &TrialRecord) {
    let mut interruptions = 0;
    for stride in [1, end(whole) / 2, end(whole) - 1] {
        loop {
            let part = run(
                trainer,
                spec,
                &StopAfter(AtomicU64::new(stride.max(1))),
                &mut |_| {},
            );
            if part.outcome != Outcome::Interrupted {
                assert_eq!(
                    without_times(&part),
                    without_times(whole),
                    "interrupted every {stride} steps, the record differs"
                );
                break;
            }
            interruptions += 1;
            assert!(
                interruptions < 20_000,
                "an interrupted trial makes no headway"
            );
            if stride == 1 && interruptions == 8 {
                // Enough of one step at a time: to the end in one go.
                let rest = run(trainer, spec, &NeverStop, &mut |_| {});
                assert_eq!(
                    without_times(&rest),
                    without_times(whole),
                    "interrupted at each of 8 steps, the record differs"
                );
                break;
            }
        }
        trainer.forget(spec);
    }
    assert!(interruptions > 0, "the trainer never asked whether to stop");
}

/// Races to a bound known from the start.
struct Bound(u64);

impl Control for Bound {
    fn flow(&self) -> Flow {
        Flow::Continue
    }

    fn race_bound(&self) -> Option<u64> {
        Some(self.0)
    }
}

fn racing_cuts(trainer: &dyn Trainer, spec: &TrialSpec, whole: &TrialRecord) {
    let found = coarse_end(whole).unwrap_or(end(whole));
    let bounds = [
        1,
        end(whole) / 2,
        found.saturating_sub(1),
        found,
        spec.cap,
        u64::MAX,
    ];
    for bound in bounds.into_iter().filter(|&b| b > 0) {
        let mut raced = run(trainer, spec, &Bound(bound), &mut |_| {}).cut(bound);
        trainer.forget(spec);
        let mut cut = whole.clone().cut(bound);
        if matches!(cut.outcome, Outcome::Raced { .. }) {
            raced.notes.clear();
            cut.notes.clear();
        }
        assert_eq!(
            without_times(&raced),
            without_times(&cut),
            "raced at {bound}"
        );
    }
}

fn side_by_side(trainer: &dyn Trainer, spec: &TrialSpec, whole: &TrialRecord) {
    let other = TrialSpec {
        seed: spec.seed ^ 1,
        ..spec.clone()
    };
    std::thread::scope(|scope| {
        let beside = scope.spawn(|| straight(trainer, &other));
        let record = straight(trainer, spec);
        assert_eq!(
            without_times(&record),
            without_times(whole),
            "another trial beside it changed the record"
        );
        beside.join().expect("the other trial");
    });
}

fn without_a_target(trainer: &dyn Trainer, spec: &TrialSpec, whole: &TrialRecord) {
    let cap = end(whole) / 2 + 1;
    let free = TrialSpec {
        target: None,
        cap,
        ..spec.clone()
    };
    let record = straight(trainer, &free);
    if !matches!(record.outcome, Outcome::Diverged { .. }) {
        assert_eq!(
            record.outcome,
            Outcome::Completed { step: cap },
            "without a target a trial completes at its cap"
        );
        assert_eq!(
            record.measurements.last().map(|m| m.step),
            Some(cap),
            "the last evaluation is at the cap"
        );
    }
}
