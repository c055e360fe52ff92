//! Wrong use and broken files: an exit code, a message that names what is wrong, never a hang.

mod support;

use std::{fs, path::Path, process::Stdio};

use support::{batchscope, findings, finish, run, small_study, text, timeless};

/// Runs to the end, or fails when it hangs. Its code and what it said in one line.
fn ends(command: &mut std::process::Command) -> (Option<i32>, String) {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = finish(child, &format!("{command:?}"));
    let said = text(&out.stderr);
    let words: Vec<&str> = said.split_whitespace().collect();
    (out.status.code(), words.join(" "))
}

#[test]
fn names_that_are_none_are_wrong_use() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.toml");
    let missing = missing.to_str().unwrap();
    for (arguments, named) in [
        (&["data", "fetch", "mnits"][..], "mnits"),
        (&["study", "--config", missing], "missing.toml"),
        (&["study", "--data", missing], "missing.toml"),
        (&["train", "--data", missing], "missing.toml"),
        (&["data", "check", missing], "missing.toml"),
        (&["advise", missing], "missing.toml"),
        (&["export", missing, "--format", "csv"], "missing.toml"),
        (&["report", missing], "missing.toml"),
    ] {
        let mut command = batchscope();
        let (code, said) = ends(command.args(arguments).current_dir(dir.path()));
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn special_files_are_named_and_do_not_hang() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    for path in [fifo.as_path(), Path::new("/dev/zero")] {
        for (arguments, code) in [
            (&["data", "check"][..], 1),
            (&["train", "--data"], 1),
            (&["study", "--config"], 2),
        ] {
            let (found, said) = ends(
                batchscope()
                    .args(arguments)
                    .arg(path)
                    .current_dir(dir.path()),
            );
            assert_eq!(found, Some(code), "{arguments:?}: {said}");
            assert!(
                said.contains(path.to_str().unwrap()) && said.contains("regular file"),
                "{arguments:?}: {said}"
            );
        }
    }
}

#[test]
fn a_broken_settings_file_is_named_with_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("mine.toml");
    for (content, named) in [
        ("seeds = [", "mine.toml"),
        ("sedes = 3", "sedes"),
        ("seeds = 'three'", "mine.toml"),
        ("tune = 'somewhere'", "tune"),
    ] {
        fs::write(&config, content).unwrap();
        let study = dir.path().join("study");
        let mut command = batchscope();
        command.args(["study", "--config"]).arg(&config);
        let (code, said) = ends(command.arg("--dir").arg(&study));
        assert_eq!(code, Some(2), "{content}: {said}");
        assert!(said.contains(named), "{content}: {said}");
        assert!(!study.exists(), "{content}");
    }
    // The folder's own file too.
    fs::write(dir.path().join("study.toml"), "seeds = [").unwrap();
    let (code, said) = ends(batchscope().args(["study", "--dir"]).arg(dir.path()));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("study.toml"), "{said}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let (code, said) = ends(&mut small_study(&file.join("study")));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot create the study's folder"), "{said}");
}

/// A table whose label is the side of a line, in a folder `place/data`.
fn table(place: &Path) {
    let rows: String = (0..400)
        .map(|i| {
            let (x, y) = (
                f64::from(i * 37 % 101) / 101.0,
                f64::from(i * 53 % 97) / 97.0,
            );
            format!("{x:.4},{y:.4},{}\n", if x > y { "over" } else { "under" })
        })
        .collect();
    fs::create_dir_all(place.join("data")).unwrap();
    fs::write(place.join("data/table.csv"), format!("x,y,side\n{rows}")).unwrap();
}

/// A study named by relative paths goes on from any folder, and publishes no path of the machine.
#[test]
fn relative_data_are_found_from_another_folder() {
    let place = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    table(place.path());
    let mut first = batchscope();
    first.current_dir(place.path()).args([
        "study",
        "--data",
        "data/table.csv",
        "--model",
        "softmax",
        "--batch-sizes",
        "8,32,128",
        "--base-batch",
        "32",
        "--target",
        "train-loss=0.5",
        "--tune-trials",
        "2",
        "--seeds",
        "1",
        "--jobs",
        "1",
        "--dir",
        "out/study",
    ]);
    let (code, said) = ends(&mut first);
    assert_eq!(code, Some(0), "{said}");
    let folder = place.path().join("out/study");
    let before = timeless(&folder);

    let mut again = batchscope();
    again
        .current_dir(elsewhere.path())
        .args(["study", "--seeds", "2", "--dir"])
        .arg(&folder);
    let (code, said) = ends(&mut again);
    assert_eq!(code, Some(0), "{said}");
    assert_ne!(timeless(&folder), before, "another seed was trained");
    let mut advise = batchscope();
    advise
        .current_dir(elsewhere.path())
        .args(["advise", "--budget", "0.01"])
        .arg(&folder);
    let (code, said) = ends(&mut advise);
    assert_eq!(code, Some(0), "{said}");

    // The path is published as it was typed.
    let settings = fs::read_to_string(folder.join("study.toml")).unwrap();
    assert!(settings.contains("data = \"data/table.csv\""), "{settings}");
    let machine = place.path().canonicalize().unwrap();
    let machine = machine.to_str().unwrap();
    let folder_named = |text: &str| text.replace(folder.to_str().unwrap(), "FOLDER");
    for published in ["findings.json", "report.html", "study.toml", "trials.csv"] {
        let content = fs::read_to_string(folder.join(published)).unwrap();
        // The last run named the folder itself by its whole path; nothing else may be there.
        assert!(!folder_named(&content).contains(machine), "{published}");
    }
    assert!(
        findings(&folder)["study"]["data"]
            .as_str()
            .unwrap()
            .contains("content ")
    );

    // Moved as a whole, it is found still; without its data, the error says where they were.
    let moved = elsewhere.path().join("moved");
    fs::create_dir(&moved).unwrap();
    for part in ["data", "out"] {
        fs::rename(place.path().join(part), moved.join(part)).unwrap();
    }
    let resume = || {
        let mut command = batchscope();
        command
            .args(["study", "--dir"])
            .arg(moved.join("out/study"));
        command
    };
    let (code, said) = ends(resume().current_dir(place.path()));
    assert_eq!(code, Some(0), "{said}");
    fs::rename(moved.join("data"), moved.join("away")).unwrap();
    let (code, said) = ends(resume().current_dir(place.path()));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("data/table.csv"), "{said}");
    let (code, said) = ends(
        resume()
            .current_dir(&moved)
            .args(["--data", "away/table.csv"]),
    );
    assert_eq!(code, Some(0), "{said}");
}

/// Data that changed under the same name are other data.
#[test]
fn other_content_is_another_study() {
    let place = tempfile::tempdir().unwrap();
    table(place.path());
    let study = || {
        let mut command = batchscope();
        command.current_dir(place.path()).args([
            "study",
            "--data",
            "data",
            "--model",
            "softmax",
            "--batch-sizes",
            "16,64",
            "--base-batch",
            "16",
            "--target",
            "train-loss=0.5",
            "--tune-trials",
            "2",
            "--seeds",
            "1",
            "--jobs",
            "1",
            "--dir",
            "study",
        ]);
        command
    };
    let (code, said) = ends(&mut study());
    assert_eq!(code, Some(0), "{said}");
    let file = place.path().join("data/table.csv");
    let changed = fs::read_to_string(&file)
        .unwrap()
        .replacen("0.3663", "0.3664", 1);
    fs::write(&file, changed).unwrap();
    let (code, said) = ends(&mut study());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("data = csv:"), "{said}");
}

#[test]
fn a_dry_run_of_an_extended_study_keeps_its_choices() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("study");
    assert!(small_study(&folder).output().unwrap().status.success());
    let name = folder.to_str().unwrap();
    let out = run(&[
        "study",
        "--dir",
        name,
        "--batch-sizes",
        "8,32,128,512,1024",
        "--dry-run",
    ]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let printed = text(&out.stdout);
    // The pilot ran at 32 and 512; a new study of this range would have chosen another second size.
    let pilots: Vec<&str> = printed.lines().filter(|l| l.starts_with("pilot")).collect();
    assert_eq!(pilots.len(), 2, "{printed}");
    for line in pilots {
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert!(["32", "512"].contains(&cells[1]), "{line}");
        assert_eq!(cells[2], cells[3], "all its trials are done: {line}");
    }
    assert!(
        printed.contains("by the quartiles of the step times"),
        "{printed}"
    );
    // Another question is refused as the study itself would refuse it.
    let out = run(&["study", "--dir", name, "--model", "mlp(8)", "--dry-run"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("model"));
}
