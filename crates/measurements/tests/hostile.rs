//! Any bytes are a table or an error; any table is runs or an error.

use std::path::Path;

use batchscope_measurements::{ReadOptions, Row, Table, of_table, table_of_bytes};
use proptest::prelude::*;

fn options() -> ReadOptions {
    ReadOptions {
        target: Some("val-loss=1".parse().unwrap()),
        train_examples: Some(1000),
        ..ReadOptions::default()
    }
}

fn reads(bytes: &[u8]) {
    if let Ok(table) = table_of_bytes(bytes, Path::new("hostile"), &options()) {
        let _ = of_table(&table, &options());
    }
}

/// Cells that are near to what a column should hold.
fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        any::<f64>().prop_map(|x| x.to_string()),
        any::<i64>().prop_map(|x| x.to_string()),
        (1u32..100).prop_map(|x| x.to_string()),
        prop_oneof![
            Just("nan"),
            Just("inf"),
            Just("-0"),
            Just("1e308"),
            Just("diverged"),
            Just("reached")
        ]
        .prop_map(str::to_owned),
        ".{0,8}",
    ]
}

proptest! {
    #[test]
    fn bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        reads(&bytes);
        reads(&[b"PAR1", &bytes[..], b"PAR1"].concat());
        reads(&[b"batch_size,steps,run,val_loss\n", &bytes[..]].concat());
        reads(&[b"{\"bs\": 8, \"step\": 1}\n", &bytes[..]].concat());
    }

    #[test]
    fn tables_are_read_or_refused(rows in prop::collection::vec(prop::collection::vec(cell(), 7), 0..30)) {
        let headings = ["batch_size", "steps", "curve", "run", "state", "lr", "val_loss"];
        let rows = rows.into_iter().enumerate().map(|(i, cells)| Row { place: format!("row {i}"), cells });
        let table = Table {
            name: "hostile".to_owned(),
            columns: headings.map(str::to_owned).to_vec(),
            rows: rows.collect(),
            notes: Vec::new(),
        };
        if let Ok(found) = of_table(&table, &options()) {
            for record in found.records {
                prop_assert!(record.measurements.windows(2).all(|w| w[0].step < w[1].step));
            }
        }
    }
}
