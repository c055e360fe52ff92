//! Controllers in runs: each of the registry resumes to the bit, and what it led can be followed from a table.

mod common;

use std::time::Duration;

use batchscope_core::{
    Cadence, Choice, Decay, Diagnostic, Length, NeverStop, NoiseRecord, Outcome, Schedule,
    StepBatch, TrialSpec, Value,
};
use batchscope_rules::{
    CONTROLLERS, Controller, RulesError, StepSeen, StepSetting, check_rows, write_rows,
};
use batchscope_train::{Checkpointer, testing::TinyFactory, train_loop};
use common::*;

/// A run led by each controller, 500 examples an epoch. One without a row here fails the suite.
fn led() -> Vec<TrialSpec> {
    let cosine = |warm_up: u64| Schedule {
        decay: Decay::Cosine {
            over: Length::Steps(160),
            floor: 0.0,
        },
        ..Schedule::warm_up(warm_up)
    };
    let steps = Schedule {
        decay: Decay::Step {
            at: vec![
                Length::Epochs(1.0),
                Length::Epochs(2.0),
                Length::Epochs(3.0),
            ],
            factor: 0.5,
        },
        ..Schedule::constant()
    };
    let cases = [
        ("schedule", cosine(10), None),
        ("grow(0.15)", steps, None),
        ("seesaw(sgd, factor=4, limit=0.2)", cosine(10), None),
        ("late_switch(50, 3)", cosine(10), None),
        (
            "cabs(smallest=4, largest=64)",
            Schedule::warm_up(10),
            Some(2500),
        ),
        ("adascale(4)", cosine(10), None),
        ("autowu", cosine(0), None),
        (
            "table(0 16 0.05; 30 40 0.05; 90 8 0.01)",
            Schedule::constant(),
            None,
        ),
    ];
    let specs = cases.map(|(text, schedule, max_examples)| {
        let (_, choice) = CONTROLLERS.read(text).unwrap();
        TrialSpec {
            schedule,
            controller: Some(choice),
            max_examples,
            diagnostics: vec![
                Diagnostic::named(Diagnostic::NOISE),
                Diagnostic::named(Diagnostic::SCHEDULE),
            ],
            cap: max_examples.map_or(150, |most| most / 4),
            ..spec()
        }
    });
    specs.into()
}

/// Interrupted anywhere, in mid-warm-up and between two batch sizes, with batch norm and dropout: the same numbers, decisions
/// and settings.
#[test]
fn every_controller_resumes_to_the_bit() {
    let names: Vec<String> = led()
        .iter()
        .map(|spec| spec.controller.as_ref().unwrap().name().to_owned())
        .collect();
    assert_eq!(names, CONTROLLERS.names().collect::<Vec<_>>());
    let factory = TinyFactory {
        ghost: Some(2),
        dropout: 0.1,
        ..TinyFactory::default()
    };
    for spec in led() {
        let folder = tempfile::tempdir().unwrap();
        let trainer = saving(folder.path(), factory);
        let choice = spec.controller.clone().unwrap();
        let whole = run(&trainer, &spec);
        assert!(
            matches!(whole.outcome, Outcome::Completed { .. }),
            "{choice}: {:?}",
            whole.outcome
        );
        for every in [1, 7, 20] {
            let (pieces, interruptions) = in_pieces(&trainer, &spec, every);
            assert!(interruptions > 1, "{choice}");
            assert_eq!(essence(&pieces), essence(&whole), "{choice} every {every}");
        }
    }
}

/// What any controller led, written down row by row, leads the same run.
#[test]
fn a_run_can_be_followed_from_its_table() {
    for spec in led() {
        let choice = spec.controller.clone().unwrap();
        let whole = run(&trainer(), &spec);
        check_rows(&whole.schedule).unwrap();
        let steps = whole.measurements.last().unwrap().step;
        let follows = TrialSpec {
            schedule: Schedule::constant(),
            controller: Some(Choice::new(
                "table",
                [("rows", Value::from(write_rows(&whole.schedule).as_str()))],
            )),
            cap: steps,
            max_examples: None,
            start: None,
            // Their largest batch sizes may differ, and with them the micro-batch.
            micro_batch: Some(whole.micro_batch),
            ..spec
        };
        let followed = run(&trainer(), &follows);
        assert_eq!(followed.schedule, whole.schedule, "{choice}");
        assert_eq!(
            essence(&followed).measurements,
            essence(&whole).measurements,
            "{choice}"
        );
    }
}

/// The controllers that decide say what, and why; a run whose steps are counted by examples ends with them.
#[test]
fn decisions_are_taken_down_and_open_runs_end_with_their_examples() {
    for spec in led() {
        let choice = spec.controller.clone().unwrap();
        let record = run(&trainer(), &spec);
        let decided: Vec<u64> = record.decisions.iter().map(|d| d.step).collect();
        let last = record.measurements.last().unwrap();
        match choice.name() {
            "grow" => assert_eq!(decided, [32, 48, 56]),
            "seesaw" => assert!(decided.len() >= 2, "{decided:?}"),
            "late_switch" => assert_eq!(decided, [50]),
            "autowu" => assert!(decided.len() == 1 && decided[0] <= 80, "{decided:?}"),
            _ => assert!(decided.is_empty(), "{choice}: {decided:?}"),
        }
        if let Some(most) = spec.max_examples {
            let largest = record
                .schedule
                .iter()
                .map(|row| row.batch_size)
                .max()
                .unwrap();
            assert!((most..most + largest).contains(&last.examples), "{choice}");
            assert_eq!(record.outcome, Outcome::Completed { step: last.step });
        }
    }
}

/// Where gradient noise cannot be measured, a controller that goes by it says so and trains nothing on guesses.
#[test]
fn noise_that_cannot_be_measured_is_refused() {
    let mut spec = led()
        .into_iter()
        .find(|spec| spec.controller.as_ref().unwrap().name() == "cabs")
        .unwrap();
    spec.methods = vec![
        batchscope_train::read_methods("adversarial(0.1)")
            .unwrap()
            .remove(0),
    ];
    let record = run(&trainer(), &spec);
    let Outcome::Failed { why } = record.outcome else {
        panic!("{:?}", record.outcome);
    };
    assert!(why.contains("goes by the gradient noise"), "{why}");
}

/// Growing batches: every example is drawn once, in the order of a run at one batch size, and a run
/// in pieces is the run in one go.
#[test]
fn a_growing_batch_resumes_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let trainer = saving(folder.path(), TinyFactory::default());
    let spec = TrialSpec {
        schedule: Schedule {
            decay: Decay::Step {
                at: vec![
                    Length::Epochs(1.0),
                    Length::Epochs(2.0),
                    Length::Epochs(3.0),
                ],
                factor: 0.5,
            },
            ..Schedule::constant()
        },
        controller: Some(Choice::new("grow", [("limit", Value::from(0.15))])),
        diagnostics: vec![Diagnostic::named(Diagnostic::NOISE)],
        cap: 120,
        ..spec()
    };
    let whole = run(&trainer, &spec);
    // 500 examples in steps of 16, then of 32 and 64; 128 would be more than 0.15 of them.
    let last = whole.measurements.last().unwrap();
    let grown = 16 * 32 + 32 * 16 + 64 * (120 - 48);
    assert_eq!((last.step, last.examples), (120, grown));
    assert_eq!(last.learning_rate, spec.learning_rate * 0.5);
    let sizes: Vec<u64> = whole
        .measurements
        .iter()
        .filter_map(|m| match &m.noise {
            Some(NoiseRecord::Measured(moments)) => Some(moments.batch_size),
            _ => None,
        })
        .collect();
    assert!(
        sizes.is_sorted() && sizes.contains(&16) && sizes.contains(&64),
        "{sizes:?}"
    );
    for every in [3, 17] {
        let (pieces, interruptions) = in_pieces(&trainer, &spec, every);
        assert!(interruptions > 2);
        assert_eq!(essence(&pieces), essence(&whole));
    }
}

/// Halves the rate and doubles the batch whenever the loss rises: it remembers.
struct Plateau {
    learning_rate: f64,
    lowest: f64,
    /// First step, examples before it, and batch size of each stretch.
    stretches: Vec<[u64; 3]>,
}

impl Controller for Plateau {
    fn at(&self, step: u64) -> StepSetting {
        let next = self.stretches.partition_point(|stretch| stretch[0] <= step);
        let [first, drawn, batch_size] = self.stretches[next - 1];
        StepSetting {
            learning_rate: self.learning_rate,
            batch: StepBatch {
                step,
                first_draw: drawn + (step - first) * batch_size,
                batch_size,
            },
        }
    }

    fn observe(&mut self, seen: &StepSeen<'_>) {
        if seen.loss > 1.2 * self.lowest && self.stretches.len() < 4 {
            let next = self.at(seen.setting.batch.step + 1).batch;
            self.stretches
                .push([next.step, next.first_draw, 2 * next.batch_size]);
            self.learning_rate /= 2.0;
        }
        self.lowest = self.lowest.min(seen.loss);
    }

    fn state(&self) -> Vec<f64> {
        let stretches = self.stretches.iter().flatten().map(|&n| n as f64);
        [self.learning_rate, self.lowest]
            .into_iter()
            .chain(stretches)
            .collect()
    }

    fn load(&mut self, state: &[f64]) -> Result<(), RulesError> {
        let [learning_rate, lowest, stretches @ ..] = state else {
            return Err(RulesError::ForeignState);
        };
        (self.learning_rate, self.lowest) = (*learning_rate, *lowest);
        let whole = |stretch: &[f64]| [0, 1, 2].map(|i| stretch[i] as u64);
        self.stretches = stretches.chunks_exact(3).map(whole).collect();
        Ok(())
    }
}

/// What a controller remembers is in the checkpoint: before its first step it has seen infinity.
#[test]
fn a_controller_that_remembers_resumes_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let trainer = trainer();
    let spec = TrialSpec { cap: 80, ..spec() };
    let begin = || {
        let (mut run, identity) = trainer.begin(&spec, Cadence::Planned).unwrap();
        run.controller = Box::new(Plateau {
            learning_rate: 0.05,
            lowest: f64::INFINITY,
            stretches: vec![[0, 0, 8]],
        });
        (run, identity)
    };
    let (mut whole, _) = begin();
    train_loop(&mut whole, &NeverStop, &mut |_| {}).unwrap();
    let stretches = whole.controller.state().len();
    assert!(stretches > 2 + 3, "it never grew");
    for _ in 0..1000 {
        let (mut run, identity) = begin();
        if path.exists() {
            run.resume(&path, &identity, false).unwrap();
        }
        run.checkpointer = Some(Checkpointer::new(path.clone(), Duration::MAX, identity));
        let control = InterruptAfter::steps(7);
        let outcome = train_loop(&mut run, &control, &mut |_| {}).unwrap();
        if outcome != Outcome::Interrupted {
            assert_eq!(
                run.network.export().unwrap(),
                whole.network.export().unwrap()
            );
            assert_eq!(run.controller.state(), whole.controller.state());
            return;
        }
    }
    panic!("no headway");
}
