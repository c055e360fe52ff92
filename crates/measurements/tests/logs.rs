//! Learning rates in logs: a schedule is one run, a sweep is several, and a sweep is not taken for seeds.

use std::path::Path;

use batchscope_measurements::{Measurements, ReadOptions, Role, of_table, table_of_bytes};

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

/// A run taken up again from a checkpoint logs some steps twice, with the rate of its schedule: it is one run still,
/// and what contradicts itself is an error, not many runs.
#[test]
fn a_schedule_with_steps_that_come_twice_is_one_run() {
    let decays = |i: u32| 0.1 / f64::from(i);
    let whole = run("a", decays, 100);
    let again: String = run("a", decays, 100)
        .lines()
        .take(3)
        .map(|line| format!("{line}\n"))
        .collect();
    let found = of(&[HEADINGS, &whole, &again].concat());
    assert_eq!(found.records.len(), 1, "{:?}", found.notes);
}

/// Rows that have no value of the metric tell nothing of runs.
#[test]
fn training_rows_between_evaluations_do_not_count_as_runs() {
    let decays = |i: u32| 0.1 / f64::from(i);
    let with_training = |name: &str| {
        let rows = run(name, decays, 100);
        let training =
            (1..150).map(|step| format!("32,{step},{name},{},\n", 0.1 / f64::from(step)));
        rows + &training.collect::<String>()
    };
    let found = of(&[HEADINGS, &with_training("a"), &with_training("b")].concat());
    assert_eq!(found.records.len(), 2, "{:?}", found.notes);
}

/// Peaks of one schedule that were logged at other steps are one learning rate.
#[test]
fn seeds_whose_peaks_differ_a_little_are_kept() {
    let rows: Vec<String> = (0..4)
        .map(|seed| {
            let decays = move |i: u32| 0.1 - 0.001 * f64::from(seed) - 0.005 * f64::from(i);
            run(&format!("seed {seed}"), decays, 100 + seed)
        })
        .collect();
    let found = of(&[HEADINGS, &rows.concat()].concat());
    assert_eq!(found.records.len(), 4, "{:?}", found.notes);
}

/// One run that missed the target makes no rate endless.
#[test]
fn a_rate_is_chosen_by_its_median() {
    let rows = |rate: f64, lengths: [&str; 5]| {
        let row = |length: &&str| match *length {
            "" => format!("32,900,{rate},censored\n"),
            length => format!("32,{length},{rate},reached\n"),
        };
        lengths.iter().map(row).collect::<String>()
    };
    let bad = rows(0.001, [""; 5]);
    let good = rows(0.1, ["100", "110", "120", "130", ""]);
    let text = ["batch_size,steps,lr,state\n", &bad, &good].concat();
    let options = ReadOptions::default();
    let table = table_of_bytes(text.as_bytes(), Path::new("tie.csv"), &options).unwrap();
    let found = of_table(&table, &options).unwrap();
    assert!(
        found.records.iter().all(|r| r.spec.learning_rate == 0.1),
        "{:?}",
        found.notes
    );
    assert_eq!(found.records.len(), 5);
}

/// Hugging Face's `train_batch_size` counts one pass where steps take several.
#[test]
fn batch_sizes_of_a_pass_are_not_taken_for_those_of_a_step() {
    let text = "train_batch_size,gradient_accumulation_steps,steps\n16,1,900\n16,2,500\n";
    let read = |options: &ReadOptions| {
        let table = table_of_bytes(text.as_bytes(), Path::new("hf.csv"), options).unwrap();
        of_table(&table, options)
    };
    let refused = read(&ReadOptions::default()).unwrap_err().to_string();
    assert!(refused.contains("gradient_accumulation_steps"), "{refused}");
    let by_hand = ReadOptions {
        columns: vec![(Role::BatchSize, Some("train_batch_size".to_owned()))],
        ..ReadOptions::default()
    };
    assert_eq!(read(&by_hand).unwrap().records.len(), 2);
}
