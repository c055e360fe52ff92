//! The page: one file, no requests, complete without its script.

mod document;
mod frame;
mod parts;
mod tables;
mod trials;
mod verdict;

pub use document::{Document, PageTable, Section};
pub(crate) use frame::{Frame, Script, prose};
pub(crate) use parts::{Table, facts, figures as all_figures, section};

use batchscope_core::TrialRecord;
use batchscope_scaling::{Findings, MeasuredElsewhere, StudySummary};
use maud::{Markup, html};

use crate::figures::{Data, figures};
use crate::format::count;
use crate::plot::figure::Figure;
use crate::{HowRun, to_json, trials_csv};
use parts::{command, download, made_by, sentences};

const SCRIPT: Script = Script {
    text: include_str!("page.js"),
    hash: "sha256-PYE0QQERA/QIT9II1hFNS/Fy83AcuhY4hHMMHZ7Cv4k=",
};

/// The report as one HTML file that opens offline.
pub fn html(findings: &Findings, records: &[TrialRecord], how: &HowRun) -> String {
    page(findings, records, how, &figures(findings, records))
}

/// [`html()`] of figures already drawn.
pub(crate) fn page(
    findings: &Findings,
    records: &[TrialRecord],
    how: &HowRun,
    figures: &[Figure],
) -> String {
    let data = Data::new(findings, records);
    let study = &findings.study;
    let (title, kicker) = match &study.measured_elsewhere {
        None => (
            format!("Critical batch size of {} on {}", study.model, study.data),
            format!(
                "batchscope · {} · {} · target {}",
                study.model,
                study.data,
                study.goal()
            ),
        ),
        Some(elsewhere) => {
            let files = elsewhere.files.join(", ");
            (
                format!("Critical batch size by {files}"),
                format!("batchscope fit · {files}"),
            )
        }
    };
    let frame = Frame {
        title: &title,
        kicker: &kicker,
        heading: &findings.verdict,
        lead: verdict::recommendation(&data),
        style: "",
        script: SCRIPT,
    };
    let nothing = html! { p { "Nothing could be drawn: no trial has measured anything yet." } };
    frame.page(&html! {
        (verdict::grounds(&data))
        @if figures.is_empty() { (section("figures", "What was seen", &nothing)) }
        (all_figures(figures))
        (tables::section(&data))
        (section("evidence", "The evidence", &evidence(&data, how)))
    })
}

/// How the study was run, the files of what it found, and every trial.
fn evidence(data: &Data, how: &HowRun) -> Markup {
    let study = &data.findings.study;
    let mut items = match &study.measured_elsewhere {
        Some(elsewhere) => measured_elsewhere(elsewhere, study),
        None => studied(study),
    };
    items.extend(made_by(how));
    let findings = to_json(data.findings).unwrap_or_default();
    let trials = trials_csv(data.records).unwrap_or_default();
    html! {
        h3 #how { "How it was run" }
        (facts(&items))
        (command(how))
        (sentences("What was decided on the way", &how.decisions))
        (sentences("Notes", &how.notes))
        @if !how.settings_toml.is_empty() {
            details open {
                summary { "Resolved settings (" code { "study.toml" } ")" }
                pre { code { (how.settings_toml) } }
            }
        }
        p {
            "Everything above in files: "
            (download("findings.json", "findings.json", "application/json", &findings)) ", "
            (download("trials.csv", "trials.csv", "text/csv", &trials))
            @if study.measured_elsewhere.is_none() {
                ". Every evaluation of every trial: " code { "batchscope export" }
            }
            "."
        }
        (trials::table(data.records))
    }
}

/// What a table that was fitted is, and what was read from it.
fn measured_elsewhere(
    elsewhere: &MeasuredElsewhere,
    study: &StudySummary,
) -> Vec<(&'static str, String)> {
    let columns = elsewhere
        .columns
        .iter()
        .map(|(role, heading)| format!("{role} from '{heading}'"));
    let mut items = vec![
        ("Files", elsewhere.files.join(", ")),
        ("Rows", count(elsewhere.rows)),
        ("Runs", count(elsewhere.runs)),
        ("Columns", columns.collect::<Vec<_>>().join(", ")),
    ];
    items.extend(
        study
            .target
            .as_ref()
            .map(|target| ("Target", target.to_string())),
    );
    items
}

/// What a study trained.
fn studied(study: &StudySummary) -> Vec<(&'static str, String)> {
    vec![
        ("Model", study.model.clone()),
        ("Parameters", count(study.parameters)),
        ("Data", study.data.clone()),
        (
            "Training examples",
            study.train_examples.map(count).unwrap_or_default(),
        ),
        ("Trainer", study.trainer.clone()),
        ("Device", study.device.clone()),
        (
            "Target",
            format!("{}, {}", study.goal(), study.target_origin),
        ),
        ("Study seed", study.study_seed.to_string()),
    ]
}
