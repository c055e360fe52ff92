//! Learning rates in logs: a schedule is one run, a sweep is several, and a sweep is not taken for seeds.

use std::path::Path;

use batchscope_measurements::{Measurements, ReadOptions, of_table, table_of_bytes};

fn of(text: &str) -> Measurements {
    let options = ReadOptions {
        target: Some("val-loss=1".parse().unwrap()),
        ..ReadOptions::default()
    };
    let table = table_of_bytes(text.as_bytes(), Path::new("log.csv"), &options).unwrap();
    of_table(&table, &options).unwrap()
}

/// Rows of a run whose loss falls from 2 to 1 in so many steps, and on.
fn run(name: &str, rate: impl Fn(u32) -> f64, steps: u32) -> String {
    let row = |i: u32| {
        let loss = 2.0 - f64::from(i) / 10.0;
        format!("32,{},{name},{},{loss}\n", i * steps / 10, rate(i))
    };
    (1..=15).map(row).collect()
}

const HEADINGS: &str = "batch_size,step,run,lr,val_loss\n";

#[test]
fn a_learning_rate_that_decays_along_a_run_is_a_schedule() {
    let decays = |i: u32| 0.1 / f64::from(i);
    let found = of(&[HEADINGS, &run("a", decays, 100), &run("b", decays, 120)].concat());
    assert_eq!(found.records.len(), 2);
    assert!(
        found
            .records
            .iter()
            .all(|r| r.spec.learning_rate == 0.1 && r.steps().is_some())
    );
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.contains("changes along 2 runs")),
        "{:?}",
        found.notes
    );
}

#[test]
fn of_a_sweep_the_best_rate_is_taken() {
    let rows = [(0.1, 200), (0.2, 100), (0.4, 300)];
    let sweep = rows
        .map(|(rate, steps)| run("seed 0", |_| rate, steps))
        .concat();
    let again = rows
        .map(|(rate, steps)| run("seed 1", |_| rate, steps))
        .concat();
    let found = of(&[HEADINGS, &sweep, &again].concat());
    let rates: Vec<f64> = found.records.iter().map(|r| r.spec.learning_rate).collect();
    assert_eq!(rates, [0.2, 0.2], "{:?}", found.notes);
    assert_eq!(
        [0, 1],
        [found.records[0].spec.seed, found.records[1].spec.seed]
    );
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.contains("4 others left out")),
        "{:?}",
        found.notes
    );
}
