//! Whether the first row of a table names its columns.

use csv::StringRecord;

use super::cells::{is_missing, is_number};
use super::dialect::Rows;
use super::survey::Survey;
use crate::inferred::Inferred;
use crate::table_options::{Separator, TableOptions, TableTask};

/// Names of all columns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    pub(super) names: Vec<String>,
    /// Whether they stand in the first row, or else in a comment before it.
    pub(super) is_row: bool,
}

/// Finds the names of the columns, and says where.
pub(super) fn find(
    rows: &Rows<'_>,
    survey: &Survey,
    options: &TableOptions,
    inferred: &mut Inferred,
) -> Option<Header> {
    let first = &survey.sample[0];
    let names = |cells: &mut dyn Iterator<Item = &str>| {
        let mut names: Vec<String> = cells.take(survey.columns).map(str::to_owned).collect();
        names.resize(survey.columns, String::new());
        names
    };
    let counts = counted(first, survey.columns);
    let is_row = options
        .header
        .unwrap_or_else(|| heads(rows, survey, options));
    if is_row {
        let line = rows.line(first.position());
        let names = names(&mut first.iter());
        let why = match (options.header, counts) {
            (Some(_), _) => " as set",
            (None, true) => {
                ", which only counts, as pandas numbers columns: set `header` to no to read it as \
                 data"
            }
            (None, false) => "",
        };
        inferred.took("header", format!("line {line} ({}){why}", listed(&names)));
        return Some(Header {
            names,
            is_row: true,
        });
    }
    if options.header.is_none()
        && let Some((line, heading)) = &rows.heading
    {
        let cells = rows.split(heading);
        let named = cells.iter().any(|cell| !is_number(cell, false));
        if cells.len() == survey.columns && named {
            inferred.took(
                "header",
                format!("the comment in line {line} ({})", listed(&cells)),
            );
            let names = names(&mut cells.iter().map(String::as_str));
            return Some(Header {
                names,
                is_row: false,
            });
        }
    }
    inferred.took(
        "header",
        match (options.header, counts) {
            (Some(_), _) => "none as set",
            (None, true) => {
                "none, though the first row only counts up from 0: set `header` to yes to read \
                 names"
            }
            (None, false) => "none",
        },
    );
    None
}

/// The first of some names.
pub(super) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| name.chars().take(40).collect())
        .collect();
    if names.len() > SHOWN {
        shown.push(format!("… {} in all", names.len()));
    }
    shown.join(", ")
}

/// Whether the first row is a header. It is one
///
/// * where none of its cells is a number;
/// * where the label column was asked for by a name that stands in it;
/// * where a name stands above numbers, and the numbers in it could be names: different integers;
/// * where it counts `0, 1, 2, …`, as pandas numbers columns, and is suspicious as data.
fn heads(rows: &Rows<'_>, survey: &Survey, options: &TableOptions) -> bool {
    let (first, below) = (&survey.sample[0], &survey.sample[1..]);
    let comma = rows.separator != Separator::COMMA;
    let number = |cell: &str| is_number(cell, comma);
    if !first.iter().any(number) {
        return true;
    }
    let asked = options.label.as_deref().filter(|name| !number(name));
    if asked.is_some_and(|name| first.iter().any(|cell| cell == name)) {
        return true;
    }
    let named = first.iter().enumerate().any(|(i, cell)| {
        let mut under = below
            .iter()
            .filter_map(|row| row.get(i))
            .filter(|c| !c.is_empty())
            .peekable();
        let letter = cell.starts_with(|c: char| c.is_alphabetic() || c == '_');
        letter && !number(cell) && !is_missing(cell) && under.peek().is_some() && under.all(number)
    });
    if named {
        let mut integers: Vec<u64> = Vec::new();
        let could_be_names = first.iter().filter(|cell| number(cell)).all(|cell| {
            let integer = cell.parse().ok().filter(|n| !integers.contains(n));
            integers.extend(integer);
            integer.is_some() && integers.len() <= 1 << 14
        });
        return could_be_names;
    }
    counted(first, survey.columns) && suspicious(survey, options)
}

/// True for `0, 1, 2, …`, perhaps after one empty cell.
fn counted(first: &StringRecord, columns: usize) -> bool {
    let cells: Vec<&str> = first.iter().take(columns).collect();
    let cells = match cells.as_slice() {
        ["", rest @ ..] => rest,
        all => all,
    };
    cells.len() >= 2 && (0..).zip(cells).all(|(i, cell)| cell.parse() == Ok(i))
}

/// Whether a first row that counts is hardly data. It is data where the second row counts on. Else it
/// is suspicious where its first cell is empty; where its label, for classification, is that of no
/// other row looked at; and, from four columns on, where a column below it holds anything but
/// integers, or there are at least six columns.
fn suspicious(survey: &Survey, options: &TableOptions) -> bool {
    let (first, below) = (&survey.sample[0], &survey.sample[1..]);
    if first.get(0) == Some("") {
        return true;
    }
    let Some(second) = below.first() else {
        return false;
    };
    let n = survey.columns;
    if (n..)
        .zip(second.iter().take(n))
        .all(|(i, cell)| cell.parse() == Ok(i))
    {
        return false;
    }
    let label = options
        .label
        .as_deref()
        .and_then(|label| label.parse::<i64>().ok());
    let label = match label {
        Some(at) if at < 0 => n.checked_add_signed(at as isize),
        Some(at) => usize::try_from(at).ok(),
        None => Some(n - 1),
    };
    let class = label.and_then(|at| Some((at, first.get(at)?)));
    let classify = options.task == TableTask::Classify;
    let alone = |(at, class)| below.iter().all(|row| row.get(at) != Some(class));
    let integer = |cell: &str| cell.parse::<i64>().is_ok();
    let others = below
        .iter()
        .any(|row| row.iter().take(n).any(|cell| !integer(cell)));
    classify && class.is_some_and(alone) || n >= 4 && others || n >= 6
}
