//! When gossip pays on a network that is stated, beside what was measured on a machine.

use batchscope_report::{
    ExchangeDrawn, TextColumn, exchange_figure,
    format::{count, duration, estimate_short, number},
    text_table,
};
use batchscope_scaling::{ExchangeMeasurement, GossipPoint, GossipQuestion, Network};
use serde::Serialize;

use super::{super::folded, provenance};
use crate::{
    args::{ExchangeArgs, Stated},
    commands::{print, print_json, width},
    error::CliError,
    files::write_whole,
};

/// Devices that are modeled: 8, 16, …, 4096.
fn devices() -> impl Iterator<Item = u64> {
    (3..=12).map(|power| 1 << power)
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Printed<'a> {
    network: &'a Network,
    question: &'a GossipQuestion,
    /// The machine of the measured points.
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<&'a str>,
    measured: &'a [GossipPoint],
    modeled: &'a [GossipPoint],
}

/// Runs the command with `--model`.
pub fn run(
    args: &ExchangeArgs,
    stated: &Stated,
    from: Option<&ExchangeMeasurement>,
) -> Result<(), CliError> {
    let Stated { network, question } = stated;
    let modeled = question.modeled(network, devices());
    let measured = from.map(|from| question.measured(from));
    let measured = measured.unwrap_or_default();
    if let Some(path) = &args.figure {
        let machine = from.map(|from| format!("{} {}", from.machine, from.carrier.words()));
        let figure = exchange_figure(&ExchangeDrawn {
            question,
            measured: &measured,
            machine: machine.as_deref().unwrap_or_default(),
            modeled: &modeled,
            network,
        });
        let figure = figure.ok_or_else(|| CliError::failed("there is nothing to draw"))?;
        let view = figure
            .views
            .first()
            .ok_or_else(|| CliError::failed("there is nothing to draw"))?;
        write_whole(path, figure.svg(view).as_bytes())?;
    }
    if args.json {
        return print_json(&Printed {
            network,
            question,
            machine: from.map(|from| from.machine.as_str()),
            measured: &measured,
            modeled: &modeled,
        });
    }
    print(&text(stated, from, &measured, &modeled))
}

fn text(
    Stated { network, question }: &Stated,
    from: Option<&ExchangeMeasurement>,
    measured: &[GossipPoint],
    modeled: &[GossipPoint],
) -> String {
    let width = width();
    let rows: Vec<(&str, &GossipPoint)> = measured
        .iter()
        .map(|point| ("measured", point))
        .chain(modeled.iter().map(|point| ("modeled", point)))
        .collect();
    let column = |title, right, rank, cell: &dyn Fn(&GossipPoint) -> String| TextColumn {
        title,
        right,
        rank,
        cells: rows.iter().map(|(_, point)| cell(point)).collect(),
    };
    let seconds = |e: &batchscope_core::Estimate| e.value.map_or("-".to_owned(), duration);
    let mut columns = vec![
        column("devices", true, 0, &|point| point.members.to_string()),
        column("graph", false, 0, &|point| point.graph.name().to_owned()),
        column("all-reduce", true, 2, &|point| seconds(&point.all_reduce)),
        column("exchange", true, 1, &|point| seconds(&point.exchange)),
        column("pays below", false, 0, &|point| {
            format!("{} × the steps", estimate_short(&point.break_even))
        }),
    ];
    if question.step_ratio.is_some() {
        columns.push(column("time", false, 0, &|point| {
            let ratio = point.time_ratio.as_ref();
            ratio.map_or_else(String::new, |ratio| format!("× {}", estimate_short(ratio)))
        }));
    }
    columns.push(TextColumn {
        title: "is",
        right: false,
        rank: 0,
        cells: rows.iter().map(|(kind, _)| (*kind).to_owned()).collect(),
    });
    let mut text = text_table(&columns, width) + "\n";
    let mut say = |line: &str| text += &folded(line, width, 2);
    say(&format!(
        "Modeled: a network of {} a message and {} bytes/s a link, as stated: 4 bytes for each of {} numbers, after {} of \
         computing. All-reduce is the fastest of the ring's, 2(n − 1)·α + 2(n − 1)/n·S/β, halving's, 2·log₂n·α + \
         2(n − 1)/n·S/β, and the tree's, 2·log₂n·(α + S/β); d neighbors take d·(α + S/β).",
        duration(network.latency),
        number(network.bandwidth),
        count(question.numbers),
        duration(question.compute)
    ));
    match question.step_ratio {
        Some(steps) => say(&format!(
            "Stated: gossip needs {} times the steps of all-reduce to the same metric, on any number of devices. `time` is \
             relative to all-reduce.",
            number(steps)
        )),
        None => say(
            "How many times the steps gossip needs to the same metric depends on graph, data and metric: it is measured by \
             training with --method.",
        ),
    }
    if let Some(from) = from {
        say(&provenance(from));
        if measured.is_empty() {
            say(&format!(
                "None of them is shown: {} numbers are too far from the sizes measured.",
                count(question.numbers)
            ));
        }
    }
    text
}
