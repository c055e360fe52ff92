//! The figures of a report: one file each, one question each.

mod by_batch;
mod chart;
mod contours;
mod cost;
mod critical;
mod curves;
mod exchange;
mod generalization;
mod law;
mod linearity;
mod noise;
mod pareto;
mod rates;
mod speed_up;

pub use chart::{Axis, AxisScale, Chart, ChartPanel, Point, Series};
pub(crate) use curves::thin;
pub use exchange::{ExchangeDrawn, exchange_figure};
pub(crate) use law::{definition, formula, size};

use batchscope_core::{Estimate, EstimateState, Outcome, Target, TrialPurpose, TrialRecord};
use batchscope_scaling::{Curve, Findings};

use crate::format::number;
use crate::plot::color::category;
use crate::plot::figure::Figure;

/// Every figure these findings and trials can fill, in the order of the report.
///
/// A figure without anything to show is left out: a report never holds an empty plot.
pub fn figures(findings: &Findings, records: &[TrialRecord]) -> Vec<Figure> {
    let data = Data::new(findings, records);
    [
        speed_up::figure(&data),
        cost::steps(&data),
        cost::examples(&data),
        critical::figure(&data),
        law::figure(&data),
        noise::figure(&data),
        contours::figure(&data),
        rates::figure(&data),
        curves::figure(&data),
        generalization::figure(&data),
        pareto::figure(&data),
        linearity::figure(&data),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What figures are made of.
pub(crate) struct Data<'a> {
    pub findings: &'a Findings,
    pub records: &'a [TrialRecord],
    rules: Vec<&'a str>,
}

impl<'a> Data<'a> {
    pub(crate) fn new(findings: &'a Findings, records: &'a [TrialRecord]) -> Self {
        let rules = findings.curves.iter().map(|c| c.rule.as_str()).collect();
        Self {
            findings,
            records,
            rules,
        }
    }

    /// Color and marker of a curve.
    pub(crate) fn category(&self, rule: &str) -> usize {
        category(rule, &self.rules)
    }

    /// The curve a verdict speaks of: `tuned`, or the first.
    pub(crate) fn main_curve(&self) -> Option<&'a Curve> {
        self.findings
            .curves
            .iter()
            .find(|c| c.rule == "tuned")
            .or(self.findings.curves.first())
    }

    /// The goal, where it is stated.
    pub(crate) fn goal(&self) -> Option<&'a Target> {
        self.findings.study.target.as_ref()
    }

    /// The target in words: `val-error 0.03`.
    pub(crate) fn target(&self) -> String {
        match self.goal() {
            Some(target) => format!("{} {}", target.metric, number(target.value)),
            None => self.findings.study.goal(),
        }
    }

    /// What the points are means of: `fresh seeds`, or `runs` that were measured elsewhere.
    pub(crate) fn runs(&self) -> &'static str {
        match self.findings.study.measured_elsewhere {
            None => "fresh seeds",
            Some(_) => "runs",
        }
    }

    /// Fresh trials of a curve.
    pub(crate) fn fresh(&self, rule: &'a str) -> impl Iterator<Item = &'a TrialRecord> + use<'a> {
        self.records.iter().filter(move |r| {
            matches!(r.spec.purpose, TrialPurpose::Fresh { .. })
                && r.spec.curves.iter().any(|c| c == rule)
        })
    }
}

/// A rule as people write it: the short names are abbreviations.
pub(crate) fn rule_name(rule: &str) -> String {
    // Abbreviations are written as such.
    if ["blr", "lsr", "srsr", "legw", "sde"].contains(&rule) {
        rule.to_uppercase()
    } else {
        rule.to_owned()
    }
}

/// A list in prose: `a`, `a and b`, `a, b and c`.
pub(crate) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [init @ .., last] => format!("{} and {last}", init.join(", ")),
    }
}

/// How a trial ended, in words with its step.
pub(crate) fn ending(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Reached {
            located: Some(at), ..
        } => format!("reached after {:.1} steps", at.crossing),
        Outcome::Reached { step, after, .. } => format!("reached in steps {after}–{step}"),
        Outcome::NotReached { cap } => format!("not reached by the cap of {cap} steps"),
        Outcome::Completed { step } => format!("completed {step} steps"),
        Outcome::Raced { at } => format!("raced out at step {at}"),
        Outcome::Diverged { step } => format!("diverged at step {step}"),
        Outcome::Infeasible { why } => format!("infeasible: {why}"),
        Outcome::Failed { why } => format!("failed: {why}"),
        Outcome::Interrupted => "interrupted".to_owned(),
    }
}

/// The point value of an estimate that has one worth drawing at its place.
pub(crate) fn drawn(e: &Estimate) -> Option<f64> {
    e.value
        .filter(|v| v.is_finite() && e.state != EstimateState::Undefined)
}

/// CSV text of rows of plain values, for the reader who wants the numbers of a figure.
pub(crate) fn csv(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut writer = csv::WriterBuilder::new()
        .flexible(true)
        .from_writer(Vec::new());
    // a Vec takes every write
    let _ = writer.write_record(header);
    for row in rows {
        let _ = writer.write_record(&row);
    }
    writer
        .into_inner()
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_default()
}

/// An estimate as CSV cells: value, low, high, state.
pub(crate) fn cells(e: &Estimate) -> [String; 4] {
    let cell = |x: Option<f64>| x.map(|x| x.to_string()).unwrap_or_default();
    [
        cell(e.value),
        cell(e.low),
        cell(e.high),
        state_name(e.state).to_owned(),
    ]
}

/// The state as it stands in `findings.json`.
pub(crate) fn state_name(state: EstimateState) -> &'static str {
    match state {
        EstimateState::Estimated => "estimated",
        EstimateState::AtLeast => "at_least",
        EstimateState::AtMost => "at_most",
        EstimateState::Undefined => "undefined",
    }
}
