//! Text: its encoding, its tokens at both levels, and the vocabulary made of them.
#![no_main]

use std::path::Path;

use batchscope_data::text::{Vocabulary, tokens};
use batchscope_data::{TextLevel, TextOptions, readers};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = readers::text(bytes.to_vec(), Path::new("fuzzed")) else {
        return;
    };
    for level in [TextLevel::Word, TextLevel::Character] {
        let options = TextOptions {
            level,
            vocabulary: 50,
            sequence: 1,
        };
        let vocabulary = Vocabulary::build(tokens(&text, level), &options);
        assert!(vocabulary.len() <= 50);
        assert!(
            tokens(&text, level)
                .all(|token| (vocabulary.number(token) as usize) < vocabulary.len())
        );
    }
});
