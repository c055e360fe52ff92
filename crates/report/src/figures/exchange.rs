//! When do decentralized steps pay?

use batchscope_core::Estimate;
use batchscope_scaling::{GossipPoint, GossipQuestion, Network, Operation};

use super::{cells, csv, drawn};
use crate::format::{count, duration, estimate, number};
use crate::plot::figure::Figure;
use crate::plot::panel::{Area, Panel, legend, marker, tick_room};
use crate::plot::scale::{Scale, extent};
use crate::plot::svg::{Anchor, Canvas};

/// What is drawn: measured points joined by lines drawn through, modeled ones by dashed lines.
#[derive(Debug, Clone, Copy)]
pub struct ExchangeDrawn<'a> {
    /// What both answer.
    pub question: &'a GossipQuestion,
    /// From exchanges that were measured.
    pub measured: &'a [GossipPoint],
    /// The machine that they were measured on, with what carried them.
    pub machine: &'a str,
    /// From the stated network.
    pub modeled: &'a [GossipPoint],
    /// That network.
    pub network: &'a Network,
}

/// When gossip pays, against the number of devices; `None` where there is nothing to draw.
///
/// Drawn is the time to the same metric relative to that with an all-reduce where the ratio of steps is stated, and
/// otherwise the ratio of steps below which gossip pays.
pub fn exchange_figure(from: &ExchangeDrawn) -> Option<Figure> {
    let all = || from.modeled.iter().chain(from.measured);
    all().find(|point| shown(point).is_some())?;
    let title = title(from)?;
    let question = from.question;
    let y = y_name(question);
    let measured = match from.measured {
        [] => String::new(),
        _ => format!(
            " Solid, with intervals: exchanges measured on {}, which says nothing of any network.",
            from.machine
        ),
    };
    let caption = format!(
        "Dashed: a network as stated, {} a message and {} bytes/s a link, with the fastest of three all-reduces.{measured} \
         {} numbers of 4 bytes are exchanged after {} of computing. {}",
        duration(from.network.latency),
        number(from.network.bandwidth),
        count(question.numbers),
        duration(question.compute),
        match question.step_ratio {
            Some(ratio) => format!(
                "Gossip is taken to need {} times the steps, whatever the number of devices: that is stated too. Below 1 it is \
                 sooner.",
                number(ratio)
            ),
            None => "Gossip pays where it needs fewer than so many times the steps of an all-reduce to the same metric; how \
                     many it needs is measured by training."
                .to_owned(),
        }
    );
    let rows = [("measured", from.measured), ("modeled", from.modeled)]
        .into_iter()
        .flat_map(|(kind, points)| {
            points.iter().map(move |point| {
                let mut row = vec![
                    kind.to_owned(),
                    point.graph.name().to_owned(),
                    point.members.to_string(),
                ];
                row.extend(cells(&point.all_reduce));
                row.extend(cells(&point.exchange));
                row.extend(cells(&point.break_even));
                row.extend(point.time_ratio.iter().flat_map(cells));
                row
            })
        });
    let mut header = vec!["kind", "graph", "devices"];
    header.extend([
        "all_reduce_seconds",
        "low",
        "high",
        "state",
        "exchange_seconds",
        "low",
        "high",
        "state",
        "break_even_step_ratio",
        "low",
        "high",
        "state",
    ]);
    if question.step_ratio.is_some() {
        header.extend(["time_ratio", "low", "high", "state"]);
    }
    let data = csv(&header, rows);
    let description =
        format!("{title}. Chart of {y} against the number of devices, a line a graph.");
    let figure = Figure::new("exchange", title, caption, description, data);
    Some(figure.view("", "", |c| draw(c, from, y)))
}

/// What is drawn of a point.
fn shown(point: &GossipPoint) -> Option<&Estimate> {
    let y = point.time_ratio.as_ref().unwrap_or(&point.break_even);
    drawn(y).map(|_| y)
}

fn y_name(question: &GossipQuestion) -> &'static str {
    match question.step_ratio {
        Some(_) => "time to the same metric, relative to all-reduce",
        None => "steps, relative to all-reduce, below which gossip pays",
    }
}

/// The largest network that is modeled, by its best graph.
fn title(from: &ExchangeDrawn) -> Option<String> {
    let points = match from.modeled {
        [] => from.measured,
        modeled => modeled,
    };
    let members = points.iter().map(|point| point.members).max()?;
    let ratio = |point: &&GossipPoint| drawn(&point.break_even).unwrap_or(f64::NAN);
    let best = points
        .iter()
        .filter(|point| point.members == members)
        .max_by(|a, b| ratio(a).total_cmp(&ratio(b)))?;
    let (graph, devices) = (best.graph.name(), count(members));
    Some(match (from.question.step_ratio, &best.time_ratio) {
        (Some(steps), Some(time)) => format!(
            "At {} times the steps, {graph} takes {} of the time of all-reduce on {devices} devices",
            number(steps),
            number(drawn(time)?)
        ),
        _ => format!(
            "On {devices} devices, {graph} pays below {} times the steps of all-reduce",
            number(ratio(&best))
        ),
    })
}

fn draw(c: &mut Canvas, from: &ExchangeDrawn, y_name: &str) {
    let graphs = Operation::NEIGHBORS;
    let keys: Vec<(String, usize)> = graphs
        .iter()
        .enumerate()
        .map(|(k, graph)| (graph.name().to_owned(), k))
        .collect();
    let mut top = 8.0 + legend(c, 4.0, c.width, 8.0, &keys);
    c.text("note", (4.0, top + 6.0), Anchor::Start, note(from));
    top += 22.0;
    let all = || from.modeled.iter().chain(from.measured);
    let x = extent(all().map(|point| point.members as f64)).unwrap_or((2.0, 4096.0));
    let ends = |e: &Estimate| [e.low, e.high, e.value];
    let y = extent(
        all()
            .filter_map(shown)
            .flat_map(ends)
            .flatten()
            .chain([1.0]),
    );
    let y = y.unwrap_or((0.5, 2.0));
    let (x, y) = (Scale::log(x.0, x.1, 1.15), Scale::log(y.0, y.1, 1.08));
    let plot = if c.narrow() { 230.0 } else { 300.0 };
    let room = tick_room(&y.over(plot, 0.0).ticks(26.0)).max(30.0);
    let area = Area {
        left: room,
        top: top + 16.0,
        right: c.width - 12.0,
        bottom: top + 16.0 + plot,
    };
    let panel = Panel::new(area, x, y);
    panel.grid(c, &panel.x.batch_ticks(34.0), &panel.y.ticks(26.0));
    panel.names(c, "devices", y_name);
    // Equal steps, or equal times.
    let (left, right) = (panel.x.low(), panel.x.high());
    panel.line(c, "ideal", [(left, 1.0), (right, 1.0)]);
    for (k, graph) in graphs.iter().enumerate() {
        let of = |points: &'_ [GossipPoint]| -> Vec<(f64, Estimate)> {
            let points = points.iter().filter(|point| point.graph == *graph);
            points
                .filter_map(|point| Some((point.members as f64, shown(point)?.clone())))
                .collect()
        };
        let line = |points: &[(f64, Estimate)]| {
            points
                .iter()
                .filter_map(|(x, y)| Some((*x, y.value?)))
                .collect::<Vec<_>>()
        };
        let (modeled, measured) = (of(from.modeled), of(from.measured));
        panel.line(c, &format!("curve dash l{k}"), line(&modeled));
        panel.line(c, &format!("curve l{k}"), line(&measured));
        for (kind, points) in [("modeled", &modeled), ("measured", &measured)] {
            for (x, y) in points {
                let tip = format!(
                    "{}, {} devices, {kind}: {}",
                    graph.name(),
                    number(*x),
                    estimate(y)
                );
                let at = panel.at(*x, y.value.unwrap_or(f64::NAN));
                c.mark(&tip, None, |c| match kind {
                    "measured" => {
                        panel.whisker(c, k, at.0, y.low, y.high);
                        marker(c, &format!("dot p{k}"), k, at, 4.2);
                    }
                    _ => marker(c, &format!("dot p{k}"), k, at, 2.2),
                });
            }
        }
    }
    c.height = area.bottom + 44.0;
}

fn note(from: &ExchangeDrawn) -> &'static str {
    match (from.measured, from.modeled) {
        ([], _) => "dashed: modeled",
        (_, []) => "solid: measured",
        _ => "solid: measured on one machine; dashed: modeled network",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: Network = Network {
        latency: 5e-6,
        bandwidth: 1e10,
    };

    fn figure(step_ratio: Option<f64>, measured: bool) -> Figure {
        let question = GossipQuestion {
            numbers: 25_000_000,
            compute: 0.05,
            step_ratio,
        };
        let modeled = question.modeled(&NETWORK, (3..=12).map(|k| 1 << k));
        // As if they had been measured.
        let mut points = question.modeled(&NETWORK, [2, 4, 8]);
        for point in &mut points {
            point.break_even = Estimate::estimated(1.1, 1.05, 1.2, 0.95, 9);
        }
        let from = ExchangeDrawn {
            question: &question,
            measured: if measured { &points } else { &[] },
            machine: "a machine <b>",
            modeled: &modeled,
            network: &NETWORK,
        };
        exchange_figure(&from).unwrap()
    }

    #[test]
    fn modeled_lines_are_dashed_and_measured_ones_are_not() {
        let figure = figure(None, true);
        let svg = figure.svg(&figure.views[0]);
        assert_eq!(svg.matches("class=\"curve dash l").count(), 3);
        assert_eq!(
            svg.matches("class=\"curve l").count(),
            3 + 3,
            "with the keys"
        );
        assert!(svg.contains("a machine &lt;b&gt;"));
        assert_eq!(figure.data.lines().count(), 1 + 3 * 10 + 3 * 3);
        assert!(
            figure.title.contains("4096 devices, one-peer pays below"),
            "{}",
            figure.title
        );
    }

    #[test]
    fn a_stated_ratio_of_steps_gives_times() {
        let figure = figure(Some(1.1), false);
        let svg = figure.svg(&figure.views[0]);
        assert!(!svg.contains("measured on"));
        assert!(figure.data.contains("time_ratio"));
        assert!(figure.caption.contains("1.1 times the steps"));
    }

    #[test]
    fn nothing_is_no_figure() {
        let question = GossipQuestion {
            numbers: 1,
            compute: 0.0,
            step_ratio: None,
        };
        let from = ExchangeDrawn {
            question: &question,
            measured: &[],
            machine: "",
            modeled: &[],
            network: &NETWORK,
        };
        assert!(exchange_figure(&from).is_none());
    }
}
