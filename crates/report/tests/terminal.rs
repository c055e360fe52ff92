//! What a terminal shows.

mod fixtures;

use batchscope_report::{display_width, terminal_summary, trials_table};

#[test]
fn a_tuned_study_in_twenty_lines() {
    let summary = terminal_summary(&fixtures::tuned().findings, 80, false);
    assert!(summary.lines().count() <= 22, "{summary}");
    insta::assert_snapshot!(summary);
}

#[test]
fn three_rules_share_a_plot() {
    insta::assert_snapshot!(terminal_summary(
        &fixtures::three_rules().findings,
        72,
        false
    ));
}

#[test]
fn nothing_runs_over_the_edge() {
    for study in fixtures::all() {
        for width in [20, 33, 34, 40, 60, 80, 100] {
            for line in terminal_summary(&study.findings, width, false).lines() {
                assert!(
                    display_width(line) <= width,
                    "{} at {width}: '{line}'",
                    study.name
                );
            }
        }
    }
}

#[test]
fn color_adds_escapes_and_nothing_else() {
    let findings = fixtures::three_rules().findings;
    let plain = terminal_summary(&findings, 80, false);
    let painted = terminal_summary(&findings, 80, true);
    assert!(painted.contains("\x1b[38;5;166m"));
    let mut stripped = String::new();
    let mut inside = false;
    for c in painted.chars() {
        match c {
            '\x1b' => inside = true,
            'm' if inside => inside = false,
            c if !inside => stripped.push(c),
            _ => {}
        }
    }
    assert_eq!(stripped, plain);
}

#[test]
fn the_trials_fit_the_terminal() {
    let records = fixtures::one_batch().records;
    insta::assert_snapshot!(trials_table(&records, 100));
    for study in [fixtures::tuned(), fixtures::three_rules()] {
        let wide = trials_table(&study.records, 120);
        assert_eq!(wide.lines().count(), study.records.len() + 1);
        for width in [30, 40, 44, 60, 80, 120] {
            for line in trials_table(&study.records, width).lines() {
                assert!(display_width(line) <= width, "{width}: '{line}'");
            }
        }
    }
    assert_eq!(trials_table(&[], 80).lines().count(), 1);
}

#[test]
fn a_narrow_and_a_usual_terminal() {
    let study = fixtures::one_batch();
    for width in [40, 80] {
        insta::assert_snapshot!(
            format!("summary_at_{width}"),
            terminal_summary(&fixtures::three_rules().findings, width, false)
        );
        insta::assert_snapshot!(
            format!("trials_at_{width}"),
            trials_table(&study.records, width)
        );
    }
}

/// Names come from the user's data, in any script.
#[test]
fn wide_letters_are_counted_by_their_columns() {
    let mut findings = fixtures::tuned().findings;
    findings.verdict = "临界批量大小是六百二十。".repeat(9);
    for width in [34, 40, 41, 80] {
        for line in terminal_summary(&findings, width, false).lines() {
            assert!(display_width(line) <= width, "{width}: '{line}'");
        }
    }
}
