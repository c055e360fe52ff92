//! Corpora of text.

use batchscope_core::InputShape;
use batchscope_data::{LoadOptions, TextLevel};

use crate::read_with;
use crate::support::{all, tokens};

fn words(sequence: u32, level: TextLevel) -> LoadOptions {
    let mut options = LoadOptions::default();
    options.text.sequence = sequence;
    options.text.level = level;
    options
}

#[test]
fn wikitext_and_ptb_layouts() {
    for names in [
        ["wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"],
        ["ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"],
    ] {
        let data = read_with(
            &[
                (names[0], b" = a = \n b a a \n".to_vec()),
                (names[1], b" a b never \n".to_vec()),
                (names[2], b" b b b b \n".to_vec()),
                ("README.txt", b"left alone".to_vec()),
            ],
            words(2, TextLevel::Word),
        );
        // <unk> 0, <eos> 1, then a (3 times), = (twice), b.
        assert_eq!(
            data.shape.input,
            InputShape::Tokens {
                sequence: 2,
                vocabulary: 5
            }
        );
        assert_eq!(
            (
                data.train.len(),
                data.validation.len(),
                data.test.as_ref().unwrap().len()
            ),
            (3, 1, 2)
        );
        assert_eq!(tokens(&all(&*data.validation)), (&[2, 4][..], &[4, 0][..]));
        assert!(
            data.notes
                .iter()
                .any(|note| note.contains("own validation part")),
            "the setting was not used"
        );
    }
}

#[test]
fn a_corpus_without_training_part_trains_on_the_larger_split() {
    let data = read_with(
        &[
            ("wiki.valid.tokens", b"a b c\n".to_vec()),
            ("wiki.test.tokens", b"a b c d e f\n".to_vec()),
        ],
        words(1, TextLevel::Word),
    );
    assert_eq!(
        (data.train.len(), data.validation.len(), data.test.is_none()),
        (6, 3, true)
    );
    assert!(
        data.notes[0]
            .contains("wiki.test.tokens was used to train and wiki.valid.tokens to validate"),
        "{:?}",
        data.notes
    );
}

#[test]
fn folders_of_books_and_characters() {
    let files = [("a.txt", b"abc".to_vec()), ("b.txt", b"abd\n".to_vec())];
    let data = read_with(&files, words(1, TextLevel::Character));
    // "abc\nabd\n": one window held out from its end, the rest "abc\nab".
    assert_eq!((data.train.len(), data.validation.len()), (5, 1));
    assert_eq!(
        data.shape.input,
        InputShape::Tokens {
            sequence: 1,
            vocabulary: 5
        }
    );
    assert_eq!(
        tokens(&all(&*data.validation)),
        (&[0][..], &[3][..]),
        "d is unknown to the training part"
    );
}
