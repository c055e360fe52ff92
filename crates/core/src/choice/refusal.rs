//! Why a choice is refused, and what may have been meant.

use super::CallError;

/// Why a choice is refused: every part is data, for whoever words it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ChoiceError {
    /// The text is not a call.
    #[error(transparent)]
    Call(#[from] CallError),
    /// There is no such thing.
    #[error("'{name}' is not {article} {what}: choose {names}{hint}", article = article(what), hint = hint(nearest.as_deref()))]
    Unknown {
        /// The kind of thing: `optimizer`.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// Everything there is: `a, b or c`.
        names: String,
        /// The name most like it, if one is near.
        nearest: Option<String>,
    },
    /// The thing has no such parameter.
    #[error("{name} has no setting '{key}': it takes {takes}{hint}", hint = hint(nearest.as_deref()))]
    Key {
        /// The thing.
        name: String,
        /// The key.
        key: String,
        /// What it takes.
        takes: String,
        /// The key most like it, if one is near.
        nearest: Option<String>,
    },
    /// A value is not what the parameter takes.
    #[error("{key} of {name} is '{value}': it must be {range}")]
    Value {
        /// The thing.
        name: String,
        /// The parameter.
        key: String,
        /// What it was set to.
        value: String,
        /// What it must be.
        range: String,
    },
    /// A parameter without a default was not given.
    #[error("{name} needs its {key}: {about}")]
    Missing {
        /// The thing.
        name: String,
        /// The parameter.
        key: &'static str,
        /// What it is.
        about: &'static str,
    },
    /// A parameter was given that does not apply beside a switch.
    #[error(
        "'{key}' does not apply to {name} {with} '{switch}': leave it out, or turn '{switch}' \
         {other}",
        with = if *on { "with" } else { "without" },
        other = if *on { "off" } else { "on" }
    )]
    Excluded {
        /// The thing.
        name: String,
        /// The parameter.
        key: &'static str,
        /// The switch that decides.
        switch: &'static str,
        /// Whether it is on.
        on: bool,
    },
    /// Two parts of one thing decide the same.
    #[error("{name} and {other} both move {what}: keep one of them")]
    Clash {
        /// One part.
        name: String,
        /// The other.
        other: String,
        /// What both decide.
        what: String,
    },
    /// A parameter was given twice.
    #[error("{key} of {name} is given twice")]
    Twice {
        /// The thing.
        name: String,
        /// The parameter.
        key: String,
    },
}

impl ChoiceError {
    /// The parameter that is at fault, if one is.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Key { key, .. } | Self::Value { key, .. } | Self::Twice { key, .. } => Some(key),
            Self::Missing { key, .. } | Self::Excluded { key, .. } => Some(key),
            Self::Call(_) | Self::Unknown { .. } | Self::Clash { .. } => None,
        }
    }
}

fn article(what: &str) -> &'static str {
    if what.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
}

/// `a, b or c`.
pub(super) fn any_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

/// The name nearest to a misspelled one, if at most a third of its letters are wrong.
pub(super) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let wrong = wrong.to_ascii_lowercase();
    names
        .map(|name| (edits(&wrong, name), name))
        .filter(|(edits, name)| *edits <= (name.len().max(wrong.len()) / 3).max(1))
        .min()
        .map(|(_, name)| name.to_owned())
}

/// Insertions, deletions, replacements and swaps of neighbors that make `a` into `b` (optimal
/// string alignment).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let moved = rows[i - 1][j].min(rows[i][j - 1]) + 1;
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swapped = if swapped {
                    rows[i - 2][j - 2] + 1
                } else {
                    usize::MAX
                };
                replaced.min(moved).min(swapped)
            };
        }
    }
    rows[a.len()][b.len()]
}
