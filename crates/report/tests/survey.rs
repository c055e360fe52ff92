//! The report of a survey: of a quadratic measured in every way, and of slices with holes in them.

use batchscope_landscape::{
    problems::Quadratic,
    slices::PointLoss,
    survey::{
        Measurement, MeasurementKind, SliceKind, SliceRecord, Survey, SurveyInfo, SurveySettings,
    },
};
use batchscope_report::{display_width, survey_figures, survey_html, survey_summary, write_survey};
use sha2::Digest as _;

fn subject() -> SurveyInfo {
    SurveyInfo {
        model: "mlp(<9>)".to_owned(),
        data: "glyphs & more".to_owned(),
        parameters: "0badcafe".to_owned(),
        dimension: 30,
        step: 1200,
        batch_size: 64,
        learning_rate: 0.2,
        examples: 2000,
        test_examples: 500,
        computed: "batch norm in evaluation mode; f64".to_owned(),
        settings: SurveySettings::default(),
    }
}

/// Eigenvalues 1/2, 1/4, … and 12; every part measured.
fn measured() -> Survey {
    let eigenvalues: Vec<f64> = (0..30).map(|i| 0.5f64.powi(i) * 12.0 - 0.01).collect();
    let mut survey = Survey::new(subject());
    for kind in [
        MeasurementKind::Keskar {
            epsilon: 1e-3,
            subspace: None,
        },
        MeasurementKind::Keskar {
            epsilon: 1e-3,
            subspace: Some(5),
        },
        MeasurementKind::AdaptiveBox { radius: 1e-3 },
        MeasurementKind::Asam { radius: 0.5 },
        MeasurementKind::Average { radius: 0.05 },
        MeasurementKind::Top { count: 3 },
        MeasurementKind::Trace,
        MeasurementKind::Density,
        MeasurementKind::Layers,
    ] {
        let mut f = Quadratic::with_spectrum(&eigenvalues);
        survey.measured.push(Measurement {
            kind,
            result: kind
                .measure(&mut f, &[0.1; 30], &SurveySettings::default())
                .unwrap(),
            evaluations: 321,
            seconds: 1.5,
        });
    }
    survey
}

fn slice(kind: SliceKind, coordinates: Vec<Vec<f64>>, loss: impl Fn(&[f64]) -> f64) -> SliceRecord {
    let reading = |at: &Vec<f64>| {
        let train = PointLoss {
            loss: loss(at),
            error: Some(0.1),
        };
        Some((
            train,
            Some(PointLoss {
                loss: 2.0 * loss(at),
                error: None,
            }),
        ))
    };
    SliceRecord {
        kind,
        to: String::new(),
        statistics: "estimated at every point".to_owned(),
        points: coordinates.iter().map(reading).collect(),
        coordinates,
    }
}

/// The same with slices: one that leaves the numbers, one that is flat, one that is not finished.
fn whole() -> Survey {
    let mut survey = measured();
    let line = |n: usize| {
        (0..n)
            .map(|i| vec![i as f64 / 4.0 - 1.0])
            .collect::<Vec<_>>()
    };
    let to = || "<other>".to_owned();
    let steep = |at: &[f64]| {
        if at[0] > 0.5 {
            f64::INFINITY
        } else {
            (3.0 * at[0]).exp()
        }
    };
    survey
        .slices
        .push(slice(SliceKind::Straight { to: to() }, line(9), steep));
    survey
        .slices
        .push(slice(SliceKind::Curved { to: to() }, line(9), |_| 0.0));
    let mut half = slice(SliceKind::Line, line(9), |_| 1.0);
    half.points[4] = None;
    survey.slices.push(half);
    let grid = (0..25)
        .map(|i| vec![(i / 5) as f64 - 2.0, (i % 5) as f64 - 2.0])
        .collect();
    let bowl = |at: &[f64]| match at {
        [2.0, 2.0] => f64::NAN,
        _ => 0.01 + at[0] * at[0] + 3.0 * at[1] * at[1],
    };
    survey.slices.push(slice(SliceKind::Surface, grid, bowl));
    survey
}

#[test]
fn figures_are_sound_xml_without_stray_numbers() {
    let figures = survey_figures(&whole());
    let ids: Vec<&str> = figures.iter().map(|f| &*f.id).collect();
    // the unfinished line is left out
    assert_eq!(
        ids,
        ["spectrum", "slice-straight", "slice-curved", "surface"]
    );
    for figure in &figures {
        assert!(figure.data.lines().count() > 5, "{}", figure.id);
        let svg = figure.svg(&figure.views[0]);
        let document = roxmltree::Document::parse(&svg).unwrap();
        for node in document.descendants().filter(roxmltree::Node::is_element) {
            for attribute in node.attributes() {
                let value = attribute.value();
                assert!(
                    !value.contains("NaN") && !value.contains("inf"),
                    "{}: {value}",
                    figure.id
                );
            }
        }
    }
    let cells = figures[3]
        .svg(&figures[3].views[0])
        .matches("fill=\"#")
        .count();
    assert_eq!(cells, 24 + 64, "a cell for every finite loss, and the key");
    assert!(survey_figures(&measured()).len() == 1);
    assert!(survey_figures(&Survey::new(subject())).is_empty());
}

#[test]
fn the_page_asks_for_nothing_and_runs_one_script() {
    let page = survey_html(&whole());
    let script = page
        .rsplit_once("<script>")
        .unwrap()
        .1
        .split_once("</script>")
        .unwrap()
        .0;
    let hash = base64(&sha2::Sha256::digest(script.as_bytes()));
    assert!(
        page.contains(&format!("script-src 'sha256-{hash}'")),
        "SCRIPT_HASH must be sha256-{hash}"
    );
    assert_eq!(
        page.matches("<script").count(),
        2,
        "the script and its data"
    );
    let data = page
        .split_once("id=\"shape-data\">")
        .unwrap()
        .1
        .split_once("</script>")
        .unwrap()
        .0;
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["heights"].as_array().unwrap().len(), 25);
    assert!(data["heights"][24].is_null() && data["heights"][12] == 0.0);
    assert!(!page.contains("src=") && !page.contains("@import") && !page.contains("<link"));
    assert!(page.contains("mlp(&lt;9&gt;)") && !page.contains("<other>"));
    assert!(!survey_html(&measured()).contains("id=\"shape\""));
}

#[test]
fn terminal_and_page_say_the_same() {
    let survey = whole();
    let summary = survey_summary(&survey, 10_000);
    for line in [
        "3 largest eigenvalues of the Hessian: 12 ±",
        "beside the 0.2 in use",
        "along a random direction: 1 of 9 points still to be measured",
        "straight path to <other>: least training loss 0.0498 at −1",
        "over two random directions: least training loss 0.01 at 0, 0",
    ] {
        assert!(summary.contains(line), "{line}: {summary}");
    }
    let page = survey_html(&survey).replace(['\u{a0}', '\u{2060}'], " ");
    for line in summary.lines().skip(1) {
        let (_, value) = line.split_once(": ").unwrap();
        let value = value
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('\u{a0}', " ");
        // ranges are kept together by characters that nobody sees
        assert!(value.contains('–') || page.contains(&value), "{value}");
    }
    assert!(
        survey_summary(&survey, 60)
            .lines()
            .all(|line| line.chars().count() <= 60)
    );
}

#[test]
fn a_terminal_shows_every_finding() {
    for width in [40, 80] {
        let summary = survey_summary(&whole(), width);
        assert!(summary.lines().all(|line| display_width(line) <= width));
        insta::assert_snapshot!(format!("landscape_at_{width}"), summary);
    }
}

/// Every slice that was kept is drawn, under a name and a title of its own.
#[test]
fn slices_of_one_kind_are_all_drawn_and_told_apart() {
    let mut survey = whole();
    let line = |n: usize| (0..n).map(|i| vec![i as f64]).collect::<Vec<_>>();
    let straight = |statistics: &str, n| SliceRecord {
        statistics: statistics.to_owned(),
        ..slice(
            SliceKind::Straight {
                to: "<other>".to_owned(),
            },
            line(n),
            |at| 1.0 + at[0],
        )
    };
    survey.slices.push(straight("interpolated", 9));
    let figures = survey_figures(&survey);
    let ids: Vec<&str> = figures.iter().map(|f| &*f.id).collect();
    assert_eq!(
        ids,
        [
            "spectrum",
            "slice-straight",
            "slice-straight-2",
            "slice-curved",
            "surface"
        ]
    );
    assert_eq!(
        figures[1].title,
        "The loss on the straight path to <other>; statistics: estimated at every point"
    );
    assert_eq!(
        figures[2].title,
        "The loss on the straight path to <other>; statistics: interpolated"
    );
    assert_eq!(figures[3].title, "The loss on the curved path to <other>");
    let dir = tempfile::tempdir().unwrap();
    write_survey(dir.path(), &survey).unwrap();
    assert!(dir.path().join("figures/slice-straight-2.svg").is_file());
    let page = survey_html(&survey);
    assert_eq!(page.matches("<figure").count(), 5);
}

#[test]
fn a_folder_holds_the_page_and_both_kinds_of_every_figure() {
    let dir = tempfile::tempdir().unwrap();
    let written = write_survey(dir.path(), &whole()).unwrap();
    assert_eq!(written.len(), 1 + 2 * 4);
    assert!(
        written
            .iter()
            .all(|path| path.metadata().unwrap().len() > 500)
    );
    let survey: Survey = serde_json::from_str(&serde_json::to_string(&whole()).unwrap()).unwrap();
    assert_eq!(survey.measured, whole().measured);
    assert_eq!(survey.slices[0].points[0], whole().slices[0].points[0]);
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let word = |chunk: &[u8]| {
        chunk.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - chunk.len()))
    };
    let letters = |chunk: &[u8]| {
        let (word, len) = (word(chunk), chunk.len());
        (0..4).map(move |i| match i <= len {
            true => LETTERS[(word >> (18 - 6 * i)) as usize & 63] as char,
            false => '=',
        })
    };
    bytes.chunks(3).flat_map(letters).collect()
}
