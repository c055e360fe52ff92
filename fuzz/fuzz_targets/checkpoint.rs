//! Checkpoints of runs and states of networks.
#![no_main]

use std::path::Path;

use batchscope_train::Stored;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(stored) = Stored::parse(bytes, Path::new("fuzzed")) {
        let _ = stored.clone().into_run();
        let _ = stored.into_state();
    }
});
