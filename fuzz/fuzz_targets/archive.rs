//! Archives: zip, and tar, plain and gzip'd.
#![no_main]

use std::path::Path;

use batchscope_data::readers::archive;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = archive::parse(bytes, Path::new("fuzzed"), &mut |_| true);
});
