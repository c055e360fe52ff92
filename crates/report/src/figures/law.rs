//! How does the critical batch size go with the size of what is trained?

use batchscope_scaling::{Law, LawValue};

use super::{Data, cells, csv, list};
use crate::format::{estimate, estimate_short, number};
use crate::plot::figure::Figure;
use crate::plot::panel::{Area, Panel, legend, marker, tick_room};
use crate::plot::scale::{Scale, extent};
use crate::plot::svg::{Anchor, Canvas};

/// One figure, a color a definition.
pub(super) fn figure(data: &Data) -> Option<Figure> {
    let laws = &data.findings.laws;
    let against = &laws.first()?.against;
    let words: Vec<String> = laws
        .iter()
        .map(|law| format!("to the power {}", estimate_short(&law.exponent)))
        .collect();
    let title = format!(
        "The critical batch size grows with {against} {}",
        list(&words)
    );
    let caption = format!(
        "Each mark is a curve's critical batch size with its interval; the line is a power law by least squares in the \
         logarithms, one a definition, with the interval of the line. Beyond the largest {against} it is dashed: nothing \
         was measured there. Numbers by different definitions are not to be compared."
    );
    let rows = laws.iter().flat_map(|law| {
        law.points.iter().map(move |point| {
            let mut row = vec![
                law.definition.clone(),
                point.curve.clone(),
                point.x.to_string(),
            ];
            row.extend(cells(&point.batch_size));
            row
        })
    });
    let header = [
        "definition",
        "curve",
        "x",
        "batch_size",
        "low",
        "high",
        "state",
    ];
    let csv = csv(&header, rows);
    let description = format!(
        "{title}. Chart of critical batch sizes against {against}, with a line a definition."
    );
    Some(Figure::new("law", title, caption, description, csv).view("", "", |c| draw(c, laws)))
}

/// A definition in words.
pub(crate) fn definition(law: &Law) -> &str {
    match law.definition.as_str() {
        "hyperbola" => "B_c of the hyperbola",
        "overhead_from" => "B* of Zhang et al. 2024",
        other => other,
    }
}

fn draw(c: &mut Canvas, laws: &[Law]) {
    let mut top = 8.0;
    if laws.len() > 1 {
        let keys: Vec<(String, usize)> = laws
            .iter()
            .enumerate()
            .map(|(k, law)| (definition(law).to_owned(), k))
            .collect();
        top += legend(c, 4.0, c.width, 8.0, &keys);
    }
    let values = || laws.iter().flat_map(|law| &law.line);
    let points = || laws.iter().flat_map(|law| &law.points);
    let x = extent(values().map(|v| v.x)).unwrap_or((1.0, 10.0));
    let ends = |e: &batchscope_core::Estimate| [e.low, e.high, e.value].into_iter().flatten();
    let y = extent(
        values()
            .flat_map(|v| ends(&v.batch_size).collect::<Vec<_>>())
            .chain(points().flat_map(|p| ends(&p.batch_size).collect::<Vec<_>>())),
    )
    .unwrap_or((1.0, 10.0));
    let (x, y) = (Scale::log(x.0, x.1, 1.15), Scale::log(y.0, y.1, 1.1));
    let plot = if c.narrow() { 230.0 } else { 300.0 };
    let room = tick_room(&y.over(plot, 0.0).ticks(26.0)).max(30.0);
    let area = Area {
        left: room,
        top: top + 16.0,
        right: c.width - 12.0,
        bottom: top + 16.0 + plot,
    };
    let panel = Panel::new(area, x, y);
    panel.grid(c, &panel.x.ticks(60.0), &panel.y.ticks(26.0));
    panel.inside(c, "law", |c| {
        for (k, law) in laws.iter().enumerate() {
            draw_line(c, &panel, law, k);
        }
    });
    for (k, law) in laws.iter().enumerate() {
        for point in &law.points {
            let Some(value) = point.batch_size.value else {
                continue;
            };
            let tip = format!("{}: {}", point.curve, estimate(&point.batch_size));
            c.mark(&tip, None, |c| {
                panel.whisker(
                    c,
                    k,
                    panel.x.at(point.x),
                    point.batch_size.low,
                    point.batch_size.high,
                );
                marker(c, &format!("dot p{k}"), k, panel.at(point.x, value), 4.2);
            });
        }
    }
    c.text(
        "axis-name",
        (4.0, top + 6.0),
        Anchor::Start,
        "critical batch size",
    );
    c.height = area.bottom + 40.0;
    let against = laws.first().map_or("", |law| law.against.as_str());
    c.text(
        "axis-name",
        ((area.left + area.right) / 2.0, c.height - 6.0),
        Anchor::Middle,
        against,
    );
}

/// The line with its band: drawn through inside the sizes that were measured, dashed beyond.
fn draw_line(c: &mut Canvas, panel: &Panel, law: &Law, k: usize) {
    let band: Vec<(f64, f64, f64)> = law
        .line
        .iter()
        .filter_map(|v| Some((v.x, v.batch_size.low?, v.batch_size.high?)))
        .collect();
    panel.band(c, k, &band);
    let place = |v: &LawValue| Some((v.x, v.batch_size.value?));
    let mut inside = law.line.iter().filter(|v| !v.beyond);
    panel.line(c, &format!("curve l{k}"), inside.clone().filter_map(place));
    let beyond = inside
        .next_back()
        .into_iter()
        .chain(law.line.iter().filter(|v| v.beyond));
    panel.line(c, &format!("curve dash l{k}"), beyond.filter_map(place));
}

/// A size as people write it: 85M, 1.2B.
pub(crate) fn size(x: f64) -> String {
    for (unit, name) in [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")] {
        if x >= unit * 0.9999 {
            return format!("{}{name}", number(x / unit));
        }
    }
    number(x)
}

/// A law as a formula: `93.2 (81–107) · (curve/1M)^0.468 (0.44–0.5)`.
pub(crate) fn formula(law: &Law) -> String {
    let size = match law.unit {
        1.0 => law.against.clone(),
        _ => format!("({}/{}{})", law.against, number(1.0), law.unit_name),
    };
    format!(
        "{} · {size}^{}",
        estimate_short(&law.coefficient),
        estimate_short(&law.exponent)
    )
}
