//! Pages and charts made of anything: sound, complete, and inert whatever they are given.

use batchscope_core::Estimate;
use batchscope_report::{
    Axis, AxisScale, Chart, ChartPanel, Document, HowRun, PageTable, Point, Section, Series,
    write_document,
};

fn panel(scale: AxisScale, values: &[(f64, Estimate)]) -> ChartPanel {
    ChartPanel {
        title: "small & large".to_owned(),
        x: Axis::new("batch size", AxisScale::Batch),
        y: Axis::new("φ, %", scale),
        series: vec![Series {
            name: "minima <b>".to_owned(),
            joined: true,
            points: values
                .iter()
                .map(|(x, y)| Point {
                    x: *x,
                    y: y.clone(),
                })
                .collect(),
        }],
    }
}

fn chart(panels: Vec<ChartPanel>) -> Chart {
    Chart {
        id: "anything",
        title: "Sharpness against the batch size".to_owned(),
        caption: "Every start a point.".to_owned(),
        panels,
    }
}

fn hostile() -> Vec<(f64, Estimate)> {
    vec![
        (100.0, Estimate::estimated(3.0, 1.0, 9.0, 0.95, 3)),
        (200.0, Estimate::at_least(50.0, 0.95, 3, "it overflowed")),
        (300.0, Estimate::undefined(0.95, 0, "nothing")),
        (f64::NAN, Estimate::exact(2.0)),
        (400.0, Estimate::exact(f64::INFINITY)),
        (1000.0, Estimate::exact(1e-9)),
    ]
}

#[test]
fn charts_are_sound_whatever_they_are_given() {
    let zero = vec![(1.0, Estimate::exact(0.0)), (2.0, Estimate::exact(5.0))];
    for panels in [
        vec![panel(AxisScale::Log, &hostile())],
        vec![
            panel(AxisScale::Log, &zero),
            panel(AxisScale::Linear, &hostile()),
            panel(AxisScale::Log, &[(7.0, Estimate::exact(7.0))]),
        ],
    ] {
        let figure = chart(panels).figure().expect("something to draw");
        for view in &figure.views {
            let svg = figure.svg(view);
            let document = roxmltree::Document::parse(&svg).expect("sound XML");
            let elements = document
                .descendants()
                .filter(roxmltree::Node::is_element)
                .count();
            assert!(elements > 20, "{elements}");
            assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
            let marks = svg.matches("class=\"m\"").count();
            assert!(marks >= 3, "{marks} points");
        }
        assert!(figure.data.starts_with("panel,series,x,value"));
        assert!(figure.data.contains("at_least"));
    }
}

#[test]
fn what_has_no_points_is_no_chart() {
    assert!(chart(Vec::new()).figure().is_none());
    let nothing = [(1.0, Estimate::undefined(0.95, 0, "nothing"))];
    assert!(
        chart(vec![panel(AxisScale::Log, &nothing)])
            .figure()
            .is_none()
    );
}

#[test]
fn a_page_holds_everything_and_runs_nothing_it_was_given() {
    let document = Document {
        kicker: "an experiment".to_owned(),
        title: "<script>alert(1)</script>".to_owned(),
        lead: "Large batches & small ones.".to_owned(),
        sections: vec![Section {
            heading: "The table".to_owned(),
            paragraphs: vec!["A paragraph of 95 % and 3–10.".to_owned()],
            tables: vec![PageTable {
                caption: "Means".to_owned(),
                head: vec![String::new(), "small".to_owned()],
                rows: vec![vec!["φ <i>".to_owned(), "3 (1–9)".to_owned()]],
            }],
            figures: chart(vec![panel(AxisScale::Log, &hostile())])
                .figure()
                .into_iter()
                .collect(),
            remarks: vec!["A remark.".to_owned()],
        }],
        facts: vec![("Model".to_owned(), "f1(ghost=\"3\")".to_owned())],
    };
    let how = HowRun {
        command: "batchscope reproduce 'a & b'".to_owned(),
        ..HowRun::default()
    };
    let page = document.html(&how);
    assert_eq!(page.matches("<script>").count(), 1, "only the page's own");
    assert!(page.contains("&lt;script&gt;alert(1)"));
    for part in [
        "The table",
        "A remark.",
        "φ &lt;i&gt;",
        "a &amp; b",
        "f1(ghost=&quot;3&quot;)",
        "id=\"fig-anything\"",
        "</html>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let place = tempfile::tempdir().unwrap();
    let written = write_document(place.path(), &document, &how).unwrap();
    assert_eq!(written.len(), 3);
    assert!(written.iter().all(|path| path.is_file()));
    let png = std::fs::read(place.path().join("figures/anything.png")).unwrap();
    assert_eq!(&png[1..4], b"PNG");
}
