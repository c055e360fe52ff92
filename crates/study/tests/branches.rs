//! Branches of a run, on the trainer without a model: it begins anew at every checkpoint, which makes no difference to what
//! is run.

use std::collections::BTreeSet;

use batchscope_core::{Schedule, Start, Trainer};
use batchscope_study::{
    BranchPlanner, BranchStart, Branching, FakeTrainer, Finished, MemoryStore, Plan, Planner,
    StopToken, StudyResult, TargetChoice, run,
};

fn from(step: u64, batch_size: u64) -> BranchStart {
    BranchStart {
        start: Start {
            checkpoint: format!("step-{step}"),
            checksum: None,
            step,
            counts_anew: false,
        },
        examples: Some(step * batch_size),
        batch_size,
        learning_rate: 0.1,
    }
}

fn plan() -> Plan {
    let branching = Branching {
        checkpoints: vec![from(100, 32), from(200, 64)],
        factors: vec![1, 2, 8],
        rule: "lsr".parse().unwrap(),
        examples: 5000,
        metric: "val-loss".parse().unwrap(),
        tolerance: 0.01,
        run: None,
        fixed_batch: None,
    };
    Plan {
        batch_sizes: branching.batch_sizes(),
        base_batch: 32,
        seeds: 3,
        target: TargetChoice::Auto {
            metric: branching.metric.clone(),
        },
        schedule: Schedule::constant(),
        branching: Some(branching),
        ..Plan::default()
    }
}

fn branched(plan: &Plan) -> StudyResult {
    let (trainer, mut store) = (FakeTrainer::default(), MemoryStore::new());
    run(plan, &trainer, &mut store, &StopToken::new(), &[]).unwrap()
}

/// As many examples at every batch size, whole steps of the largest; one seed for all of them; rates by the rule.
#[test]
fn branches_differ_in_their_batch_size_alone() {
    let result = branched(&plan());
    assert!(!result.interrupted);
    assert_eq!(result.records.len(), 2 * 3 * 3);
    for (step, base, examples) in [(100, 32, 5120), (200, 64, 5120)] {
        let own = result
            .records
            .iter()
            .filter(|record| record.spec.start.as_ref().map(|start| start.step) == Some(step));
        let own: Vec<_> = own.map(|record| &record.spec).collect();
        assert_eq!(own.len(), 9);
        for spec in &own {
            assert_eq!(spec.cap * spec.batch_size, examples);
            let factor = (spec.batch_size / base) as f64;
            assert!((spec.learning_rate - 0.1 * factor).abs() < 1e-12);
        }
        let seeds: BTreeSet<u64> = own.iter().map(|spec| spec.seed).collect();
        assert_eq!(seeds.len(), 3);
    }
    // Evaluated once, at the end.
    for record in &result.records {
        assert_eq!(record.measurements.len(), 1);
        assert_eq!(record.measurements[0].step, record.spec.cap);
    }
}

#[test]
fn the_work_is_foreseen_by_batch_size() {
    let plan = plan();
    let info = FakeTrainer::default().info();
    let study = BranchPlanner
        .assess(&plan, &info, &Finished::default())
        .unwrap();
    let loads: Vec<_> = study
        .loads
        .iter()
        .map(|load| (load.batch_size, load.trials, load.expected_steps))
        .collect();
    assert_eq!(
        loads,
        [
            (32, 3, 160.0),
            (64, 6, 80.0),
            (128, 3, 40.0),
            (256, 3, 20.0),
            (512, 3, 10.0)
        ]
    );
}

#[test]
fn plans_that_make_no_sense_name_their_key() {
    let refused = |change: &dyn Fn(&mut Branching)| {
        let mut plan = plan();
        change(plan.branching.as_mut().unwrap());
        plan.check().unwrap_err().key.into_owned()
    };
    assert_eq!(refused(&|b| b.checkpoints.clear()), "checkpoints");
    assert_eq!(
        refused(&|b| b.checkpoints[1] = b.checkpoints[0].clone()),
        "checkpoints"
    );
    assert_eq!(refused(&|b| b.factors = vec![2, 4]), "factors");
    assert_eq!(refused(&|b| b.factors = vec![1, 3, 4]), "factors");
    assert_eq!(refused(&|b| b.tolerance = 0.0), "tolerance");
    assert_eq!(
        refused(&|b| b.metric = "test-loss".parse().unwrap()),
        "loss"
    );
    assert_eq!(
        refused(&|b| b.metric = "val-accuracy".parse().unwrap()),
        "loss"
    );
    assert_eq!(
        refused(&|b| b.checkpoints[0].learning_rate = 0.0),
        "learning-rate"
    );
    let one_seed = Plan { seeds: 1, ..plan() };
    assert_eq!(one_seed.check().unwrap_err().key, "seeds");
}
