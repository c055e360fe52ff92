//! MNIST and its kin, plain and gzip'd.
#![no_main]

use std::path::Path;

use batchscope_data::readers::idx;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = idx::parse(bytes, Path::new("fuzzed"));
});
