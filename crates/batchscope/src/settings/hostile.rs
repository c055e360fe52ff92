//! Settings files that nobody would write: read or refused, never a panic, and what is read is
//! written as it was read.

use std::path::Path;

use proptest::prelude::*;
use toml::Value;

use super::{StudySettings, keys};
use crate::resolve;

/// Words of the kinds that settings hold, and noise.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9]{1,6}([:(@=,.-][a-z0-9.]{0,5}){0,4}\\)?",
        "[0-9]{1,20}(\\.\\.|:|,|ep|@|e|x)[0-9]{0,20}(:x[0-9]{1,3})?",
        "(val|train|test)-(loss|error|accuracy|f1)(=[0-9.e-]{0,6})?",
        "\\PC{0,12}",
        Just(String::new()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        4 => word().prop_map(Value::String),
        1 => any::<i64>().prop_map(Value::Integer),
        1 => (0i64..100).prop_map(Value::Integer),
        1 => any::<f64>().prop_map(Value::Float),
        1 => (0.0..1.0f64).prop_map(Value::Float),
        1 => any::<bool>().prop_map(Value::Boolean),
    ];
    plain.prop_recursive(2, 4, 2, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            proptest::collection::btree_map(word(), inner, 0..2)
                .prop_map(|entries| Value::Table(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_settings_file_is_read_or_refused(
        entries in proptest::collection::vec((any::<prop::sample::Index>(), value()), 1..4),
    ) {
        let keys = keys::<StudySettings>();
        let entries = entries.into_iter().map(|(key, value)| (key.get(&keys).clone(), value));
        let table: toml::Table = entries.collect();
        if let Ok(settings) = StudySettings::from_table(table, Path::new("study.toml")) {
            let _ = settings.check_counts();
            let written = settings.to_table();
            let again = StudySettings::from_table(written.clone(), Path::new("study.toml"));
            prop_assert_eq!(again.unwrap().to_table(), written);
            let _ = resolve::plan(&settings);
        }
    }
}
