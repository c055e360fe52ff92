//! Every reader of the registry on damaged folders, through the door that a user's data come in by.

use std::path::Path;

use batchscope_data::readers::READERS;
use batchscope_data::{DataError, Dataset, Format, LoadOptions, Reader, open};
use proptest::prelude::*;

use crate::support::sources::{Files, folder, put};
use crate::support::text;

/// The readers of files, each with a good folder.
fn readers() -> Vec<(&'static dyn Reader, Files)> {
    let read = READERS.all.iter().filter(|reader| !reader.is_built_in());
    let with_folder = read.map(|&reader| {
        let name = reader.descriptor().name;
        let files = folder(name).unwrap_or_else(|| {
            panic!("no hostile data for {name}: add a folder to tests/support/sources.rs")
        });
        (reader, files)
    });
    with_folder.collect()
}

/// Opens a folder of these files as this format, whatever it looks like.
fn open_as(reader: &'static dyn Reader, here: &Path, files: &Files) -> Result<Dataset, DataError> {
    let source = put(here, files);
    let options = LoadOptions {
        format: Some(Format::of(reader)),
        ..LoadOptions::default()
    };
    open(text(&source), &options)
}

#[test]
fn every_reader_reads_its_good_folder() {
    for (reader, files) in readers() {
        let name = reader.descriptor().name;
        let here = tempfile::tempdir().unwrap();
        let data =
            open_as(reader, here.path(), &files).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(data.description.starts_with(name), "{}", data.description);
    }
}

/// Whichever file of a good folder is emptied, cut in half or overwritten with noise.
#[test]
fn every_reader_refuses_a_folder_with_a_broken_file_by_name() {
    type Break = fn(&[u8]) -> Vec<u8>;
    let broken: [Break; 3] = [
        |_| Vec::new(),
        |bytes| bytes[..bytes.len() / 2].to_vec(),
        |bytes| (0..bytes.len()).map(|i| (i * 151 + 128) as u8).collect(),
    ];
    for (reader, files) in readers() {
        let name = reader.descriptor().name;
        for at in 0..files.len() {
            for (how, breaks) in broken.iter().enumerate() {
                let mut files = files.clone();
                files[at].1 = breaks(&files[at].1);
                let here = tempfile::tempdir().unwrap();
                match open_as(reader, here.path(), &files) {
                    // half a text is a text
                    Ok(_) => assert!(name == "text" && how == 1, "{name}, {how}: accepted"),
                    Err(error) => {
                        let message = error.to_string();
                        // the file, or the folder that holds too little without it
                        let named = message.contains(text(here.path()));
                        assert!(named, "{name}, {how}: {message}");
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_reader_panics_on_damage(
        which in any::<prop::sample::Index>(), file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(), to in any::<u8>(), length in any::<prop::sample::Index>(),
    ) {
        let readers = readers();
        let (reader, mut files) = readers[which.index(readers.len())].clone();
        let file = file.index(files.len());
        let bytes = &mut files[file].1;
        let place = at.index(bytes.len());
        bytes[place] ^= to;
        let here = tempfile::tempdir().unwrap();
        let _ = open_as(reader, here.path(), &files);
        let bytes = &mut files[file].1;
        bytes.truncate(length.index(bytes.len()));
        let _ = open_as(reader, here.path(), &files);
    }
}
