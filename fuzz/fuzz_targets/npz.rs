//! Archives of NumPy arrays, and what is made of them.
#![no_main]

use std::path::Path;

use batchscope_data::{TableOptions, readers::npz};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let options = TableOptions::default();
    if let Ok(found) = npz::parse(bytes, &options, Path::new("fuzzed")) {
        let _ = npz::assemble(Path::new("fuzzed"), found, &options);
    }
});
