//! What is written is what the schemas say.

use std::{fs, path::Path};

use assert_cmd::Command;
use serde_json::{Value, json};

fn batchscope(words: &[&str]) -> Vec<u8> {
    let mut command = Command::cargo_bin("batchscope").unwrap();
    command
        .args(words)
        .assert()
        .success()
        .get_output()
        .stdout
        .clone()
}

fn validator(of: &str) -> jsonschema::Validator {
    let schema: Value = serde_json::from_slice(&batchscope(&["schema", of])).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

fn faults(validator: &jsonschema::Validator, value: &Value) -> Vec<String> {
    let found = validator.iter_errors(value);
    found.map(|e| format!("{}: {e}", e.instance_path)).collect()
}

#[test]
fn findings_are_what_their_schema_says() {
    let validator = validator("findings");
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/results");
    let mut checked = 0;
    for entry in fs::read_dir(results).unwrap() {
        let Ok(text) = fs::read_to_string(entry.unwrap().path().join("findings.json")) else {
            continue;
        };
        let findings: Value = serde_json::from_str(&text).unwrap();
        // Findings of earlier versions are read, and lack what came later.
        if findings["schema"] == "batchscope.findings/1.4" {
            assert_eq!(faults(&validator, &findings), [] as [String; 0]);
            checked += 1;
        }
    }
    assert!(checked > 0, "no findings of this version are committed");
}

#[test]
fn findings_of_tables_are_too_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("sizes.csv");
    let row = |model: u64, b: u64| {
        let steps = 1000.0 * (1.0 + model as f64 * 100.0 / b as f64);
        [0.97, 1.04]
            .map(|noise| format!("{model}M,{b},{}\n", steps * noise))
            .concat()
    };
    let rows = [1, 2, 4].map(|model| (4..12).map(|i| row(model, 1 << i)).collect::<String>());
    fs::write(&table, format!("model,batch_size,steps\n{}", rows.concat())).unwrap();
    let printed = batchscope(&[
        "fit",
        table.to_str().unwrap(),
        "--json",
        "--overhead-from",
        "16",
        "--at",
        "100M",
        "--dir",
        folder.path().join("report").to_str().unwrap(),
    ]);
    let findings: Value = serde_json::from_slice(&printed).unwrap();
    let validator = validator("findings");
    assert_eq!(faults(&validator, &findings), [] as [String; 0]);
    assert!(
        findings["laws"]
            .as_array()
            .is_some_and(|laws| laws.len() == 2)
    );
    // The schema can fail.
    let mut wrong = findings.clone();
    wrong["curves"][0]["points"][0]["steps"]["state"] = json!("guessed");
    assert_eq!(faults(&validator, &wrong).len(), 1);
    let mut lacking = findings;
    lacking["study"]
        .as_object_mut()
        .unwrap()
        .remove("batch_sizes");
    assert_eq!(faults(&validator, &lacking).len(), 1);
}

#[test]
fn lines_of_the_protocol_are_what_their_schema_says() {
    let validator = validator("reports");
    for line in [
        json!({"batchscope": 1}),
        json!({"step": 100, "val_loss": 0.43}),
        json!({"step": 100, "val": {"loss": "nan", "note": null}, "epoch": 1.5, "lr": 0.1}),
        json!({"examples": 6400, "eval_acc": 0.9, "tags": ["a"]}),
    ] {
        assert_eq!(faults(&validator, &line), [] as [String; 0], "{line}");
    }
    for line in [
        json!([]),
        json!({"batchscope": 2}),
        json!({"step": -1}),
        json!({"step": "x"}),
    ] {
        assert_eq!(faults(&validator, &line).len(), 1, "{line}");
    }
}
