//! Encodings, separators, decimal marks, and what is no data.

use batchscope_data::{Separator, TableOptions};

use crate::support::gzip;
use crate::{check_file, check_folder, examples, label, read, refused, rows, says};

/// Pipes and spaces made "one column"; the separators were three.
#[test]
fn every_usual_separator_is_found() {
    for (name, separator) in [
        ("comma", ","),
        ("semicolon", ";"),
        ("tab", "\t"),
        ("pipe", "|"),
        ("space", " "),
    ] {
        let header = ["a", "b", "y"].join(separator);
        let report = read(
            &format!("{header}\n{}", rows(20, separator, ".")),
            label("y"),
        );
        assert_eq!((examples(&report), report.mean.len()), (20, 2), "{name}");
        says(&report, &[&format!("separator: {name}")]);
    }
    let aligned: String = (0..20)
        .map(|i| format!("   {i}.5 \t  -{i}   {}\n", i % 2))
        .collect();
    let report = check_file("t.txt", aligned.as_bytes(), TableOptions::default()).unwrap();
    assert_eq!((examples(&report), report.mean.len()), (20, 2));
    let colons = TableOptions {
        separator: Some(":".parse().unwrap()),
        ..TableOptions::default()
    };
    assert_eq!(examples(&read(&rows(20, ":", "."), colons)), 20);
    refused(
        &rows(20, ":", "."),
        TableOptions::default(),
        &["one column", "pipe", "separator"],
    );
    // A label of several words is one cell.
    let words: String = (0..20)
        .map(|i| format!("{i}.5,2,{}\n", ["Iris setosa", "Iris, blue"][i % 2]))
        .collect();
    let words = words.replace("Iris, blue", "\"Iris, blue\"");
    let report = read(&words, TableOptions::default());
    assert_eq!(report.classes.join("|"), "Iris setosa|Iris, blue");
}

/// A European spreadsheet writes `4,97;0,65;1`. It was refused at the first number, and without a header
/// it was split at the commas.
#[test]
fn decimal_commas_are_read_and_said() {
    let points = read(
        &format!("x;y;klasse\n{}", rows(20, ";", ".")),
        TableOptions::default(),
    );
    for head in ["x;y;klasse\n", ""] {
        let report = read(
            &format!("{head}{}", rows(20, ";", ",")),
            TableOptions::default(),
        );
        says(
            &report,
            &["separator: semicolon", "decimal mark: comma ('0,11')"],
        );
        assert_eq!(
            (&report.mean, report.fingerprint),
            (&points.mean, points.fingerprint.clone())
        );
    }
    let both = format!("{}0.5;1,5;0\n", rows(20, ";", ","));
    refused(
        &both,
        TableOptions::default(),
        &["line 1 has a decimal comma", "line 21 a decimal point"],
    );
}

/// Excel's first line `sep=;` was a row of one cell.
#[test]
fn excel_s_first_line_is_honored() {
    for first in ["sep=;", "\"SEP=;\"\r"] {
        let report = read(
            &format!("{first}\na;b;y\n{}", rows(20, ";", ".")),
            label("y"),
        );
        assert_eq!(examples(&report), 20);
        says(&report, &["header: line 2", "the line sep="]);
    }
}

/// Excel's "Unicode text" is UTF-16. With a mark it is read; without one its zero bytes were printed to
/// the terminal.
#[test]
fn wide_encodings_are_decoded_or_named() {
    let table = format!("a,b,y\n{}", rows(20, ",", "."));
    let wide = |unit: fn(u16) -> [u8; 2]| table.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
    let wider = |unit: fn(u32) -> [u8; 4]| {
        table
            .chars()
            .flat_map(|c| unit(c as u32))
            .collect::<Vec<u8>>()
    };
    let (le, be) = (wide(u16::to_le_bytes), wide(u16::to_be_bytes));
    let marked = [
        [&[0xff, 0xfe], &le[..]].concat(),
        [&[0xfe, 0xff], &be[..]].concat(),
        [&[0xff, 0xfe, 0, 0], &wider(u32::to_le_bytes)[..]].concat(),
        [&[0, 0, 0xfe, 0xff], &wider(u32::to_be_bytes)[..]].concat(),
    ];
    for bytes in marked {
        let report = check_file("t.csv", &bytes, label("y")).unwrap();
        assert_eq!(examples(&report), 20);
    }
    let unmarked = [
        (le, "UTF-16 (little-endian)"),
        (be, "UTF-16 (big-endian)"),
        (wider(u32::to_le_bytes), "UTF-32 (little-endian)"),
        (wider(u32::to_be_bytes), "UTF-32 (big-endian)"),
    ];
    for (bytes, name) in unmarked {
        let message = check_file("t.csv", &bytes, label("y")).unwrap_err();
        assert!(
            message.contains(name) && !message.contains('\0'),
            "{message}"
        );
    }
    let latin = check_file("t.csv", b"gr\xf6\xdfe,y\n1,0\n2,1\n", label("y")).unwrap_err();
    assert!(
        latin.contains("line 1 is not UTF-8") && latin.contains("Latin-1"),
        "{latin}"
    );
}

/// Tables packed by gzip were unknown, alone and in folders.
#[test]
fn packed_tables_are_tables() {
    let table = format!("a,b,y\n{}", rows(20, ",", "."));
    let plain = read(&table, TableOptions::default());
    let packed = gzip(table.as_bytes());
    let report = check_file("t.csv.gz", &packed, TableOptions::default()).unwrap();
    assert_eq!(
        (report.format.as_str(), report.fingerprint),
        ("csv", plain.fingerprint)
    );
    let other = table.replace("\n0.", "\n7.");
    let files: [(&str, &[u8]); 2] = [("train.csv.gz", &packed), ("test.csv", other.as_bytes())];
    let report = check_folder(&files, None, TableOptions::default()).unwrap();
    assert_eq!(
        report
            .splits
            .iter()
            .map(|split| split.examples)
            .sum::<u64>(),
        40
    );
    let cut = check_file(
        "t.csv.gz",
        &packed[..packed.len() / 2],
        TableOptions::default(),
    );
    assert!(cut.unwrap_err().contains("cannot be decompressed"));
    let excel = check_file("t.csv", b"PK\x03\x04....", TableOptions::default());
    assert!(excel.unwrap_err().contains("Excel workbook"));
}

/// A comma at the end of every row was a label column without labels; Excel leaves rows of commas at the
/// end.
#[test]
fn empty_columns_and_rows_are_left_out() {
    let data = rows(20, ",", ".");
    let trailing = data.replace('\n', ",\n");
    for head in ["a,b,y,\n", "a,b,y\n", ""] {
        let report = read(&format!("{head}{trailing},,,\n"), TableOptions::default());
        assert_eq!((examples(&report), report.mean.len()), (20, 2));
        says(
            &report,
            &["1 column at the end that is empty", "1 row of empty cells"],
        );
    }
    // A label that only one row lacks is a missing label.
    refused(
        &format!("{data}1,2,\n"),
        TableOptions::default(),
        &["no label in line 21"],
    );
}

/// Rows of other lengths, and a quote that swallows the rest, are named by line.
#[test]
fn odd_rows_are_named() {
    let data = rows(20, ",", ".");
    let odd = |row: &str, expected: &[&str]| {
        refused(
            &format!("{data}{row}\n{data}"),
            TableOptions::default(),
            expected,
        )
    };
    odd("1,1", &["line 21 has 2 cells, others 3"]);
    odd("1,2,3,1", &["line 21 has 4 cells, others 3"]);
    odd("1,2,\"x", &["line 21 opens a quote"]);
    for (table, expected) in [
        ("", "is empty"),
        ("a,b,y\n", "no rows"),
        ("1\n2\n", "one column"),
    ] {
        refused(table, TableOptions::default(), &[expected]);
    }
    refused(
        "@RELATION x\n@DATA\n1,2\n",
        TableOptions::default(),
        &["ARFF"],
    );
}

/// Settings of tables go through JSON, where studies keep them.
#[test]
fn settings_survive_json() {
    let options = TableOptions {
        header: Some(false),
        separator: Some(Separator::TAB),
        ignore: "id,\"a,b\"".parse().unwrap(),
        inputs_array: Some("images".into()),
        ..TableOptions::default()
    };
    let json = serde_json::to_string(&options).unwrap();
    assert!(json.contains("\"tab\""), "{json}");
    assert_eq!(
        serde_json::from_str::<TableOptions>(&json).unwrap(),
        options
    );
}

/// The separator that is set is the one that is used, whatever is guessed.
#[test]
fn a_separator_can_be_set() {
    let options = TableOptions {
        separator: Some(Separator::SEMICOLON),
        ..TableOptions::default()
    };
    let table: String = (0..20)
        .map(|i| format!("1,{};{}\n", 10 + i, i % 2))
        .collect();
    let report = read(&table, options);
    assert_eq!(report.mean.len(), 1);
    says(&report, &["separator: semicolon", "decimal mark: comma"]);
}

/// Files beside a table were dropped without a word, a test table of another ending among them.
#[test]
fn what_lies_beside_a_table_is_named() {
    let files: [(&str, &[u8]); 4] = [
        ("train.csv", b"1,2,0\n3,4,1\n5,6,0\n7,8,1\n"),
        ("test.txt", b"1,9,0\n"),
        ("extra.json", b"{}"),
        ("held/test.csv", b"1,9,0\n"),
    ];
    let report = check_folder(&files, None, TableOptions::default()).unwrap();
    let said = "3 files and folders beside the data were left out: extra.json, test.txt, held/";
    assert!(report.notes.iter().any(|n| n == said), "{:?}", report.notes);
    let first = &report.notes[0];
    assert!(first.contains("train: train.csv (4)"), "{first}");
    assert!(first.contains("classes: 2 (0, 1)"), "{first}");
    // The same beside the only folder, which holds the table.
    let files: [(&str, &[u8]); 2] = [
        ("data/train.csv", b"1,2,0\n3,4,1\n5,6,0\n7,8,1\n"),
        ("test.json", b"{}"),
    ];
    let report = check_folder(&files, None, TableOptions::default()).unwrap();
    let said = "1 files and folders beside the data were left out: test.json";
    assert!(report.notes.iter().any(|n| n == said), "{:?}", report.notes);
}

/// A table with an ending that other things have was answered with a list of eleven formats.
#[test]
fn what_may_be_a_table_is_said_to_be() {
    for (name, remedy) in [
        ("iris.data", "`format` csv"),
        ("iris.dat", "`format` csv"),
        ("book.xlsx", "save the table as .csv"),
        ("rows.parquet", "save the table as .csv"),
    ] {
        let table = b"5.1,3.5,a\n4.9,3,b\n";
        let message = check_file(name, table, TableOptions::default()).unwrap_err();
        assert!(
            message.contains(name) && message.contains(remedy),
            "{message}"
        );
    }
}
