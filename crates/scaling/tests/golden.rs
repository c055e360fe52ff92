//! The censored fit against another implementation: scipy, by `tests/golden/fit.py`.

use batchscope_scaling::{Sample, fit};
use serde_json::Value;

fn samples(rows: &Value) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    for row in rows.as_array().unwrap() {
        let batch_size = row[0].as_u64().unwrap();
        let steps = row[1].as_f64().unwrap();
        if samples.last().is_none_or(|s| s.batch_size != batch_size) {
            samples.push(Sample::new(batch_size));
        }
        let sample = samples.last_mut().unwrap();
        if row[2].as_bool().unwrap() {
            sample.not_reached(steps)
        } else {
            sample.reached(u64::MAX, steps)
        }
    }
    samples
}

#[test]
fn agrees_with_scipy() {
    let golden: Value = serde_json::from_str(include_str!("golden/fit.json")).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let number = |key: &str| case[key].as_f64().unwrap();
        let curve = fit(&samples(&case["rows"]), 0.95).unwrap();
        // the interval of S_min comes from a quadratic in ln E_min under censoring: 1 % is 0.1 of
        // its half-width
        let close = |name: &str, value: f64, tolerance: f64| {
            let ratio = value / number(name);
            assert!(
                (ratio - 1.0).abs() < tolerance,
                "{}: {name} {value} against {}",
                case["name"],
                number(name)
            );
        };
        assert!(
            (curve.fit.sigma_slope.unwrap() - number("slope")).abs() < 1e-5,
            "{}: {:?}",
            case["name"],
            curve.fit.sigma_slope
        );
        close("e_min", curve.ln_e_min.exp(), 1e-5);
        close("critical", curve.critical.value.unwrap(), 1e-5);
        close("critical_low", curve.critical.low.unwrap(), 2e-5);
        close("critical_high", curve.critical.high.unwrap(), 2e-5);
        close("s_min_low", curve.fit.s_min.low.unwrap(), 0.01);
        close("s_min_high", curve.fit.s_min.high.unwrap(), 0.01);
        close("sigma", curve.fit.sigma, 1e-5);
        close("lack_of_fit_f", curve.fit.lack_of_fit_f.unwrap(), 1e-4);
        close("lack_of_fit_p", curve.fit.lack_of_fit_p.unwrap(), 1e-4);
        assert_eq!(curve.between_sigma > 0.0, number("scattered") == 1.0);
        if curve.fit.censored == 0 {
            close("s_min_low", curve.fit.s_min.low.unwrap(), 5e-4);
            close("s_min_high", curve.fit.s_min.high.unwrap(), 5e-4);
        }
    }
}
