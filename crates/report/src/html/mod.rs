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
use batchscope_scaling::Findings;
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
    let frame = Frame {
        title: &format!("Critical batch size of {} on {}", study.model, study.data),
        kicker: &format!(
            "batchscope · {} · {} · target {}",
            study.model, study.data, study.target
        ),
        heading: &findings.verdict,
        lead: verdict::recommendation(&data),
        style: "",
        script: SCRIPT,
    };
<<<<<<< HEAD
    let study = &data.findings.study;
    item("Model", &study.model);
    item("Parameters", &count(study.parameters));
    item("Data", &study.data);
    item(
        "Training examples",
        &study.train_examples.map(count).unwrap_or_default(),
    );
    item("Trainer", &study.trainer);
    item("Device", &study.device);
    item(
        "Target",
        &format!("{}, {}", study.target, study.target_origin),
    );
    item("Study seed", &study.study_seed.to_string());
    item("batchscope", &how.version);
    item("Compiler", &how.rustc);
    let mut machine = vec![how.machine.cpu.clone()];
    if how.machine.cores > 0 {
        machine.push(format!("{} cores", how.machine.cores));
    }
    if how.machine.memory > 0 {
        machine.push(bytes(how.machine.memory));
    }
    machine.retain(|m| !m.is_empty());
    item("Machine", &machine.join(", "));
    let times = [&how.started, &how.finished]
        .map(String::as_str)
        .into_iter()
        .filter(|t| !t.is_empty())
        .collect::<Vec<_>>()
        .join(" to ");
    item("Ran", &times);
    if how.seconds > 0.0 {
        item("Running time", &duration(how.seconds));
    }
    out.push_str("<h3 id=\"how\">How it was run</h3>\n<dl class=\"facts\">");
    for (name, value) in items {
        out.push_str(&format!("<div><dt>{name}</dt><dd>{value}</dd></div>"));
    }
    out.push_str("</dl>\n");
    if !how.command.is_empty() {
        out.push_str(&format!(
            "<p>The command:</p><pre class=\"wrap\"><code>{}</code></pre>\n",
            escape(&how.command)
        ));
    }
    sentences(out, "What was decided on the way", &how.decisions);
    sentences(out, "Notes", &how.notes);
    if !how.settings_toml.is_empty() {
        out.push_str(&format!(
            "<details open><summary>Resolved settings (<code>study.toml</code>)</summary><pre><code>{}</code></pre></details>\n",
            escape(&how.settings_toml)
        ));
    }
    let findings = to_json(data.findings).unwrap_or_default();
    out.push_str(&format!(
        "<p>Everything above in files: {}, {}. Every evaluation of every trial: <code>batchscope export</code>.</p>\n",
        download("findings.json", "findings.json", "application/json", &findings),
        download("trials.csv", "trials.csv", "text/csv", &trials_csv(data.records).unwrap_or_default()),
    ));
    trials::table(out, data.records);
    out.push_str("</section>\n");
=======
    let nothing = html! { p { "Nothing could be drawn: no trial has measured anything yet." } };
    frame.page(&html! {
        (verdict::grounds(&data))
        @if figures.is_empty() { (section("figures", "What was seen", &nothing)) }
        (all_figures(figures))
        (tables::section(&data))
        (section("evidence", "The evidence", &evidence(&data, how)))
    })
>>>>>>> 62b38d9 (maud writes the pages, in one frame)
}

/// How the study was run, the files of what it found, and every trial.
fn evidence(data: &Data, how: &HowRun) -> Markup {
    let study = &data.findings.study;
    let mut items = vec![
        ("Model", study.model.clone()),
        ("Parameters", count(study.parameters)),
        ("Data", study.data.clone()),
        ("Training examples", count(study.train_examples)),
        ("Trainer", study.trainer.clone()),
        ("Device", study.device.clone()),
        (
            "Target",
            format!("{}, {}", study.target, study.target_origin),
        ),
        ("Study seed", study.study_seed.to_string()),
    ];
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
            ". Every evaluation of every trial: " code { "batchscope export" } "."
        }
        (trials::table(data.records))
    }
}
