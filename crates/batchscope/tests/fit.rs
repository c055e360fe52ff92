//! `batchscope fit`: tables and logs of runs that somebody else made.

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::{batchscope, findings, run, text};

/// Steps `100·(1 + 200/B)` at batch sizes 8 to 2048, three runs each, a hundredth up and down.
fn steps(batch_size: f64, run: i32) -> f64 {
    100.0 * (1.0 + 200.0 / batch_size) * (1.0 + 0.01 * f64::from(run - 1))
}

fn table(header: &str, row: impl Fn(u64, i32) -> String) -> String {
    let rows = (3..12).flat_map(|i| (0..3).map(move |run| (1u64 << i, run)));
    let rows: Vec<String> = rows.map(|(batch_size, run)| row(batch_size, run)).collect();
    format!("{header}\n{}\n", rows.join("\n"))
}

fn fitted(folder: &Path, name: &str, content: &str, flags: &[&str]) -> (Value, String) {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    let dir = folder.join("fit");
    let mut command = batchscope();
    command
        .arg("fit")
        .arg(&path)
        .arg("--dir")
        .arg(&dir)
        .args(flags);
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    (findings(&dir), text(&out.stderr))
}

fn critical(findings: &Value, curve: &str) -> f64 {
    findings["critical_batch_size"][curve]["hyperbola"]["value"]
        .as_f64()
        .unwrap()
}

#[test]
fn every_format_gives_the_same_answer() {
    let folder = tempfile::tempdir().unwrap();
    let csv = table("batch_size,steps", |b, r| {
        format!("{b},{}", steps(b as f64, r))
    });
    let (from_csv, said) = fitted(folder.path(), "a.csv", &csv, &[]);
    assert!((critical(&from_csv, "table") / 200.0 - 1.0).abs() < 0.02);
    assert!(
        said.contains("batch_size is 'batch_size'") && said.contains("steps is 'steps'"),
        "{said}"
    );
    for name in [
        "report.html",
        "trials.csv",
        "findings.json",
        "figures/steps-to-target.svg",
    ] {
        assert!(folder.path().join("fit").join(name).is_file(), "{name}");
    }
    let tsv = csv.replace(',', "\t").replace("batch_size", "Global Batch");
    let lines = table("", |b, r| {
        format!(
            "{{\"params\": {{\"bs\": {b}}}, \"iterations\": {}}}",
            steps(b as f64, r)
        )
    });
    let examples = table("# a comment\nbs;samples", |b, r| {
        format!("{b};{}", steps(b as f64, r) * b as f64)
    });
    let epochs = table("bs,epochs", |b, r| {
        format!("{b},{}", steps(b as f64, r) * b as f64 / 5000.0)
    });
    for (name, content, flags) in [
        ("b.tsv", tsv, &[][..]),
        ("c.jsonl", lines, &[]),
        ("d.csv", examples, &[]),
        ("e.csv", epochs, &["--train-examples", "5000"]),
    ] {
        let (other, _) = fitted(folder.path(), name, &content, flags);
        let difference = critical(&other, "table") / critical(&from_csv, "table") - 1.0;
        assert!(difference.abs() < 1e-9, "{name}: {difference}");
    }
}

#[test]
fn states_are_read_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let csv = table("batch_size,steps,seed,status", |b, r| {
        let status = match (b, r) {
            (2048, 2) => "diverged",
            (8, 0) => "timeout",
            _ => "finished",
        };
        format!("{b},{},{r},{status}", steps(b as f64, r))
    });
    let (found, said) = fitted(folder.path(), "a.csv", &csv, &[]);
    assert_eq!(
        found["study"]["trials"],
        serde_json::json!({"diverged": 1, "not_reached": 1, "reached": 25})
    );
    assert!(
        said.contains("'timeout' is censored (1)") && said.contains("'finished' is reached (25)"),
        "{said}"
    );
    let (all, _) = fitted(folder.path(), "a.csv", &csv, &["--censoring", "none"]);
    assert_eq!(all["study"]["trials"], serde_json::json!({"reached": 27}));
}

/// `loss = 2·√(160/s)` at batch size 8 and so on: it is 2 after `100·(1 + 200/B)` steps.
#[test]
fn a_log_is_crossed_as_a_study_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = "config.batch_size,seed,_step,val/loss,lr\n".to_owned();
    for i in 3..12 {
        for run in 0..2 {
            let batch_size = 1u64 << i;
            let to_target = steps(f64::from(1 << i), run);
            let mut step = 1.0;
            while step < 2.0 * to_target {
                log += &format!(
                    "{batch_size},{run},{step},{},0.1\n",
                    2.0 * (to_target / step).sqrt()
                );
                step = (step * 1.1f64).ceil().max(step + 1.0);
            }
        }
    }
    let (found, said) = fitted(folder.path(), "log.csv", &log, &["--target", "val-loss=2"]);
    assert!(
        (critical(&found, "table") / 200.0 - 1.0).abs() < 0.03,
        "{said}"
    );
    assert_eq!(found["study"]["target"]["value"], 2.0);
    assert!(said.contains("a log of 18 runs"), "{said}");
    assert!(
        folder
            .path()
            .join("fit/figures/training-curves.svg")
            .is_file()
    );
    let out = run(&["fit", folder.path().join("log.csv").to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(1));
    assert!(
        text(&out.stderr).contains("--target val-loss"),
        "{}",
        text(&out.stderr)
    );
}

#[test]
fn curves_of_several_sizes_make_a_law() {
    let folder = tempfile::tempdir().unwrap();
    let mut csv = "model,batch_size,steps\n".to_owned();
    for (size, bend) in [("10M", 100.0), ("40M", 200.0), ("160M", 400.0)] {
        for i in 4..13 {
            csv += &format!(
                "{size},{},{}\n",
                1 << i,
                500.0 * (1.0 + bend / f64::from(1 << i))
            );
        }
    }
    let flags = ["--overhead-from", "256", "--at", "1B"];
    let (found, said) = fitted(folder.path(), "a.csv", &csv, &flags);
    let law = &found["laws"][0];
    assert_eq!(
        (law["definition"].as_str(), law["unit_name"].as_str()),
        (Some("hyperbola"), Some("M"))
    );
    assert!((law["exponent"]["value"].as_f64().unwrap() - 0.5).abs() < 1e-6);
    assert!(law["asked"][0]["beyond"].as_bool().unwrap());
    let own = found["critical_batch_size"]["10M"]["overhead_from"]["batch_size"]["value"]
        .as_f64()
        .unwrap();
    assert!((own - (1.2 * 256.0 + 0.2 * 100.0)).abs() < 0.01, "{own}");
    assert!(said.contains("taken for their sizes"), "{said}");
    assert!(folder.path().join("fit/figures/law.svg").is_file());
}

#[test]
fn step_times_make_advice() {
    let folder = tempfile::tempdir().unwrap();
    let csv = table("batch_size,steps,lr,step_time", |b, r| {
        format!("{b},{},0.1,{}", steps(b as f64, r), 0.01 + 1e-4 * b as f64)
    });
    let (found, _) = fitted(folder.path(), "a.csv", &csv, &[]);
    // 100·(1 + 200/B)·(0.01 + B/10⁴) is least near √(200·100) = 141.
    let best = found["advice"]["recommended"]["batch_size"]
        .as_u64()
        .unwrap();
    assert!((64..=256).contains(&best), "{best}");
}

#[test]
fn lengths_that_were_rounded_up_are_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let csv = table("batch_size,examples", |b, r| {
        let examples = steps(b as f64, r) * b as f64;
        format!("{b},{}", (examples / 4096.0).ceil() * 4096.0)
    });
    let (found, said) = fitted(folder.path(), "a.csv", &csv, &["--rounded-to", "4096"]);
    let (plain, _) = fitted(folder.path(), "a.csv", &csv, &[]);
    let off = |findings: &Value| (critical(findings, "table") / 200.0 - 1.0).abs();
    assert!(off(&found) < off(&plain), "{} {}", off(&found), off(&plain));
    assert!(said.contains("of the lengths as they are"), "{said}");
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let at = path.to_str().unwrap();
    for (content, flags, code, says) in [
        ("a,b\n1,2\n", &[][..], 2, "--column batch_size=HEADING"),
        (
            "per_device_train_batch_size,steps\n8,2\n",
            &[],
            2,
            "one device",
        ),
        (
            "batch_size,b\n1,2\n",
            &[],
            2,
            "steps, examples, epochs or tokens",
        ),
        ("8,100\n16,50\n", &[], 1, "headings"),
        (
            "batch_size,steps\n8,many\n",
            &[],
            1,
            "'many' in column 'steps'",
        ),
        ("batch_size,steps\n0,5\n", &[], 1, "line 2"),
        ("batch_size,steps\n8,0\n", &[], 1, "no length"),
        ("batch_size,steps\n8,1,2\n", &[], 1, "line 2 has 3 cells"),
        ("batch_size,steps,steps\n8,1,2\n", &[], 1, "both called"),
        ("batch_size,steps\n", &[], 1, "no row"),
        ("", &[], 1, "is empty"),
        ("[1]", &[], 1, "one object a line"),
        ("batch_size,epochs\n8,1\n", &[], 2, "--train-examples"),
        (
            "batch_size,steps,status\n8,1,perhaps\n",
            &[],
            1,
            "'perhaps'",
        ),
        (
            "batch_size,steps\n8,100\n",
            &["--rounded-to", "64"],
            1,
            "multiple",
        ),
        (
            "batch_size,steps\n8,100\n",
            &["--column", "steps=x"],
            2,
            "no column 'x'",
        ),
        (
            "batch_size,steps\n8,100\n",
            &["--column", "step"],
            2,
            "WHAT=HEADING",
        ),
        (
            "batch_size,steps\n8,100\n",
            &["--at", "7B"],
            2,
            "three curves",
        ),
    ] {
        fs::write(&path, content).unwrap();
        let mut arguments = vec!["fit", at, "--dir"];
        let dir = folder.path().join("out");
        arguments.push(dir.to_str().unwrap());
        arguments.extend(flags);
        let out = run(&arguments);
        assert_eq!(
            out.status.code(),
            Some(code),
            "{content:?}: {}",
            text(&out.stderr)
        );
        assert!(
            text(&out.stderr).contains(says),
            "{content:?}: {}",
            text(&out.stderr)
        );
        assert!(!dir.exists(), "{content:?}");
    }
}

/// Three rates at each batch size are no seeds: the best one's runs are taken.
#[test]
fn sweeps_over_learning_rates_are_told_from_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let csv = table("batch_size,lr,seed,steps", |b, r| {
        let slower = [1.0, 3.0, 1.7][usize::try_from(r).unwrap()];
        format!(
            "{b},0.{},0,{}",
            r + 1,
            100.0 * (1.0 + 200.0 / b as f64) * slower
        )
    });
    let (found, said) = fitted(folder.path(), "a.csv", &csv, &[]);
    assert!((critical(&found, "table") / 200.0 - 1.0).abs() < 0.01);
    assert!(said.contains("18 others left out"), "{said}");
    let (all, _) = fitted(
        folder.path(),
        "a.csv",
        &csv,
        &["--column", "learning_rate=none", "--column", "run=none"],
    );
    assert_eq!(all["study"]["trials"]["reached"], 27);
}

#[test]
fn what_trackers_export_is_read() {
    let folder = tempfile::tempdir().unwrap();
    // W&B's own counter beside the trainer's; a duration in words; a run without a state; numbers beyond JSON.
    let mut log = String::new();
    for i in 3..9 {
        let batch_size = 1u64 << i;
        let mut step = 10.0;
        while step < 2000.0 {
            let loss = 2.0 * (steps(batch_size as f64, 1) / step).sqrt();
            log += &format!(
                "{{\"config.batch_size\": {batch_size}, \"_step\": {}, \"trainer/global_step\": {step}, \"State\": null, \"Duration\": \"2.1min\", \"eval/loss\": {loss}, \"grad\": NaN}}\n",
                step / 10.0
            );
            step = (step * 1.1f64).ceil();
        }
    }
    let (found, said) = fitted(
        folder.path(),
        "log.jsonl",
        &log,
        &["--target", "val-loss=2"],
    );
    assert!(
        (critical(&found, "table") / 200.0 - 1.0).abs() < 0.05,
        "{said}"
    );
    assert!(
        said.contains("steps is 'trainer/global_step'") && said.contains("'Duration'"),
        "{said}"
    );
}

#[test]
fn a_study_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "batch_size,steps\n8,100\n").unwrap();
    fs::write(folder.path().join("study.db"), "").unwrap();
    let out = run(&[
        "fit",
        path.to_str().unwrap(),
        "--dir",
        folder.path().to_str().unwrap(),
    ]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
}

#[test]
fn parquet_is_read() {
    use batchscope_report::{Column, Table, Values};
    let rows: Vec<(u64, i32)> = (3..12)
        .flat_map(|i| (0..3).map(move |run| (1u64 << i, run)))
        .collect();
    let column = |name: &str, values| Column {
        name: name.to_owned(),
        about: "",
        values,
    };
    let parquet = Table {
        columns: vec![
            column(
                "batch_size",
                Values::Whole(rows.iter().map(|r| Some(r.0)).collect()),
            ),
            column(
                "steps",
                Values::Real(rows.iter().map(|r| Some(steps(r.0 as f64, r.1))).collect()),
            ),
            column(
                "state",
                Values::Text(rows.iter().map(|_| Some("reached".to_owned())).collect()),
            ),
        ],
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.parquet");
    parquet
        .write_parquet(fs::File::create(&path).unwrap())
        .unwrap();
    let dir = folder.path().join("fit");
    let out = run(&[
        "fit",
        path.to_str().unwrap(),
        "--dir",
        dir.to_str().unwrap(),
    ]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let csv = table("batch_size,steps,state", |b, r| {
        format!("{b},{},reached", steps(b as f64, r))
    });
    let (from_csv, _) = fitted(folder.path(), "a.csv", &csv, &[]);
    assert_eq!(findings(&dir)["curves"], from_csv["curves"]);
}
