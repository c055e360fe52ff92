//! The frame of every page: one file, no requests, complete without its script.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::plot::color::{page_style, variables};

const STYLE: &str = include_str!("page.css");

/// The script of a page, and its SHA-256 in base64: the only one that the page's policy lets run. A
/// test says the new value when the script changes.
pub(crate) struct Script {
    pub text: &'static str,
    pub hash: &'static str,
}

/// What a page begins and ends with.
pub(crate) struct Frame<'a> {
    /// Its name in a browser.
    pub title: &'a str,
    /// What kind of page it is, above the heading.
    pub kicker: &'a str,
    /// The answer, in a sentence.
    pub heading: &'a str,
    /// The answer in more words, if there are any.
    pub lead: Option<Markup>,
    /// Added to the style that all pages share.
    pub style: &'static str,
    pub script: Script,
}

impl Frame<'_> {
    /// The page around its main part, as one HTML file that opens offline.
    pub(crate) fn page(&self, main: &Markup) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                (self.head())
                body {
                    main {
                        header {
                            p.kicker { (prose(self.kicker)) }
                            h1 { (prose(self.heading)) }
                            @if let Some(lead) = &self.lead { p.lead { (lead) } }
                        }
                        (main)
                    }
                    div #tip role="status" aria-live="polite" hidden {}
                    script { (PreEscaped(self.script.text)) }
                }
            }
        };
        without_controls(&page.into_string())
    }

    fn head(&self) -> Markup {
        let policy = format!(
            "default-src 'none'; style-src 'unsafe-inline'; script-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
            self.script.hash
        );
        let (light, dark) = (variables(false), variables(true));
        // Paper is white whatever the screen was.
        let themes = format!(
            ":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n@media print{{:root{{{light}}}}}\n"
        );
        html! {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (self.title) }
                style { (PreEscaped(themes + &page_style() + STYLE + self.style)) }
            }
        }
    }
}

/// A page may hold no control characters, which names from anywhere might.
fn without_controls(page: &str) -> String {
    let shown = |c: char| match c {
        '\t' | '\n' | '\r' => c,
        c if c < ' ' || c == '\u{fffe}' || c == '\u{ffff}' => '\u{fffd}',
        c => c,
    };
    page.chars().map(shown).collect()
}

/// Text of a page: `95 %` and `480–810` are kept on one line.
pub(crate) fn prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.replace(" %", "\u{a0}%").chars() {
        // A word joiner on each side of the dash keeps a range together.
        if c == '–' && before.is_ascii_digit() {
            out.push_str("\u{2060}–\u{2060}");
        } else {
            out.push(c);
        }
        before = c;
    }
    out
}
