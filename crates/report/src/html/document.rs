//! A page about anything: sections of prose, tables and figures, in the dress of the report.

use super::{escape, figure, head, html_text, sentences};
use crate::HowRun;
use crate::format::{bytes, duration};
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
        let mut out = String::with_capacity(1 << 18);
        head(&mut out, &self.title);
        out.push_str(&format!(
            "<main>\n<p class=\"kicker\">{}</p>\n<h1>{}</h1>\n<p class=\"lead\">{}</p>\n",
            html_text(&self.kicker),
            html_text(&self.title),
            html_text(&self.lead)
        ));
        for (number, section) in self.sections.iter().enumerate() {
            section_html(&mut out, number, section);
        }
        how_it_was_run(&mut out, &self.facts, how);
        out.push_str("</main>\n");
        super::foot(&mut out);
        out
    }
}

fn section_html(out: &mut String, number: usize, section: &Section) {
    out.push_str(&format!(
        "<section aria-labelledby=\"section-{number}\"><h2 id=\"section-{number}\">{}</h2>\n",
        html_text(&section.heading)
    ));
    for paragraph in &section.paragraphs {
        out.push_str(&format!("<p>{}</p>\n", html_text(paragraph)));
    }
    for table in &section.tables {
        out.push_str(&format!(
            "<h3 class=\"caption\">{}</h3>\n<div class=\"scroll\"><table><thead><tr>",
            html_text(&table.caption)
        ));
        for (i, cell) in table.head.iter().enumerate() {
            let class = if i > 0 { " class=\"num\"" } else { "" };
            out.push_str(&format!(
                "<th scope=\"col\"{class}>{}</th>",
                html_text(cell)
            ));
        }
        out.push_str("</tr></thead><tbody>\n");
        for row in &table.rows {
            out.push_str("<tr>");
            for (i, cell) in row.iter().enumerate() {
                out.push_str(&match i {
                    0 => format!("<th scope=\"row\">{}</th>", html_text(cell)),
                    _ => format!("<td class=\"num\">{}</td>", html_text(cell)),
                });
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody></table></div>\n");
    }
    for drawing in &section.figures {
        figure(out, drawing);
    }
    if !section.remarks.is_empty() {
        sentences(out, "Remarks", &section.remarks);
    }
    out.push_str("</section>\n");
}

fn how_it_was_run(out: &mut String, facts: &[(String, String)], how: &HowRun) {
    out.push_str("<section aria-labelledby=\"how\"><h2 id=\"how\">How it was run</h2>\n");
    let mut items: Vec<(String, String)> = facts.to_vec();
    let mut item = |name: &str, value: String| items.push((name.to_owned(), value));
    item("batchscope", how.version.clone());
    item("Compiler", how.rustc.clone());
    let machine = &how.machine;
    let mut parts = vec![machine.cpu.clone()];
    if machine.cores > 0 {
        parts.push(format!("{} cores", machine.cores));
    }
    if machine.memory > 0 {
        parts.push(bytes(machine.memory));
    }
    parts.retain(|part| !part.is_empty());
    item("Machine", parts.join(", "));
    if how.seconds > 0.0 {
        item("Running time", duration(how.seconds));
    }
    out.push_str("<dl class=\"facts\">");
    for (name, value) in items.iter().filter(|(_, value)| !value.is_empty()) {
        out.push_str(&format!(
            "<div><dt>{}</dt><dd>{}</dd></div>",
            escape(name),
            escape(value)
        ));
    }
    out.push_str("</dl>\n");
    if !how.command.is_empty() {
        out.push_str(&format!(
            "<p>The command:</p><pre class=\"wrap\"><code>{}</code></pre>\n",
            escape(&how.command)
        ));
    }
    if !how.notes.is_empty() {
        sentences(out, "Notes", &how.notes);
    }
    out.push_str("</section>\n");
}
