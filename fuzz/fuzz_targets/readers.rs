//! Every reader of the registry on a folder with one damaged file: the first byte chooses the reader,
//! the second the file, and the others are what the file holds.
#![no_main]

#[path = "../../crates/data/tests/support/mod.rs"]
mod support;

use batchscope_data::readers::READERS;
use batchscope_data::{Format, LoadOptions, open};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [reader, file, bytes @ ..] = bytes else {
        return;
    };
    let reader = READERS.all[usize::from(*reader) % READERS.all.len()];
    let Some(mut files) = support::sources::folder(reader.descriptor().name) else {
        return; // built in
    };
    let file = usize::from(*file) % files.len();
    files[file].1 = bytes.to_vec();
    let here = tempfile::tempdir().unwrap();
    let source = support::sources::put(here.path(), &files);
    let options = LoadOptions {
        format: Some(Format::of(reader)),
        ..LoadOptions::default()
    };
    let _ = open(support::text(&source), &options);
});
