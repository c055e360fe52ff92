//! The seeds of the fuzz targets, small good files:
//! `cargo test -p batchscope-data --test hostile -- --ignored seeds` writes them to `fuzz/corpus`.

use std::fs;
use std::path::Path;

use batchscope_data::readers::READERS;

use crate::catalog::good;
use crate::support::sources::folder;

#[test]
#[ignore = "writes fuzz/corpus"]
fn seeds_are_written() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(corpus.join(target)).unwrap();
        fs::write(corpus.join(target).join(name), bytes).unwrap();
    };
    for (parser, target) in [
        ("idx", "idx"),
        ("cifar10", "cifar"),
        ("cifar100", "cifar"),
        ("image", "images"),
        ("mask", "masks"),
        ("archive", "archive"),
        ("mat", "mat"),
        ("npy", "npy"),
        ("npz", "npz"),
        ("kaldi", "kaldi"),
        ("csv", "csv"),
    ] {
        write(target, parser, &good(parser));
    }
    write(
        "text",
        "words",
        "a few words,\nthat come again: a few\n".as_bytes(),
    );
    for (at, reader) in READERS.all.iter().enumerate() {
        let name = reader.descriptor().name;
        for (file, (_, bytes)) in folder(name).into_iter().flatten().enumerate() {
            let head = [at as u8, file as u8];
            write(
                "readers",
                &format!("{name}-{file}"),
                &[&head[..], &bytes].concat(),
            );
        }
    }
}
