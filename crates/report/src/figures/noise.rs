//! Does the gradient's noise predict the critical batch size? (McCandlish et al. 2018)

use batchscope_core::Estimate;
use batchscope_scaling::noise::{NoiseAt, NoiseTrajectory};

use super::{Data, cells, csv, drawn, list};
use crate::format::{count, estimate, number};
use crate::plot::figure::Figure;
use crate::plot::panel::{Area, Label, Panel, draw_labels, marker, spread, tick_room};
use crate::plot::scale::{Scale, extent};
use crate::plot::svg::{Anchor, Canvas, text_width};

/// Run averages of the critical batch size and of `B_simple` in McCandlish et al. 2018, by data set.
const PUBLISHED: [(&str, &str, &str); 4] = [
    ("MNIST", "200", "900"),
    ("SVHN", "500", "4,000"),
    ("CIFAR-10", "900", "2,000"),
    ("ImageNet", "15,000", "30,000"),
];

pub(super) fn figure(data: &Data) -> Option<Figure> {
    let courses = shown(data);
    if courses.is_empty() {
        return None;
    }
    let title = title(data);
    let published: Vec<String> = PUBLISHED
        .iter()
        .map(|(name, critical, simple)| format!("{name} {critical} and {simple}"))
        .collect();
    let caption = format!(
        "B_simple = tr Σ/|G|² is the variance of one example's gradient divided by the squared \
         norm of the mean gradient. It is measured from the gradients of the fresh trials, pooled \
         over seeds and over the steps between evaluations, with Fieller's 95 % intervals. Faint \
         points without an outline, off the line, have no upper end of their interval: only its \
         lower end says something. Stretches where noise drowns the gradient have no point. The \
         band is the critical batch size measured, with its interval. The average quoted is the \
         harmonic mean over the steps of training. For comparison, McCandlish et al. 2018 give as \
         critical batch size and B_simple, averaged over runs: {}.",
        list(&published)
    );
    let rows = data.findings.noise.iter().flat_map(|(curve, courses)| {
        courses.iter().flat_map(move |course| {
            course.course.iter().map(move |at| {
                let mut row = vec![
                    curve.clone(),
                    course.batch_size.to_string(),
                    at.step.to_string(),
                    at.examples.to_string(),
                ];
                row.extend(cells(&at.population));
                row.extend(cells(&at.training_set));
                row
            })
        })
    });
    let csv = csv(
        &[
            "curve",
            "batch_size",
            "step",
            "examples",
            "noise_scale",
            "low",
            "high",
            "state",
            "training_set",
            "training_set_low",
            "training_set_high",
            "training_set_state",
        ],
        rows,
    );
    let description = format!("{title}. Chart of the gradient noise scale against examples.");
    Some(
        Figure::new("noise", title, caption, description, csv)
            .view("", "", |c| draw(c, data, &courses)),
    )
}

/// The smallest, the base and the largest batch size of the main curve: each a line.
fn shown<'a>(data: &Data<'a>) -> Vec<&'a NoiseTrajectory> {
    let Some(curve) = data.main_curve() else {
        return Vec::new();
    };
    let with_points: Vec<&NoiseTrajectory> = data
        .findings
        .noise
        .get(&curve.rule)
        .into_iter()
        .flatten()
        .filter(|c| c.course.iter().any(|at| drawn(&at.population).is_some()))
        .collect();
    let base = data.findings.study.base_batch;
    let last = with_points.len().saturating_sub(1);
    let kept = with_points.iter().enumerate();
    kept.filter(|(i, c)| *i == 0 || *i == last || c.batch_size == base)
        .map(|(_, c)| *c)
        .collect()
}

/// The critical batch size of the main curve, where it is a number.
fn critical<'a>(data: &Data<'a>) -> Option<(&'a Estimate, f64)> {
    let curve = data.main_curve()?;
    let knee = &data
        .findings
        .critical_batch_size
        .get(&curve.rule)?
        .hyperbola;
    drawn(knee)
        .filter(|_| knee.is_estimated())
        .map(|value| (knee, value))
}

fn title(data: &Data) -> String {
    let quoted = data
        .main_curve()
        .and_then(|curve| data.findings.quoted_noise(&curve.rule));
    let average = quoted.and_then(|c| Some((c, drawn(&c.population)?)));
    match (average, critical(data)) {
        (Some((course, average)), Some((_, knee))) => format!(
            "At batch size {} the gradient noise scale averages {}, beside a critical batch size of {}",
            count(course.batch_size),
            number(average),
            number(knee)
        ),
        (Some((course, average)), None) => format!(
            "At batch size {} the gradient noise scale averages {}",
            count(course.batch_size),
            number(average)
        ),
        _ => "The gradient noise scale along training".to_owned(),
    }
}

/// True where the interval has both ends, which is where a point says something by itself.
fn bounded(at: &NoiseAt) -> bool {
    drawn(&at.population).is_some() && at.population.low.is_some() && at.population.high.is_some()
}

/// What the vertical axis must show: the points with an interval, its ends as far as ten times
/// beyond the points, and the critical batch size. Points with an open interval, which may lie
/// anywhere, have no say where there are others.
fn range(data: &Data, courses: &[&NoiseTrajectory]) -> (f64, f64) {
    let points = || courses.iter().flat_map(|course| &course.course);
    let values = |at: &NoiseAt| drawn(&at.population).filter(|v| *v > 0.0);
    let firm: Vec<&NoiseAt> = points().filter(|at| bounded(at)).collect();
    let center = extent(firm.iter().filter_map(|at| values(at)));
    let critical = critical(data).into_iter();
    let critical = critical
        .flat_map(|(e, v)| [Some(v), e.low, e.high])
        .flatten();
    let Some((low, high)) = center else {
        return extent(
            points()
                .filter_map(values)
                .chain(critical)
                .filter(|v| *v > 0.0),
        )
        .unwrap_or((1.0, 10.0));
    };
    let ends = firm
        .iter()
        .flat_map(|at| [at.population.low, at.population.high]);
    let ends = ends
        .flatten()
        .filter(|v| (low / 10.0..=high * 10.0).contains(v));
    extent(ends.chain([low, high]).chain(critical).filter(|v| *v > 0.0)).unwrap_or((low, high))
}

fn draw(c: &mut Canvas, data: &Data, courses: &[&NoiseTrajectory]) {
    let narrow = c.narrow();
    let points = || courses.iter().flat_map(|course| &course.course);
    let (low, high) = range(data, courses);
    let (from, to) = extent(points().map(|at| at.examples as f64)).unwrap_or((1.0, 10.0));
    let y = Scale::log(low, high, 1.5);
    let bottom = if narrow { 250.0 } else { 320.0 };
    let y_ticks = y.over(bottom, 26.0).ticks(24.0);
    let names: Vec<String> = courses
        .iter()
        .map(|course| format!("batch {}", count(course.batch_size)))
        .collect();
    let room = names
        .iter()
        .map(|n| text_width(n, 12.0))
        .fold(0.0, f64::max);
    let area = Area {
        left: tick_room(&y_ticks).max(30.0),
        top: 26.0,
        right: c.width - room - 22.0,
        bottom,
    };
    let panel = Panel::new(area, Scale::log(from, to, 1.1), y);
    c.height = bottom + 44.0;
    panel.grid(c, &panel.x.ticks(44.0), &y_ticks);
    panel.names(c, "examples", "gradient noise scale, in examples");
    if let Some((knee, value)) = critical(data) {
        let edge = |v: Option<f64>, end: f64| v.filter(|v| *v > 0.0).unwrap_or(end);
        let (low, high) = (
            edge(knee.low, panel.y.low()),
            edge(knee.high, panel.y.high()),
        );
        let ends = [panel.x.low(), panel.x.high()];
        c.mark(
            &format!("critical batch size measured: {}", estimate(knee)),
            None,
            |c| {
                panel.band(c, 0, &ends.map(|x| (x, low, high)));
                panel.line(c, "ideal", ends.map(|x| (x, value)));
            },
        );
        c.text(
            "note",
            (area.left + 6.0, panel.y.clamped(high) - 5.0),
            Anchor::Start,
            "critical batch size measured",
        );
    }
    let mut labels = Vec::new();
    for (k, (course, name)) in courses.iter().zip(&names).enumerate() {
        // Categories beside that of the curve itself.
        let k = k + 1;
        let line = course.course.iter().filter(|at| bounded(at));
        panel.line(
            c,
            &format!("thin l{k}"),
            line.map(|at| {
                (
                    at.examples as f64,
                    drawn(&at.population).unwrap_or(f64::NAN),
                )
            }),
        );
        let mut end = f64::NAN;
        for at in &course.course {
            let Some(value) = drawn(&at.population) else {
                continue;
            };
            let (x, y) = (panel.x.at(at.examples as f64), panel.y.clamped(value));
            let tip = format!("{name}, step {}: {}", at.step, estimate(&at.population));
            // An end off the panel is drawn as what it looks like there: open.
            let seen = |v: Option<f64>| v.filter(|v| (panel.y.low()..=panel.y.high()).contains(v));
            let (low, high) = (seen(at.population.low), seen(at.population.high));
            c.mark(&tip, None, |c| {
                if bounded(at) {
                    panel.whisker(c, k, x, low, high);
                    marker(c, &format!("dot p{k}"), k, (x, y), 3.2);
                } else {
                    panel.open_whisker(c, k, (x, y), low);
                    marker(c, &format!("faint p{k}"), k, (x, y), 2.6);
                }
            });
            if bounded(at) || end.is_nan() {
                end = y;
            }
        }
        labels.push(Label {
            y: end,
            text: name.clone(),
            class: String::new(),
            marker: Some(k),
        });
    }
    spread(&mut labels, 15.0, area.top, area.bottom);
    draw_labels(c, area.right + 6.0, &labels);
}
