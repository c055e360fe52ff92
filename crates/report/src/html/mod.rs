//! The page: one file, no requests, complete without its script.

mod document;
mod tables;
mod trials;
mod verdict;

pub use document::{Document, PageTable, Section};

use batchscope_core::TrialRecord;
use batchscope_scaling::Findings;

use crate::figures::{Data, figures};
use crate::format::{bytes, count, duration};
use crate::plot::color::{page_style, variables};
use crate::plot::figure::Figure;
use crate::plot::svg::escape;
use crate::{HowRun, to_json, trials_csv};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// SHA-256 of `page.js`, in base64: the only script the page's policy lets run. A test says the new
/// value when the script changes.
const SCRIPT_HASH: &str = "sha256-PYE0QQERA/QIT9II1hFNS/Fy83AcuhY4hHMMHZ7Cv4k=";

/// The report as one HTML file that opens offline.
pub fn html(findings: &Findings, records: &[TrialRecord], how: &HowRun) -> String {
    page(findings, records, how, &figures(findings, records))
}

/// [`html`] of figures already drawn.
pub(crate) fn page(
    findings: &Findings,
    records: &[TrialRecord],
    how: &HowRun,
    figures: &[Figure],
) -> String {
    let data = Data::new(findings, records);
    let mut out = String::with_capacity(1 << 20);
    let study = &findings.study;
    head(
        &mut out,
        &format!("Critical batch size of {} on {}", study.model, study.data),
    );
    out.push_str("<main>\n");
    verdict::section(&mut out, &data);
    out.push_str("<section aria-labelledby=\"figures\"><h2 id=\"figures\">What was seen</h2>\n");
    if figures.is_empty() {
        out.push_str("<p>Nothing could be drawn: no trial has measured anything yet.</p>\n");
    }
    for figure in figures {
        self::figure(&mut out, figure);
    }
    out.push_str("</section>\n");
    tables::section(&mut out, &data);
    doubting_reader(&mut out, &data, how);
    out.push_str("</main>\n");
    foot(&mut out);
    out
}

/// What ends a page after its main part.
fn foot(out: &mut String) {
    out.push_str("<div id=\"tip\" role=\"status\" aria-live=\"polite\" hidden></div>\n<script>");
    out.push_str(SCRIPT);
    out.push_str("</script>\n</body>\n</html>\n");
}

/// What begins a page with this page's script, up to its body.
fn head(out: &mut String, title: &str) {
    opening(out, title, SCRIPT_HASH, "");
}

/// Everything up to the body of a page with this title, whose policy lets one script run; `style` is
/// added to what all pages share.
pub(crate) fn opening(out: &mut String, title: &str, script_hash: &str, style: &str) {
    out.push_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str(&format!(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src '{script_hash}'; img-src data:; base-uri 'none'; form-action 'none'\">\n"
    ));
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n");
    out.push_str(&format!(
        "<title>{}</title>\n<style>\n:root{{{}}}\n",
        escape(title),
        variables(false)
    ));
    out.push_str(&format!(
        "@media (prefers-color-scheme:dark){{:root{{{}}}}}\n",
        variables(true)
    ));
    // paper is white whatever the screen was
    out.push_str(&format!("@media print{{:root{{{}}}}}\n", variables(false)));
    out.push_str(&page_style());
    out.push_str(STYLE);
    out.push_str(style);
    out.push_str("</style>\n</head>\n<body>\n");
}

pub(crate) fn figure(out: &mut String, figure: &Figure) {
    out.push_str(&format!(
        "<figure id=\"fig-{0}\" aria-labelledby=\"head-{0}\"><h3 id=\"head-{0}\">{1}</h3>\n",
        figure.id,
        escape(&figure.title)
    ));
    let views = &figure.views;
    if views.len() > 1 {
        out.push_str("<div class=\"views\" role=\"radiogroup\" aria-label=\"How to look at it\">");
        for (i, view) in views.iter().enumerate() {
            let id = format!("view-{}", figure.file_stem(view));
            let checked = if i == 0 { " checked" } else { "" };
            out.push_str(&format!("<input type=\"radio\" name=\"view-{}\" id=\"{id}\"{checked}><label for=\"{id}\">{}</label>", figure.id, view.name));
        }
    } else {
        out.push_str("<div class=\"views\">");
    }
    for (i, view) in views.iter().enumerate() {
        out.push_str(&format!(
            "<div class=\"view v{}\">{}{}</div>",
            i + 1,
            view.wide,
            view.narrow
        ));
    }
    out.push_str("</div>\n");
    out.push_str(&format!(
        "<figcaption>{} <span class=\"files\">",
        symbols(&figure.caption)
    ));
    out.push_str(&download(
        "the data (CSV)",
        &format!("{}.csv", figure.id),
        "text/csv",
        &figure.data,
    ));
    if let Some(view) = views.first() {
        let stem = figure.file_stem(view);
        out.push_str(&format!(
            ", <a href=\"figures/{stem}.svg\">SVG</a>, <a href=\"figures/{stem}.png\">PNG</a>"
        ));
    }
    out.push_str("</span></figcaption></figure>\n");
}

/// Escapes a caption and sets its symbols: `S_min` becomes S with a subscript.
fn symbols(text: &str) -> String {
    let mut out = html_text(text);
    for (plain, set) in [
        ("S_min", "<i>S</i><sub>min</sub>"),
        ("B_c", "<i>B</i><sub>c</sub>"),
        ("S(B)", "<i>S</i>(<i>B</i>)"),
        ("/B)", "/<i>B</i>)"),
        ("1/B,", "1/<i>B</i>,"),
    ] {
        out = out.replace(plain, set);
    }
    out
}

/// Escapes, and keeps `95 %` and `480–810` on one line.
pub(crate) fn html_text(text: &str) -> String {
    let text = escape(text).replace(" %", "\u{a0}%");
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars() {
        // a word joiner on each side of the dash keeps a range together
        if c == '–' && before.is_ascii_digit() {
            out.push_str("\u{2060}–\u{2060}");
        } else {
            out.push(c);
        }
        before = c;
    }
    out
}

/// A link that holds its file.
fn download(text: &str, name: &str, kind: &str, content: &str) -> String {
    format!(
        "<a download=\"{}\" href=\"data:{kind};charset=utf-8,{}\">{}</a>",
        escape(name),
        url_encode(content),
        escape(text)
    )
}

/// Percent-encodes what a data URI in an attribute may not hold as it stands.
fn url_encode(content: &str) -> String {
    let mut out = String::with_capacity(content.len() + content.len() / 8);
    for byte in content.bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b','
            | b':'
            | b';'
            | b'='
            | b'/'
            | b'+'
            | b'('
            | b')' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Everything somebody needs who does not believe it yet.
fn doubting_reader(out: &mut String, data: &Data, how: &HowRun) {
    out.push_str(
        "<section aria-labelledby=\"doubt\"><h2 id=\"doubt\">For the doubting reader</h2>\n",
    );
    let mut items: Vec<(&str, String)> = Vec::new();
    let mut item = |name: &'static str, value: &str| {
        if !value.is_empty() {
            items.push((name, escape(value)));
        }
    };
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
}

fn sentences(out: &mut String, title: &str, sentences: &[String]) {
    if sentences.is_empty() {
        return;
    }
    out.push_str(&format!("<h3>{}</h3>\n<ul>", escape(title)));
    for sentence in sentences {
        out.push_str(&format!("<li>{}</li>", escape(sentence)));
    }
    out.push_str("</ul>\n");
}
