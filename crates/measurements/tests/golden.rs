//! Public tables of steps to a target give the numbers that others computed from them. The tables lie beside
//! the repository (`BATCHSCOPE_DATA`); without them the tests are skipped, visibly.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use batchscope_measurements::{
    Censoring, Measurements, ReadOptions, of_table, read, table_of_bytes,
};
use batchscope_scaling::{
    AnalysisOptions, Findings, MeasuredElsewhere, Sample, StudySummary, analyze, fit, laws,
    read_size,
};

/// The folder of the tables; `None` is said on standard error.
fn tables() -> Option<PathBuf> {
    let data = std::env::var_os("BATCHSCOPE_DATA").map(PathBuf::from);
    let data = data
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    let folder = data.join("steps-to-target");
    if !folder.is_dir() {
        eprintln!("skipped: there are no tables in {}", folder.display());
        return None;
    }
    Some(folder)
}

fn measured(name: &str, options: &ReadOptions) -> Option<Measurements> {
    Some(read(&[tables()?.join(name)], options).unwrap())
}

fn analyzed(measurements: &Measurements) -> Findings {
    let mut batch_sizes: Vec<u64> = measurements
        .records
        .iter()
        .map(|r| r.spec.batch_size)
        .collect();
    batch_sizes.sort_unstable();
    batch_sizes.dedup();
    let summary = StudySummary {
        model: String::new(),
        data: String::new(),
        trainer: String::new(),
        device: String::new(),
        train_examples: None,
        parameters: 0,
        target: None,
        target_origin: String::new(),
        batch_sizes,
        seeds: 1,
        study_seed: 0,
        base_batch: 1,
        tune: "elsewhere".to_owned(),
        trials: BTreeMap::new(),
        conditions: None,
        own_settings: false,
        by_smoothing: false,
        measured_elsewhere: Some(MeasuredElsewhere::default()),
    };
    let options = AnalysisOptions {
        overhead_from: Some(256),
        bootstrap: 20,
        ..AnalysisOptions::default()
    };
    analyze(summary, Vec::new(), &measurements.records, &options)
}

/// Zhang et al. 2024 (arXiv 2410.21676), their notebook's least squares: `b/a`, `B*`, and `B* = 93.2·N^0.468`
/// with `N` in millions of parameters.
#[test]
fn zhang_2024() {
    let options = ReadOptions {
        censoring: Censoring::None,
        ..ReadOptions::default()
    };
    let Some(measurements) = measured("zhang-2024.csv", &options) else {
        return;
    };
    let mut findings = analyzed(&measurements);
    let published = [
        ("85M", 2191.0, 745.0),
        ("151M", 3240.0, 955.0),
        ("302M", 5433.0, 1394.0),
        ("604M", 7907.0, 1889.0),
        ("1200M", 11131.0, 2533.0),
    ];
    for (curve, ratio, star) in published {
        let critical = &findings.critical_batch_size[curve];
        let found = critical.hyperbola.value.unwrap();
        assert!(
            (found / ratio - 1.0).abs() < 0.01,
            "{curve}: {found} for {ratio}"
        );
        let theirs = critical
            .overhead_from
            .as_ref()
            .unwrap()
            .batch_size
            .value
            .unwrap();
        assert!(
            (theirs / star - 1.0).abs() < 0.01,
            "{curve}: {theirs} for {star}"
        );
    }
    let sizes = published
        .iter()
        .map(|(name, ..)| ((*name).to_owned(), read_size(name).unwrap()));
    findings.laws = laws(&findings, &sizes.collect(), "curve", &[]);
    let law = findings
        .laws
        .iter()
        .find(|law| law.definition == "overhead_from")
        .unwrap();
    assert_eq!(law.unit, 1e6);
    let (coefficient, exponent) = (law.coefficient.value.unwrap(), law.exponent.value.unwrap());
    assert!((coefficient / 93.2 - 1.0).abs() < 0.02, "{coefficient}");
    assert!((exponent / 0.468 - 1.0).abs() < 0.02, "{exponent}");
}

/// MLPerf's reference convergence points: critical batch size, deviation between seeds, lack of fit.
#[test]
fn mlperf() {
    for (name, epochs, b_c, sigma, f) in [
        ("mlperf-llama31-405b.csv", false, 5.9e3, 0.044, 0.7),
        ("mlperf-rnnt.csv", true, 3.7e3, 0.056, 4.8),
        ("mlperf-stable-diffusion.csv", false, 1.1e3, 0.122, 2.2),
        ("mlperf-rgat.csv", true, 116e3, 0.044, 3.3),
        ("mlperf-llama31-8b.csv", false, 84.0, 0.048, 9.3),
    ] {
        let options = ReadOptions {
            train_examples: epochs.then_some(1_000_000),
            ..ReadOptions::default()
        };
        let Some(measurements) = measured(name, &options) else {
            return;
        };
        let findings = analyzed(&measurements);
        let fit = findings.curves[0].fit.as_ref().unwrap();
        let plain = fit.least_squares.unwrap();
        println!(
            "{name}: {} | least squares {:.1}, sigma {:.4}, F {:.3} | {:?}",
            findings.critical_batch_size["table"].hyperbola,
            plain.critical_batch_size,
            plain.seed_sigma.unwrap(),
            plain.lack_of_fit_f.unwrap(),
            (
                fit.seed_sigma,
                fit.sigma_slope,
                fit.lack_of_fit_f,
                fit.lack_of_fit_p
            )
        );
        let digits = |x: f64, published: f64, digits: i32| {
            let unit = 10f64.powi(published.abs().log10().floor() as i32 + 1 - digits);
            (x - published).abs() <= 0.5 * unit * (1.0 + 1e-9)
        };
        assert!(
            digits(
                plain.critical_batch_size,
                b_c,
                if b_c < 1e5 { 2 } else { 3 }
            ),
            "{name}: {}",
            plain.critical_batch_size
        );
        assert!(
            (plain.seed_sigma.unwrap() - sigma).abs() <= 0.0005,
            "{name}: {:?}",
            plain.seed_sigma
        );
        assert!(
            (plain.lack_of_fit_f.unwrap() - f).abs() <= 0.05 + 1e-9,
            "{name}: {:?}",
            plain.lack_of_fit_f
        );
    }
}

/// Steps of an exact hyperbola, rounded up to whole ones, with runs that agree: the rounding is no lack of fit.
#[test]
fn whole_steps_that_agree_do_not_reject_their_hyperbola() {
    let steps = |b: u64| (200.0 * (1.0 + 256.0 / b as f64)).ceil();
    let rows = (3..14)
        .map(|i| 1 << i)
        .map(|b: u64| format!("{b},{0}\n{b},{0}\n", steps(b)));
    let text = format!("batch_size,steps\n{}", rows.collect::<String>());
    let options = ReadOptions::default();
    let table = table_of_bytes(text.as_bytes(), Path::new("exact.csv"), &options).unwrap();
    let records = of_table(&table, &options).unwrap().records;
    let mut samples = BTreeMap::new();
    for record in &records {
        let batch_size = record.spec.batch_size;
        let sample = samples
            .entry(batch_size)
            .or_insert_with(|| Sample::new(batch_size));
        sample.add(record);
    }
    let samples: Vec<Sample> = samples.into_values().collect();
    let curve = fit(&samples, 0.95).unwrap();
    assert!(
        (curve.critical.value.unwrap() / 256.0 - 1.0).abs() < 0.01,
        "{}",
        curve.critical
    );
    assert!(
        curve.fit.lack_of_fit_p.is_none_or(|p| p > 0.05),
        "{:?}",
        curve.fit.lack_of_fit_p
    );
}
