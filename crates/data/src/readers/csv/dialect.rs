//! How a table is written: comments, Excel's `sep=` line, and what separates its cells.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;

use csv::{Position, StringRecord};

use super::cells;
use crate::error::DataError;
use crate::table_options::Separator;

/// Lines that the separator is told by.
const SAMPLE_LINES: usize = 50;

/// The rows of a table without what is no row.
pub(super) struct Rows<'a> {
    /// Without comments; lines keep their numbers.
    text: Cow<'a, str>,
    pub(super) separator: Separator,
    /// Comment lines left out.
    pub(super) comments: u64,
    /// Whether a line `sep=` was left out.
    pub(super) sep_line: bool,
    /// The last comment before the first row, without its mark, and its line: perhaps the header.
    pub(super) heading: Option<(u64, String)>,
}

impl<'a> Rows<'a> {
    /// Finds the rows of a text; `file` is named in errors.
    pub(super) fn of(
        text: Cow<'a, str>,
        asked: Option<Separator>,
        file: &Path,
    ) -> Result<Self, DataError> {
        // Line ends of old Macs would make one line of everything.
        let text = match text.contains('\r') && !text.contains('\n') {
            true => Cow::Owned(text.replace('\r', "\n")),
            false => text,
        };
        let (mut comments, mut heading, mut sep, mut rows) = (0, None, None, 0u64);
        for (number, line) in (1u64..).zip(text.lines()) {
            if line.trim().is_empty() {
                continue;
            }
            if is_comment(line) {
                comments += 1;
                if rows == 0 {
                    let name = line.trim().trim_start_matches(['#', '%']);
                    heading = Some((number, name.to_owned()));
                }
            } else if rows == 0 && sep.is_none() && sep_line(line).is_some() {
                sep = sep_line(line);
            } else {
                rows += 1;
            }
        }
        if rows == 0 {
            let what = match comments {
                0 => "is empty".to_owned(),
                n => format!("is empty but for {n} comment lines (# or %)"),
            };
            return Err(DataError::malformed(
                file,
                what,
                "give a table with at least one row",
            ));
        }
        let text = match comments > 0 || sep.is_some() {
            true => Cow::Owned(without_notes(&text)),
            false => text,
        };
        expect_table(&text, file)?;
        let separator = asked
            .or(sep)
            .or_else(|| guess(&text))
            .unwrap_or(Separator::COMMA);
        let text = match separator == Separator::SPACE {
            true => Cow::Owned(squeezed(&text)),
            false => text,
        };
        Ok(Self {
            text,
            separator,
            comments,
            sep_line: sep.is_some(),
            heading,
        })
    }

    /// A reader of the rows, of whatever lengths. It trims no cells: that copies every row.
    pub(super) fn reader(&self) -> csv::Reader<&[u8]> {
        reader(&self.text, self.separator)
    }

    /// The line that a record begins in. Its position is where the one before ended: empty lines follow.
    pub(super) fn line(&self, position: Option<&Position>) -> u64 {
        let Some(position) = position else { return 0 };
        let rest = &self.text.as_bytes()[(position.byte() as usize).min(self.text.len())..];
        let ends = rest.iter().take_while(|b| matches!(b, b'\n' | b'\r'));
        position.line() + ends.filter(|&&b| b == b'\n').count() as u64
    }

    /// The cells of a line that is no row.
    pub(super) fn split(&self, line: &str) -> Vec<String> {
        let line = match self.separator == Separator::SPACE {
            true => squeezed(line),
            false => line.to_owned(),
        };
        let cells = records(&line, self.separator).into_iter().next();
        cells.iter().flatten().map(str::to_owned).collect()
    }
}

fn reader(text: &str, separator: Separator) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator.byte())
        .from_reader(text.as_bytes())
}

fn records(text: &str, separator: Separator) -> Vec<StringRecord> {
    // A text that is UTF-8 has no other faults for rows of any length.
    reader(text, separator)
        .into_records()
        .map_while(Result::ok)
        .map(trimmed)
        .collect()
}

/// A row without spaces about its cells.
pub(super) fn trimmed(mut row: StringRecord) -> StringRecord {
    row.trim();
    row
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with(['#', '%'])
}

/// The separator that Excel's first line sets: `sep=;`, perhaps in quotes.
fn sep_line(line: &str) -> Option<Separator> {
    let line = line.trim_end_matches('\r').trim_matches('"');
    let (key, value) = line.split_at_checked(4)?;
    if !key.eq_ignore_ascii_case("sep=") {
        return None;
    }
    value.parse().ok()
}

/// The text with comments and the `sep=` line emptied, so that all others keep their numbers.
fn without_notes(text: &str) -> String {
    let (mut kept, mut rows) = (String::with_capacity(text.len()), 0u64);
    for line in text.lines() {
        if !is_comment(line) && (rows > 0 || sep_line(line).is_none()) {
            rows += u64::from(!line.trim().is_empty());
            kept.push_str(line);
        }
        kept.push('\n');
    }
    kept
}

/// Refuses formats of text that are no tables of cells, by their first line.
fn expect_table(text: &str, file: &Path) -> Result<(), DataError> {
    let first = text.lines().find(|line| !line.trim().is_empty());
    let first = first.unwrap_or_default().trim_start().to_ascii_lowercase();
    let what = match first.as_bytes() {
        [b'@', ..] if first.starts_with("@relation") => "ARFF",
        [b'{', ..] | [b'[', b'{' | b'[' | b'"', ..] => "JSON",
        [b'<', ..] => "HTML or XML",
        _ => return Ok(()),
    };
    Err(DataError::malformed(
        file,
        format!("looks like {what}, which is not read"),
        "save it as CSV: rows of cells",
    ))
}

/// Each line with one space for every run of spaces and tabs outside quotes.
fn squeezed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let (mut quoted, mut space) = (false, false);
        for c in line.trim().chars() {
            quoted ^= c == '"';
            if !quoted && (c == ' ' || c == '\t') {
                space = true;
                continue;
            }
            if std::mem::take(&mut space) {
                out.push(' ');
            }
            out.push(c);
        }
        out.push('\n');
    }
    out
}

/// The separator under which most cells below the first line are numbers; of equals, the one that
/// occurs most in the first line. `None` where none makes two columns.
fn guess(text: &str) -> Option<Separator> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let sample: String = lines
        .take(SAMPLE_LINES)
        .flat_map(|line| [line, "\n"])
        .collect();
    let first = sample.lines().next()?;
    let score = |separator: Separator| {
        let rows = match separator == Separator::SPACE {
            true => records(&squeezed(&sample), separator),
            false => records(&sample, separator),
        };
        let width = usual_width(&rows)?;
        let below = &rows[usize::from(rows.len() > 1)..];
        let comma = separator != Separator::COMMA;
        let numbers = |row: &StringRecord| {
            row.iter()
                .filter(|cell| cells::is_number(cell, comma))
                .count()
        };
        let even = below.iter().filter(|row| row.len() == width);
        let (good, all): (usize, usize) = (
            even.map(numbers).sum(),
            below.iter().map(StringRecord::len).sum(),
        );
        let separators = first.bytes().filter(|&b| b == separator.byte()).count();
        Some((good as f64 / all.max(1) as f64, good, separators))
    };
    let better = |a: &(f64, usize, usize), b: &(f64, usize, usize)| {
        a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2))
    };
    let mut best: Option<(Separator, (f64, usize, usize))> = None;
    for (separator, _) in Separator::KNOWN {
        if let Some(score) = score(separator)
            && best.is_none_or(|(_, best)| better(&score, &best) == Ordering::Greater)
        {
            best = Some((separator, score));
        }
    }
    best.map(|(separator, _)| separator)
}

/// The width of most rows, if it is at least 2.
fn usual_width(rows: &[StringRecord]) -> Option<usize> {
    let mut widths = BTreeMap::new();
    for row in rows {
        *widths.entry(row.len()).or_insert(0usize) += 1;
    }
    let (width, _) = widths.into_iter().max_by_key(|(_, count)| *count)?;
    (width >= 2).then_some(width)
}
