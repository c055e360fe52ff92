//! `batchscope landscape`: what it writes, what it refuses, how it goes on.

mod support;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use serde_json::Value;
use support::{PATIENCE, batchscope, finish, signal, text};

/// A checkpoint after so many steps.
fn trained(dir: &Path, name: &str, model: &str, steps: &str) -> PathBuf {
    let folder = dir.join(name);
    let out = batchscope()
        .args(["train", "--data", "glyphs", "--examples", "600"])
        .args(["--model", model, "--steps", steps, "--batch-size", "32"])
        .args(["--eval-examples", "100", "--learning-rate", "0.05"])
        .arg("--checkpoint")
        .arg(&folder)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    folder
}

/// The command on few examples.
fn landscape(checkpoint: &Path, dir: &Path) -> Command {
    let mut command = batchscope();
    command
        .arg("landscape")
        .arg(checkpoint)
        .args(["--train-examples", "600", "--examples", "120", "--dir"])
        .arg(dir);
    command
}

fn json(command: &mut Command) -> Value {
    let out = command.arg("--json").output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// Without the seconds, which depend on the machine.
fn timeless(mut survey: Value) -> Value {
    for measured in survey["measured"].as_array_mut().unwrap() {
        measured.as_object_mut().unwrap().remove("seconds");
    }
    survey
}

#[test]
fn the_default_measures_sharpness_and_the_top_eigenvalue_once() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = trained(dir.path(), "run", "softmax", "40");
    let out = dir.path().join("survey");
    let first = json(&mut landscape(&checkpoint, &out));
    assert_eq!(first["subject"]["model"], "softmax");
    assert_eq!(first["subject"]["step"], 40);
    assert_eq!(first["subject"]["learning_rate"], 0.05);
    assert_eq!(first["subject"]["examples"], 120);
    let measured = first["measured"].as_array().unwrap();
    assert_eq!(measured.len(), 2);
    assert_eq!(measured[0]["result"]["runs"].as_array().unwrap().len(), 5);
    assert!(measured[0]["result"]["phi"]["value"].as_f64().unwrap() > 0.0);
    let top = &measured[1]["result"];
    assert_eq!(top["values"][0]["converged"], true);
    let (largest, stable) = (&top["values"][0]["value"], &top["stable_learning_rate"]);
    let product = largest["value"].as_f64().unwrap() * stable["value"].as_f64().unwrap();
    assert!((product - 2.0).abs() < 1e-12);
    assert!(out.join("landscape.html").is_file() && out.join("landscape.json").is_file());

    // the same once more: nothing is measured again, nothing changes
    let again = landscape(&checkpoint, &out).output().unwrap();
    assert!(again.status.success());
    assert_eq!(text(&again.stderr).matches("known from before").count(), 2);
    assert!(
        text(&again.stdout).contains("2/λ_max"),
        "{}",
        text(&again.stdout)
    );
    assert_eq!(json(&mut landscape(&checkpoint, &out)), first);
    // elsewhere, on another number of threads: the same numbers
    let elsewhere = dir.path().join("elsewhere");
    let alone = json(landscape(&checkpoint, &elsewhere).env("RAYON_NUM_THREADS", "1"));
    assert_eq!(timeless(alone), timeless(first));
}

#[test]
fn everything_there_is_to_measure() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = trained(dir.path(), "small", "mlp(6,norm,ghost=8)", "20");
    let other = trained(dir.path(), "large", "mlp(6,norm,ghost=8)", "40");
    let out = dir.path().join("survey");
    let mut command = landscape(&checkpoint, &out);
    command.args([
        "--sharpness",
        "--spectrum",
        "--top",
        "2",
        "--starts",
        "2",
        "--surface",
        "both",
    ]);
    command
        .args(["--points", "5", "--statistics", "interpolated", "--slice"])
        .arg(&other);
    let survey = json(&mut command);
    assert_eq!(survey["measured"].as_array().unwrap().len(), 12);
    let layers = survey["measured"][9]["result"]["layers"]
        .as_array()
        .unwrap();
    assert_eq!(layers[0]["name"], "linear1.weight");
    let slices = survey["slices"].as_array().unwrap();
    let lengths: Vec<usize> = slices
        .iter()
        .map(|s| s["points"].as_array().unwrap().len())
        .collect();
    assert_eq!(lengths, [25, 25, 5, 25]);
    assert_eq!(slices[0]["kind"]["to"], "large");
    assert_eq!(
        slices[0]["statistics"],
        "interpolated between the solutions"
    );
    // both paths, the line and the surface meet in this checkpoint, the paths in the other too
    let at = |slice: usize, point: usize| slices[slice]["points"][point].clone();
    assert_eq!(at(0, 8), at(1, 8));
    assert_eq!(at(0, 16), at(1, 16));
    assert_eq!(at(2, 2), at(3, 12));
    assert_eq!(at(0, 8), at(2, 2));
    assert_ne!(at(0, 8), at(0, 16));
    for figure in [
        "spectrum",
        "slice-straight",
        "slice-curved",
        "slice-line",
        "surface",
    ] {
        for kind in ["svg", "png"] {
            let file = out.join("figures").join(figure).with_extension(kind);
            assert!(file.is_file(), "{}", file.display());
        }
    }
    let page = std::fs::read_to_string(out.join("landscape.html")).unwrap();
    assert!(page.contains("id=\"shape-data\"") && page.contains("tabindex=\"0\""));
    assert!(
        !page.contains("http://")
            || page.matches("http://").count() == page.matches("http://www.w3.org").count()
    );
    // statistics taken anew join the interpolated ones, which are known
    let mut command = landscape(&checkpoint, &out);
    command.args([
        "--starts",
        "2",
        "--path",
        "straight",
        "--statistics",
        "both",
    ]);
    let survey = json(command.arg("--slice").arg(&other));
    let slices = survey["slices"].as_array().unwrap();
    assert_eq!(slices.len(), 5);
    assert_eq!(slices[4]["statistics"], "estimated anew at every point");
    assert_ne!(slices[4]["points"], slices[0]["points"]);
    assert!(out.join("figures/slice-straight-2.svg").is_file());
}

#[test]
fn what_does_not_go_together_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = trained(dir.path(), "run", "softmax", "5");
    let other = trained(dir.path(), "other", "mlp(4)", "5");
    let out = dir.path().join("survey");
    let refused = |command: &mut Command, code: i32, named: &[&str]| {
        let out = command.output().unwrap();
        let said = text(&out.stderr);
        // the message may be folded anywhere between words
        let said = said.replace('│', " ");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(out.status.code(), Some(code), "{said}");
        for word in named {
            assert!(said.contains(word), "{word}: {said}");
        }
        assert!(out.stdout.is_empty());
    };
    let mut foreign = landscape(&checkpoint, &out);
    refused(
        foreign.arg("--slice").arg(&other),
        2,
        &["--slice", "mlp(4)", "softmax"],
    );
    refused(
        &mut landscape(&dir.path().join("nowhere"), &out),
        2,
        &["batchscope train --checkpoint"],
    );
    let broken = dir.path().join("broken.safetensors");
    std::fs::write(&broken, b"no checkpoint at all").unwrap();
    refused(
        &mut landscape(&broken, &out),
        1,
        &["broken.safetensors", "batchscope train"],
    );
    refused(
        landscape(&checkpoint, &out).args(["--points", "1"]),
        2,
        &["--points"],
    );
    refused(
        landscape(&checkpoint, &out).args(["--tolerance", "0"]),
        2,
        &["--tolerance"],
    );
    json(&mut landscape(&checkpoint, &out));
    let mut another = landscape(&checkpoint, &out);
    refused(
        another.args(["--iterations", "3"]),
        2,
        &["--dir", "settings"],
    );
    let table = dir.path().join("table.csv");
    let class = |i: u32| if i.is_multiple_of(2) { "x" } else { "y" };
    let rows = (0..60).map(|i| format!("{i},{},{}\n", i * i % 7, class(i)));
    let rows: String = rows.collect();
    std::fs::write(&table, format!("a,b,label\n{rows}")).unwrap();
    let mut elsewhere = batchscope();
    elsewhere
        .arg("landscape")
        .arg(&checkpoint)
        .arg("--data")
        .arg(&table);
    refused(
        elsewhere.arg("--dir").arg(dir.path().join("third")),
        2,
        &["--data", "trained on"],
    );
}

#[test]
fn a_dry_run_says_what_it_would_cost_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = trained(dir.path(), "run", "softmax", "5");
    let out = dir.path().join("survey");
    let said = landscape(&checkpoint, &out)
        .args(["--spectrum", "--dry-run"])
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", text(&said.stderr));
    assert!(text(&said.stdout).contains("spectral density of the Hessian: about 1024 gradients"));
    assert!(!out.exists());
}

/// Until a survey has kept something.
#[cfg(unix)]
fn wait_for(file: &Path) {
    let began = Instant::now();
    while !file.exists() {
        assert!(began.elapsed() < PATIENCE, "nothing was ever kept");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_survey_keeps_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = trained(dir.path(), "run", "mlp(32)", "5");
    let out = dir.path().join("survey");
    let all = |out: &Path| {
        let mut command = landscape(&checkpoint, out);
        command.args(["--sharpness", "--spectrum", "--starts", "1", "--top", "1"]);
        command
    };
    let child = all(&out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&out.join("landscape.json"));
    signal(&child, "INT");
    let ended = finish(child, "the interrupted survey");
    // it may have been through already, on a machine that is fast and late
    if ended.status.code() != Some(0) {
        assert_eq!(ended.status.code(), Some(130), "{}", text(&ended.stderr));
        assert!(text(&ended.stderr).contains("the same command"));
    }
    let kept: Value =
        serde_json::from_slice(&std::fs::read(out.join("landscape.json")).unwrap()).unwrap();
    let before = kept["measured"].as_array().unwrap().clone();
    assert!(!before.is_empty());
    let whole = json(&mut all(&out));
    assert_eq!(
        whole["measured"].as_array().unwrap()[..before.len()],
        before[..]
    );
    let straight = json(&mut all(&dir.path().join("straight")));
    assert_eq!(timeless(whole), timeless(straight));
}

/// A surface that takes far longer than anybody waits.
fn endless(checkpoint: &Path, dir: &Path) -> Command {
    let mut command = landscape(checkpoint, dir);
    command
        .args(["--surface", "2d", "--points", "501"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[cfg(unix)]
#[test]
fn an_interrupted_surface_keeps_every_point() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = trained(dir.path(), "run", "mlp(32)", "5");
    let out = dir.path().join("survey");
    let file = out.join("landscape.json");
    let points = || {
        let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let points = kept["slices"][0]["points"].as_array().unwrap().clone();
        points.iter().filter(|point| !point.is_null()).count()
    };
    let child = endless(&checkpoint, &out).spawn().unwrap();
    wait_for(&file);
    // the first point is written at once, the next write is seconds away
    let first = points();
    std::thread::sleep(std::time::Duration::from_secs(1));
    signal(&child, "INT");
    let ended = finish(child, "the interrupted surface");
    assert_eq!(ended.status.code(), Some(130), "{}", text(&ended.stderr));
    assert!(points() > first, "{first} points, and no more");
}

#[test]
fn a_surface_that_cannot_be_written_is_not_measured_on() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = trained(dir.path(), "run", "mlp(32)", "5");
    let out = dir.path().join("survey");
    let file = out.join("landscape.json");
    let child = endless(&checkpoint, &out).spawn().unwrap();
    wait_for(&file);
    // A folder where the file is: its place is refused to root too. The program may write once more
    // between the two calls.
    while std::fs::create_dir(&file).is_err() {
        let _ = std::fs::remove_file(&file);
    }
    let ended = finish(child, "the surface that cannot be written");
    assert_eq!(ended.status.code(), Some(1), "{}", text(&ended.stderr));
    assert!(text(&ended.stderr).contains("cannot write"));
}
