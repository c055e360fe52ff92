//! Archives of Kaldi's, and the examples that are made of them.
#![no_main]

use std::path::{Path, PathBuf};

use batchscope_data::FrameOptions;
use batchscope_data::readers::{frames, kaldi};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file = Path::new("fuzzed");
    if let Ok(entries) = kaldi::parse(bytes, file) {
        let archive = frames::Archive::new(PathBuf::from(file), "train", entries);
        let _ = frames::assemble(file, Vec::from_iter(archive), &FrameOptions::default());
    }
});
