//! What is printed fits the terminal, counted in display columns.

mod support;

use support::{batchwise, small_study, text};
use unicode_width::UnicodeWidthStr;

#[test]
fn every_command_fits_a_narrow_terminal() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("study");
    let dir = folder.to_str().unwrap();
    assert!(small_study(&folder).output().unwrap().status.success());
    let train = [
        "train",
        "--data",
        "glyphs",
        "--examples",
        "500",
        "--model",
        "softmax",
        "--steps",
        "10",
        "--eval-examples",
        "100",
    ];
    for columns in [40, 80] {
        for arguments in [
            &["study", "--dir", dir][..],
            &["study", "--dir", dir, "--dry-run", "--watts", "65"],
            &[
                "advise",
                dir,
                "--budget",
                "0.03",
                "--watts",
                "65",
                "--price-per-hour",
                "2",
            ],
            &["report", dir],
            &["trials", dir],
            &["data", "list"],
            &["noise", "--examples", "500", "--model", "mlp(8)", "--law"],
            &train,
        ] {
            let out = batchwise()
                .args(arguments)
                .env("COLUMNS", columns.to_string())
                .output()
                .unwrap();
            assert!(out.status.success(), "{arguments:?}: {}", text(&out.stderr));
            let printed = text(&out.stdout);
            assert!(!printed.is_empty(), "{arguments:?}");
            for line in printed.lines() {
                assert!(
                    line.width() <= columns,
                    "{arguments:?} at {columns}: {} columns: '{line}'",
                    line.width()
                );
            }
        }
    }
}
