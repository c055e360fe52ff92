//! A planner that is not the built-in one: its stages, seeds and race bound reach the runner.

use std::sync::Mutex;

use batchscope_core::{Outcome, TrainerInfo, TrialPurpose, TrialRecord, TrialSpec};
use batchscope_study::{
    Assessment, FakeTrainer, Finished, Load, MemoryStore, Plan, Planner, SeedKind, Stage,
    StopToken, Store, StudyError, StudyEvent, load_with, run_with, seed,
};

/// Steps after which a sprinting trial is stopped.
const SPRINT: u64 = 40;

/// Tries four rates for [`SPRINT`] steps each, and measures at the one with the lowest loss.
struct Sprint;

impl Sprint {
    fn sprints(plan: &Plan) -> Vec<TrialSpec> {
        let kind = SeedKind::own(0).unwrap();
        (0..4)
            .map(|index| {
                let batch_size = plan.base_batch;
                let rate = plan.learning_rates.low * 3f64.powi(index as i32);
                TrialSpec {
                    seed: seed(kind, index, batch_size),
                    ..plan.trial(TrialPurpose::Tune { index, round: 0 }, batch_size, rate)
                }
            })
            .collect()
    }

    fn measured(plan: &Plan, rate: f64) -> Vec<TrialSpec> {
        let kind = SeedKind::own(1).unwrap();
        let sizes = plan.batch_sizes.iter();
        sizes
            .map(|&batch_size| TrialSpec {
                seed: seed(kind, 0, batch_size),
                ..plan.trial(TrialPurpose::Fresh { index: 0 }, batch_size, rate)
            })
            .collect()
    }
}

fn last_loss(record: &TrialRecord) -> f64 {
    let loss = "val-loss".parse().unwrap();
    record.measurements.last().unwrap().metrics[&loss]
}

impl Planner for Sprint {
    fn assess(
        &self,
        plan: &Plan,
        _: &TrainerInfo,
        finished: &Finished,
    ) -> Result<Assessment, StudyError> {
        let mut study = Assessment::default();
        let load = |stage: &str, batch_size| Load {
            stage: Stage::new(stage.to_owned()),
            batch_size,
            trials: if stage == "sprint" { 4 } else { 1 },
            done: 0,
            expected_steps: 1.0,
            most_steps: 1.0,
        };
        study.loads.push(load("sprint", plan.base_batch));
        let sizes = plan.batch_sizes.iter();
        study.loads.extend(sizes.map(|&b| load("measure", b)));
        let sprint = Stage::new("sprint").labeled("sprint of 40 steps");
        let sprints = Self::sprints(plan);
        let complete = study.records_of(&sprint, sprints, finished)?.is_some();
        for record in &mut study.records {
            *record = record.clone().cut(SPRINT);
        }
        if !complete {
            return Ok(study);
        }
        let by_loss = |a: &&TrialRecord, b: &&TrialRecord| last_loss(a).total_cmp(&last_loss(b));
        let best = study.records.iter().min_by(by_loss).unwrap();
        let rate = best.spec.learning_rate;
        study.decide(format!("rate {rate}"));
        study.records_of(&Stage::new("measure"), Self::measured(plan, rate), finished)?;
        Ok(study)
    }

    fn race_bound(&self, spec: &TrialSpec, _: &Finished) -> Option<u64> {
        matches!(spec.purpose, TrialPurpose::Tune { .. }).then_some(SPRINT)
    }
}

#[test]
fn a_planner_of_ones_own_runs_its_stages_and_its_race() {
    let plan = Plan {
        batch_sizes: vec![32, 64],
        max_steps: Some(300),
        ..Plan::default()
    };
    let (trainer, mut store) = (FakeTrainer::default(), MemoryStore::new());
    let stages = Mutex::new(Vec::new());
    let furthest = Mutex::new(0);
    let observer = |event: &StudyEvent| match event {
        StudyEvent::Stage { stage } => stages.lock().unwrap().push(stage.to_string()),
        StudyEvent::TrialFinished { record } if record.spec.id < 4 => {
            let step = record.measurements.last().unwrap().step;
            let mut furthest = furthest.lock().unwrap();
            *furthest = step.max(*furthest);
        }
        StudyEvent::Progress { progress } => assert_eq!(
            progress.remaining_examples > 0.0,
            progress.done_trials < progress.total_trials,
            "{progress:?}"
        ),
        _ => {}
    };
    let stop = StopToken::new();
    let result = run_with(&Sprint, &plan, &trainer, &mut store, &stop, &[&observer]).unwrap();
    assert_eq!(*stages.lock().unwrap(), ["sprint of 40 steps", "measure"]);
    assert!(
        *furthest.lock().unwrap() <= SPRINT,
        "trials ran past the bound that the planner gave"
    );
    let ends: Vec<&Outcome> = result.records.iter().map(|r| &r.outcome).collect();
    let raced = Outcome::Raced { at: SPRINT };
    assert_eq!(ends[..4], [&raced, &raced, &raced, &raced]);
    assert_eq!(ends[4..], [&Outcome::Completed { step: 300 }; 2]);
    assert_eq!(result.decisions.len(), 1);
    assert_eq!(load_with(&Sprint, &store).unwrap().unwrap(), result);

    // Nothing is left: running it again runs nothing.
    let again = run_with(&Sprint, &plan, &trainer, &mut store, &stop, &[]).unwrap();
    assert_eq!(again, result);
    assert_eq!(store.trials().unwrap().len(), 6);
}
