//! How the columns of a table, or the arrays of an archive, are understood.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What is predicted from a table or arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableTask {
    /// A class: labels are integers or names.
    #[default]
    Classify,
    /// Real values, by squared error.
    Regress,
}

/// How a table's columns, or the arrays of an archive, are understood.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableOptions {
    /// The column that holds the label: its name in the header, or its number, counted from 0 or, if
    /// negative, from the end; the last one where `None`.
    pub label: Option<String>,
    /// What is predicted.
    pub task: TableTask,
    /// Leave regression targets in their own units; they are standardized otherwise.
    pub raw_targets: bool,
    /// Whether the first row names the columns; found out where `None`.
    pub header: Option<bool>,
    /// What separates the cells of a row; found out where `None`.
    pub separator: Option<Separator>,
    /// Columns to leave out, besides an unnamed first one that numbers the rows.
    pub ignore: ColumnList,
    /// Name of the array of inputs; `x` where `None`.
    pub inputs_array: Option<String>,
    /// Name of the array of labels; `y` where `None`.
    pub labels_array: Option<String>,
}

/// What separates the cells of a table's row: one ASCII character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Separator(u8);

impl Separator {
    /// `,`
    pub const COMMA: Self = Self(b',');
    /// `;`
    pub const SEMICOLON: Self = Self(b';');
    /// A tab.
    pub const TAB: Self = Self(b'\t');
    /// `|`
    pub const PIPE: Self = Self(b'|');
    /// Any run of spaces and tabs.
    pub const SPACE: Self = Self(b' ');

    /// Those that are looked for, with their names.
    pub(crate) const KNOWN: [(Self, &str); 5] = [
        (Self::COMMA, "comma"),
        (Self::SEMICOLON, "semicolon"),
        (Self::TAB, "tab"),
        (Self::PIPE, "pipe"),
        (Self::SPACE, "space"),
    ];

    /// The character.
    pub(crate) fn byte(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Separator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::KNOWN.iter().find(|(known, _)| known == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}", char::from(self.0)),
        }
    }
}

/// Reads a name (`comma`, `semicolon`, `tab`, `pipe`, `space`) or the character itself.
impl FromStr for Separator {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.to_ascii_lowercase();
        if let Some((known, _)) = Self::KNOWN.iter().find(|(_, known)| *known == name) {
            return Ok(*known);
        }
        match *text.as_bytes() {
            // What numbers and quoted names are written with separates nothing.
            [c] if (c.is_ascii_graphic() || c == b' ' || c == b'\t')
                && !c.is_ascii_alphanumeric()
                && !b"\"+-.".contains(&c) =>
            {
                Ok(Self(c))
            }
            _ => Err(format!(
                "'{text}' is not a separator: choose comma, semicolon, tab, pipe, space or one character"
            )),
        }
    }
}

impl TryFrom<String> for Separator {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Separator> for String {
    fn from(separator: Separator) -> Self {
        separator.to_string()
    }
}

/// Columns by name or number, as [`TableOptions::label`] is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ColumnList(pub Vec<String>);

impl ColumnList {
    /// True for `none`, which keeps even what is left out unasked.
    pub(crate) fn is_none(&self) -> bool {
        self.0 == ["none"]
    }
}

impl fmt::Display for ColumnList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            if name.contains([',', '"']) || name.trim() != name {
                write!(f, "\"{}\"", name.replace('"', "\"\""))?;
            } else {
                f.write_str(name)?;
            }
        }
        Ok(())
    }
}

/// Reads names between commas; a name that holds a comma stands in double quotes.
impl FromStr for ColumnList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_bytes());
        let mut names = csv::StringRecord::new();
        let wrong = |error: csv::Error| format!("'{text}' is not a list of columns ({error})");
        reader.read_record(&mut names).map_err(wrong)?;
        let clean = |name: &str| name.trim().to_owned();
        let names: Vec<String> = names.iter().map(clean).collect();
        if names.iter().any(String::is_empty) {
            return Err(format!(
                "'{text}' holds an empty name: give columns between commas"
            ));
        }
        Ok(Self(names))
    }
}

impl TryFrom<String> for ColumnList {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ColumnList> for String {
    fn from(list: ColumnList) -> Self {
        list.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_and_lists_survive_text() {
        for (text, byte) in [
            ("comma", b','),
            ("TAB", b'\t'),
            (":", b':'),
            ("space", b' '),
        ] {
            let read: Separator = text.parse().unwrap();
            assert_eq!(read.byte(), byte);
            assert_eq!(read.to_string().parse(), Ok(read));
        }
        for wrong in ["", "--", "1", ".", "\"", "é"] {
            assert!(wrong.parse::<Separator>().is_err(), "{wrong}");
        }
        let list: ColumnList = "id,\"a,b\", -2".parse().unwrap();
        assert_eq!(list.0, ["id", "a,b", "-2"]);
        assert_eq!(list.to_string().parse(), Ok(list));
        assert!("a,,b".parse::<ColumnList>().is_err());
    }
}
