//! The findings in twenty lines of a terminal, and the trials as a table of its width.

use batchscope_core::{EstimateState, TrialRecord};
use batchscope_scaling::{BandPoint, Findings, PointState};

use crate::columns::{TextColumn, display_width, fold, text_table};
use crate::export::{last_step, purpose};
use crate::figures::{Data, definition, drawn, formula, list, rule_name, size};
use crate::format::{axis_tick, batch_tick, count, duration, estimate, estimate_short, number};
use crate::words::{advice_sentence, runs_each};

/// Rows of the plot.
const ROWS: usize = 9;
/// Marks of the curves, by category; a letter would collide with words.
const MARKS: [char; 7] = ['●', '■', '▲', '◆', '▼', '✚', '⬟'];
/// Terminal colors of the curves (ANSI 256), near those of the figures.
const COLORS: [u8; 7] = [32, 166, 36, 175, 178, 74, 245];

/// The findings in about twenty lines: the verdict, the setting to use, a plot of steps against
/// batch size, what it rests on. `width` is the terminal's in columns; the plot is left out below
/// 34. With `color`, ANSI escapes mark the curves.
pub fn terminal_summary(findings: &Findings, width: usize, color: bool) -> String {
    let data = Data::new(findings, &[]);
    let paint = Paint { color };
    let width = width.clamp(20, 100);
    let mut out = String::new();
    let mut say = |text: &str, indent: usize| {
        for line in fold(text, width, indent) {
            out.push_str(&line);
            out.push('\n');
        }
    };
    say(&printable(&findings.verdict), 0);
    if let Some(advice) = &findings.advice {
        say(&printable(&advice_sentence(findings, advice)), 0);
    }
    for line in plot(&data, width, &paint) {
        out.push_str(&line);
        out.push('\n');
    }
    let mut say = |text: &str, indent: usize| {
        for line in fold(text, width, indent) {
            out.push_str(&line);
            out.push('\n');
        }
    };
    for curve in &findings.curves {
        if let Some(c) = findings.critical_batch_size.get(&curve.rule) {
            say(
                &format!(
                    "{}: {} by the hyperbola, {} by 20 % overhead, {} by the plateau",
                    rule_name(&printable(&curve.rule)),
                    estimate(&c.hyperbola),
                    estimate_short(&c.overhead20),
                    estimate_short(&c.plateau)
                ),
                2,
            );
            if let Some(own) = &c.overhead_from {
                say(
                    &format!(
                        "20 % more examples than at batch size {}: {}",
                        count(own.from),
                        estimate(&own.batch_size)
                    ),
                    2,
                );
            }
            if let Some(noise) = findings.quoted_noise(&curve.rule) {
                say(
                    &format!(
                        "gradient noise scale at batch size {}: {} on average",
                        count(noise.batch_size),
                        estimate(&noise.population)
                    ),
                    2,
                );
            }
            if let Some(settle) = &c.to_settle {
                say(
                    &format!(
                        "to settle it ({} more): {}",
                        duration(settle.seconds),
                        printable(&settle.command)
                    ),
                    2,
                );
            }
        }
    }
    for law in &findings.laws {
        let asked = law.asked.iter().map(|value| {
            let beyond = if value.beyond { " (extrapolated)" } else { "" };
            format!(
                "; at {} {}{beyond}",
                size(value.x),
                estimate(&value.batch_size)
            )
        });
        let asked: String = asked.collect();
        say(
            &format!("{} across curves: {}{asked}", definition(law), formula(law)),
            2,
        );
    }
    let ends: Vec<String> = findings
        .study
        .trials
        .iter()
        .map(|(s, n)| format!("{} {}", count(*n), printable(s).replace('_', " ")))
        .collect();
    if let Some(elsewhere) = &findings.study.measured_elsewhere {
        let runs = format!(
            "{}: {} runs measured elsewhere ({}), {}",
            printable(&elsewhere.files.join(", ")),
            count(elsewhere.runs),
            list(&ends),
            runs_each(findings)
        );
        say(&runs, 2);
        return out;
    }
    let trials = if ends.is_empty() {
        "no trials yet".to_owned()
    } else {
        format!("trials: {}", list(&ends))
    };
    say(
        &format!(
            "{trials}; {} fresh seeds per point; target {} ({})",
            findings.study.seeds,
            findings.study.goal(),
            printable(&findings.study.target_origin)
        ),
        2,
    );
    out
}

struct Paint {
    color: bool,
}

impl Paint {
    fn mark(&self, category: usize, text: &str) -> String {
        if self.color {
            format!(
                "\x1b[38;5;{}m{text}\x1b[0m",
                COLORS[category % COLORS.len()]
            )
        } else {
            text.to_owned()
        }
    }
}

/// A terminal must not obey what a data set is called.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Steps to the target against batch size, both logarithmic; empty where there is nothing to draw.
fn plot(data: &Data, width: usize, paint: &Paint) -> Vec<String> {
    let curves = &data.findings.curves;
    let points: Vec<(f64, f64)> = curves
        .iter()
        .flat_map(|c| &c.points)
        .filter_map(|p| Some((p.batch_size as f64, drawn(&p.steps)?)))
        .filter(|p| p.1 > 0.0)
        .collect();
    if points.is_empty() || width < 34 {
        return Vec::new();
    }
    let range = |of: fn(&(f64, f64)) -> f64| {
        let values = points.iter().map(of);
        (
            values.clone().fold(f64::INFINITY, f64::min),
            values.fold(0.0f64, f64::max),
        )
    };
    let (x0, x1) = range(|p| p.0);
    let (y0, y1) = range(|p| p.1);
    let (y0, y1) = if y1 > y0 {
        (y0, y1)
    } else {
        (y0 / 2.0, y1 * 2.0)
    };
    let margin = 7;
    let columns = (width - margin - 1).min(72);
    let part = |v: f64, low: f64, high: f64| {
        if high > low {
            (v / low).ln() / (high / low).ln()
        } else {
            0.5
        }
    };
    let column = |b: f64| {
        (part(b, x0, x1) * (columns - 1) as f64)
            .round()
            .clamp(0.0, (columns - 1) as f64) as usize
    };
    let row = |s: f64| {
        ROWS - 1
            - (part(s, y0, y1) * (ROWS - 1) as f64)
                .round()
                .clamp(0.0, (ROWS - 1) as f64) as usize
    };
    let mut cells = vec![vec![" ".to_owned(); columns]; ROWS];
    for curve in curves {
        let category = data.category(&curve.rule);
        let band = curve.fit.as_ref().map_or(&[][..], |f| f.band.as_slice());
        for (k, column) in
            (0..columns).map(|k| (k, x0 * (x1 / x0).powf(k as f64 / (columns - 1) as f64)))
        {
            let steps = fitted(band, column).filter(|s| *s >= y0 && *s <= y1);
            if let Some(steps) = steps {
                cells[row(steps)][k] = paint.mark(category, "·");
            }
        }
    }
    for curve in curves {
        let category = data.category(&curve.rule);
        for p in &curve.points {
            let Some(steps) = drawn(&p.steps).filter(|s| *s > 0.0) else {
                if p.state == PointState::Diverged && (x0..=x1).contains(&(p.batch_size as f64)) {
                    cells[0][column(p.batch_size as f64)] = paint.mark(category, "×");
                }
                continue;
            };
            let mark = if p.steps.state == EstimateState::AtLeast {
                '↑'
            } else {
                MARKS[category % MARKS.len()]
            };
            cells[row(steps)][column(p.batch_size as f64)] =
                paint.mark(category, &mark.to_string());
        }
    }
    let mut keys: Vec<(usize, String)> = Vec::new();
    for curve in curves.iter().filter(|_| curves.len() > 1) {
        let category = data.category(&curve.rule);
        let text = format!(
            "{} {}",
            MARKS[category % MARKS.len()],
            rule_name(&printable(&curve.rule))
        );
        keys.push((display_width(&text), paint.mark(category, &text)));
    }
    let points = || curves.iter().flat_map(|c| &c.points);
    if points().any(|p| p.steps.state == EstimateState::AtLeast) {
        keys.push((10, "↑ at least".into()));
    }
    if points().any(|p| p.state == PointState::Diverged) {
        keys.push((10, "× diverged".into()));
    }
    let mut lines = key_lines(&keys, margin, width);
    for (i, cells) in cells.iter().enumerate() {
        let value = y1 * (y0 / y1).powf(i as f64 / (ROWS - 1) as f64);
        let label = if i % 4 == 0 {
            axis_tick(value)
        } else {
            String::new()
        };
        lines.push(
            format!("{label:>margin$}│{}", cells.concat())
                .trim_end()
                .to_owned(),
        );
    }
    lines.push(format!("{}└{}", " ".repeat(margin), "─".repeat(columns)));
    lines.push(batch_axis(data, margin + 1, columns, column));
    lines
}

/// The name of the axis and the keys after it, in lines no wider than the terminal.
fn key_lines(keys: &[(usize, String)], margin: usize, width: usize) -> Vec<String> {
    let mut lines = vec![format!("{:>margin$}", "steps")];
    let mut used = margin;
    for (length, key) in keys {
        if used + 2 + length > width {
            lines.push(" ".repeat(margin));
            used = margin;
        }
        if let Some(line) = lines.last_mut().filter(|_| used + 2 + length <= width) {
            line.push_str("  ");
            line.push_str(key);
            used += 2 + length;
        }
    }
    lines
}

/// The fit at a batch size between those of its grid, by lines in the logarithms.
fn fitted(band: &[BandPoint], batch: f64) -> Option<f64> {
    let after = band
        .iter()
        .position(|b| b.batch_size >= batch * (1.0 - 1e-9))?;
    let (a, b) = (band[after.saturating_sub(1)], band[after]);
    let part = (batch / a.batch_size).ln() / (b.batch_size / a.batch_size).ln();
    Some(if part.is_finite() {
        a.steps * (b.steps / a.steps).powf(part)
    } else {
        b.steps
    })
}

/// Labels under the axis, as many as there is room for, the last one always.
fn batch_axis(data: &Data, margin: usize, columns: usize, column: impl Fn(f64) -> usize) -> String {
    let mut sizes: Vec<u64> = data
        .findings
        .curves
        .iter()
        .flat_map(|c| &c.points)
        .map(|p| p.batch_size)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut line: Vec<char> = vec![' '; margin + columns];
    let mut next_free = 0;
    let title: Vec<char> = "batch".chars().collect();
    line[..title.len()].copy_from_slice(&title);
    let mut previous = usize::MAX;
    for size in sizes {
        let at = column(size as f64);
        if at == previous {
            continue;
        }
        previous = at;
        let label: Vec<char> = batch_tick(size as f64).chars().collect();
        let start = (margin + at)
            .saturating_sub(label.len() / 2)
            .max(margin)
            .min(line.len().saturating_sub(label.len()));
        if start >= next_free {
            line[start..start + label.len()].copy_from_slice(&label);
            next_free = start + label.len() + 2;
        }
    }
    line.into_iter().collect::<String>().trim_end().to_owned()
}

/// One column of [`trials_table`]: heading, whether it is numeric, how much it is missed.
type Field = (&'static str, bool, u8, fn(&TrialRecord) -> String);

const FIELDS: [Field; 10] = [
    ("trial", true, 0, |r| r.spec.id.to_string()),
    ("for", false, 1, |r| {
        let (kind, index) = purpose(&r.spec.purpose);
        index.map_or(kind.to_owned(), |i| format!("{kind} {i}"))
    }),
    ("curve", false, 3, |r| {
        r.spec
            .curves
            .iter()
            .map(|c| rule_name(&printable(c)))
            .collect::<Vec<_>>()
            .join(",")
    }),
    ("batch", true, 0, |r| r.spec.batch_size.to_string()),
    ("rate", true, 1, |r| number(r.spec.learning_rate)),
    ("end", false, 0, |r| r.outcome.name().replace('_', " ")),
    ("step", true, 0, |r| {
        last_step(r).map_or_else(String::new, count)
    }),
    ("examples", true, 4, |r| {
        last_step(r).map_or_else(String::new, |s| count(r.examples_at(s).round() as u64))
    }),
    ("time", true, 3, |r| duration(r.seconds)),
    ("seed", true, 5, |r| r.spec.seed.to_string()),
];

/// The trials as a table for a terminal of `width` columns, in the order of their numbers; columns
/// less missed are left out where it is narrow.
pub fn trials_table(records: &[TrialRecord], width: usize) -> String {
    let mut sorted: Vec<&TrialRecord> = records.iter().collect();
    sorted.sort_by_key(|r| r.spec.id);
    let columns = FIELDS.map(|(title, right, rank, cell)| TextColumn {
        title,
        right,
        rank,
        cells: sorted.iter().map(|r| cell(r)).collect(),
    });
    text_table(&columns, width)
}
