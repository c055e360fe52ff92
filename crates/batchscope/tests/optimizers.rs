//! Every optimizer of the registry through the program, at the rate that it takes when none is given.
//! docs/results/optimizers.md has two real networks.

mod support;

use batchscope_optim::OPTIMIZERS;
use serde_json::Value;
use support::{run, text};

/// Trains and returns the record.
fn trained(optimizer: &str, arguments: &[&str]) -> Value {
    let fixed = ["train", "--json", "--quiet", "--optimizer", optimizer];
    let out = run(&[&fixed, arguments].concat());
    assert!(out.status.success(), "{optimizer}: {}", text(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// A metric at the end.
fn last(record: &Value, metric: &str) -> f64 {
    let measurements = record["measurements"].as_array().unwrap();
    measurements.last().unwrap()["metrics"][metric]
        .as_f64()
        .unwrap()
}

const SMALL: [&str; 6] = [
    "--data",
    "glyphs",
    "--examples",
    "2000",
    "--batch-size",
    "64",
];

/// Guessing errs in nine of ten.
#[test]
fn every_optimizer_learns_at_its_usual_rate() {
    for optimizer in OPTIMIZERS.names() {
        let record = trained(
            optimizer,
            &[&SMALL[..], &["--steps", "400", "--model", "mlp(64)"]].concat(),
        );
        let error = last(&record, "val-error");
        assert!(error < 0.55, "{optimizer}: {error}");
    }
}

/// Cut into micro-batches, or saved half-way and taken up again, a run is the same run: to float's tolerance and to the
/// bit. With batch norm and dropout.
#[test]
fn every_optimizer_accumulates_and_resumes() {
    let folder = tempfile::tempdir().unwrap();
    for optimizer in OPTIMIZERS.names() {
        let of_model = [
            &SMALL[..],
            &["--model", "mlp(32,norm,ghost=16,dropout=0.1)"],
        ]
        .concat();
        let with =
            |more: &[&str]| last(&trained(optimizer, &[&of_model, more].concat()), "val-loss");
        let whole = with(&["--steps", "60"]);
        let parts = with(&["--steps", "60", "--micro-batch", "16"]);
        assert!(
            (parts / whole - 1.0).abs() < 2e-3,
            "{optimizer}: {whole} {parts}"
        );
        let path = folder.path().join(optimizer);
        let path = path.to_str().unwrap();
        with(&["--steps", "23", "--checkpoint", path]);
        let resumed = with(&["--steps", "60", "--checkpoint", path]);
        assert_eq!(
            resumed.to_bits(),
            whole.to_bits(),
            "{optimizer}: {whole} {resumed}"
        );
    }
}
