//! A page about anything: sections of prose, tables and figures, in the dress of the report.

use maud::{Markup, html};

use super::frame::{Frame, prose};
use super::parts::{self, command, facts, made_by, sentences};
use crate::HowRun;
use crate::plot::figure::Figure;

/// A table of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageTable {
    /// What it shows.
    pub caption: String,
    /// Headings of its columns.
    pub head: Vec<String>,
    /// Rows of as many cells; the first of each is its name.
    pub rows: Vec<Vec<String>>,
}

impl PageTable {
    /// Headings, of columns in this order.
    pub fn heads(heads: &[&str]) -> Vec<String> {
        heads.iter().map(|head| (*head).to_owned()).collect()
    }
}

/// A section of a page.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// Its heading.
    pub heading: String,
    /// Paragraphs of plain text.
    pub paragraphs: Vec<String>,
    /// Its tables.
    pub tables: Vec<PageTable>,
    /// Its figures.
    pub figures: Vec<Figure>,
    /// Single remarks, a list at its end.
    pub remarks: Vec<String>,
}

/// A page.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// What kind of page it is, above the title.
    pub kicker: String,
    /// Its title.
    pub title: String,
    /// The answer in a sentence or two.
    pub lead: String,
    /// Its sections.
    pub sections: Vec<Section>,
    /// What it was made of, name and value: model, data.
    pub facts: Vec<(String, String)>,
}

impl Document {
    /// The figures of all sections.
    pub fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.sections.iter().flat_map(|s| &s.figures)
    }

    /// The page as one HTML file that opens offline.
    pub fn html(&self, how: &HowRun) -> String {
        let frame = Frame {
            title: &self.title,
            kicker: &self.kicker,
            heading: &self.title,
            lead: Some(html! { (prose(&self.lead)) }),
            style: "",
            script: super::SCRIPT,
        };
        let made_by = made_by(how).into_iter();
        let mut items = self.facts.clone();
        items.extend(made_by.map(|(name, value)| (name.to_owned(), value)));
        let run = html! {
            (facts(&items))
            (command(how))
            (sentences("Notes", &how.notes))
        };
        frame.page(&html! {
            @for (number, section) in self.sections.iter().enumerate() {
                (section.markup(&format!("section-{number}")))
            }
            (parts::section("how", "How it was run", &run))
        })
    }
}

impl Section {
    fn markup(&self, id: &str) -> Markup {
        let content = html! {
            @for paragraph in &self.paragraphs { p { (prose(paragraph)) } }
            @for (number, table) in self.tables.iter().enumerate() {
                (table.markup(&format!("{id}-table-{number}")))
            }
            @for drawing in &self.figures { (parts::figure(drawing)) }
            (sentences("Remarks", &self.remarks))
        };
        parts::section(id, &self.heading, &content)
    }
}

impl PageTable {
    fn markup(&self, id: &str) -> Markup {
        let head = self.head.iter().enumerate();
        let cells = |row: &Vec<String>| row.iter().map(|cell| html! { (prose(cell)) }).collect();
        let table = parts::Table {
            id: id.into(),
            class: None,
            caption: self.caption.as_str().into(),
            head: head.map(|(i, name)| (name.as_str(), i > 0)).collect(),
            rows: self.rows.iter().map(cells).collect(),
        };
        table.markup()
    }
}
