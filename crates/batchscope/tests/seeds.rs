//! The default study over study seeds and lengths of warm-up: does its interval hold what other seeds
//! find, is the curve a hyperbola, and does a warm-up move the critical batch size as it must?
//! docs/results/seeds.md has what it printed:
//!
//! `cargo test --release -p batchscope --test seeds -- --ignored --nocapture --test-threads 1`

mod support;

use serde_json::Value;

use support::{batchscope, findings, text};

/// One study: the critical batch size with its interval, and the fit.
#[derive(Debug, Clone)]
struct Found {
    target: f64,
    value: f64,
    low: f64,
    high: f64,
    s_min: f64,
    e_min: f64,
    lack_of_fit: f64,
    /// Steps against the fitted curve, as logarithms of ratios, by batch size.
    residuals: Vec<(u64, f64)>,
}

impl Found {
    /// Deviation of its logarithm, from the 95 % interval.
    fn deviation(&self) -> f64 {
        (self.high / self.low).ln() / (2.0 * 1.96)
    }
}

/// The default study of glyphs at a seed and a warm-up; to a target of its own where none is given.
fn study(seed: u64, warm_up: u64, target: Option<f64>) -> Found {
    let place = tempfile::tempdir().unwrap();
    let target = target.map(|t| format!("--target=val-error={t}"));
    let out = batchscope()
        .args(["study", "--quiet", "--seed", &seed.to_string()])
        .args(target)
        .args(["--warm-up", &warm_up.to_string(), "--dir"])
        .arg(place.path())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    let findings = findings(place.path());
    let number = |value: &Value| value.as_f64().unwrap();
    let curve = &findings["curves"][0];
    let fit = &curve["fit"];
    let (s_min, e_min) = (
        number(&fit["s_min"]["value"]),
        number(&fit["e_min"]["value"]),
    );
    let points = curve["points"].as_array().unwrap().iter();
    let residuals = points.map(|point| {
        let batch_size = point["batch_size"].as_u64().unwrap();
        let fitted = s_min + e_min / batch_size as f64;
        (batch_size, (number(&point["steps"]["value"]) / fitted).ln())
    });
    let critical = &findings["critical_batch_size"]["tuned"]["hyperbola"];
    Found {
        target: number(&findings["study"]["target"]["value"]),
        residuals: residuals.collect(),
        value: number(&critical["value"]),
        low: number(&critical["low"]),
        high: number(&critical["high"]),
        s_min,
        e_min,
        lack_of_fit: number(&fit["lack_of_fit_p"]),
    }
}

/// The mean of the logarithms, each weighted by its inverse variance, and Cochran's Q: the weighted
/// squares about it.
fn pooled(found: &[Found]) -> (f64, f64) {
    let weighted = found.iter().map(|f| (f.value.ln(), f.deviation().powi(-2)));
    let (sum, weights) = weighted
        .clone()
        .fold((0.0, 0.0), |(sum, all), (ln, w)| (sum + w * ln, all + w));
    let mean = sum / weights;
    let q = weighted.map(|(ln, w)| w * (ln - mean).powi(2)).sum();
    (mean.exp(), q)
}

/// Mean and half-width of the 95 % interval of ten values: 2.262 is Student's t with 9 degrees.
fn interval(values: &[f64]) -> (f64, f64) {
    assert_eq!(values.len(), 10);
    let mean = values.iter().sum::<f64>() / 10.0;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 9.0;
    (mean, 2.262 * (variance / 10.0).sqrt())
}

#[test]
#[ignore = "ten studies of half a minute"]
fn intervals_hold_what_other_seeds_find() {
    println!("| seed | target | critical batch size | S_min | E_min | lack of fit p |");
    println!("| ---: | ---: | --- | ---: | ---: | ---: |");
    let found: Vec<Found> = (0..10)
        .map(|seed| study(seed, DEFAULT_WARM_UP, None))
        .collect();
    for (seed, f) in found.iter().enumerate() {
        println!(
            "| {seed} | {} | {:.0} ({:.0}–{:.0}) | {:.1} | {:.0} | {:.3} |",
            f.target, f.value, f.low, f.high, f.s_min, f.e_min, f.lack_of_fit
        );
    }
    println!("\n| batch size | steps against the curve, % |\n| ---: | --- |");
    for (i, &(batch_size, _)) in found[0].residuals.iter().enumerate() {
        let each: Vec<f64> = found.iter().map(|f| 100.0 * f.residuals[i].1).collect();
        let (mean, half) = interval(&each);
        println!(
            "| {batch_size} | {mean:+.1} ({:+.1} to {:+.1}) |",
            mean - half,
            mean + half
        );
    }
    let fisher: f64 = found.iter().map(|f| -2.0 * f.lack_of_fit.ln()).sum();
    println!("\nFisher's statistic of the ten lacks of fit: {fisher:.1}, χ² with 20 degrees");
    let (mean, q) = pooled(&found);
    let hold = found.iter().filter(|f| f.low <= mean && mean <= f.high);
    let hold = hold.count();
    println!("\ncommon mean {mean:.0}, held by {hold} of 10 intervals; Cochran's Q {q:.1} of 9");
    assert!(q < 21.67, "p < 0.01: the upper 1 % of χ² with 9 degrees");
    assert!(hold >= 9);
}

/// What a study warms up by default.
const DEFAULT_WARM_UP: u64 = 0;

/// A warm-up of `W` steps from zero makes half of them count: `S(B) = S_min + W/2 + E_min/B`, so the
/// critical batch size is `E_min/(S_min + W/2)`.
#[test]
#[ignore = "nine studies of half a minute"]
fn a_warm_up_moves_the_critical_batch_size_as_it_must() {
    let mean = |of: &dyn Fn(&Found) -> f64, found: &[Found]| -> f64 {
        let sum: f64 = found.iter().map(|f| of(f).ln()).sum();
        (sum / found.len() as f64).exp()
    };
    println!("| warm-up | three seeds | mean | E_min/(S_min + W/2) | ratio of each |");
    println!("| ---: | --- | ---: | ---: | --- |");
    let without: Vec<Found> = (0..3).map(|seed| study(seed, 0, None)).collect();
    let (s_min, e_min) = (mean(&|f| f.s_min, &without), mean(&|f| f.e_min, &without));
    for warm_up in [0, 10, 20] {
        // To the same target as without a warm-up.
        let again = |(seed, f): (usize, &Found)| match warm_up {
            0 => f.clone(),
            _ => study(seed as u64, warm_up, Some(f.target)),
        };
        let found: Vec<Found> = without.iter().enumerate().map(again).collect();
        let measured = mean(&|f| f.value, &found);
        let half = warm_up as f64 / 2.0;
        let expected = e_min / (s_min + half);
        let each: Vec<String> = found.iter().map(|f| format!("{:.0}", f.value)).collect();
        let ratios = found.iter().zip(&without);
        let ratios = ratios.map(|(f, w)| format!("{:.2}", f.value * (w.s_min + half) / w.e_min));
        let ratios: Vec<String> = ratios.collect();
        println!(
            "| {warm_up} | {} | {measured:.0} | {expected:.0} | {} |",
            each.join(", "),
            ratios.join(", ")
        );
        assert!((measured / expected).ln().abs() < 0.1, "warm-up {warm_up}");
    }
}
