//! `batchscope scale`: a learning rate at another batch size.

mod support;

use std::fs;

use serde_json::Value;
use support::{run, text};

fn rows(arguments: &[&str]) -> Vec<(String, u64, f64, bool)> {
    let out = run(&[&["scale", "--json"], arguments].concat());
    assert!(out.status.success(), "{}", text(&out.stderr));
    let rows: Value = serde_json::from_slice(&out.stdout).unwrap();
    let row = |row: &Value| {
        Some((
            row["by"].as_str().unwrap().to_owned(),
            row["batch_size"].as_u64().unwrap(),
            (row["learning_rate"]["value"].as_f64()? * 1e12).round() / 1e12,
            row["beyond"].as_bool().unwrap(),
        ))
    };
    rows.as_array().unwrap().iter().filter_map(row).collect()
}

/// Rules that move more than the rate say so, and those that cannot be followed say why.
#[test]
fn what_rules_move_besides_the_rate_is_said() {
    let from =
        "batch=256,lr=0.1,warm_up=5ep,optimizer=adamw(beta1=0.9,beta2=0.99,weight_decay=0.1)";
    let out = run(&["scale", "--from", from, "--to", "1024,2560"]);
    let said = text(&out.stdout);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "warm_up 20ep",
        "beta1 0.6, beta2 0.96, epsilon 5e",
        "beta2 0.961",
        "weight_decay 0.4",
        "sde does not reach batch size 2560: from this base it allows at most 2559",
        "none by surge at 1024",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn every_rule_says_what_it_gives_and_where_it_fails() {
    let of = |by: &str, batch_size: u64, rate: f64| (by.to_owned(), batch_size, rate, false);
    let from = "batch=256,lr=0.1,optimizer=adamw,noise_scale=256";
    let found = rows(&["--from", from, "--to", "1024"]);
    let expected = [
        of("blr", 1024, 0.1),
        of("lsr", 1024, 0.4),
        of("srsr", 1024, 0.2),
        of("legw", 1024, 0.2),
        // 2/(1/2 + 2) of the peak, which is at the base.
        of("surge", 1024, 0.08),
        of("sde", 1024, 0.2),
        of("half_life", 1024, 0.1),
    ];
    assert_eq!(found, expected);
    let out = run(&["scale", "--from", "batch=256,lr=0.1", "--to", "1024,4096"]);
    let said = text(&out.stdout);
    for part in [
        "arXiv 1706.02677",
        "Limits:",
        "critical batch size",
        "batchscope study",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

/// Rates `0.01·√B` between 16 and 256: the measured power is a half, and 4096 lies beyond.
#[test]
fn a_measured_law_stands_beside_the_rules() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.csv");
    let mut csv = "batch_size,lr,steps\n".to_owned();
    for i in 4..9 {
        let best = 0.01 * f64::from(1 << i).sqrt();
        for (factor, steps) in [(0.5, 300), (1.0, 100), (2.0, 200)] {
            csv += &format!("{},{},{steps}\n", 1 << i, best * factor);
        }
    }
    fs::write(&path, csv).unwrap();
    let path = path.to_str().unwrap();
    let found = rows(&[
        "--from",
        "batch=64,lr=0.1",
        "--to",
        "256,4096",
        "--table",
        path,
    ]);
    let measured: Vec<_> = found.iter().filter(|row| row.0 == "measured").collect();
    assert_eq!(measured.len(), 2);
    assert!(
        (measured[0].2 - 0.2).abs() < 1e-9 && !measured[0].3,
        "{measured:?}"
    );
    assert!(
        (measured[1].2 - 0.8).abs() < 1e-9 && measured[1].3,
        "{measured:?}"
    );
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    for (from, says) in [
        ("batch=256", "lr is missing"),
        ("lr=0.1", "batch is missing"),
        ("batch=0,lr=0.1", "at least 1"),
        ("batch=8,lr=-1", "above 0"),
        ("batch=8,lr=0.1,momentum=0.9", "'momentum'"),
        ("batch=8,lr=0.1,optimizer=sdg", "sgd"),
        ("256", "batch=256,lr=0.1"),
    ] {
        let out = run(&["scale", "--from", from, "--to", "64"]);
        assert_eq!(out.status.code(), Some(2), "{from}");
        assert!(
            text(&out.stderr).contains(says),
            "{from}: {}",
            text(&out.stderr)
        );
    }
}
