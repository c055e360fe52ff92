//! Findings in words.

mod fixtures;

use batchscope_core::EstimateState;
use batchscope_report::put_into_words;
use batchscope_scaling::{Findings, PointState};

fn said(findings: &mut Findings) -> String {
    put_into_words(findings, |sizes| format!("study(batch_sizes={sizes:?})"));
    format!("{}\n{}", findings.verdict, findings.remarks.join("\n"))
}

fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_knee_is_said_with_its_interval_and_what_it_rests_on() {
    let text = said(&mut fixtures::tuned().findings);
    assert!(
        text.starts_with(
            "Up to about 620 (95 % interval 480–801) examples a batch, doubling the batch still saves \
             more than a quarter of the steps to val-error=0.03 (SGD, momentum 0.9, 10 warm-up steps); \
             beyond, less."
        ),
        "{text}"
    );
    holds(
        &text,
        &[
            "val-error=0.03",
            "It rests on 30 results of fresh seeds at 10 batch sizes (3 seeds each)",
            "Three definitions on one scale: fitted hyperbola 620",
            "their intervals overlap, and are too wide to say that they agree",
        ],
    );
    // Sentences are stored and searched: their spaces are ordinary ones.
    assert!(!text.contains('\u{a0}'));
}

/// "They differ by a factor of 1.9, so the curve is not an exact hyperbola" was concluded from the
/// point estimates, on exact hyperbolas in up to three studies of four. Intervals that exclude each
/// other or the lack-of-fit test must say it, and values that happen to be near are no agreement.
#[test]
fn definitions_are_compared_by_their_intervals() {
    let mut findings = fixtures::tuned().findings;
    let around = |value: f64, factor: f64| {
        batchscope_core::Estimate::estimated(value, value / factor, value * factor, 0.95, 30)
    };
    let mut says = |b: f64, factor: f64, p: f64, words: &str| {
        let critical = findings.critical_batch_size.get_mut("tuned").unwrap();
        critical.hyperbola = around(620.0, 1.1);
        critical.overhead20 = around(b, factor);
        critical.plateau = around(620.0, 1.2);
        critical.disagreement = Some((b / 620.0).max(620.0 / b));
        findings.curves[0].fit.as_mut().unwrap().lack_of_fit_p = Some(p);
        holds(&said(&mut findings), &[words]);
    };
    says(1200.0, 2.5, 0.3, "are too wide to say that they agree.");
    says(620.0, 2.5, 0.3, "are too wide to say that they agree.");
    says(
        620.0,
        1.3,
        0.3,
        "no two lie more than a factor of 1.69 apart.",
    );
    says(
        1200.0,
        1.3,
        0.3,
        "exclude each other, so the curve is not an exact hyperbola.",
    );
    says(
        620.0,
        1.3,
        0.04,
        "not an exact hyperbola (lack of fit), so they need not be equal.",
    );
}

#[test]
fn a_bound_comes_with_what_would_settle_it() {
    let mut findings = fixtures::at_least().findings;
    let text = said(&mut findings);
    let command = "study(batch_sizes=[8, 16, 32, 64, 128, 256, 512, 1024, 2048])";
    assert_eq!(
        findings.critical_batch_size["tuned"]
            .to_settle
            .as_ref()
            .unwrap()
            .command,
        command
    );
    holds(
        &text,
        &[
            "The critical batch size for val-error=0.03 is at least 256 (SGD, momentum 0.9",
            "The largest batch size that reached the target is 256.",
            &format!(
                "add batch sizes 512, 1024, 2048: `{command}` (at most 6,400,000 examples, 5 min 12 s)"
            ),
        ],
    );
}

#[test]
fn every_rule_is_named_and_every_end_counted() {
    let text = said(&mut fixtures::three_rules().findings);
    holds(
        &text,
        &[
            "10 warm-up steps), by rule: BLR about 93 ",
            "LSR about 310 ",
            "On the curve of lsr, 4 trials diverged (batch sizes 1024, 2048)",
            "no trial reached the target at batch sizes 2048",
        ],
    );
}

#[test]
fn a_bound_past_the_fitted_curve_contradicts_it() {
    let mut findings = fixtures::tuned().findings;
    let curve = &mut findings.curves[0];
    let high = curve.fit.as_ref().unwrap().band.last().unwrap().high;
    let last = curve.points.last_mut().unwrap();
    last.state = PointState::NotReached;
    last.steps.state = EstimateState::AtLeast;
    last.steps.value = Some(2.0 * high);
    holds(
        &said(&mut findings),
        &["Of these, 4096 trained past the steps the fitted curve expects"],
    );
}

#[test]
fn a_study_without_trials_says_so() {
    let text = said(&mut fixtures::nothing().findings);
    holds(&text, &["no critical batch size to report"]);
}
