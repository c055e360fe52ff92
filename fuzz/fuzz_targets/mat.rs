//! SVHN's MAT-files, and what is made of them.
#![no_main]

use std::path::Path;

use batchscope_data::readers::{mat, svhn};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(variables) = mat::parse(bytes, Path::new("fuzzed")) {
        let _ = svhn::part(variables, Path::new("fuzzed"));
    }
});
