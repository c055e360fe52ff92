//! Text of a terminal's width, counted in display columns: a letter of Chinese takes two, a
//! combining accent none (Unicode Standard Annex #11). What a terminal shows has ordinary spaces.

use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm, core};

use crate::format::plain;

/// Columns that a text takes on a terminal.
pub fn display_width(text: &str) -> usize {
    core::display_width(text)
}

/// Breaks every line of a text between words into lines of at most `width` columns, continued ones
/// indented. A word wider than that is left whole: a path or a command that is cut cannot be copied.
pub fn wrap(text: &str, width: usize, indent: usize) -> Vec<String> {
    lines(text, width, indent, false)
}

/// As [`wrap`], but a word wider than the line is cut, never run over the edge.
pub fn fold(text: &str, width: usize, indent: usize) -> Vec<String> {
    lines(text, width, indent, true)
}

fn lines(text: &str, width: usize, indent: usize, cut: bool) -> Vec<String> {
    let indent = " ".repeat(indent);
    let options = Options::new(width)
        .subsequent_indent(&indent)
        .break_words(cut)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    text.lines()
        .flat_map(|line| textwrap::wrap(line, &options))
        .map(|line| plain(&line))
        .collect()
}

/// A column of a [`text_table`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextColumn {
    /// Its heading.
    pub title: &'static str,
    /// Whether its cells stand on the right, as numbers do.
    pub right: bool,
    /// How early it is left out where there is no room: the highest first, the lowest never.
    pub rank: u8,
    /// Its cells, one a row.
    pub cells: Vec<String>,
}

/// Columns between two columns of a table.
const GAP: usize = 2;

/// Fewest columns that text is broken into; the numbers beside it stay whole.
const NARROWEST: usize = 8;

/// A table with a heading, no wider than `width` columns: those less missed are left out. If the rest is still too
/// wide, the widest column of text is broken over lines, and if that does not help lines end in `…`. Columns must have equally
/// many cells.
pub fn text_table(columns: &[TextColumn], width: usize) -> String {
    let widest = |c: &TextColumn| {
        let cells = c.cells.iter().map(|cell| display_width(cell));
        cells.chain([display_width(c.title)]).max().unwrap_or(0)
    };
    let all: Vec<(&TextColumn, usize)> = columns.iter().map(|c| (c, widest(c))).collect();
    let total = |rank: u8| {
        let kept: Vec<_> = all
            .iter()
            .filter(|(c, _)| c.rank <= rank)
            .copied()
            .collect();
        total_width(&kept)
    };
    let ranks = || columns.iter().map(|c| c.rank);
    let (least, most) = (ranks().min().unwrap_or(0), ranks().max().unwrap_or(0));
    let fits = |rank: &u8| total(*rank) <= width + GAP;
    let rank = (least..=most).rev().find(fits).unwrap_or(least);
    let mut shown: Vec<_> = all.into_iter().filter(|(c, _)| c.rank <= rank).collect();
    let over = total_width(&shown).saturating_sub(width + GAP);
    let texts = shown.iter_mut().filter(|(c, _)| !c.right);
    let broken = texts.max_by_key(|(_, wide)| *wide);
    if let Some((_, wide)) = broken
        && *wide >= over + NARROWEST
    {
        *wide -= over;
    }
    let line = |of: &dyn Fn(&TextColumn) -> String| row(&shown, of, width);
    let mut out = line(&|c| c.title.to_owned());
    let rows = columns.first().map_or(0, |c| c.cells.len());
    for row in 0..rows {
        out += &line(&|c| c.cells[row].clone());
    }
    out
}

/// Columns that these take, with a gap after each.
fn total_width(shown: &[(&TextColumn, usize)]) -> usize {
    shown.iter().map(|(_, wide)| wide + GAP).sum()
}

/// A row of a table: as many lines as its longest cell needs.
fn row(shown: &[(&TextColumn, usize)], of: &dyn Fn(&TextColumn) -> String, width: usize) -> String {
    let cells: Vec<Vec<String>> = shown
        .iter()
        .map(|(column, wide)| fold(&of(column), *wide, 0))
        .collect();
    let lines = cells.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let mut out = String::new();
    for line in 0..lines {
        let parts = shown.iter().zip(&cells).map(|((column, wide), cell)| {
            let text = cell.get(line).map_or("", String::as_str);
            let space = " ".repeat(wide.saturating_sub(display_width(text)));
            match column.right {
                true => space + text,
                false => text.to_owned() + &space,
            }
        });
        let text = parts.collect::<Vec<_>>().join(&" ".repeat(GAP));
        out += &clip(text.trim_end(), width);
        out.push('\n');
    }
    out
}

/// A line cut to a width, with `…` where something is missing.
fn clip(line: &str, width: usize) -> String {
    if display_width(line) <= width {
        return line.to_owned();
    }
    let ends = line.char_indices().map(|(end, _)| end);
    let kept = ends.take_while(|&end| display_width(&line[..end]) < width);
    format!("{}…", &line[..kept.last().unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_in_columns() {
        // Six letters of two columns each.
        assert_eq!(fold("批量大小临界", 8, 0), ["批量大小", "临界"]);
        assert_eq!(wrap("批量 大小", 8, 2), ["批量", "  大小"]);
        assert_eq!(wrap("a /a/long/path b", 6, 1), ["a", " /a/long/path", " b"]);
        assert_eq!(
            fold("a /a/long/path", 6, 1),
            ["a", " /a/lo", " ng/pa", " th"]
        );
        assert_eq!(wrap("a   b", 5, 1), ["a   b"]);
        assert_eq!(wrap("a   b", 4, 1), ["a", " b"]);
        // An accent of its own takes no column.
        assert_eq!(fold("e\u{301}e\u{301}", 2, 0), ["e\u{301}e\u{301}"]);
        assert_eq!(fold("", 5, 0), Vec::<String>::new());
        assert_eq!(fold("one two\n\nthree", 5, 1), ["one", " two", "", "three"]);
        // A number keeps its unit.
        assert_eq!(wrap("in 3\u{a0}min", 6, 0), ["in", "3 min"]);
    }

    #[test]
    fn tables_leave_out_what_is_less_missed() {
        let column = |title, right, rank, cells: [&str; 2]| TextColumn {
            title,
            right,
            rank,
            cells: cells.map(str::to_owned).to_vec(),
        };
        let columns = [
            column("n", true, 0, ["1", "10"]),
            column("name", false, 1, ["数据", "x"]),
            column("note", false, 2, ["a long remark", ""]),
        ];
        assert_eq!(
            text_table(&columns, 23),
            " n  name  note\n 1  数据  a long remark\n10  x\n"
        );
        assert_eq!(text_table(&columns, 22), " n  name\n 1  数据\n10  x\n");
        assert_eq!(text_table(&columns, 7), " n\n 1\n10\n");
        assert_eq!(text_table(&columns[1..2], 3), "na…\n数…\nx\n");
        // Numbers stay whole; the text beside them is broken.
        let beside = [
            column("method", false, 0, ["sgd+tuned+decentlam", "sgd"]),
            column("error", true, 0, ["0.25", "0.5"]),
        ];
        assert_eq!(
            text_table(&beside, 17),
            "method      error\nsgd+tuned+   0.25\ndecentlam\nsgd           0.5\n"
        );
        assert_eq!(text_table(&[], 5), "\n");
    }
}
