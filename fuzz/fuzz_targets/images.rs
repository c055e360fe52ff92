//! PNG and JPEG files of image folders.
#![no_main]

use std::path::Path;

use batchscope_data::readers::images;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = images::decode(bytes, None, Path::new("fuzzed"));
});
