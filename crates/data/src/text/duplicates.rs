//! Lines that are in the training text and in another one.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use super::corpus::Text;
use crate::duplicates::worthless;

/// Shorter lines recur by chance: titles, braces, short answers.
const SHORTEST: usize = 30;

/// Notes on lines of the validation and test texts that the training text has too; why a test text is
/// refused more than half of whose bytes are in such lines. Only lines of 30 bytes or more are counted,
/// white space at their ends aside: rulers and licences recur in texts of short lines.
pub(crate) fn count(
    train: &Text,
    validation: &Option<Text>,
    test: &Option<Text>,
    notes: &mut Vec<String>,
) -> Option<String> {
    if validation.is_none() && test.is_none() {
        return None;
    }
    let mut refused = None;
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let trained: HashSet<u64> = lines(train).map(|line| hasher.hash_one(line)).collect();
    for (name, text) in [("validation", validation), ("test", test)] {
        let Some(text) = text else { continue };
        let all = lines(text).count();
        let known = lines(text).filter(|line| trained.contains(&hasher.hash_one(line)));
        let (known, bytes) = known.fold((0, 0), |(n, bytes), line| (n + 1, bytes + line.len()));
        let length = text.text.len();
        if name == "test" && bytes > length / 2 {
            let said = format!(
                "{known} test lines are training lines too, {bytes} of the text's {length} bytes"
            );
            refused = Some(worthless(&said));
        }
        if known > 0 && refused.is_none() {
            notes.push(format!(
                "{known} of {all} {name} lines of {SHORTEST} bytes or more are training lines too"
            ));
        }
    }
    refused
}

fn lines(text: &Text) -> impl Iterator<Item = &str> {
    let lines = text.text.lines().map(str::trim);
    lines.filter(|line| line.len() >= SHORTEST)
}
