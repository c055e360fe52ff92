//! What is printed fits the terminal, counted in display columns.

mod support;

use support::{batchscope, small_study, text};
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
    let (runs, survey) = (place.path().join("runs"), place.path().join("survey"));
    let experiment = place.path().join("experiment");
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let (runs, survey, experiment) = (path(&runs), path(&survey), path(&experiment));
    let kept = batchscope()
        .args(train)
        .args(["--checkpoint", &runs])
        .output()
        .unwrap();
    assert!(kept.status.success(), "{}", text(&kept.stderr));
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
            &[
                "landscape",
                &runs,
                "--dir",
                &survey,
                "--train-examples",
                "500",
                "--examples",
                "60",
                "--surface",
                "1d",
                "--points",
                "3",
            ],
            &[
                "reproduce",
                "keskar-2016",
                "--dir",
                &experiment,
                "--examples",
                "300",
                "--epochs",
                "1",
                "--starts",
                "1",
                "--part",
                "slices",
                "--eval-examples",
                "40",
                "--sharpness-examples",
                "40",
                "--network",
                "f1",
            ],
            &["reproduce"],
        ] {
            let out = batchscope()
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

/// What a command writes to a terminal of this kind.
#[cfg(target_os = "linux")]
fn on_a_terminal(command: &mut std::process::Command, term: &str) -> String {
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    use std::io::Read;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let master = openpt(flags).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let terminal = || ioctl_tiocgptpeer(&master, flags).unwrap();
    let (out, err) = (terminal(), terminal());
    command.env("TERM", term).env_remove("NO_COLOR");
    let mut child = command.stdout(out).stderr(err).spawn().unwrap();
    // The command holds the terminal open too, and nothing would end.
    command.stdout(std::process::Stdio::null());
    command.stderr(std::process::Stdio::null());
    let mut written = Vec::new();
    let mut master = std::fs::File::from(master);
    let mut block = [0; 4096];
    // Once nobody has the terminal open, reading it is an error.
    while let Ok(n @ 1..) = master.read(&mut block) {
        written.extend_from_slice(&block[..n]);
    }
    assert!(child.wait().unwrap().success());
    text(&written)
}

/// A terminal that says it is dumb was sent colors and a live line.
#[cfg(target_os = "linux")]
#[test]
fn a_dumb_terminal_gets_plain_text() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("study");
    let study = on_a_terminal(&mut small_study(&folder), "dumb");
    assert!(
        !study.contains('\u{1b}') && !study.replace("\r\n", "").contains('\r'),
        "{study:?}"
    );
    let shown = |term: &str| on_a_terminal(batchscope().arg("report").arg(&folder), term);
    let (plain, colored) = (shown("dumb"), shown("xterm-256color"));
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    assert!(colored.contains('\u{1b}'), "{colored:?}");
}
