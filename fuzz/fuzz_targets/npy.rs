//! NumPy arrays.
#![no_main]

use std::path::Path;

use batchscope_data::readers::npy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = npy::parse(bytes, Path::new("fuzzed"));
});
