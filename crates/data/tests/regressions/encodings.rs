//! Text of other encodings, and which books are read.

use batchscope_data::{LoadOptions, check, readers};

use crate::support::text;
use crate::{folder, named, notes, refusal, report, sizes};

const WORDS: &str = "daaa khgd éjik cjhk\nbkag icja khgd\n";

fn options() -> LoadOptions {
    let mut options = LoadOptions::default();
    options.text.sequence = 3;
    options
}

/// UTF-16 and UTF-32 without a mark are valid UTF-8 full of NULs as long as their letters are ASCII:
/// a network learned to predict NUL after every letter.
#[test]
fn text_of_other_encodings_is_named() {
    let ascii = "daaa khgd cjhk bkag icja khgd\n".repeat(9);
    let wide = |bytes: fn(u32) -> Vec<u8>| {
        ascii
            .chars()
            .flat_map(|c| bytes(c.into()))
            .collect::<Vec<u8>>()
    };
    let little = wide(|c| (c as u16).to_le_bytes().to_vec());
    let marked = [&[0xff, 0xfe][..], &little].concat();
    for (bytes, expected) in [
        (little, "UTF-16 without a mark"),
        (
            wide(|c| (c as u16).to_be_bytes().to_vec()),
            "UTF-16 without a mark",
        ),
        (wide(|c| c.to_le_bytes().to_vec()), "UTF-32 without a mark"),
        (wide(|c| c.to_be_bytes().to_vec()), "UTF-32 without a mark"),
        (marked, "is UTF-16"),
        (
            ascii.replace("icja", "\0").into_bytes(),
            "9 NUL characters, the first at byte 20",
        ),
        (b"caf\xe9 daaa".to_vec(), "is not UTF-8 text (byte 3)"),
    ] {
        let error = readers::text(bytes, "t.txt".as_ref())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("t.txt") && error.contains(expected),
            "{expected}: {error}"
        );
    }
    assert_eq!(
        readers::text(format!("\u{feff}{WORDS}").into(), "t".as_ref()).unwrap(),
        WORDS
    );
}

/// A book called "The test of time" was the only one of three that was read, and "Training a dragon"
/// pushed another one out.
#[test]
fn books_whose_titles_speak_of_splits_are_books() {
    let long = |word: &str| format!("{word} ").repeat(40).into_bytes();
    for titles in [
        ["alice.txt", "emma.txt", "the-test-of-time.txt"],
        ["alice.txt", "training-a-dragon.txt", "crash-test.txt"],
    ] {
        let files = named(&titles.map(|title| (title, long(title))));
        let found = report(&files, &options());
        let tokens: u64 = found.splits.iter().filter_map(|split| split.tokens).sum();
        assert!(tokens > 100, "{found}");
        assert!(
            titles
                .iter()
                .all(|title| notes(&found, &["train: ", title])),
            "{found}"
        );
    }
}

/// What is beside the text is named; parts that differ in their split's name alone are parts.
#[test]
fn parts_of_a_corpus_are_found_and_the_rest_is_named() {
    let long = || b"daaa khgd cjhk ".repeat(20);
    let files = named(&[
        ("my-train-text.txt", long()),
        ("my-test-text.txt", b"oth er wo rd ss ".repeat(20)),
        ("names.txt", b"not text to learn".to_vec()),
        ("chapters/one.txt", long()),
        ("license-to-kill.csvx", long()),
    ]);
    let found = report(&files, &options());
    assert!(sizes(&found).1 > 0, "{found}");
    assert!(
        notes(
            &found,
            &["train: my-train-text.txt", "test: my-test-text.txt"]
        ),
        "{found}"
    );
    assert!(
        notes(
            &found,
            &[
                "3 files and folders",
                "names.txt",
                "chapters",
                "license-to-kill"
            ]
        ),
        "{found}"
    );
    let title = named(&[("license-to-kill.txt", long()), ("emma.txt", long())]);
    assert!(notes(
        &report(&title, &options()),
        &["emma.txt, license-to-kill.txt"]
    ));
}

/// The settings overrule names.
#[test]
fn parts_of_a_corpus_can_be_named() {
    let long = |word: &str| format!("{word} ").repeat(40).into_bytes();
    let files = named(&[
        ("alice.txt", long("a")),
        ("emma.txt", long("e")),
        ("wiki.train.tokens", long("w")),
        ("held/out.txt", long("o")),
    ]);
    let mut named = options();
    named.parts.train = Some("alice.txt".into());
    named.parts.test = Some("held".into());
    let found = report(&files, &named);
    assert!(
        notes(&found, &["train: alice.txt", "test: held/out.txt"]),
        "{found}"
    );
    assert!(
        notes(
            &found,
            &["2 files and folders", "emma.txt", "wiki.train.tokens"]
        ),
        "{found}"
    );
    // Beside a single file: relative to its folder.
    let set = folder(&files);
    named.parts.train = None;
    let found = check(text(&set.path().join("alice.txt")), &named).unwrap();
    assert!(
        notes(&found, &["train: alice.txt", "test: held/out.txt"]),
        "{found}"
    );
    named.parts.test = Some("lost.txt".into());
    assert!(refusal(&files, &named).contains("lost.txt"));
}
