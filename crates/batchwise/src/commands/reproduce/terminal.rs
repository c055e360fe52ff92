//! The results in a terminal.

use batchwise_core::Estimate;
use batchwise_report::{TextColumn, format::estimate_short, text_table, wrap};
use batchwise_reproduce::keskar::{Contrast, Results, Verdict};

/// The table, and what agrees with the paper and what does not.
pub fn summary(results: &Results, width: usize, colour: bool) -> String {
    let mut out = String::new();
    let mut paragraph = |text: &str| {
        for line in wrap(text, width, 2) {
            out.push_str(&line);
            out.push('\n');
        }
    };
    let setting = &results.setting;
    paragraph(&format!(
        "Keskar et al. 2016, {} on {}",
        setting.model, setting.data
    ));
    paragraph(&format!(
        "small batches of {}, large ones of {}; sharpness of the loss on {} training examples",
        setting.small, setting.large, setting.sharpness.examples
    ));
    out.push('\n');
    if !results.table.is_empty() {
        out.push_str(&table(results, width));
        out.push('\n');
    }
    for claim in &results.claims {
        let verdict = paint(claim.verdict, colour);
        let lines = wrap(
            &format!(
                "{}: {} (paper: {}; {})",
                claim.claim,
                estimate_short(&claim.found),
                claim.published,
                claim.unit
            ),
            width.saturating_sub(INDENT),
            2,
        );
        for (i, line) in lines.iter().enumerate() {
            let margin = if i == 0 {
                format!(
                    "{verdict}{}",
                    " ".repeat(INDENT - claim.verdict.name().len())
                )
            } else {
                " ".repeat(INDENT)
            };
            out.push_str(&format!("{margin}{line}\n"));
        }
    }
    if !results.notes.is_empty() {
        out.push('\n');
    }
    for note in &results.notes {
        for line in wrap(&format!("note: {note}"), width, 2) {
            out.push_str(&line);
            out.push('\n');
        }
    }
    out
}

/// Columns for the verdicts.
const INDENT: usize = 11;

fn paint(verdict: Verdict, colour: bool) -> String {
    let code = match verdict {
        Verdict::Agrees => "32",
        Verdict::Disagrees => "31",
        Verdict::Undecided => "33",
    };
    match colour {
        true => format!("\x1b[{code}m{}\x1b[0m", verdict.name()),
        false => verdict.name().to_owned(),
    }
}

fn table(results: &Results, width: usize) -> String {
    let rows = &results.table;
    let column = |title, rank, cell: &dyn Fn(usize) -> String| TextColumn {
        title,
        right: rank > 0,
        rank,
        cells: (0..rows.len()).map(cell).collect(),
    };
    let short = |e: &Estimate| estimate_short(e);
    let published = |i: usize, side: usize| {
        rows[i]
            .published
            .map_or_else(String::new, |p| format!("{:.2}", p[side]))
    };
    text_table(
        &[
            column("", 0, &|i| rows[i].quantity.clone()),
            column("small", 2, &|i| short(&rows[i].small)),
            column("large", 2, &|i| short(&rows[i].large)),
            column("large/small", 1, &|i| match rows[i].contrast {
                Contrast::Ratio => short(&rows[i].compared),
                Contrast::Difference => format!("small − large {}", short(&rows[i].compared)),
            }),
            column("paper small", 3, &|i| published(i, 0)),
            column("paper large", 3, &|i| published(i, 1)),
        ],
        width,
    )
}
