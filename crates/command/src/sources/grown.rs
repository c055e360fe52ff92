//! A CSV file that a program adds rows to.

use std::{io, path::Path};

use crate::{Lines, Reading, reading};

use super::{Source, Tail};

/// A file with a line of headings, and rows that come later.
pub(crate) struct GrownCsv {
    tail: Tail,
    lines: Lines,
    headings: Vec<String>,
}

impl GrownCsv {
    pub fn new(path: &Path) -> Self {
        Self {
            tail: Tail::new(path),
            lines: Lines::default(),
            headings: Vec::new(),
        }
    }
}

impl Source for GrownCsv {
    fn poll(&mut self, take: &mut dyn FnMut(Reading)) -> io::Result<()> {
        loop {
            let bytes = self.tail.next()?;
            if bytes.is_empty() {
                return Ok(());
            }
            let headings = &mut self.headings;
            self.lines
                .push(&bytes, &mut |line| row(headings, line, take));
        }
    }

    fn finish(&mut self, take: &mut dyn FnMut(Reading)) {
        let _ = self.poll(take);
        let headings = &mut self.headings;
        self.lines.finish(&mut |line| row(headings, line, take));
    }
}

/// Takes a line: the headings where there are none yet.
fn row(headings: &mut Vec<String>, line: &str, take: &mut dyn FnMut(Reading)) {
    let cells = cells(line);
    if headings.is_empty() {
        *headings = cells;
        return;
    }
    let named = headings.iter().zip(&cells);
    let numbers =
        named.filter_map(|(name, cell)| Some((name.clone(), reading::number(cell.trim())?)));
    take(Reading(numbers.collect()));
}

/// The cells of a line; none where it is no CSV.
fn cells(line: &str) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(line.as_bytes());
    let first = reader.records().next().and_then(Result::ok);
    first.map_or_else(Vec::new, |record| {
        record.iter().map(str::to_owned).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn rows_are_read_as_they_come() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        let mut file = std::fs::File::create(&path).unwrap();
        let mut source = GrownCsv::new(&path);
        write!(file, "step,\"val, loss\",note\n1,0.5,a\n2,").unwrap();
        let mut found = Vec::new();
        source.poll(&mut |reading| found.push(reading)).unwrap();
        writeln!(file, "nan,").unwrap();
        source.poll(&mut |reading| found.push(reading)).unwrap();
        assert_eq!(
            found[0].0,
            [("step".to_owned(), 1.0), ("val, loss".to_owned(), 0.5)]
        );
        assert_eq!(found.len(), 2);
        assert!(found[1].0[1].1.is_nan());
    }
}
