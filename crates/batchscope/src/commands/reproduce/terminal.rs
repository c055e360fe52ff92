//! The results in a terminal.

use batchscope_core::Estimate;
use batchscope_report::{TextColumn, display_width, format::estimate_short, text_table, wrap};
use batchscope_reproduce::keskar::{Contrast, Results, Verdict};

use super::preset::shown;

/// The table, and what agrees with the paper and what does not.
pub fn summary(results: &Results, width: usize, color: bool) -> String {
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
        shown(&setting.model),
        setting.data
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
        let verdict = paint(claim.verdict, color);
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

fn paint(verdict: Verdict, color: bool) -> String {
    let code = match verdict {
        Verdict::Agrees => "32",
        Verdict::Disagrees => "31",
        Verdict::Undecided => "33",
    };
    match color {
        true => format!("\x1b[{code}m{}\x1b[0m", verdict.name()),
        false => verdict.name().to_owned(),
    }
}

/// The table, or where its own columns need more than `width` the same as lines.
fn table(results: &Results, width: usize) -> String {
    let rows = &results.table;
    let column = |title, rank, cell: &dyn Fn(usize) -> String| TextColumn {
        title,
        right: rank > 0,
        rank,
        cells: (0..rows.len()).map(cell).collect(),
    };
    let short = |e: &Estimate| estimate_short(e);
    let compared = |i: usize| match rows[i].contrast {
        Contrast::Ratio => short(&rows[i].compared),
        Contrast::Difference => format!("small − large {}", short(&rows[i].compared)),
    };
    let published = |i: usize, side: usize| {
        rows[i]
            .published
            .map_or_else(String::new, |p| format!("{:.2}", p[side]))
    };
    let own = [
        column("", 0, &|i| rows[i].quantity.clone()),
        column("small", 2, &|i| short(&rows[i].small)),
        column("large", 2, &|i| short(&rows[i].large)),
        column("large/small", 1, &compared),
    ];
    let widest = |column: &TextColumn| {
        let cells = column.cells.iter().map(|cell| display_width(cell));
        cells.fold(display_width(column.title), usize::max)
    };
    let needed = own.iter().map(widest).sum::<usize>() + 2 * (own.len() - 1);
    if needed <= width {
        let paper = [
            column("paper small", 3, &|i| published(i, 0)),
            column("paper large", 3, &|i| published(i, 1)),
        ];
        return text_table(&Vec::from_iter(own.into_iter().chain(paper)), width);
    }
    let mut out = String::new();
    for (i, row) in rows.iter().enumerate() {
        let contrast = match row.contrast {
            Contrast::Ratio => format!("large/small {}", compared(i)),
            Contrast::Difference => compared(i),
        };
        let mut lines = vec![
            format!("small {}; large {}", short(&row.small), short(&row.large)),
            contrast,
        ];
        lines.extend(
            row.published
                .map(|p| format!("paper: small {:.2}, large {:.2}", p[0], p[1])),
        );
        for line in wrap(&row.quantity, width, 2) {
            out.push_str(&format!("{line}\n"));
        }
        for line in lines.iter().flat_map(|line| wrap(line, width - 2, 2)) {
            out.push_str(&format!("  {line}\n"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use batchscope_reproduce::keskar::{Claim, RowKind, Setting, Sharpening, TableRow};

    use super::*;
    use crate::commands::reproduce::preset::WHOLE_BATCH;

    fn around(value: f64, width: f64, n: u64) -> Estimate {
        Estimate {
            low: Some(value - width),
            high: Some(value + width),
            level: 0.95,
            n,
            ..Estimate::exact(value)
        }
    }

    /// What a run of F1 on MNIST may come to: a row of each kind, a claim of each verdict.
    fn results() -> Results {
        let phi = |small, large| TableRow {
            quantity: "φ, full space, ε = 1e-3 (%)".to_owned(),
            small: around(small, 0.4, 5),
            large: around(large, 21.0, 5),
            kind: RowKind::Sharpness,
            contrast: Contrast::Ratio,
            compared: around(large / small, 9.0, 5),
            published: Some([1.23, 205.14]),
        };
        let accuracy = TableRow {
            quantity: "test accuracy (%)".to_owned(),
            small: around(97.9, 0.12, 5),
            large: around(97.6, 0.08, 5),
            kind: RowKind::Accuracy,
            contrast: Contrast::Difference,
            compared: around(0.3, 0.15, 5),
            published: Some([98.03, 97.81]),
        };
        let claim = |claim: &str, published: &str, found, unit: &str, verdict| Claim {
            claim: claim.to_owned(),
            published: published.to_owned(),
            found,
            unit: unit.to_owned(),
            verdict,
            of_the_paper: true,
        };
        let single = Estimate {
            low: None,
            high: None,
            ..around(1.4, 0.0, 1)
        };
        Results {
            setting: Setting {
                network: "f1".to_owned(),
                model: format!("f1(ghost={WHOLE_BATCH})"),
                data: "idx: 10000 train, 1 validation (held out, seed 0), 10000 test; 28×28×1, 10 classes; content \
                       0badc0ffee00"
                    .to_owned(),
                examples: 10_000,
                small: 100,
                large: 1000,
                learning_rate: 1e-3,
                epochs: 100,
                plateau: Default::default(),
                evaluation: 2000,
                sharpness: Sharpening {
                    examples: 2000,
                    starts: 2,
                    iterations: 10,
                    patience: Sharpening::PATIENCE,
                    epsilons: vec![1e-3],
                    dimension: 100,
                    adaptive: 0.05,
                },
                augment: "rotate:10".to_owned(),
                conservative: Default::default(),
                adversarial: Default::default(),
                seed: 0,
            },
            table: vec![accuracy, phi(4.1, 152.0)],
            distance: None,
            slices: Vec::new(),
            batch_sizes: Vec::new(),
            trajectory: Vec::new(),
            warm_starts: Vec::new(),
            remedies: Vec::new(),
            claims: vec![
                claim(
                    "large batches find sharper minima",
                    "167",
                    around(37.0, 9.0, 5),
                    "φ, large over small",
                    Verdict::Agrees,
                ),
                claim(
                    "small batches go farther",
                    "3–10",
                    around(0.8, 0.1, 5),
                    "distance from the start, small over large",
                    Verdict::Disagrees,
                ),
                claim(
                    "augmentation helps large batches",
                    "above 0",
                    single,
                    "gain of test accuracy in per cent",
                    Verdict::Undecided,
                ),
            ],
            notes: vec!["b1000-s3 went to the cap of 100 epochs".to_owned()],
            runs: Vec::new(),
        }
    }

    #[test]
    fn the_summary_fits_the_terminal() {
        for width in [40, 80, 120] {
            let summary = summary(&results(), width, false);
            for line in summary.lines() {
                assert!(display_width(line) <= width, "at {width}: '{line}'");
            }
            insta::assert_snapshot!(format!("reproduce_at_{width}"), summary);
        }
        let plain = summary(&results(), 80, false);
        let painted = summary(&results(), 80, true);
        let painted = ["\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[0m"]
            .into_iter()
            .fold(painted, |text, code| text.replace(code, ""));
        assert_eq!(painted, plain);
    }
}
