//! The spectrum of the Hessian: its density, its largest eigenvalues, the edge of stability.

use batchscope_core::Estimate;
use batchscope_landscape::survey::{Eigenvalue, MeasurementKind, MeasurementResult, Survey};

use crate::figures::csv;
use crate::format::{estimate_value, number};
use crate::plot::figure::Figure;
use crate::plot::panel::{Area, Panel, marker, tick_room};
use crate::plot::scale::{Scale, extent};
use crate::plot::svg::{Anchor, Canvas};

/// Densities below this part of the highest are the tails of the smoothing.
const FLOOR: f64 = 1e-7;

/// What is drawn.
struct Spectrum<'a> {
    curve: &'a [(f64, Estimate)],
    top: &'a [Eigenvalue],
    /// `2/η` for the learning rate in use.
    edge: f64,
}

pub(super) fn figure(survey: &Survey) -> Option<Figure> {
    let curve = survey.measured.iter().find_map(|m| match &m.result {
        MeasurementResult::Density { curve, .. } => Some(curve.as_slice()),
        _ => None,
    })?;
    let top = survey
        .measured
        .iter()
        .find_map(|m| match (&m.kind, &m.result) {
            (MeasurementKind::Top { .. }, MeasurementResult::Eigenvalues { values, .. }) => {
                Some(values.as_slice())
            }
            _ => None,
        });
    let spectrum = Spectrum {
        curve,
        top: top.unwrap_or_default(),
        edge: 2.0 / survey.subject.learning_rate,
    };
    extent(positive(curve))?;
    let title = match spectrum.top.first().filter(|largest| largest.converged) {
        Some(largest) => format!(
            "The largest eigenvalue of the Hessian is {}; plain gradient descent at the rate in use is stable up to {}",
            estimate_value(&largest.value),
            number(spectrum.edge)
        ),
        None => "Most eigenvalues of the Hessian lie near zero, few far from it".to_owned(),
    };
    let caption = "Density of the Hessian's eigenvalues by stochastic Lanczos quadrature (Ubaru, Chen and Saad 2017), smoothed over a \
                   hundredth of the range, with 95 % intervals over the probes; markers are the largest eigenvalues by Lanczos' \
                   method. Beyond 2/η (dashed), η being the learning rate in use, a step of gradient descent without momentum \
                   overshoots in the quadratic model."
        .to_owned();
    let rows = curve.iter().map(|(x, density)| {
        let text = |v: Option<f64>| v.map_or(String::new(), |v| format!("{v:e}"));
        let Estimate {
            value, low, high, ..
        } = density;
        vec![x.to_string(), text(*value), text(*low), text(*high)]
    });
    let data = csv(&["eigenvalue", "density", "low", "high"], rows);
    let description =
        format!("{title}. Chart of the density of eigenvalues on a logarithmic scale.");
    Some(
        Figure::new("spectrum", title, caption, description, data)
            .view("", "", |c| draw(c, &spectrum)),
    )
}

fn positive(curve: &[(f64, Estimate)]) -> impl Iterator<Item = f64> {
    curve
        .iter()
        .filter_map(|(_, d)| d.value.filter(|v| *v > 0.0))
}

fn draw(c: &mut Canvas, spectrum: &Spectrum) {
    let curve = spectrum.curve;
    let Some((low, high)) = extent(positive(curve)) else {
        return;
    };
    let low = low.max(FLOOR * high);
    let tops = || spectrum.top.iter().filter_map(|v| v.value.value);
    let Some((left, right)) = extent(curve.iter().map(|p| p.0).chain(tops())) else {
        return;
    };
    // the edge is drawn where it is near the spectrum
    let near = spectrum.edge.is_finite() && spectrum.edge <= 1.5 * right;
    let right = if near {
        right.max(spectrum.edge)
    } else {
        right
    };
    let y = Scale::log(low, high, 1.6);
    let room = tick_room(&y.over(240.0, 0.0).ticks(26.0)).max(40.0);
    let area = Area {
        left: room,
        top: 28.0,
        right: c.width - 6.0,
        bottom: if c.narrow() { 228.0 } else { 288.0 },
    };
    let panel = Panel::new(area, Scale::linear(left, right, 0.02), y);
    panel.grid(c, &panel.x.ticks(52.0), &panel.y.ticks(26.0));
    panel.names(c, "eigenvalue", "density");
    panel.inside(c, "density", |c| {
        let band: Vec<(f64, f64, f64)> = curve
            .iter()
            .filter_map(|(x, d)| Some((*x, d.low?.max(low), d.high?.max(low))))
            .collect();
        panel.band(c, 0, &band);
        let line = curve.iter().map(|(x, d)| {
            let shown = d.value.filter(|v| *v >= low);
            (*x, shown.unwrap_or(f64::NAN))
        });
        panel.line(c, "curve l0", line);
    });
    for value in spectrum.top {
        let Some(x) = value.value.value else { continue };
        let tip = format!(
            "eigenvalue {}, residual {}",
            number(x),
            number(value.residual)
        );
        let at = (panel.x.at(x), area.bottom - 6.0);
        c.mark(&tip, None, |c| marker(c, "dot p1", 1, at, 4.0));
    }
    if near {
        let x = panel.x.at(spectrum.edge);
        c.line("limit", (x, area.top), (x, area.bottom));
        let anchor = if x > 0.75 * area.right {
            Anchor::End
        } else {
            Anchor::Start
        };
        let shift = if anchor == Anchor::End { -5.0 } else { 5.0 };
        c.text("note haloed", (x + shift, area.top + 12.0), anchor, "2/η");
        c.text("note", (x + shift, area.top + 12.0), anchor, "2/η");
    }
    c.height = area.bottom + 44.0;
}
