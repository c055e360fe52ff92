//! Archives of NumPy arrays, and what is made of them.
#![no_main]

use std::path::Path;

use batchscope_data::readers::npz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(arrays) = npz::parse(bytes, Path::new("fuzzed")) {
        let _ = npz::assemble(
            Path::new("fuzzed"),
            arrays,
            batchscope_data::TableTask::Classify,
        );
    }
});
