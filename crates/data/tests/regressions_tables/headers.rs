//! Which row names the columns.

use batchscope_data::TableOptions;

use crate::{check_file, classes, examples, label, read, refused, regression, rows, says};

fn header(yes: bool) -> TableOptions {
    TableOptions {
        header: Some(yes),
        ..TableOptions::default()
    }
}

/// pandas wrote a bare array with `to_csv(index=False)`: its header 0,1,2,3 became an example of a third
/// class. It is a header; who knows better says so.
#[test]
fn pandas_numbers_columns() {
    let data: String = (0..40)
        .map(|i| format!("{}.5,0.25,{i}.125,{}\n", i % 7, i % 2))
        .collect();
    let table = format!("0,1,2,3\n{data}");
    let report = read(&table, TableOptions::default());
    assert_eq!((examples(&report), report.classes.len()), (40, 2));
    says(&report, &["header: line 1 (0, 1, 2, 3)", "only counts"]);
    let report = read(&table, header(false));
    assert_eq!((examples(&report), report.classes.len()), (41, 3));
    says(&report, &["header: none as set"]);
    // The same with the index: one empty cell first.
    let indexed: String = data
        .lines()
        .enumerate()
        .map(|(i, row)| format!("{i},{row}\n"))
        .collect();
    let report = read(&format!(",0,1,2,3\n{indexed}"), TableOptions::default());
    assert_eq!((examples(&report), report.mean.len()), (40, 3));
    says(&report, &["numbers the rows"]);
}

/// A first row that counts may be data: integers whose label comes again, or a ramp. It stays, and is
/// mentioned.
#[test]
fn a_first_row_that_counts_may_be_data() {
    let data: String = (0..40)
        .map(|i| format!("{},{},{}\n", i % 3, i % 5, 1 + i % 2))
        .collect();
    let report = read(&format!("0,1,2\n{data}"), TableOptions::default());
    assert_eq!(examples(&report), 41);
    says(&report, &["header: none, though the first row only counts"]);
    let ramp: String = (0..6)
        .map(|i| format!("{},{},{}\n", 3 * i, 3 * i + 1, 3 * i + 2))
        .collect();
    assert_eq!(examples(&read(&ramp, regression())), 6);
}

/// A header of names and years was taken for data and refused; a broken number in the first row is no
/// header.
#[test]
fn names_above_numbers_are_a_header() {
    let report = read(
        &format!("x,2019,y\n{}", rows(12, ",", ".")),
        TableOptions::default(),
    );
    assert_eq!(examples(&report), 12);
    says(&report, &["header: line 1 (x, 2019, y)"]);
    let broken = format!("O.5,0.5,1\n{}", rows(12, ",", "."));
    refused(
        &broken,
        TableOptions::default(),
        &["line 1, column 1: 'O.5'", "header"],
    );
    let missing = format!("NA,0.5,1\n{}", rows(12, ",", "."));
    refused(
        &missing,
        TableOptions::default(),
        &["line 1, column 1: 'NA'"],
    );
}

/// numpy.savetxt writes its header behind `# `; other programs write lines of comments first. The first
/// was an example less, the second an error about columns.
#[test]
fn comments_are_left_out_and_may_be_the_header() {
    let data = rows(20, ",", ".");
    let report = read(&format!("# a,b,y\n{data}"), label("y"));
    assert_eq!(examples(&report), 20);
    says(
        &report,
        &["the comment in line 1 (a, b, y)", "1 comment line"],
    );
    let report = read(
        &format!("# made by\n% a tool\na,b,y\n{data}# end\n"),
        label("y"),
    );
    assert_eq!(examples(&report), 20);
    says(&report, &["header: line 3", "3 comment lines"]);
    refused(
        "# a,b,y\n",
        TableOptions::default(),
        &["empty but for 1 comment"],
    );
}

/// `cat a.csv b.csv` leaves a second header in the middle; it was a cell that is no number.
#[test]
fn a_header_in_the_middle_is_named() {
    let data = rows(12, ",", ".");
    let twice = format!("a,b,y\n{data}a,b,y\n{data}");
    refused(
        &twice,
        TableOptions::default(),
        &["line 14 repeats the header"],
    );
    let spoilt = format!("# c\n\na,b,y\n{data}");
    let message = check_file(
        "t.csv",
        format!("{spoilt}1,x,0\n").as_bytes(),
        TableOptions::default(),
    );
    assert!(
        message
            .unwrap_err()
            .contains("line 16, column 2 ('b'): 'x'")
    );
}

/// `header: yes` names columns by whatever is there.
#[test]
fn a_header_can_be_set() {
    let table = format!("7,8,9\n{}", rows(20, ",", "."));
    let report = read(
        &table,
        TableOptions {
            label: Some("9".into()),
            ..header(true)
        },
    );
    assert_eq!((examples(&report), classes(&report)["0"]), (20, 10));
    says(&report, &["line 1 (7, 8, 9) as set"]);
}
