//! Both versions of both CIFAR sets.
#![no_main]

use std::path::Path;

use batchscope_data::readers::cifar::{self, Kind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for kind in [Kind::Ten, Kind::Hundred] {
        let _ = cifar::parse(bytes, kind, Path::new("fuzzed"));
        let _ = cifar::parse_python(bytes, kind, Path::new("fuzzed"));
    }
});
