//! What once went wrong in somebody's hands, one test and its story each.

mod support;

use std::{
    path::Path,
    process::{Command, Output},
};

use batchscope_core::Described;
use support::{batchscope, findings, small_study, text, timeless};

/// A run on a few built-in images that takes a moment.
fn train(arguments: &[&str]) -> Command {
    let mut command = batchscope();
    command.args(["train", "--data", "glyphs", "--examples", "500"]);
    command.args(["--model", "softmax", "--batch-size", "16"]);
    command.args(arguments);
    command
}

fn ended(command: &mut Command) -> (Option<i32>, String) {
    let out: Output = command.output().unwrap();
    (out.status.code(), text(&out.stderr))
}

/// Refused as wrong use, by the flag's name.
fn refused(command: &mut Command, flag: &str) {
    let (code, said) = ended(command);
    assert_eq!(code, Some(2), "{command:?}: {said}");
    assert!(said.contains(&format!("--{flag}")), "{command:?}: {said}");
}

/// `train --clip -1` climbed to a loss of 7, `--clip 0` learned nothing, `--clip nan` clipped nothing, and
/// `--eval-examples 0` evaluated one example; `study` refused them all.
#[test]
fn train_refuses_what_study_refuses() {
    for [flag, value] in [
        ["clip", "-1"],
        ["clip", "0"],
        ["clip", "nan"],
        ["clip", "inf"],
        ["eval-examples", "0"],
        ["micro-batch", "0"],
    ] {
        let long = format!("--{flag}");
        refused(&mut train(&["--steps", "2", &long, value]), flag);
        let mut study = batchscope();
        study.args(["study", "--dry-run", "--model", "softmax", &long, value]);
        refused(&mut study, flag);
    }
}

/// These ended with code 1, as if something had failed, and without the flag's name.
#[test]
fn every_setting_that_makes_no_sense_is_wrong_use_of_its_flag() {
    for (flag, value) in [
        ("schedule", "step:0.1@60ep@30ep"),
        ("schedule", "cosine:0"),
        ("max-memory", "1"),
        ("augment", "crop:99"),
        ("model", "lenet(dropout=7)"),
        ("model", "lstm(layers=1,width=8)"),
        ("method", "conservative(0.1),conservative(0.2)"),
        ("target", "val-perplexity=3"),
        ("controller", "grow(limit=-1)"),
    ] {
        let long = format!("--{flag}");
        refused(&mut train(&["--steps", "2", &long, value]), flag);
    }
}

/// `--sequence 36` was refused on images, and `--sequence 35`, the default, taken without a word.
#[test]
fn a_setting_without_effect_on_the_data_is_refused_at_its_default_too() {
    for flag in [
        "sequence=35",
        "vocabulary=10000",
        "text-level=word",
        "regression=off",
        "ignore-columns=none",
    ] {
        let name = flag.split('=').next().unwrap();
        refused(&mut train(&["--steps", "2", &format!("--{flag}")]), name);
    }
}

/// Settings that an untrained network meets: the study said "reached the target in 1 steps" and advised by
/// it.
#[test]
fn a_target_that_is_met_before_training_is_refused() {
    for target in ["val-error=1.0", "val-loss=100", "train-error=0.9999"] {
        refused(&mut train(&["--steps", "2", "--target", target]), "target");
    }
    let place = tempfile::tempdir().unwrap();
    let mut study = batchscope();
    study.args(["study", "--data", "glyphs", "--examples", "500"]);
    study.args(["--model", "softmax", "--batch-sizes", "8,32"]);
    study.args(["--target", "val-error=0.999", "--dir"]);
    study.arg(place.path());
    refused(&mut study, "target");
}

/// A warm-up of 1000 steps in a run of 20 trained at 2 % of the rate, and said "learning rate 1".
#[test]
fn a_schedule_that_does_not_fit_the_run_is_remarked_upon() {
    let note = |arguments: &[&str]| {
        let mut all = vec!["--steps", "20", "--learning-rate", "0.1"];
        all.extend(arguments);
        let (code, said) = ended(&mut train(&all));
        assert_eq!(code, Some(0), "{said}");
        said
    };
    assert!(note(&["--warm-up", "1000"]).contains("note: the warm-up (1000 steps)"));
    assert!(note(&["--schedule", "cosine:5"]).contains("note: the schedule ends at step 5 of 20"));
    assert!(note(&["--schedule", "step:0.1@30ep@60ep"]).contains("note: 2 of 2 marks"));
    assert!(!note(&["--warm-up", "10"]).contains("warm-up"));
}

/// Numbers were printed with 300 zeros.
#[test]
fn a_very_large_number_is_printed_with_an_exponent() {
    let (code, said) = ended(&mut train(&[
        "--steps",
        "1",
        "--target",
        "val-perplexity=1e300",
    ]));
    assert_eq!(code, Some(2));
    assert!(said.len() < 300, "{said}");
}

/// Counts of 2^63 and more were panics where `study.toml` was to hold them.
#[test]
fn a_count_beyond_the_settings_file_s_is_refused() {
    let flags = [
        "examples",
        "eval-examples",
        "eval-first",
        "max-steps",
        "seed",
        "base-batch",
    ];
    for flag in flags {
        let long = format!("--{flag}");
        let mut study = batchscope();
        study.args([
            "study",
            "--dry-run",
            "--model",
            "softmax",
            &long,
            "9223372036854775808",
        ]);
        refused(&mut study, flag);
    }
}

/// It was built with its feature and panicked for every model.
#[test]
fn wgpu_says_at_the_start_that_nothing_trains_there() {
    let (code, said) = ended(&mut train(&["--steps", "2", "--device", "wgpu"]));
    assert_eq!(code, Some(2));
    assert!(said.contains("wgpu") && said.contains("cpu"), "{said}");
}

/// Two programs wrote one checkpoint; both said that their run was saved, and one was lost.
#[test]
fn one_run_at_a_time_has_a_checkpoint() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("c");
    std::fs::create_dir(&folder).unwrap();
    let held = batchscope_files::Lock::beside(&folder.join("run.safetensors")).unwrap();
    let mut second = train(&["--steps", "2", "--checkpoint"]);
    let (code, said) = ended(second.arg(&folder));
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&format!("in use by process {}", std::process::id())),
        "{said}"
    );
    drop(held);
    let mut alone = train(&["--steps", "2", "--checkpoint"]);
    assert_eq!(ended(alone.arg(&folder)).0, Some(0));
    let left: Vec<_> = folder.read_dir().unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

/// The same for a folder of measurements, and measurements on data that the checkpoint never saw were
/// made with a mere note.
#[test]
fn landscape_has_its_folder_alone_and_the_checkpoint_s_data() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("c");
    let mut training = train(&["--steps", "5", "--checkpoint"]);
    assert_eq!(ended(training.arg(&folder)).0, Some(0));
    let landscape = |examples: &str, dir: &Path| {
        let mut command = batchscope();
        command.arg("landscape").arg(&folder).arg("--dir").arg(dir);
        command.args(["--data", "glyphs", "--train-examples", examples]);
        command.args(["--loss-examples", "50", "--starts", "1"]);
        command
    };
    let dir = place.path().join("l");
    refused(&mut landscape("400", &dir), "other-data");
    assert!(!dir.exists());
    std::fs::create_dir(&dir).unwrap();
    let held = batchscope_files::Lock::beside(&dir.join("landscape.json")).unwrap();
    let (code, said) = ended(&mut landscape("500", &dir));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("in use by process"), "{said}");
    drop(held);
    assert_eq!(ended(&mut landscape("500", &dir)).0, Some(0));
}

/// The hint in `study.toml` was `study --dir out dir ü`; a newline in the folder's name put a setting of
/// its own into the file.
#[test]
fn a_folder_s_name_cannot_break_what_is_written_of_it() {
    let place = tempfile::tempdir().unwrap();
    let spaced = place.path().join("out dir ü");
    assert_eq!(ended(&mut small_study(&spaced)).0, Some(0));
    let settings = std::fs::read_to_string(spaced.join("study.toml")).unwrap();
    assert!(settings.contains("out dir ü'` resumes it"), "{settings}");

    let broken = place.path().join("a\nseeds = 9\nb");
    assert_eq!(ended(&mut small_study(&broken)).0, Some(0));
    let settings = std::fs::read_to_string(broken.join("study.toml")).unwrap();
    assert_eq!(settings.matches("\nseeds").count(), 1, "{settings}");
    assert_eq!(timeless(&broken), timeless(&spaced));
}

/// The hint of a folder that begins with a dash was read as a flag.
#[test]
fn a_folder_that_begins_with_a_dash_is_found_again() {
    let place = tempfile::tempdir().unwrap();
    let mut study = batchscope();
    study.current_dir(place.path());
    study.args(["study", "--data", "glyphs", "--examples", "500"]);
    study.args(["--model", "softmax", "--batch-sizes", "8,32"]);
    study.args(["--tune-trials", "2", "--seeds", "2"]);
    study.args(["--target", "train-loss=1.8", "--dir=-s"]);
    assert_eq!(ended(&mut study).0, Some(0));
    let mut report = batchscope();
    report
        .current_dir(place.path())
        .args(["report", "--", "-s"]);
    assert_eq!(ended(&mut report).0, Some(0));
    let settings = std::fs::read_to_string(place.path().join("-s/study.toml")).unwrap();
    assert!(settings.contains("--dir ./-s` resumes it"), "{settings}");
}

/// Most of a test part lay in training: `data check` said so and nothing else.
#[test]
fn data_that_are_refused_are_shown_first() {
    let place = tempfile::tempdir().unwrap();
    for part in ["train.csv", "test.csv"] {
        let rows = "1,2,a\n3,4,b\n5,6,a\n7,8,b\n".repeat(5);
        std::fs::write(place.path().join(part), rows).unwrap();
    }
    let out = batchscope()
        .args(["data", "check"])
        .arg(place.path())
        .output()
        .unwrap();
    let (shown, said) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(shown.contains("2 classes"), "{shown}");
    assert!(
        said.contains("20 of 20 test examples are training examples too"),
        "{said}"
    );
    refused(
        batchscope()
            .args(["train", "--steps", "2", "--data"])
            .arg(place.path()),
        "test",
    );
}

/// A folder's name that is not UTF-8 was a panic.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_s_name_need_not_be_utf_8() {
    use std::os::unix::ffi::OsStrExt;
    let place = tempfile::tempdir().unwrap();
    let dir = place
        .path()
        .join(std::ffi::OsStr::from_bytes(b"\xff-study"));
    let (code, said) = ended(&mut small_study(&dir));
    assert_eq!(code, Some(0), "{said}");
    let mut report = batchscope();
    assert_eq!(ended(report.arg("report").arg(&dir)).0, Some(0));
}

/// SQLite takes paths of 512 bytes, and said only "unable to open database file".
#[test]
fn a_path_too_long_for_the_database_is_said_to_be() {
    let place = tempfile::tempdir().unwrap();
    let mut dir = place.path().to_owned();
    for _ in 0..5 {
        dir.push("x".repeat(120));
    }
    let (code, said) = ended(&mut small_study(&dir));
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("--dir") && said.contains("too long"),
        "{said}"
    );
}

/// Step times that somebody altered were taken for measured ones.
#[test]
fn altered_facts_of_a_run_are_not_believed() {
    let place = tempfile::tempdir().unwrap();
    assert_eq!(ended(&mut small_study(place.path())).0, Some(0));
    let file = place.path().join("run.json");
    let facts = std::fs::read_to_string(&file).unwrap();
    let seconds = facts.find("\"seconds\": ").unwrap() + "\"seconds\": ".len();
    let altered = format!("{}9{}", &facts[..seconds], &facts[seconds..]);
    std::fs::write(&file, altered).unwrap();
    let mut report = batchscope();
    let (code, said) = ended(report.arg("report").arg(place.path()));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("run.json is not as it was written"), "{said}");
}

/// Part of a write-ahead log that cannot be read is dropped by SQLite without a word: `trials` then listed
/// fewer.
#[test]
fn trials_that_were_stored_and_are_gone_are_missed() {
    let place = tempfile::tempdir().unwrap();
    assert_eq!(ended(&mut small_study(place.path())).0, Some(0));
    let kept = place.path().join("study.db.revision");
    let revision: i64 = std::fs::read_to_string(&kept).unwrap().parse().unwrap();
    std::fs::write(&kept, (revision + 3).to_string()).unwrap();
    let list = || {
        let mut trials = batchscope();
        ended(trials.arg("trials").arg(place.path()))
    };
    let (code, said) = list();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("lacks the last 3 changes") && said.contains("study.db.revision"),
        "{said}"
    );
    std::fs::remove_file(&kept).unwrap();
    assert_eq!(list().0, Some(0));
}

/// A study whose database was deleted under it ended with success: SQLite writes on to a file that has lost its name.
#[cfg(unix)]
#[test]
fn a_study_whose_database_is_deleted_under_it_fails() {
    use std::time::{Duration, Instant};
    let place = tempfile::tempdir().unwrap();
    let database = place.path().join("study.db");
    let child = batchscope()
        .args(["study", "--quiet", "--batch-sizes", "8..256", "--dir"])
        .arg(place.path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !database.exists() && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::remove_file(&database).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("study.db"), "{said}");
}

/// What a killed run had half written stayed beside the next complete one.
#[test]
fn what_a_killed_run_left_half_written_is_swept() {
    let place = tempfile::tempdir().unwrap();
    // no process has such a number
    let stray = place.path().join(".findings.json.2147483646.abcdef.tmp");
    std::fs::write(&stray, "half").unwrap();
    let checkpoints = place.path().join("checkpoints");
    std::fs::create_dir(&checkpoints).unwrap();
    std::fs::write(checkpoints.join("trial-3.safetensors"), "of a killed run").unwrap();
    assert_eq!(ended(&mut small_study(place.path())).0, Some(0));
    assert!(!stray.exists());
    assert_eq!(checkpoints.read_dir().unwrap().count(), 0);
    assert!(!findings(place.path()).is_null());
}

/// Every flag of every command that takes a number or a choice, with values that make none. Whatever is
/// wrong is wrong use, said by the flag's name; nothing panics, hangs or is taken for something else.
#[test]
fn nonsense_is_refused_by_its_flag() {
    let numbers = ["", "x", "-1", "nan", "inf", "1e999", "0x10"];
    let flags = [
        ("train", "batch-size"),
        ("train", "learning-rate"),
        ("train", "steps"),
        ("train", "epochs"),
        ("train", "clip"),
        ("train", "eval-examples"),
        ("train", "micro-batch"),
        ("study", "seeds"),
        ("study", "tune-trials"),
        ("study", "base-batch"),
        ("study", "widen-factor"),
        ("study", "cap-factor"),
        ("study", "pilot-trials"),
        ("study", "pilot-epochs"),
        ("study", "eval-first"),
        ("study", "eval-ratio"),
        ("study", "eval-refine"),
        ("study", "jobs"),
        ("noise", "batch-size"),
        ("noise", "width"),
        ("noise", "max-examples"),
    ];
    for (command, flag) in flags {
        for value in numbers {
            let mut run = batchscope();
            run.args([command, "--model", "softmax", "--examples", "200"]);
            run.arg(format!("--{flag}={value}"));
            if command == "study" {
                run.arg("--dry-run");
            }
            refused(&mut run, flag);
        }
    }
}

/// Wrong ways to write a thing that is chosen by name: unknown names and parameters, and for every parameter
/// values that no range of its kind holds.
fn wrong_choices(descriptor: &batchscope_core::Descriptor) -> Vec<String> {
    use batchscope_core::Kind;
    let name = descriptor.name;
    let mut wrong = vec![format!("{name}x"), format!("{name}(nonsense=1)")];
    for parameter in descriptor.parameters {
        let values: &[&str] = match parameter.kind {
            Kind::Number(_) => &["nonsense\u{7}", "nan", "inf", "1e999"],
            Kind::Whole(..) => &["nonsense\u{7}", "nan", "-1", "0.5", "18446744073709551616"],
            _ => &["nonsense\u{7}"],
        };
        let key = parameter.name;
        wrong.extend(values.iter().map(|value| format!("{name}({key}={value})")));
        if let Kind::List(..) = parameter.kind {
            wrong.extend(["nan", "-1", "18446744073709551616"].map(|v| format!("{name}({v})")));
        }
    }
    wrong
}

/// The same for everything that is chosen by name.
#[test]
fn nonsense_of_a_registry_is_refused_by_its_flag() {
    fn of<T: Described + ?Sized + 'static>(
        registry: &batchscope_core::Registry<T>,
    ) -> Vec<&batchscope_core::Descriptor> {
        registry.all.iter().map(|kind| kind.descriptor()).collect()
    }
    let all = [
        ("train", "optimizer", of(&batchscope_optim::OPTIMIZERS)),
        ("train", "method", of(&batchscope_train::METHODS)),
        (
            "train",
            "augment",
            of(&batchscope_train::augment::AUGMENTATIONS),
        ),
        ("train", "controller", of(&batchscope_rules::CONTROLLERS)),
        ("train", "model", of(&batchscope_nn::MODELS)),
        ("study", "rules", of(&batchscope_rules::RULES)),
        ("train", "format", of(&batchscope_data::READERS)),
        ("train", "measure", of(&batchscope_train::MEASUREMENTS)),
    ];
    let mut tried = 0;
    for (command, flag, descriptors) in all {
        for value in descriptors.into_iter().flat_map(wrong_choices) {
            let mut run = batchscope();
            run.arg(command);
            if flag != "model" {
                run.args(["--model", "softmax"]);
            }
            run.arg(format!("--{flag}={value}"));
            if command == "study" {
                run.args(["--dry-run", "--tune", "base"]);
            }
            let (code, said) = ended(&mut run);
            assert_eq!(code, Some(2), "{value}: {said}");
            assert!(said.contains(&format!("--{flag}")), "{value}: {said}");
            tried += 1;
        }
    }
    assert!(tried > 200, "{tried}");
}

/// And for what is put together from several of them.
#[test]
fn nonsense_of_schedules_and_comparisons_is_refused_by_its_flag() {
    let wrong: [(&str, &[&str]); 4] = [
        (
            "schedule",
            &[
                "nonsense",
                "step(x@3ep)",
                "step(nan@3ep)",
                "cosine(-1ep)",
                "poly(inf,3ep)",
            ],
        ),
        (
            "warm-up",
            &["nonsense", "-1", "nanep", "1e999ep", "18446744073709551616"],
        ),
        (
            "method",
            &[
                "dmsgd(8, nonsense)",
                "dmsgd(nan, ring)",
                "pmsgd(18446744073709551616)",
            ],
        ),
        ("learning-rate", &["nonsense", "nan", "inf", "-1", "0"]),
    ];
    for (flag, values) in wrong {
        for value in values {
            refused(
                &mut train(&["--steps", "2", &format!("--{flag}={value}")]),
                flag,
            );
        }
    }
    for methods in [
        "sgd",
        "sgd+nonsense, sgd+lsr",
        "sgd(momentum=nan)+lsr, sgd+tuned",
        "sgd+lsr, ,",
    ] {
        let mut run = batchscope();
        refused(
            run.args(["compare", &format!("--methods={methods}")]),
            "methods",
        );
    }
}

/// Every optimizer's constants have flags of their own too.
#[test]
fn nonsense_of_an_optimizer_s_constants_is_refused_by_their_flags() {
    for kind in batchscope_optim::OPTIMIZERS.all {
        for parameter in kind.descriptor().parameters {
            let flag = parameter.name.replace('_', "-");
            let mut run = batchscope();
            run.args(["train", "--model", "softmax", "--optimizer"]);
            run.arg(kind.descriptor().name);
            run.arg(format!("--{flag}=nonsense\u{7}"));
            refused(&mut run, &flag);
        }
    }
}

/// Wanted: a study that cannot be written beside, as on a medium that is read only, still tells what it found. (As root, whom
/// no permission stops, a folder stands where the file would.)
#[test]
fn a_report_that_cannot_be_written_is_shown_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("study");
    let found = small_study(&dir).arg("--json").output().unwrap();
    assert!(found.status.success(), "{}", text(&found.stderr));
    let file = dir.join("findings.json");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir_all(file.join("in the way")).unwrap();
    let report = batchscope()
        .args(["report", "--json"])
        .arg(&dir)
        .output()
        .unwrap();
    assert_eq!(report.status.code(), Some(1));
    assert_eq!(text(&report.stdout), text(&found.stdout));
    let said = text(&report.stderr);
    assert!(said.contains("findings.json"), "{said}");
    assert!(!said.contains("report: "), "{said}");
}
