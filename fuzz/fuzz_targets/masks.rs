//! Masks of segmentation folders.
#![no_main]

use std::path::Path;

use batchscope_data::readers::masks;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = masks::decode_mask(bytes, (4, 4), Path::new("fuzzed"));
});
