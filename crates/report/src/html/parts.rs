//! What pages are made of: figures, tables, facts, lists.

use std::borrow::Cow;

use maud::{Markup, PreEscaped, html};

use super::frame::prose;
use crate::HowRun;
use crate::format::{bytes, duration};
use crate::plot::figure::Figure;

/// A section under a heading.
pub(crate) fn section(id: &str, heading: &str, content: &Markup) -> Markup {
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (prose(heading)) }
            (content)
        }
    }
}

/// The figures of a page in a section, where there are any.
pub(crate) fn figures(figures: &[Figure]) -> Markup {
    let all = html! { @for drawing in figures { (figure(drawing)) } };
    match figures {
        [] => Markup::default(),
        _ => section("figures", "What was seen", &all),
    }
}

/// A figure with its views, caption and files.
pub(crate) fn figure(figure: &Figure) -> Markup {
    let (id, views) = (&figure.id, &figure.views);
    let several = views.len() > 1;
    let head = format!("head-{id}");
    html! {
        figure id=(format!("fig-{id}")) aria-labelledby=(head) {
            h3 id=(head) { (figure.title) }
            div.views role=[several.then_some("radiogroup")] aria-label=[several.then_some("How to look at it")] {
                @for (i, view) in views.iter().enumerate().filter(|_| several) {
                    @let view_id = format!("view-{}", figure.file_stem(view));
                    input type="radio" name=(format!("view-{id}")) id=(view_id) checked[i == 0];
                    label for=(view_id) { (view.name) }
                }
                @for (i, view) in views.iter().enumerate() {
                    div class=(format!("view v{}", i + 1)) { (PreEscaped(&view.wide)) (PreEscaped(&view.narrow)) }
                }
            }
            figcaption {
                (symbols(&figure.caption)) " "
                span.files {
                    (download("the data (CSV)", &format!("{id}.csv"), "text/csv", &figure.data))
                    @if let Some(view) = views.first() {
                        @let stem = figure.file_stem(view);
                        ", " a href=(format!("figures/{stem}.svg")) { "SVG" }
                        @if crate::DRAWS_PNG {
                            ", " a href=(format!("figures/{stem}.png")) { "PNG" }
                        }
                    }
                }
            }
        }
    }
}

/// A caption with its symbols set: `S_min` becomes S with a subscript.
fn symbols(text: &str) -> Markup {
    let mut out = html! { (prose(text)) }.into_string();
    for (plain, set) in [
        ("S_min", "<i>S</i><sub>min</sub>"),
        ("B_c", "<i>B</i><sub>c</sub>"),
        ("S(B)", "<i>S</i>(<i>B</i>)"),
        ("/B)", "/<i>B</i>)"),
        ("1/B,", "1/<i>B</i>,"),
    ] {
        out = out.replace(plain, set);
    }
    PreEscaped(out)
}

/// A link that holds its file.
pub(super) fn download(text: &str, name: &str, kind: &str, content: &str) -> Markup {
    let href = format!("data:{kind};charset=utf-8,{}", url_encode(content));
    html! { a download=(name) href=(href) { (text) } }
}

/// Percent-encodes what a data URI in an attribute may not hold as it stands.
fn url_encode(content: &str) -> String {
    let mut out = String::with_capacity(content.len() + content.len() / 8);
    for byte in content.bytes() {
        match byte {
            b if b.is_ascii_alphanumeric() || b"-._~,:;=/+()".contains(&b) => out.push(b as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A table in a region that scrolls by itself.
pub(crate) struct Table<'a> {
    /// Of its caption, or of the heading that names it where it has none.
    pub id: Cow<'a, str>,
    pub class: Option<&'a str>,
    pub caption: Cow<'a, str>,
    /// Heading and whether its column holds numbers.
    pub head: Vec<(&'a str, bool)>,
    /// Rows of as many cells; the first of each is its name.
    pub rows: Vec<Vec<Markup>>,
}

impl Table<'_> {
    /// The table, or nothing where it has no rows.
    pub(crate) fn markup(&self) -> Markup {
        if self.rows.is_empty() {
            return Markup::default();
        }
        let class = |i: usize| self.head.get(i).and_then(|(_, numeric)| num(*numeric));
        html! {
            @if !self.caption.is_empty() { h3.caption id=(self.id) { (prose(&self.caption)) } }
            div.scroll tabindex="0" role="region" aria-labelledby=(self.id) {
                table class=[self.class] aria-labelledby=(self.id) {
                    (heads(&self.head))
                    tbody {
                        @for row in &self.rows {
                            tr {
                                @for (i, cell) in row.iter().enumerate() {
                                    @if i == 0 {
                                        th scope="row" class=[class(i)] { (cell) }
                                    } @else {
                                        td class=[class(i)] { (cell) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The headings of a table, and whether their columns hold numbers.
pub(super) fn heads(heads: &[(&str, bool)]) -> Markup {
    html! {
        thead { tr { @for (name, numeric) in heads {
            th scope="col" class=[num(*numeric)] { (prose(name)) }
        } } }
    }
}

fn num(numeric: bool) -> Option<&'static str> {
    numeric.then_some("num")
}

/// Names and values side by side; those without a value are left out.
pub(crate) fn facts<N: AsRef<str>>(items: &[(N, String)]) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in items.iter().filter(|(_, value)| !value.is_empty()) {
                div { dt { (name.as_ref()) } dd { (prose(value)) } }
            }
        }
    }
}

/// The program and the machine.
pub(super) fn made_by(how: &HowRun) -> Vec<(&'static str, String)> {
    let machine = &how.machine;
    let mut parts = vec![machine.cpu.clone()];
    if machine.cores > 0 {
        parts.push(format!("{} cores", machine.cores));
    }
    if machine.memory > 0 {
        parts.push(bytes(machine.memory));
    }
    parts.retain(|part| !part.is_empty());
    let times = [how.started.as_str(), how.finished.as_str()];
    let times: Vec<&str> = times.into_iter().filter(|t| !t.is_empty()).collect();
    let running = match how.seconds > 0.0 {
        true => duration(how.seconds),
        false => String::new(),
    };
    vec![
        ("batchscope", how.version.clone()),
        ("Compiler", how.rustc.clone()),
        ("Machine", parts.join(", ")),
        ("Ran", times.join(" to ")),
        ("Running time", running),
    ]
}

/// The command line, where it is known.
pub(super) fn command(how: &HowRun) -> Markup {
    html! {
        @if !how.command.is_empty() {
            p { "The command:" }
            pre.wrap { code { (how.command) } }
        }
    }
}

/// Sentences as a list under a heading, where there are any.
pub(super) fn sentences(title: &str, sentences: &[String]) -> Markup {
    html! {
        @if !sentences.is_empty() {
            h3 { (title) }
            ul { @for sentence in sentences { li { (prose(sentence)) } } }
        }
    }
}
