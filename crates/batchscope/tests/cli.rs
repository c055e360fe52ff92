//! The program as a user meets it: exit codes, streams, study folders.

mod support;

use serde_json::Value;
use support::{batchscope, findings, run, small_study, text, timeless};

#[test]
fn usage_errors_exit_with_2_and_name_the_flag() {
    let cases: &[(&[&str], &str)] = &[
        (&["study", "--bach-sizes", "8"], "--bach-sizes"),
        (&["study", "--batch-sizes", "eight"], "batch-sizes"),
        (&["study", "--target", "val-eror=0.1"], "target"),
        (&["study", "--optimizer", "sdg"], "optimizer"),
        (
            &["study", "--optimizer", "adam", "--momentum", "0.9"],
            "momentum",
        ),
        (&["study", "--model", "lenett"], "model"),
        (&["study", "--schedule", "cosine"], "schedule"),
        (&["study", "--seeds", "0"], "seeds"),
        (&["train", "--noise", "loud"], "noise"),
        (&["noise", "--width", "0.5"], "width"),
        (&["noise", "--momentum", "0.9"], "--momentum"),
        (&["noise", "--adversarial"], "--adversarial"),
        (&["noise", "--schedule", "cosine:2ep"], "--schedule"),
        (&["noise", "--noise", "on"], "--noise"),
        (&["noise", "--products", "8"], "--curvature"),
        (
            &["noise", "--curvature", "--augment", "flip"],
            "--curvature",
        ),
        (
            &[
                "noise",
                "--examples",
                "100",
                "--curvature",
                "--products",
                "2",
            ],
            "--products",
        ),
        (&["train", "--batch-size", "0"], "batch-size"),
        (&["train", "--optimizer", "adam(beta1=2)"], "in [0, 1)"),
        (&["study", "--rules", "lsr,lssr"], "did you mean lsr?"),
        (&["study", "--schedule", "cosine(2ep,floor=3)"], "in [0, 1]"),
        (&["train", "--learning-rate", "-1"], "learning-rate"),
        (&["trials", "/nonexistent"], "/nonexistent"),
    ];
    for (arguments, named) in cases {
        let out = run(arguments);
        assert_eq!(
            out.status.code(),
            Some(2),
            "{arguments:?}: {}",
            text(&out.stderr)
        );
        assert!(
            text(&out.stderr).contains(named),
            "{arguments:?}: {}",
            text(&out.stderr)
        );
        assert!(out.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_broken_data_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("table.csv");
    std::fs::write(&csv, "a,b,label\n1,2,x\n3,oops,y\n").unwrap();
    let out = batchscope()
        .args(["data", "check"])
        .arg(&csv)
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(
        text(&out.stderr).contains("table.csv"),
        "{}",
        text(&out.stderr)
    );
}

#[test]
fn completions_and_manual_come_from_the_arguments() {
    for shell in ["bash", "zsh", "fish"] {
        let out = run(&["completions", shell]);
        assert!(
            out.status.success() && text(&out.stdout).contains("batch-sizes"),
            "{shell}"
        );
    }
    let out = run(&["man"]);
    assert!(out.status.success() && text(&out.stdout).contains(".TH batchscope"));
}

#[test]
fn a_study_writes_the_folder_it_promises() {
    let dir = tempfile::tempdir().unwrap();
    let out = small_study(dir.path()).arg("--json").output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    for file in [
        "study.toml",
        "study.db",
        "trials.csv",
        "findings.json",
        "report.html",
        "run.log",
    ] {
        assert!(dir.path().join(file).is_file(), "{file}");
    }
    assert!(dir.path().join("figures").read_dir().unwrap().count() >= 8);

    // `--json` prints what the file holds, and nothing else.
    let printed: Value = serde_json::from_slice(&out.stdout).expect("only JSON on standard output");
    assert_eq!(printed, findings(dir.path()));
    assert!(
        printed["schema"]
            .as_str()
            .unwrap()
            .starts_with("batchscope.findings/1")
    );
    let curve = &printed["curves"][0];
    assert_eq!(curve["rule"], "tuned");
    assert_eq!(curve["points"].as_array().unwrap().len(), 4);
    for key in ["batch_size", "state", "steps", "examples", "learning_rate"] {
        assert!(curve["points"][0].get(key).is_some(), "{key}");
    }
    for definition in ["hyperbola", "overhead20", "plateau"] {
        let estimate = &printed["critical_batch_size"]["tuned"][definition];
        for key in ["value", "low", "high", "level", "n", "state", "reason"] {
            assert!(estimate.get(key).is_some(), "{definition} {key}");
        }
    }

    // The folder serves the other commands.
    let folder = dir.path().to_str().unwrap();
    let trials: Value = serde_json::from_slice(&run(&["trials", folder, "--json"]).stdout).unwrap();
    assert!(trials.as_array().unwrap().len() >= 4 * 4 + 4 * 2);
    let csv = run(&["export", folder, "--format", "csv"]);
    assert!(text(&csv.stdout).lines().count() > 20);
    let parquet = run(&["export", folder, "--format", "parquet"]);
    assert_eq!(&parquet.stdout[..4], b"PAR1");
    let advice: Value =
        serde_json::from_slice(&run(&["advise", folder, "--json", "--budget", "0.05"]).stdout)
            .unwrap();
    assert!(advice["recommended"]["batch_size"].as_u64().is_some());

    // Budgets are totals: the same command again trains nothing, in no time, and finds the same.
    let before = timeless(dir.path());
    let again = batchscope()
        .args(["study", "--dir", folder])
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert_eq!(timeless(dir.path()), before);

    // Another question is refused for this folder, by the name of what differs.
    let other = batchscope()
        .args(["study", "--model", "mlp(8)", "--dir", folder])
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(1));
    assert!(
        text(&other.stderr).contains("model"),
        "{}",
        text(&other.stderr)
    );
}

#[test]
fn a_dry_run_prints_a_price_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("study");
    let out = small_study(&target)
        .args(["--dry-run", "--price-per-hour", "2", "--watts", "65"])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let printed = text(&out.stdout);
    assert!(
        printed.contains("money") && printed.contains("kWh"),
        "{printed}"
    );
    assert!(!target.exists());
}

#[test]
fn micro_batches_train_the_same_network() {
    let train = |micro: &str| -> Value {
        let out = run(&[
            "train",
            "--data",
            "glyphs",
            "--examples",
            "1000",
            "--model",
            "mlp(32)",
            "--batch-size",
            "48",
            "--steps",
            "30",
            "--micro-batch",
            micro,
            "--eval-examples",
            "200",
            "--json",
        ]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    };
    let loss = |record: &Value| {
        record["measurements"].as_array().unwrap().last().unwrap()["metrics"]["train-loss"]
            .as_f64()
            .unwrap()
    };
    let whole = loss(&train("48"));
    for micro in ["1", "7", "16"] {
        let split = loss(&train(micro));
        assert!(
            (split - whole).abs() < 1e-4 * whole,
            "{micro}: {split} against {whole}"
        );
    }
}

/// Bright things on a dark ground, with masks of which is which: from a folder of images to the mean
/// intersection over union, micro-batches and augmentation included.
#[test]
fn masks_are_learned() {
    let dir = tempfile::tempdir().unwrap();
    for (split, count) in [("train", 24u32), ("val", 6)] {
        for kind in ["images", "masks"] {
            std::fs::create_dir_all(dir.path().join(split).join(kind)).unwrap();
        }
        for number in 0..count {
            let (top, left) = (2 * (number % 4), 2 * (number / 4 % 4));
            let inside = |x: u32, y: u32| {
                u8::from((left..left + 8).contains(&x) && (top..top + 8).contains(&y))
            };
            let save = |kind: &str, level: &dyn Fn(u32, u32) -> u8| {
                let picture = image::GrayImage::from_fn(16, 16, |x, y| image::Luma([level(x, y)]));
                let path = dir.path().join(split).join(kind);
                picture.save(path.join(format!("{number}.png"))).unwrap();
            };
            save("images", &|x, y| {
                40 + 150 * inside(x, y) + (x * y % 9) as u8
            });
            save("masks", &|x, y| {
                if (x, y) == (0, 0) { 255 } else { inside(x, y) }
            });
        }
    }
    let out = batchscope()
        .args(["train", "--model", "drn-d-22(ghost=4)", "--json"])
        .args(["--batch-size", "8", "--micro-batch", "4", "--steps", "24"])
        .args([
            "--learning-rate",
            "0.05",
            "--augment",
            "flip,crop:2",
            "--data",
        ])
        .arg(dir.path())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    let record: Value = serde_json::from_slice(&out.stdout).unwrap();
    let measurements = record["measurements"].as_array().unwrap();
    let iou = |at: &Value| at["metrics"]["val-miou"].as_f64().unwrap();
    let best = measurements.iter().map(iou).fold(0.0, f64::max);
    // All one class would be right about three pixels in four: a mean of 0.375.
    assert!((0.5..=1.0).contains(&best), "{best}");
    // A model that answers for whole images says which one does not.
    let out = batchscope()
        .args([
            "train",
            "--model",
            "resnet20",
            "--batch-size",
            "8",
            "--data",
        ])
        .arg(dir.path())
        .output()
        .unwrap();
    assert!(!out.status.success());
    assert!(
        text(&out.stderr).contains("choose drn-d-22"),
        "{}",
        text(&out.stderr)
    );
}

/// Flags that make `noise` and `train` take a moment.
const QUICK: [&str; 6] = ["--examples", "800", "--model", "mlp(16)", "--seed", "3"];

#[test]
fn the_noise_scale_is_measured_and_settles() {
    let measure = |more: &[&str]| {
        let out = run(&[&["noise", "--json"], &QUICK[..], more].concat());
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        serde_json::from_slice::<Value>(&out.stdout).unwrap()
    };
    let found = measure(&["--batch-size", "32"]);
    assert_eq!(
        found,
        measure(&["--batch-size", "32"]),
        "it is reproducible"
    );
    assert_eq!(found["way"], "examples");
    let scale = |found: &Value, of: &str| {
        found["noise"]["whole"][of]["noise_scale"]["value"]
            .as_f64()
            .unwrap()
    };
    // 1/B_N = 1/B + 1/N
    let inverse = 1.0 / scale(&found, "population") + 1.0 / 800.0;
    assert!((scale(&found, "training_set") * inverse - 1.0).abs() < 1e-9);
    assert_eq!(found["noise"]["layers"].as_array().unwrap().len(), 2);
    // A convolution has micro-batches instead, and a coarse answer is soon had.
    let out = run(&[
        "noise",
        "--examples",
        "800",
        "--model",
        "lenet",
        "--width",
        "30",
    ]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let said = text(&out.stdout);
    assert!(
        said.contains("B_simple") && said.contains("conv1"),
        "{said}"
    );
    assert!(said.contains("micro-batches of"), "{said}");
}

/// The noise scales for optimizers that go by signs, and for Muon: their norms, and the same numbers again.
#[test]
fn noise_scales_are_measured_in_other_norms() {
    let measure = || {
        let args = ["noise", "--json", "--l1", "--nuclear", "--batch-size", "32"];
        let out = run(&[&args[..], &QUICK].concat());
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        serde_json::from_slice::<Value>(&out.stdout).unwrap()
    };
    let found = measure();
    assert_eq!(found, measure(), "it is reproducible");
    let norms = &found["norms"];
    // One pass over 800 examples: 25 parts of four examples in each of eight blocks.
    assert_eq!(
        (norms["part"].as_u64(), norms["parts"].as_u64()),
        (Some(4), Some(200))
    );
    for norm in ["l1", "nuclear"] {
        let number = |key: &str| norms[norm][key].as_f64().unwrap();
        assert!(number("gradient") <= number("plain_gradient"), "{norms}");
        let scale = &norms[norm]["noise_scale"];
        let [low, value, high] = ["low", "value", "high"].map(|key| scale[key].as_f64().unwrap());
        assert!(low < value && value < high, "{scale}");
        let plain = (number("deviation") / number("plain_gradient")).powi(2);
        assert!(plain <= value, "{plain} {scale}");
    }
    for (args, why) in [
        (["--l1", "--examples", "60"], "sixteen parts"),
        (["--nuclear", "--model", "softmax"], "moves no matrix"),
    ] {
        let args = args.iter().flat_map(|arg| arg.split(' '));
        let all: Vec<&str> = ["noise", "--batch-size", "32"]
            .into_iter()
            .chain(args)
            .collect();
        let out = run(&all);
        assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
        assert!(text(&out.stderr).contains(why), "{}", text(&out.stderr));
    }
}

/// A run is written down as a table, and followed from it to the bit; rates and batch sizes that a table sets are not set twice.
#[test]
fn a_run_is_written_down_and_followed() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table.csv");
    let table = table.to_str().unwrap();
    let last = |more: &[&str]| {
        let out = run(&[
            &["train", "--json", "--quiet", "--epochs", "3"],
            &QUICK[..],
            more,
        ]
        .concat());
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        let record: Value = serde_json::from_slice(&out.stdout).unwrap();
        (
            record["measurements"].as_array().unwrap().last().unwrap()["metrics"].clone(),
            record,
        )
    };
    let grown = [
        "--controller",
        "late_switch(1ep,4)",
        "--batch-size",
        "16",
        "--write-schedule",
        table,
    ];
    let (metrics, record) = last(&grown);
    let decision = &record["decisions"][0];
    assert_eq!(
        (decision["step"].as_u64(), decision["batch_size"].as_u64()),
        (Some(50), Some(64))
    );
    let written = std::fs::read_to_string(table).unwrap();
    assert_eq!(
        written,
        "step,batch_size,learning_rate\n0,16,0.02\n50,64,0.02\n"
    );
    let follow = format!("table:{table}");
    let (followed, record) = last(&["--controller", &follow]);
    assert_eq!(followed, metrics);
    assert_eq!(
        record["spec"]["controller"]["rows"],
        "0 16 0.02; 50 64 0.02"
    );
    for more in [["--learning-rate", "0.1"], ["--batch-size", "8"]] {
        let out = run(&[&["train", "--controller", &follow][..], &QUICK, &more].concat());
        assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
    }
}

/// `B_noise` beside `B_simple`: its pieces, what they come from, and the same numbers again.
#[test]
fn the_noise_scale_is_weighted_by_curvature() {
    let few = [
        "--curvature",
        "--products",
        "12",
        "--hessian-examples",
        "100",
    ];
    let few = [&QUICK[..], &few, &["--batch-size", "50"]].concat();
    let measure = || {
        let out = run(&[&["noise", "--json"], &few[..]].concat());
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        serde_json::from_slice::<Value>(&out.stdout).unwrap()["curvature"].clone()
    };
    let found = measure();
    let value = |of: &str| found[of]["value"].as_f64().unwrap();
    let scale = value("noise_scale");
    assert!((scale * value("curvature") / value("trace") - 1.0).abs() < 1e-9);
    assert!(found["noise_scale"]["low"].as_f64().unwrap() <= scale);
    assert_eq!(
        (&found["products"], &found["micro_batch"]),
        (&12.into(), &50.into())
    );
    assert!(found["relative_error"].as_f64().unwrap() < 1e-2, "{found}");
    for of in ["noise_scale", "curvature", "trace"] {
        assert_eq!(measure()[of], found[of], "it is reproducible");
    }
    let out = run(&[&["noise"], &few[..]].concat());
    let said = text(&out.stdout);
    assert!(said.contains("B_noise = tr(HΣ)/GᵀHG"), "{said}");
    assert!(said.contains("12 micro-batches of 50 examples"), "{said}");
}

#[test]
fn a_trained_network_s_noise_is_measured_from_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let folder = folder.to_str().unwrap();
    let steps = ["--steps", "60", "--batch-size", "32"];
    let train = ["train", "--json", "--checkpoint", folder];
    let out = run(&[&train[..], &QUICK, &steps].concat());
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let record: Value = serde_json::from_slice(&out.stdout).unwrap();
    let watched: u64 = record["measurements"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|m| m["noise"]["steps"].as_u64())
        .sum();
    // Steps 0, 16, 32 and 48.
    assert_eq!(watched, 4, "{record}");
    let trace = |arguments: &[&str]| {
        let out = run(&[&["noise", "--json"], &QUICK[..], arguments].concat());
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        let found: Value = serde_json::from_slice(&out.stdout).unwrap();
        found["noise"]["whole"]["population"]["trace"]["value"]
            .as_f64()
            .unwrap()
    };
    let (fresh, trained) = (trace(&[]), trace(&["--checkpoint", folder]));
    assert!(
        trained > 1.2 * fresh,
        "gradients grow apart: {fresh}, {trained}"
    );
    let file = dir.path().join("run/run.safetensors");
    assert_eq!(trained, trace(&["--checkpoint", file.to_str().unwrap()]));
    // A checkpoint knows its model.
    let without_model = [
        "noise",
        "--examples",
        "800",
        "--seed",
        "3",
        "--checkpoint",
        folder,
    ];
    let out = run(&without_model);
    assert_eq!(out.status.code(), Some(0));
    assert!(!text(&out.stderr).contains("trained on other data"));
    // And its data, which were measured on whatever was named.
    let out = run(&["noise", "--examples", "700", "--checkpoint", folder]);
    let said = text(&out.stderr);
    assert!(said.contains("trained on other data"), "{said}");
    // Another model's checkpoint, and none.
    for (model, checkpoint, named, code) in [
        ("mlp(17)", folder, "run.safetensors", 1),
        ("mlp(16)", "/nonexistent", "/nonexistent", 2),
    ] {
        let out = run(&[
            "noise",
            "--examples",
            "800",
            "--model",
            model,
            "--checkpoint",
            checkpoint,
        ]);
        assert_eq!(out.status.code(), Some(code), "{}", text(&out.stderr));
        assert!(text(&out.stderr).contains(named), "{}", text(&out.stderr));
    }
    // The summary says it, and --noise off leaves it out.
    let train = [&["train"], &QUICK[..], &steps].concat();
    assert!(text(&run(&train).stdout).contains("gradient noise scale"));
    let off = run(&[&train[..], &["--noise", "off"]].concat());
    assert_eq!(off.status.code(), Some(0), "{}", text(&off.stderr));
    assert!(!text(&off.stdout).contains("gradient noise"));
}
