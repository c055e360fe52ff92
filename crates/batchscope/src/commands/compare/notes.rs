//! What is to be said of the runs that were compared.

use std::collections::BTreeSet;

use batchscope_core::{TrainerInfo, TrialPurpose, TrialRecord};
use batchscope_study::StudyResult;

use crate::lengths;

/// Warm-ups that do not end within their runs, by method and batch size.
pub(super) fn long_warm_ups(result: &StudyResult, info: &TrainerInfo) -> Vec<String> {
    let fresh =
        |record: &&TrialRecord| matches!(record.spec.purpose, TrialPurpose::Fresh { index: 0 });
    let notes = result.records.iter().filter(fresh).filter_map(|record| {
        let spec = &record.spec;
        let (batch_size, examples) = (spec.batch_size, info.train_examples);
        // In steps of the batch size that the run begins with, whatever a controller makes of it.
        let drawn = record.measurements.last().map(|m| m.examples / batch_size);
        let steps = drawn
            .filter(|_| spec.controller.is_some())
            .unwrap_or(spec.cap);
        let remark = lengths::long_warm_up(&spec.schedule, batch_size, examples, steps)?;
        Some(format!(
            "{} at batch size {batch_size}: {remark}.",
            spec.curves.join(", ")
        ))
    });
    notes.collect()
}

/// What fresh runs noted, with their methods and batch sizes; of notes that differ in numbers alone, the first.
pub(super) fn of_runs(result: &StudyResult, methods: usize) -> Vec<String> {
    struct Noted<'a> {
        first: &'a str,
        differ: bool,
        methods: BTreeSet<&'a str>,
        sizes: BTreeSet<u64>,
    }
    let words = |note: &str| note.replace(|c: char| c.is_ascii_digit(), "");
    let mut all: Vec<Noted<'_>> = Vec::new();
    let fresh = |r: &&TrialRecord| matches!(r.spec.purpose, TrialPurpose::Fresh { .. });
    for record in result.records.iter().filter(fresh) {
        for note in &record.notes {
            let known = all.iter().position(|n| words(n.first) == words(note));
            let at = known.unwrap_or(all.len());
            if known.is_none() {
                all.push(Noted {
                    first: note,
                    differ: false,
                    methods: BTreeSet::new(),
                    sizes: BTreeSet::new(),
                });
            }
            let noted = &mut all[at];
            noted.differ |= noted.first != note;
            let curves = record.spec.curves.iter().map(String::as_str);
            noted.methods.extend(curves);
            noted.sizes.insert(record.spec.batch_size);
        }
    }
    let said = all.into_iter().map(|noted| {
        let who = match noted.methods.len() == methods {
            true => "All methods".to_owned(),
            false => Vec::from_iter(noted.methods).join(", "),
        };
        let sizes: Vec<String> = noted.sizes.iter().map(u64::to_string).collect();
        let differ = match noted.differ {
            true => " (the first such run; others differ in the numbers)",
            false => "",
        };
        let sizes = sizes.join(", ");
        format!("{who} at batch size {sizes}: {}{differ}.", noted.first)
    });
    said.collect()
}
