//! What a reader did not read, counted and named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How many names a note shows.
const SHOWN: usize = 3;

/// `12 images lie in no class folder: a.png, b.png, c.png, …`; `what` follows the number.
pub(crate) fn counted(what: &str, names: &[impl AsRef<Path>]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| name.as_ref().display().to_string())
        .collect();
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{} {what}: {}{more}", names.len(), shown.join(", "))
}

/// A note of names that were left out, or none where there are none.
pub(crate) fn note(notes: &mut Vec<String>, what: &str, names: &[impl AsRef<Path>]) {
    if !names.is_empty() {
        notes.push(counted(what, names));
    }
}

/// A note of files that were left out because they are of other kinds, by their endings.
pub(crate) fn note_kinds(notes: &mut Vec<String>, what: &str, names: &[PathBuf]) {
    if names.is_empty() {
        return;
    }
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        let ending = name.extension().map_or_else(
            || "no ending".to_owned(),
            |ending| format!(".{}", ending.to_string_lossy().to_ascii_lowercase()),
        );
        *kinds.entry(ending).or_default() += 1;
    }
    let kinds: Vec<String> = kinds
        .into_iter()
        .take(2 * SHOWN)
        .map(|(ending, count)| format!("{ending} {count}"))
        .collect();
    note(notes, &format!("{what} ({})", kinds.join(", ")), names);
}

/// Names in a row, cut after a few: `ant, bee, cat, … (12)`.
pub(crate) fn shown<T: AsRef<str>>(names: &[T]) -> String {
    const FEW: usize = 5;
    let mut row = names
        .iter()
        .take(FEW)
        .map(AsRef::as_ref)
        .collect::<Vec<_>>();
    let more = format!("… ({})", names.len());
    if names.len() > FEW {
        row.push(&more);
    }
    row.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_names_are_shown_and_all_are_counted() {
        let names = ["a.bmp", "b.BMP", "c", "d.gif"].map(PathBuf::from);
        let mut notes = Vec::new();
        note_kinds(&mut notes, "files were left out", &names);
        note(&mut notes, "never", &[] as &[PathBuf]);
        assert_eq!(
            notes,
            ["4 files were left out (.bmp 2, .gif 1, no ending 1): a.bmp, b.BMP, c, …"]
        );
        assert_eq!(shown(&["a", "b"]), "a, b");
        assert_eq!(
            shown(&["a", "b", "c", "d", "e", "f"]),
            "a, b, c, d, e, … (6)"
        );
    }
}
