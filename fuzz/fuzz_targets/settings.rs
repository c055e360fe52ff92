//! The plan of a settings file, and its check.
#![no_main]

use batchscope_study::Plan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(plan) = toml::from_str::<Plan>(text) {
        let _ = plan.check();
        let _ = plan.resolved(None).check();
    }
});
