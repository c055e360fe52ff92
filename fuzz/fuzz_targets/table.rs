//! A table of runs that somebody else measured, in any format.
#![no_main]

use std::path::Path;

use batchscope_measurements::{ReadOptions, of_table, table_of_bytes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let options = ReadOptions {
        train_examples: Some(1000),
        target: "val-loss=1".parse().ok(),
        ..ReadOptions::default()
    };
    if let Ok(table) = table_of_bytes(bytes, Path::new("fuzz"), &options) {
        let _ = of_table(&table, &options);
    }
});
