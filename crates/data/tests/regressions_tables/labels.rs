//! Which column is the label, which are left out, and what a class is.

use batchscope_data::TableOptions;

use crate::{
    check_file, check_folder, classes, examples, label, read, refused, regression, rows, says,
};

fn ignore(list: &str) -> TableOptions {
    TableOptions {
        ignore: list.parse().unwrap(),
        ..TableOptions::default()
    }
}

/// MNIST in CSV has the label first and no header. `label-column 0` took the first cell that reads 0 for
/// a header's, lost the row and learned a pixel.
#[test]
fn a_label_column_can_be_a_number() {
    let table: String = (0..30)
        .map(|i| format!("{},0,{},5\n", (i + 2) % 3, i * 7 % 11))
        .collect();
    for column in ["0", "-4"] {
        let report = read(&table, label(column));
        assert_eq!((examples(&report), classes(&report)["2"]), (30, 10));
        says(
            &report,
            &["header: none", "label: column number 0 (from 0)"],
        );
    }
    refused(
        &table,
        label("4"),
        &["label-column", "no header to find '4'", "0 to 3"],
    );
    refused(&table, label("kind"), &["no header to find 'kind'"]);
}

/// A name in the header goes before a number, unless both are columns.
#[test]
fn a_name_that_is_a_number_is_not_guessed() {
    let table = format!("x,0,y\n{}", rows(12, ",", ".").replace('-', ""));
    refused(&table, label("0"), &["name of column number 1", "-2"]);
    assert_eq!(examples(&read(&table, label("-1"))), 12);
    refused(
        &table,
        label("z"),
        &["no column 'z' in its header (x, 0, y)"],
    );
}

/// With two columns named y the first was the label.
#[test]
fn a_name_of_two_columns_is_refused() {
    let table: String = (0..40)
        .map(|i| format!("{},0.5,{}\n", i % 4, i % 2))
        .collect();
    let table = format!("y,a,y\n{table}");
    refused(&table, label("y"), &["2 columns are named 'y'", "number"]);
    let report = read(&table, TableOptions::default());
    assert_eq!(report.classes.len(), 2);
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("called 'y' too")),
        "{:?}",
        report.notes
    );
}

/// pandas' index had no name and sorted the classes: pure noise was learned without an error.
#[test]
fn an_unnamed_column_that_numbers_rows_is_left_out() {
    let table = |number: fn(usize) -> usize| -> String {
        let row = |i: usize| format!("{},{}.5,{}\n", number(i), i * 7 % 11, i / 20);
        format!(",a,label\n{}", (0..40).map(row).collect::<String>())
    };
    for number in [|i| i, |i| i * 17 % 40] {
        let report = read(&table(number), TableOptions::default());
        assert_eq!(report.mean.len(), 1);
        says(
            &report,
            &["columns left out: column number 0", "numbers the rows"],
        );
        assert_eq!(read(&table(number), ignore("none")).mean.len(), 2);
    }
    // With repeated numbers it is no index; with a name it is a feature, and noted.
    assert_eq!(
        read(&table(|i| i / 2), TableOptions::default()).mean.len(),
        2
    );
    let named = read(&format!("id{}", table(|i| i)), TableOptions::default());
    assert_eq!(named.mean.len(), 2);
    assert!(
        named
            .notes
            .iter()
            .any(|note| note.contains("'id' only counts the rows")),
        "{:?}",
        named.notes
    );
    // Parts cut from one table: what the first leaves out all leave out.
    let train = table(|i| i);
    let files: [(&str, &[u8]); 2] = [
        ("train.csv", train.as_bytes()),
        ("test.csv", b",a,label\n7,1,0\n7,2,1\n"),
    ];
    let report = check_folder(&files, None, TableOptions::default()).unwrap();
    assert_eq!(report.mean.len(), 1);
}

/// Columns can be left out by name and number, but not the label or all.
#[test]
fn columns_are_left_out_on_request() {
    let table = format!("a,b,y\n{}", rows(20, ",", "."));
    let report = read(&table, ignore("a"));
    assert_eq!(report.mean.len(), 1);
    says(
        &report,
        &[
            "columns left out: column number 0 (from 0), 'a'",
            "label: column number 2",
        ],
    );
    refused(&table, ignore("a,1"), &["leaves no feature"]);
    refused(
        &table,
        TableOptions {
            label: Some("a".into()),
            ..ignore("0")
        },
        &["is the label"],
    );
    refused(&table, ignore("c"), &["ignore-columns", "no column 'c'"]);
}

/// The target of a regression, integers from 25 to 346 as in scikit-learn's diabetes, became 209 classes.
#[test]
fn numbers_are_no_classes() {
    let target = |i: usize| 25 + i * 100 % 209;
    let table: String = (0..442)
        .map(|i| format!("{}.5,{},{}\n", i % 13, i % 7, target(i)))
        .collect();
    refused(
        &table,
        TableOptions::default(),
        &["hardly classes", "regression", "label-column"],
    );
    assert_eq!(examples(&read(&table, regression())), 442);
    // An identifier as label, and a class of one.
    let ids: String = (0..30).map(|i| format!("{i},1,id{i}\n")).collect();
    refused(
        &ids,
        TableOptions::default(),
        &["30 different values in 30 examples"],
    );
    let one: String = (0..30).map(|i| format!("{i},1,spam\n")).collect();
    refused(
        &one,
        TableOptions::default(),
        &["all its labels are the same (the label is column number 2"],
    );
    let files: [(&str, &[u8]); 2] = [
        ("train.csv", b"1,0\n2,0\n3,0\n"),
        ("test.csv", b"1,0\n2,1\n"),
    ];
    let message = check_folder(&files, None, TableOptions::default()).unwrap_err();
    assert!(message.contains("all its labels are the same"), "{message}");
    // Many classes with enough examples each are classes.
    let many: String = (0..150).map(|i| format!("{i}.5,{}\n", i % 50)).collect();
    assert_eq!(read(&many, TableOptions::default()).classes.len(), 50);
}

/// A class that only the test part has can never be right; nobody said so.
#[test]
fn classes_without_training_examples_are_named() {
    let files: [(&str, &[u8]); 2] = [
        ("train.csv", b"1,0\n2,5\n3,0\n"),
        ("test.csv", b"1,6\n2,5\n"),
    ];
    let report = check_folder(&files, None, TableOptions::default()).unwrap();
    let said = "1 classes have no example in the training part: 6";
    assert!(
        report.notes.iter().any(|note| note == said),
        "{:?}",
        report.notes
    );
}

/// One of two rows was held out, and one class trained on; in a larger table the classes that validation
/// took whole went without a word.
#[test]
fn classes_that_the_hold_out_takes_are_named() {
    let report = read("1,2,0\n3,4,1\n", TableOptions::default());
    let said = |start: &str| report.notes.iter().any(|note| note.starts_with(start));
    assert!(said("1 classes have no training example"), "{report}");
    assert!(said("every training example is of class"), "{report}");
    // 40 classes of one example each: a tenth of all examples is held out, some of them among it.
    let rare: String = (0..40).map(|i| format!("{i},r{i}\n")).collect();
    let common: String = (0..360)
        .map(|i| format!("{i}.5,{}\n", ["x", "y"][i % 2]))
        .collect();
    let report = read(&(rare + &common), TableOptions::default());
    let train = report.splits.iter().find(|split| split.name == "train");
    let empty = train
        .unwrap()
        .class_counts
        .iter()
        .filter(|&&n| n == 0)
        .count();
    assert!(empty > 0);
    let said = format!(
        "{empty} classes have no training example once validation is held out or a subset taken"
    );
    assert!(
        report.notes.iter().any(|note| note.starts_with(&said)),
        "{:?}",
        report.notes
    );
}

/// `NA` among the numbers of classes became a class of its own.
#[test]
fn a_missing_label_is_no_class() {
    for missing in ["NA", "nan", "?"] {
        let table = format!("{}1,2,{missing}\n", rows(20, ",", "."));
        refused(&table, TableOptions::default(), &["no label in line 21"]);
    }
}

/// Two numbers beyond the exact range of doubles became one class; row numbers that every part counts anew
/// were classes of two examples.
#[test]
fn numbers_that_are_no_classes_are_refused_in_every_part() {
    let large = "1,9007199254740992.0\n2,9007199254740993.0\n3,0.0\n4,0.0\n";
    assert!(check_file("t.csv", large.as_bytes(), TableOptions::default()).is_err());
    let ids: String = (0..20).map(|i| format!("{},1,id{i}\n", i * i)).collect();
    let others: String = (0..20).map(|i| format!("{},2,id{i}\n", i * i)).collect();
    let files: [(&str, &[u8]); 2] = [
        ("train.csv", ids.as_bytes()),
        ("test.csv", others.as_bytes()),
    ];
    let message = check_folder(&files, None, TableOptions::default()).unwrap_err();
    assert!(
        message.contains("20 different values in 20 examples"),
        "{message}"
    );
    // One training example of each of ten classes, and two to test each by.
    let one = |n: usize| (0..n).map(move |i| format!("{i},{}.5,c{}\n", 3 * i + n, i % 10));
    let (train, test): (String, String) = (one(10).collect(), one(20).collect());
    let files: [(&str, &[u8]); 3] = [
        ("train.csv", train.as_bytes()),
        ("validation.csv", b"7,7,c1\n8,8,c1\n"),
        ("test.csv", test.as_bytes()),
    ];
    let report = check_folder(&files, None, TableOptions::default()).unwrap();
    assert_eq!(report.classes.len(), 10);
}
