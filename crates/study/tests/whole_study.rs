//! Whole studies on the fake trainer: what comes out, and that neither parallelism, interruption
//! nor the kind of store changes it.

use std::sync::atomic::{AtomicU64, Ordering};

use batchscope_core::{Diagnostic, Outcome, TrialPurpose, TrialRecord};
use batchscope_study::{
    FakeTrainer, MemoryStore, Plan, Queue, RateRange, Remedy, SqliteStore, StopToken, Store,
    StudyError, StudyEvent, StudyResult, TrialState, Tune, load, run, same_record,
    trainer_contract, without_times,
};

fn plan() -> Plan {
    Plan {
        batch_sizes: vec![16, 64, 256, 1024],
        target: "val-error=0.1".parse().unwrap(),
        learning_rates: RateRange {
            low: 0.01,
            high: 3.0,
        },
        tune_trials: 6,
        study_seed: 11,
        ..Plan::default()
    }
}

fn study(plan: &Plan, store: &mut dyn Queue) -> Result<StudyResult, StudyError> {
    run(plan, &FakeTrainer::default(), store, &StopToken::new(), &[])
}

fn same_but_for_times(a: &[TrialRecord], b: &[TrialRecord]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!(
            same_record(&without_times(a), &without_times(b)),
            "{a:#?}\nis not\n{b:#?}"
        );
    }
}

fn fresh(result: &StudyResult) -> impl Iterator<Item = &TrialRecord> {
    result
        .records
        .iter()
        .filter(|r| matches!(r.spec.purpose, TrialPurpose::Fresh { .. }))
}

#[test]
fn the_fake_keeps_the_trainers_contract() {
    let result = study(&plan(), &mut MemoryStore::new()).unwrap();
    let trainer = FakeTrainer::default();
    for end in ["reached", "raced", "diverged", "not_reached"] {
        let like = |r: &&TrialRecord| {
            matches!(r.spec.purpose, TrialPurpose::Tune { .. })
                && r.spec.batch_size == 1024
                && r.outcome.name() == end
        };
        let Some(record) = result.records.iter().find(like) else {
            continue;
        };
        // Divergence is quick; the contract wants a run of some length.
        if end != "diverged" {
            trainer_contract(&trainer, &record.spec);
        }
    }
    let reached = fresh(&result).find(|r| r.spec.batch_size == 1024).unwrap();
    let short = batchscope_core::TrialSpec {
        cap: reached.steps().unwrap() / 2,
        ..reached.spec.clone()
    };
    trainer_contract(&trainer, &short);
}

#[test]
fn a_study_tunes_every_batch_size_and_measures_it_with_fresh_seeds() {
    let result = study(&plan(), &mut MemoryStore::new()).unwrap();
    assert!(!result.interrupted);
    let summary = result.summary.as_ref().unwrap();
    assert_eq!(summary.goal(), "val-error=0.1");
    assert_eq!(summary.target_origin, "fixed beforehand");
    assert_eq!(
        summary.trials.values().sum::<u64>(),
        result.records.len() as u64
    );
    let fake = FakeTrainer::default();
    for &batch_size in &plan().batch_sizes {
        let tuning = result
            .tuning
            .iter()
            .find(|t| t.batch_size == batch_size)
            .unwrap();
        assert_eq!(tuning.trials % 6, 0, "equal budgets");
        // Within the flat bottom of the response: 0.15·ln² 2 is 7 %.
        let ratio = tuning.chosen.unwrap() / fake.best_rate_at(batch_size);
        assert!((0.4..2.5).contains(&ratio), "batch {batch_size}: {ratio}");
        let (low, high) = tuning.indistinct.unwrap();
        assert!(low <= tuning.chosen.unwrap() && tuning.chosen.unwrap() <= high);
        let steps: Vec<u64> = fresh(&result)
            .filter(|r| r.spec.batch_size == batch_size)
            .filter_map(TrialRecord::steps)
            .collect();
        assert_eq!(steps.len(), 3);
        for steps in steps {
            // Seeds scatter by 5 %; the rest is the chosen rate, which is not the best.
            let ratio = steps as f64 / fake.steps_to(0.1, batch_size);
            assert!((0.85..1.4).contains(&ratio), "batch {batch_size}: {ratio}");
        }
    }
    for record in fresh(&result) {
        assert_eq!(record.spec.curves, ["tuned"]);
        assert!(
            !matches!(record.outcome, Outcome::Raced { .. }),
            "fresh trials are never raced"
        );
    }
    let ids: Vec<u64> = result.records.iter().map(|r| r.spec.id).collect();
    assert_eq!(ids, (0..ids.len() as u64).collect::<Vec<_>>());
    let seeds: std::collections::BTreeSet<u64> =
        result.records.iter().map(|r| r.spec.seed).collect();
    assert_eq!(seeds.len(), ids.len(), "every trial has a seed of its own");
}

#[test]
fn jobs_and_stores_change_nothing_but_times() {
    let folder = tempfile::tempdir().unwrap();
    let serial = study(&plan(), &mut MemoryStore::new()).unwrap();
    let mut store = SqliteStore::open(folder.path().join("study.db")).unwrap();
    let parallel = study(&Plan { jobs: 4, ..plan() }, &mut store).unwrap();
    same_but_for_times(&serial.records, &parallel.records);
    assert_eq!(serial.tuning, parallel.tuning);
    assert_eq!(serial.decisions, parallel.decisions);
    // What others read from the store is the same again.
    let stored = batchscope_study::finished_records(&store).unwrap();
    same_but_for_times(&stored, &serial.records);
    assert_eq!(store.decisions().unwrap(), serial.decisions);
}

#[test]
fn racing_is_exact() {
    let result = study(&Plan { jobs: 3, ..plan() }, &mut MemoryStore::new()).unwrap();
    let unraced = |record: &TrialRecord| {
        let trainer = FakeTrainer::default();
        batchscope_core::Trainer::run(
            &trainer,
            &record.spec,
            &batchscope_core::NeverStop,
            &mut |_| {},
        )
        .unwrap()
    };
    let mut raced = 0;
    for batch_size in plan().batch_sizes {
        let mut bound: Option<u64> = None;
        let tuned = result.records.iter().filter(|r| {
            r.spec.batch_size == batch_size && matches!(r.spec.purpose, TrialPurpose::Tune { .. })
        });
        for record in tuned {
            // The oracle: every trial to its own end, then cut in order of number.
            let whole = unraced(record);
            let expected = bound.map_or(whole.clone(), |bound| whole.clone().cut(bound));
            assert_eq!(without_times(record), without_times(&expected));
            raced += u64::from(matches!(record.outcome, Outcome::Raced { .. }));
            if record.steps().is_some() {
                // The regularly evaluated step by which it was found.
                let (plan, found) = (&record.spec.evaluation, record.outcome.last_step());
                let mut regular = 0;
                while Some(regular) < found {
                    regular = plan.next_after(regular);
                }
                let regular = regular.min(record.spec.cap);
                bound = Some(bound.map_or(regular, |b| b.min(regular)));
            }
        }
    }
    assert!(raced > 3, "{raced}");
}

#[test]
fn interrupted_anywhere_and_resumed_a_study_ends_the_same() {
    let straight = study(&plan(), &mut MemoryStore::new()).unwrap();
    for (jobs, stride) in [(1, 97), (3, 1013), (2, 1511)] {
        let mut store = MemoryStore::new();
        // One trainer throughout keeps its checkpoints; a new one has lost them.
        let trainer = FakeTrainer::default();
        let mut runs = 0;
        let resumed = loop {
            let stop = StopToken::new();
            let steps = AtomicU64::new(0);
            let observer = |event: &StudyEvent| {
                if let StudyEvent::Trial {
                    event: batchscope_core::Event::Step { .. },
                    ..
                } = event
                    && steps.fetch_add(1, Ordering::SeqCst) == stride * (1 + runs % 5)
                {
                    stop.stop();
                }
            };
            let lost = FakeTrainer::default();
            let result = run(
                &Plan { jobs, ..plan() },
                if runs % 3 == 2 { &lost } else { &trainer },
                &mut store,
                &stop,
                &[&observer],
            )
            .unwrap();
            runs += 1;
            assert!(runs < 3000);
            if !result.interrupted {
                break result;
            }
            assert!(
                store
                    .trials()
                    .unwrap()
                    .iter()
                    .all(|t| !matches!(t.state, TrialState::Running { .. }))
            );
            // A run that stops before any trial's end must still get somewhere.
            if runs > 300 {
                break study(&plan(), &mut store).unwrap();
            }
        };
        assert!(runs > 3, "interrupted {runs} times");
        same_but_for_times(&straight.records, &resumed.records);
        assert_eq!(straight.decisions, resumed.decisions);
    }
}

#[test]
fn budgets_are_totals() {
    let mut store = MemoryStore::new();
    let first = study(&plan(), &mut store).unwrap();
    let count = store.trials().unwrap().len();
    let again = study(&plan(), &mut store).unwrap();
    same_but_for_times(&first.records, &again.records);
    assert_eq!(
        store.trials().unwrap().len(),
        count,
        "running it again does nothing"
    );

    let more = Plan {
        seeds: 5,
        batch_sizes: vec![16, 64, 128, 256, 1024, 2048],
        ..plan()
    };
    let extended = study(&more, &mut store).unwrap();
    for record in &first.records {
        let kept = extended
            .records
            .iter()
            .find(|r| r.spec.id == record.spec.id)
            .unwrap();
        assert!(same_record(record, kept), "what was done is done");
    }
    assert_eq!(fresh(&extended).count(), 5 * 6);
    // The same numbers as if more had been asked for at once, but for the order.
    let at_once = study(
        &Plan {
            pilot_batch: first.plan.pilot_batch,
            ..more
        },
        &mut MemoryStore::new(),
    )
    .unwrap();
    assert_eq!(at_once.tuning, extended.tuning);
    for record in &at_once.records {
        let found = extended.records.iter().any(|r| {
            r.spec.seed == record.spec.seed
                && r.outcome == record.outcome
                && r.measurements == record.measurements
        });
        assert!(found, "{record:#?}");
    }
    // And fewer is a look at less.
    let fewer = study(&plan(), &mut store).unwrap();
    same_but_for_times(&first.records, &fewer.records);
}

#[test]
fn another_plan_model_or_data_is_refused_by_name() {
    let mut store = MemoryStore::new();
    study(&plan(), &mut store).unwrap();
    let refused = |plan: &Plan, store: &mut MemoryStore| match study(plan, store) {
        Err(StudyError::Mismatch { key, .. }) => key,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        refused(
            &Plan {
                study_seed: 12,
                ..plan()
            },
            &mut store
        ),
        "seed"
    );
    assert_eq!(
        refused(
            &Plan {
                tune_trials: 7,
                ..plan()
            },
            &mut store
        ),
        "tune-trials"
    );
    assert_eq!(
        refused(
            &Plan {
                target: "val-error=0.2".parse().unwrap(),
                ..plan()
            },
            &mut store
        ),
        "target"
    );
    let other = FakeTrainer {
        critical_batch: 100.0,
        ..FakeTrainer::default()
    };
    let error = run(&plan(), &other, &mut store, &StopToken::new(), &[]).unwrap_err();
    assert!(
        matches!(&error, StudyError::Mismatch { key, .. } if key == "model"),
        "{error}"
    );
    let remedies = error.remedies();
    assert!(
        matches!(&remedies[..], [Remedy::KeepSetting { key, value }, Remedy::OtherFolder]
            if key == "model" && error.to_string().contains(value)),
        "{remedies:?}"
    );
}

#[test]
fn base_tuning_gives_one_curve_per_rule_and_shares_what_coincides() {
    let plan = Plan {
        tune: Tune::Base,
        ..plan()
    };
    let result = study(&plan, &mut MemoryStore::new()).unwrap();
    assert_eq!(result.tuning.len(), 1);
    let base = result.tuning[0].chosen.unwrap();
    assert_eq!(result.tuning[0].batch_size, 64);
    for record in fresh(&result) {
        if record.spec.batch_size == 64 {
            assert_eq!(record.spec.curves, ["blr", "lsr", "srsr"]);
            assert_eq!(record.spec.learning_rate, base);
        } else {
            assert_eq!(record.spec.curves.len(), 1);
            let ratio = record.spec.batch_size as f64 / 64.0;
            let factor = match record.spec.curves[0].as_str() {
                "blr" => 1.0,
                "lsr" => ratio,
                _ => ratio.sqrt(),
            };
            assert_eq!(record.spec.learning_rate, base * factor);
        }
        let lsr = record.spec.curves.iter().any(|c| c == "lsr");
        let watched = record.spec.asks_for(Diagnostic::LINEARITY);
        // The fake measures no noise, and says so.
        assert!(!record.spec.asks_for(Diagnostic::NOISE));
        assert_eq!(
            watched,
            lsr && record.spec.purpose == TrialPurpose::Fresh { index: 0 }
        );
    }
    assert_eq!(fresh(&result).count(), 3 * (1 + 3 * 3));
    // The linear rule leaves the stable rates at 1024: 16 times a rate near 0.2.
    let states: Vec<&str> = fresh(&result)
        .filter(|r| r.spec.batch_size == 1024 && r.spec.curves == ["lsr"])
        .map(|r| r.outcome.name())
        .collect();
    assert!(
        states.iter().all(|s| *s == "diverged" || *s == "reached") && states.len() == 3,
        "{states:?}"
    );
}

#[test]
fn what_is_stored_can_be_looked_at_at_any_time() {
    let mut store = MemoryStore::new();
    assert!(load(&store).unwrap().is_none());
    let stop = StopToken::new();
    let halfway = |event: &StudyEvent| {
        if let StudyEvent::TrialFinished { record } = event
            && record.spec.purpose == (TrialPurpose::Fresh { index: 0 })
        {
            stop.stop();
        }
    };
    let interrupted = run(
        &plan(),
        &FakeTrainer::default(),
        &mut store,
        &stop,
        &[&halfway],
    )
    .unwrap();
    assert!(interrupted.interrupted);
    assert_eq!(load(&store).unwrap().unwrap(), interrupted);
    let result = study(&plan(), &mut store).unwrap();
    assert_eq!(load(&store).unwrap().unwrap(), result);
    assert!(!result.interrupted);
}

#[test]
fn rules_may_be_added_later() {
    let mut store = MemoryStore::new();
    let one = Plan {
        tune: Tune::Base,
        rules: vec!["blr".parse().unwrap()],
        ..plan()
    };
    study(&one, &mut store).unwrap();
    let all = study(
        &Plan {
            rules: ["blr", "srsr"].map(|rule| rule.parse().unwrap()).to_vec(),
            ..one
        },
        &mut store,
    )
    .unwrap();
    let at_base: Vec<_> = fresh(&all).filter(|r| r.spec.batch_size == 64).collect();
    assert_eq!(at_base.len(), 3, "shared, not run again");
    assert!(at_base.iter().all(|r| r.spec.curves == ["blr", "srsr"]));
    let stored = batchscope_study::finished_records(&store).unwrap();
    same_but_for_times(&stored, &all.records);
}

/// The whole study's bookkeeping must not grow with the steps: a long trial is one row.
#[test]
fn events_reach_the_observer_and_progress_ends_at_the_total() {
    let last = std::sync::Mutex::new(None);
    let counts = [const { AtomicU64::new(0) }; 3];
    let observer = |event: &StudyEvent| match event {
        StudyEvent::TrialStarted { .. } => drop(counts[0].fetch_add(1, Ordering::SeqCst)),
        StudyEvent::TrialFinished { .. } => drop(counts[1].fetch_add(1, Ordering::SeqCst)),
        StudyEvent::Decision { .. } => drop(counts[2].fetch_add(1, Ordering::SeqCst)),
        StudyEvent::Progress { progress } => *last.lock().unwrap() = Some(progress.clone()),
        _ => {}
    };
    let result = run(
        &plan(),
        &FakeTrainer::default(),
        &mut MemoryStore::new(),
        &StopToken::new(),
        &[&observer],
    )
    .unwrap();
    let [started, finished, decisions] = counts.map(|c| c.load(Ordering::SeqCst));
    assert_eq!(
        (started, finished),
        (result.records.len() as u64, result.records.len() as u64)
    );
    assert_eq!(decisions, result.decisions.len() as u64);
    let progress = last.lock().unwrap().take().unwrap();
    assert_eq!(
        (progress.done_trials, progress.total_trials),
        (finished, finished)
    );
    assert_eq!(progress.remaining_examples, 0.0);
}
