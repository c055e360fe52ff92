//! What a training program writes to its standard output.
#![no_main]

use batchscope_command::{Names, metrics_of_output};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let names = Names {
        metrics: Vec::new(),
        wanted: "val-loss".parse().into_iter().collect(),
    };
    metrics_of_output(bytes, &names);
});
