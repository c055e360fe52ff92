//! The slices between the minima.

use batchscope_report::{Axis, AxisScale, Chart, ChartPanel, Figure, Point, Section, Series};
use batchscope_reproduce::keskar::{Results, SlicePair, SlicePoint, Statistics};

use super::exact;

/// The losses and accuracies between the minima, with each kind of batch-norm statistics there is.
pub(super) fn section(results: &Results) -> Option<Section> {
    let mut figures = Vec::new();
    let mut paragraphs = vec![
        "Parameters go straight from the small-batch minimum (α = 0) to the large-batch one (α = 1) and beyond both, or along \
         sin(απ/2)·x_L + cos(απ/2)·x_S."
            .to_owned(),
    ];
    for pair in &results.slices {
        let (ids, how) = match pair.statistics {
            Statistics::Interpolated => {
                paragraphs.push(
                    "Interpolated statistics of batch norm: running means lie on the line through those of the minima, running \
                     variances on the line of their logarithms."
                        .to_owned(),
                );
                (["slice-loss", "slice-accuracy"], "interpolated")
            }
            Statistics::Estimated => {
                paragraphs.push(format!(
                    "Estimated statistics of batch norm: at every point means and variances are taken anew over the first {} \
                     training examples, in training mode; losses and accuracies are then those of evaluation.",
                    results.setting.evaluation.min(results.setting.examples)
                ));
                (
                    ["slice-loss-estimated", "slice-accuracy-estimated"],
                    "estimated at every point",
                )
            }
        };
        figures.extend(slice_chart(
            ids[0],
            pair,
            &format!("The loss between and beyond the minima; statistics {how}"),
            ["train", "test"],
            |p| [p.train_loss, p.test_loss],
            Axis::new("mean loss", AxisScale::Log),
        ));
        figures.extend(slice_chart(
            ids[1],
            pair,
            &format!("The accuracy between and beyond the minima; statistics {how}"),
            ["train", "test"],
            |p| {
                [
                    Some(100.0 * p.train_accuracy),
                    Some(100.0 * p.test_accuracy),
                ]
            },
            Axis::new("accuracy, %", AxisScale::Linear),
        ));
    }
    (!figures.is_empty()).then(|| Section {
        heading: "Between the minima".to_owned(),
        paragraphs,
        figures,
        ..Section::default()
    })
}

fn slice_chart(
    id: &'static str,
    pair: &SlicePair,
    title: &str,
    names: [&str; 2],
    of: impl Fn(&SlicePoint) -> [Option<f64>; 2],
    y: Axis,
) -> Option<Figure> {
    let slices = [("straight", &pair.straight), ("curved", &pair.curved)];
    let panels = slices.into_iter().filter_map(|(name, slice)| {
        let slice = slice.as_ref()?;
        let series = (0..2).map(|which| Series {
            name: names[which].to_owned(),
            joined: true,
            points: slice
                .points
                .iter()
                .flatten()
                .filter_map(|p| {
                    let y = exact(of(p)[which]?);
                    Some(Point { x: p.alpha, y })
                })
                .collect(),
        });
        Some(ChartPanel {
            title: name.to_owned(),
            x: Axis::new("α", AxisScale::Linear),
            y: y.clone(),
            series: series.collect(),
        })
    });
    Chart {
        id,
        title: title.to_owned(),
        caption: format!(
            "Start {}: 0 is the small-batch minimum, 1 the large-batch one; 25 points as in the paper.",
            pair.start
        ),
        panels: panels.collect(),
    }
    .figure()
}
