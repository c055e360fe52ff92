//! `batchscope exchange`: what replicas pay for exchanging vectors, and what `advise` makes of it.

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::{batchscope, run, small_study, text};

/// Exchanges between two and three threads, written to a file.
fn measure(path: &Path) -> Value {
    let mut command = batchscope();
    command.args(["exchange", "--ranks", "3,2", "--sizes", "100,1e4"]);
    command
        .args(["--budget", "0.01", "--json", "--out"])
        .arg(path);
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    let written: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let printed: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(written, printed);
    written
}

/// The words of a text, without where its lines break.
fn words(bytes: &[u8]) -> String {
    let text = text(bytes);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_exchange_is_measured_between_every_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exchange.json");
    let measured = measure(&path);
    assert_eq!(measured["version"], 1);
    assert_eq!(measured["carrier"], "threads");
    assert!(measured["cores"].as_u64().unwrap() >= 1);
    let rows = measured["rows"].as_array().unwrap();
    let mut seen = Vec::new();
    for row in rows {
        let [low, median, high] = ["low", "seconds", "high"].map(|key| row[key].as_f64().unwrap());
        assert!(0.0 < low && low <= median && median <= high, "{row}");
        assert!(row["n"].as_u64().unwrap() >= 5);
        let of = |key: &str| row[key].as_u64().unwrap();
        seen.push((
            of("ranks"),
            row["operation"].as_str().unwrap().to_owned(),
            of("numbers"),
        ));
    }
    let mut expected = Vec::new();
    for ranks in [2, 3] {
        for operation in ["all_reduce", "ring", "one_peer"] {
            expected.extend([100, 10_000].map(|n| (ranks, operation.to_owned(), n)));
        }
    }
    assert_eq!(seen, expected);

    // What was written is shown again, with what it is and is not.
    let machine = measured["machine"].as_str().unwrap();
    let out = run(&["exchange", "--from", path.to_str().unwrap()]);
    let said = words(&out.stdout);
    for part in [
        &words(machine.as_bytes()),
        "on threads",
        "not network times",
        "one-peer",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_stated_network_is_modeled_and_drawn_beside_what_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exchange.json");
    measure(&path);
    let figure = folder.path().join("figure.svg");
    let network = "latency=5us,bandwidth=10GB/s,numbers=5000,compute=1ms";
    let model = |network: &str| {
        let mut command = batchscope();
        command
            .args(["exchange", "--json", "--model", network, "--from"])
            .arg(&path);
        let out = command.arg("--figure").arg(&figure).output().unwrap();
        assert!(out.status.success(), "{}", text(&out.stderr));
        serde_json::from_slice::<Value>(&out.stdout).unwrap()
    };
    let found = model(network);
    let (modeled, measured) = (&found["modeled"], &found["measured"]);
    assert_eq!(modeled.as_array().unwrap().len(), 3 * 10);
    assert_eq!(measured.as_array().unwrap().len(), 2 * 2);
    // 20 kB on 4,096 devices: 120 µs of latencies by halving, and twice the vector; one peer takes 5 µs and 2 µs.
    let last = modeled
        .as_array()
        .unwrap()
        .iter()
        .filter(|point| point["members"] == 4096);
    let one_peer = last
        .into_iter()
        .find(|point| point["graph"] == "one_peer")
        .unwrap();
    let close = |value: &Value, expected: f64| {
        let value = value["value"].as_f64().unwrap();
        assert!((value / expected - 1.0).abs() < 1e-9, "{value} {expected}");
    };
    let all = 24.0 * 5e-6 + 2.0 * 4095.0 / 4096.0 * 2e-6;
    close(&one_peer["all_reduce"], all);
    close(&one_peer["exchange"], 7e-6);
    close(&one_peer["break_even"], (1e-3 + all) / (1e-3 + 7e-6));
    assert!(one_peer.get("time_ratio").is_none());
    let drawn = fs::read_to_string(&figure).unwrap();
    assert!(drawn.contains("curve dash l") && drawn.contains("solid: measured on one machine"));

    let found = model(&format!("{network},steps=1.3"));
    assert!(found["modeled"][0]["time_ratio"]["value"].as_f64().unwrap() > 1.0);
    // Nothing is read off far from what was measured.
    let found = model("latency=5us,bandwidth=10G,numbers=25M,compute=1ms");
    assert_eq!(found["measured"].as_array().unwrap().len(), 0);

    let out = run(&["exchange", "--model", network]);
    let said = words(&out.stdout);
    for part in [
        "4096 one-peer",
        "modeled",
        "halving",
        "is measured by training",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("Measured on"), "{said}");
}

#[test]
fn advice_takes_exchanges_of_this_machine_alone() {
    let folder = tempfile::tempdir().unwrap();
    let study = folder.path().join("study");
    let out = small_study(&study).output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    let path = folder.path().join("exchange.json");
    let measured = measure(&path);
    let advise = |flags: &[&str]| {
        let mut command = batchscope();
        command
            .arg("advise")
            .arg(&study)
            .args(["--budget", "0.05", "--exchange"]);
        command.arg(&path).args(flags).output().unwrap()
    };
    let out = advise(&["--json"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let advice: Value = serde_json::from_slice(&out.stdout).unwrap();
    let batch = advice["recommended"]["batch_size"].as_u64().unwrap();
    let exchange = &advice["exchange"];
    assert_eq!(exchange["machine"], measured["machine"]);
    assert_eq!(exchange["batch_size"], batch);
    let parameters = exchange["parameters"].as_u64().unwrap();
    assert!(parameters > 0);
    let steps = exchange["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 2 * 3);
    for step in steps {
        assert_eq!(
            step["share"],
            batch.div_ceil(step["ranks"].as_u64().unwrap())
        );
        let value = |key: &str| step[key]["value"].as_f64();
        if let (Some(compute), Some(exchange)) = (value("step"), value("exchange")) {
            assert!((value("seconds").unwrap() - compute - exchange).abs() < 1e-12);
        } else {
            assert!(step["seconds"]["reason"].is_string(), "{step}");
        }
    }
    let out = advise(&[]);
    let said = words(&out.stdout);
    for part in [
        "recommended on one device",
        "on threads:",
        "Put together: their sum",
        "at least",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }

    // The same file of another machine.
    let mut other = measured;
    other["machine"] = "elsewhere".into();
    fs::write(&path, other.to_string()).unwrap();
    let out = advise(&[]);
    assert_eq!(out.status.code(), Some(2));
    let said = words(&out.stderr);
    let here = exchange["machine"].as_str().unwrap();
    for part in [
        "--exchange",
        "'elsewhere'",
        &words(format!("'{here}'").as_bytes()),
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn flags_and_files_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let later = r#"{"version":9,"machine":"m","cores":1,"carrier":"threads","rows":[]}"#;
    let row = r#"{"operation":"ring","ranks":2,"numbers":9,"seconds":-1,"low":1,"high":1,"n":3}"#;
    let broken =
        format!(r#"{{"version":1,"machine":"m","cores":1,"carrier":"mpi","rows":[{row}]}}"#);
    let (later, broken) = (write("later", later), write("broken", &broken));
    let text_file = write("text", "no JSON");
    let nowhere = folder.path().join("no/such/file.json");
    for (words, says) in [
        (&["--ranks", "1"][..], "--ranks"),
        (&["--ranks", "2,x"], "--ranks"),
        (&["--sizes", "0"], "--sizes"),
        (&["--sizes", "1.5"], "--sizes"),
        (&["--sizes", "1e12"], "--sizes: 1,000,000,000,000 numbers"),
        (&["--budget", "0"], "--budget"),
        (&["--budget", "nan"], "--budget"),
        (&["--out", nowhere.to_str().unwrap()], "--out"),
        (&["--figure", "x.svg"], "--model"),
        (&["--model", "latency=5us"], "bandwidth is missing"),
        (&["--from", &later, "--ranks", "2"], "--ranks"),
        (&["--from", &later], "--from: "),
        (&["--from", &later], "version 9"),
        (&["--from", &broken], "row 1"),
        (&["--from", &text_file], "does not hold measured exchanges"),
    ] {
        let out = run(&[&["exchange"], words].concat());
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(says), "{words:?}: {said}");
    }
}

/// `cargo test -p batchscope --features mpi --test exchange`, with Open MPI in the path.
#[cfg(all(feature = "mpi", target_os = "linux"))]
mod over_mpi {
    use std::process::{Command, Output, Stdio};

    use super::*;
    use support::finish;

    fn processes(words: &[&str]) -> Output {
        let child = Command::new("mpirun")
            .args(["--allow-run-as-root", "--oversubscribe", "-n", "3"])
            .arg(env!("CARGO_BIN_EXE_batchscope"))
            .args(words)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        finish(child.unwrap(), "mpirun -n 3")
    }

    #[test]
    fn processes_exchange_as_threads_do() {
        let flags = [
            "exchange", "--sizes", "100,1e4", "--budget", "0.01", "--json",
        ];
        let out = processes(&flags);
        assert!(out.status.success(), "{}", text(&out.stderr));
        let measured: Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(measured["carrier"], "mpi");
        let rows = measured["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 3 * 2);
        assert!(
            rows.iter()
                .all(|row| row["ranks"] == 3 && row["n"].as_u64() >= Some(5))
        );

        // What is refused on process 0 ends all, and is said once.
        let out = processes(&[&flags[..], &["--ranks", "2"]].concat());
        assert!(!out.status.success());
        let said = text(&out.stderr);
        assert_eq!(
            said.matches("--ranks: 3 processes were started").count(),
            1,
            "{said}"
        );
    }
}
