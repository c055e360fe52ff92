//! Whatever is chosen by name: optimizers, rules, step methods, controllers, augmentations, schedules,
//! targets and lengths. What is read is written so that it reads back as the same.
#![no_main]

use batchscope_core::{Described, Length, Metric, Registry, Target, split_list};
use batchscope_train::augment::{AUGMENTATIONS, AugmentSpec};
use libfuzzer_sys::fuzz_target;

/// Reads a choice of a registry, and what is written of it.
fn read<T: Described + 'static>(registry: &Registry<T>, text: &str) {
    let Ok((kind, choice)) = registry.read(text) else {
        return;
    };
    let descriptor = kind.descriptor();
    for written in [choice.to_string(), descriptor.shortest(&choice)] {
        let again = registry.read(&written);
        assert_eq!(again.map(|(_, again)| again), Ok(choice.clone()), "{written}");
    }
}

fuzz_target!(|text: &str| {
    read(&batchscope_optim::OPTIMIZERS, text);
    read(&batchscope_rules::RULES, text);
    read(&batchscope_rules::CONTROLLERS, text);
    read(&batchscope_train::METHODS, text);
    read(&AUGMENTATIONS, text);
    let _ = split_list(text);
    if let Ok(decay) = batchscope_rules::read_decay(text) {
        let written = batchscope_rules::write_decay(&decay);
        assert_eq!(batchscope_rules::read_decay(&written), Ok(decay), "{written}");
    }
    if let Ok(rows) = batchscope_rules::read_rows(text) {
        let written = batchscope_rules::write_rows(&rows);
        assert_eq!(batchscope_rules::read_rows(&written), Ok(rows), "{written}");
    }
    if let Ok(spec) = text.parse::<AugmentSpec>() {
        assert_eq!(spec.to_string().parse::<AugmentSpec>(), Ok(spec));
    }
    if let Ok(target) = text.parse::<Target>() {
        assert_eq!(target.to_string().parse::<Target>(), Ok(target));
    }
    if let Ok(metric) = text.parse::<Metric>() {
        assert_eq!(metric.to_string().parse::<Metric>(), Ok(metric));
    }
    if let Ok(length) = text.parse::<Length>() {
        assert_eq!(length.to_string().parse::<Length>(), Ok(length));
    }
});
