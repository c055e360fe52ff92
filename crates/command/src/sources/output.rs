//! Lines of standard output.

use std::{fmt, str::FromStr};

use crate::{Reading, reading};

use super::events::object;

/// A regular expression whose groups are names: `step (?<step>\d+).*nll (?<val_loss>[\d.]+)`.
#[derive(Debug, Clone)]
pub struct Pattern(regex::Regex);

/// Most bytes that a compiled pattern may take.
const LARGEST_PATTERN: usize = 1 << 20;

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let built = regex::RegexBuilder::new(text)
            .size_limit(LARGEST_PATTERN)
            .build();
        let pattern = built.map_err(|e| format!("is no regular expression: {e}"))?;
        match pattern.capture_names().flatten().count() {
            0 => Err("names nothing: put what it finds into groups with names, as in step (?<step>\\d+).*loss (?<val_loss>\\S+)".to_owned()),
            _ => Ok(Self(pattern)),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Pattern {
    /// What it finds in a line; numbers alone.
    fn read(&self, line: &str) -> Reading {
        let Some(found) = self.0.captures(line) else {
            return Reading::default();
        };
        let names = self.0.capture_names().flatten();
        let value = |name: &str| reading::number(found.name(name)?.as_str());
        Reading(
            names
                .filter_map(|name| Some((name.to_owned(), value(name)?)))
                .collect(),
        )
    }
}

/// What a line of standard output reports: by the pattern where there is one, else a JSON object, else
/// `name=value` and `name: value`.
pub(crate) fn output_line(line: &str, pattern: Option<&Pattern>) -> Reading {
    match pattern {
        Some(pattern) => pattern.read(line),
        None => object(line).unwrap_or_else(|| reading::pairs(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_names() {
        let pattern: Pattern = r"it (?<step>\d+)/\d+ .* nll (?<val_loss>\S+)"
            .parse()
            .unwrap();
        let found = output_line("it 20/100 | 3 s | nll 1.5e0", Some(&pattern));
        assert_eq!(
            found.0,
            [("step".to_owned(), 20.0), ("val_loss".to_owned(), 1.5)]
        );
        assert_eq!(
            output_line("nothing here", Some(&pattern)),
            Reading::default()
        );
        // What is no number is not reported.
        assert_eq!(output_line("it 20/100 | nll -", Some(&pattern)).0.len(), 1);
    }

    #[test]
    fn patterns_that_cannot_be_are_refused() {
        assert!(
            "(".parse::<Pattern>()
                .unwrap_err()
                .contains("regular expression")
        );
        assert!(
            "loss (\\S+)"
                .parse::<Pattern>()
                .unwrap_err()
                .contains("names")
        );
        assert!(
            "(?<a>\\w{1,1000}){1,1000}".parse::<Pattern>().is_err(),
            "too large"
        );
    }

    #[test]
    fn objects_are_read_as_such() {
        let found = output_line(
            r#"{"step": 5, "eval": {"loss": 0.25}, "note": "x", "done": true}"#,
            None,
        );
        assert_eq!(
            found.0,
            [("eval/loss".to_owned(), 0.25), ("step".to_owned(), 5.0)]
        );
        // What begins like one and is none is read like any line.
        assert_eq!(
            output_line("{'step': 5}", None).0,
            [("step".to_owned(), 5.0)]
        );
    }
}
