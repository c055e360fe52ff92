//! A study's trials as TensorBoard's event files, and what `fit` reads of them.

mod support;

use batchscope_core::TrialRecord;
use batchscope_measurements::{ReadOptions, Role, read};
use support::{run, small_study, text};

#[test]
fn an_exported_study_is_read_back_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let (dir, folder) = (place.path().join("study"), place.path().join("events"));
    let (dir_name, folder_name) = (dir.to_str().unwrap(), folder.to_str().unwrap());
    let study = small_study(&dir).output().unwrap();
    assert!(study.status.success(), "{}", text(&study.stderr));
    let words = [
        "export",
        dir_name,
        "--to",
        "tensorboard",
        "--output",
        folder_name,
    ];
    let exported = run(&words);
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    let said = text(&exported.stderr);
    assert!(said.contains("tensorboard --logdir"), "{said}");

    let trials: Vec<TrialRecord> =
        serde_json::from_slice(&run(&["trials", dir_name, "--json"]).stdout).unwrap();
    let options = ReadOptions {
        target: trials[0].spec.target.clone(),
        // Pilot and tuning trials are wanted too.
        columns: vec![(Role::LearningRate, None), (Role::Curve, None)],
        ..ReadOptions::default()
    };
    let found = read(std::slice::from_ref(&folder), &options).unwrap();
    let ends = |records: &[TrialRecord]| {
        let reached = records.iter().filter(|r| !r.measurements.is_empty());
        let mut ends: Vec<(u64, f64)> = reached
            .filter_map(|r| Some((r.spec.batch_size, r.outcome.crossing()?)))
            .collect();
        ends.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        ends
    };
    let (ours, theirs) = (ends(&trials), ends(&found.records));
    assert_eq!(ours.len(), theirs.len(), "{:?}", found.notes);
    assert!(ours.len() >= 16);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        // The finer evaluations near the target are read like the others.
        let close = (ours.1 / theirs.1 - 1.0).abs() < 0.05;
        assert!(ours.0 == theirs.0 && close, "{ours:?} {theirs:?}");
    }
    // The whole way, as a user goes it.
    let target = options.target.unwrap().to_string();
    let report = place.path().join("report");
    let fit = [
        "fit",
        folder_name,
        "--target",
        &target,
        "--dir",
        report.to_str().unwrap(),
    ];
    let fitted = run(&fit);
    assert!(fitted.status.success(), "{}", text(&fitted.stderr));
    let said = text(&fitted.stderr);
    assert!(
        said.contains("batch_size is 'hparams/batch_size'"),
        "{said}"
    );

    // A folder that holds something is not added to, and event files are no stream.
    for (words, why) in [
        (&words[..], "not empty"),
        (&words[..4], "name the folder"),
        (
            &[&words[..], &["--evaluations"]].concat(),
            "every evaluation",
        ),
    ] {
        let refused = run(words);
        assert!(!refused.status.success());
        let said = text(&refused.stderr).replace("\n", " ");
        assert!(said.contains(why), "{said}");
    }
    let evaluations = run(&["export", dir_name, "--to", "csv", "--evaluations"]);
    let rows: usize = trials.iter().map(|trial| trial.measurements.len()).sum();
    assert_eq!(text(&evaluations.stdout).lines().count(), 1 + rows);
}
