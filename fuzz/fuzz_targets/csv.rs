//! Tables, for classification and regression.
#![no_main]

use std::path::Path;

use batchscope_data::readers::csv;
use batchscope_data::{TableOptions, TableTask};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for task in [TableTask::Classify, TableTask::Regress] {
        let options = TableOptions {
            task,
            ..TableOptions::default()
        };
        let _ = csv::parse(bytes, &options, Path::new("fuzzed"));
    }
});
