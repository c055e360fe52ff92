//! Lines that are in the training text and in another one.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use super::corpus::Text;
use crate::duplicates::refuse_known;

/// Shorter lines recur by chance: titles, braces, short answers.
const SHORTEST: usize = 30;

/// Notes on lines of the validation and test texts that the training text has too; why a test text of
/// which that is more than half is refused. Only lines of 30 bytes or more are counted, white space at their
/// ends aside.
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
        let known = known.count();
        if name == "test" {
            refused = refuse_known(known, all, "lines");
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
