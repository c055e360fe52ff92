//! Exports read back as they were.

mod fixtures;

use batchscope_core::{Outcome, TrialRecord};
use batchscope_report::{
    Format, Table, Values, export, export_measurements, measurements_table, trials_csv,
    trials_records,
};
use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

fn cell(table: &Table, column: usize, row: usize) -> Field {
    match &table.columns[column].values {
        Values::Whole(v) => v[row].map_or(Field::Null, Field::ULong),
        Values::Real(v) => v[row].map_or(Field::Null, Field::Double),
        Values::Text(v) => v[row].clone().map_or(Field::Null, Field::Str),
    }
}

fn assert_parquet_equals(bytes: Vec<u8>, table: &Table) {
    let reader = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
    let mut rows = 0;
    for (row, read) in reader.get_row_iter(None).unwrap().enumerate() {
        for (column, (_, field)) in read.unwrap().get_column_iter().enumerate() {
            let expected = cell(table, column, row);
            let same = match (&expected, field) {
                (Field::Double(a), Field::Double(b)) => a.to_bits() == b.to_bits(),
                (a, b) => a == b,
            };
            assert!(
                same,
                "row {row}, {}: {expected:?} became {field:?}",
                table.columns[column].name
            );
        }
        rows += 1;
    }
    assert_eq!(rows, table.rows());
    let about = reader
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .unwrap();
    for column in &table.columns {
        assert!(
            about
                .iter()
                .any(|kv| kv.key == format!("about.{}", column.name)),
            "{} is not explained",
            column.name
        );
    }
}

#[test]
fn parquet_reads_back_equal() {
    for study in fixtures::all() {
        let mut bytes = Vec::new();
        export(&study.records, &study.findings, Format::Parquet, &mut bytes).unwrap();
        assert_parquet_equals(bytes, &trials_records(&study.records));
    }
    let study = fixtures::three_rules();
    let mut bytes = Vec::new();
    export_measurements(&study.records, Format::Parquet, &mut bytes).unwrap();
    assert_parquet_equals(bytes, &measurements_table(&study.records));
}

fn awkward() -> Vec<TrialRecord> {
    let mut records = fixtures::one_batch().records;
    records[0].outcome = Outcome::Failed {
        why: "a \"quoted\", comma-ridden\nmessage — naïve".into(),
    };
    records[0].notes = vec![";".into(), String::new()];
    records[1].outcome = Outcome::Interrupted;
    records[1].measurements.clear();
    records[1].spec.learning_rate = 0.1 + 0.2;
    records[1].spec.seed = u64::MAX;
    records
}

#[test]
fn csv_reads_back_equal() {
    let records = awkward();
    let table = trials_records(&records);
    let text = trials_csv(&records).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names: Vec<String> = reader
        .headers()
        .unwrap()
        .iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(
        names,
        table
            .columns
            .iter()
            .map(|c| c.name.clone())
            .collect::<Vec<_>>()
    );
    let mut rows = 0;
    for (row, line) in reader.records().enumerate() {
        for (column, text) in line.unwrap().iter().enumerate() {
            match &table.columns[column].values {
                Values::Whole(v) => assert_eq!(text.parse().ok(), v[row]),
                Values::Real(v) => assert_eq!(
                    text.parse::<f64>().ok().map(f64::to_bits),
                    v[row].map(f64::to_bits)
                ),
                Values::Text(v) => assert_eq!(text, v[row].as_deref().unwrap_or_default()),
            }
        }
        rows += 1;
    }
    assert_eq!(rows, records.len());
    let mut bytes = Vec::new();
    trials_records(&records).write_parquet(&mut bytes).unwrap();
    assert_parquet_equals(bytes, &table);
}

#[test]
fn json_holds_findings_and_trials_whole() {
    let study = fixtures::at_least();
    let mut bytes = Vec::new();
    export(&study.records, &study.findings, Format::Json, &mut bytes).unwrap();
    let mut value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let findings: batchscope_scaling::Findings =
        serde_json::from_value(value["findings"].take()).unwrap();
    assert_eq!(findings, study.findings);
    let trials = value["trials"].as_array().unwrap();
    assert_eq!(trials.len(), study.records.len());
    assert_eq!(
        trials[0]["spec"]["batch_size"],
        study.records[0].spec.batch_size
    );
}

/// A full disk is an error that says so, in every format.
#[test]
fn a_destination_that_fails_is_reported() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::new(
                std::io::ErrorKind::StorageFull,
                "no space left",
            ))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let study = fixtures::one_batch();
    for format in [Format::Csv, Format::Json, Format::Parquet] {
        let error = export(&study.records, &study.findings, format, Full)
            .unwrap_err()
            .to_string();
        assert!(error.contains("no space left"), "{format:?}: {error}");
    }
}
