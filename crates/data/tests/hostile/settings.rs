//! Settings that have no effect on a format.

use batchscope_data::readers::READERS;
use batchscope_data::{DataError, Format, LoadOptions, TableTask, open};

use crate::support::sources::{folder, put};
use crate::support::text;

/// `--regression` on images, `--label-column` on arrays and `--sequence` on images were taken, and did
/// nothing.
#[test]
fn a_setting_without_effect_is_refused_by_its_key() {
    type Set = fn(&mut LoadOptions);
    let all: [(&str, Set); 6] = [
        ("resize", |o| o.resize = "8".parse().ok()),
        ("sequence", |o| o.text.sequence = 7),
        ("context", |o| o.frames.context = Some(1)),
        ("label-column", |o| o.table.label = Some("0".to_owned())),
        ("regression", |o| o.table.task = TableTask::Regress),
        ("labels-array", |o| {
            o.table.labels_array = Some("y".to_owned())
        }),
    ];
    for &reader in READERS.all {
        let name = reader.descriptor().name;
        let here = tempfile::tempdir().unwrap();
        let source = match reader.is_built_in() {
            true => name.to_owned(),
            false => text(&put(here.path(), &folder(name).unwrap())).to_owned(),
        };
        for (key, set) in all {
            if reader.settings().contains(&key) {
                continue;
            }
            let mut options = LoadOptions {
                format: Some(Format::of(reader)),
                ..LoadOptions::default()
            };
            set(&mut options);
            match open(&source, &options) {
                Err(DataError::Setting { setting, .. }) => assert_eq!(setting, key, "{name}"),
                other => panic!("{name}, {key}: {other:?}"),
            }
        }
    }
}
