//! `batchscope exchange`: what replicas pay for exchanging vectors, measured on this machine; and when gossip pays on a
//! network that is stated.

mod model;
pub mod steps;

use std::path::Path;

use batchscope_core::statistics::quantile;
use batchscope_report::{
    TextColumn,
    format::{bytes, count, duration, number},
    text_table,
};
use batchscope_scaling::{
    Carrier, EXCHANGE_VERSION, ExchangeMeasurement, ExchangeRow, NUMBER_BYTES, Operation,
};
use batchscope_train::TimedExchange;

use super::{folded, print, print_json, width};
use crate::{
    args::ExchangeArgs,
    error::CliError,
    files::{read_text, write_whole},
    machine, processes,
    progress::Display,
};

/// Threads that exchange when nothing is said.
const RANKS: [u64; 3] = [2, 4, 8];
/// What is measured.
const MEASURED: [Operation; 3] = [Operation::AllReduce, Operation::Ring, Operation::OnePeer];
/// Vectors that a member holds at a time: its own, what it shows, what two neighbors gave, and a share of a sum.
const COPIES: f64 = 5.0;
/// Bytes that a file of measurements may have.
const LIMIT: u64 = 16 << 20;

/// Runs the command.
pub fn run(args: &ExchangeArgs, quiet: bool) -> Result<(), CliError> {
    let from = args.from.as_deref().map(|path| read(path, "from"));
    let from = from.transpose()?;
    if let Some(stated) = &args.model {
        return model::run(args, stated, from.as_ref());
    }
    let measurement = match from {
        Some(measurement) => measurement,
        None => measure(args, quiet)?,
    };
    if let Some(path) = &args.out {
        let text = serde_json::to_string_pretty(&measurement).map_err(CliError::failed)?;
        write_whole(path, (text + "\n").as_bytes())?;
    }
    match args.json {
        true => print_json(&measurement),
        false => print(&text(&measurement)),
    }
}

/// This machine, by its name.
pub fn this_machine() -> Result<String, CliError> {
    machine::name().ok_or_else(|| {
        CliError::failed(
            "the system does not tell this machine's name, and times are of a machine: set HOSTNAME",
        )
    })
}

/// Reads what was measured earlier, on whatever machine.
pub fn read(path: &Path, flag: &str) -> Result<ExchangeMeasurement, CliError> {
    let text = read_text(path, LIMIT)?;
    let wrong = |why: String| {
        let path = path.display();
        CliError::flag(
            flag,
            format!("{path} does not hold measured exchanges: {why}"),
        )
    };
    let measurement: ExchangeMeasurement =
        serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    measurement.check().map_err(|e| wrong(e.to_string()))?;
    Ok(measurement)
}

fn measure(args: &ExchangeArgs, quiet: bool) -> Result<ExchangeMeasurement, CliError> {
    let group = processes::group();
    let ranks = match (&group, args.ranks.as_slice()) {
        (None, []) => RANKS.to_vec(),
        (None, ranks) => sorted(ranks),
        (Some(group), []) => vec![group.size() as u64],
        (Some(group), ranks) if *ranks == [group.size() as u64] => ranks.to_vec(),
        (Some(group), _) => {
            let why = format!(
                "{} processes were started, and they are the ranks: leave --ranks out",
                group.size()
            );
            return Err(CliError::flag("ranks", why));
        }
    };
    let sizes = sorted(&args.sizes);
    check(args, &ranks, &sizes)?;
    let machine = this_machine()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;

    let total = ranks.len() * sizes.len() * MEASURED.len();
    let share = shares(&ranks, &sizes);
    let display = Display::new(quiet);
    let mut rows: Vec<ExchangeRow> = Vec::with_capacity(total);
    for &ranks in &ranks {
        let of = |operation| {
            let share = &share;
            sizes.iter().map(move |&numbers| TimedExchange {
                operation,
                numbers,
                seconds: args.budget * share(ranks, numbers),
            })
        };
        let exchanges: Vec<TimedExchange> = MEASURED.into_iter().flat_map(of).collect();
        let show = |rows: usize, exchange: &TimedExchange| {
            let (name, numbers) = (exchange.operation.name(), count(exchange.numbers));
            let message = format!("{name} of {numbers} numbers between {ranks}");
            display.show(rows as f64 / total as f64, &message);
        };
        match &group {
            Some(group) => {
                for exchange in &exchanges {
                    show(rows.len(), exchange);
                    let seconds = exchange.lead(group.as_ref()).map_err(CliError::trainer)?;
                    rows.push(row(exchange, ranks, seconds));
                }
            }
            None => {
                show(rows.len(), &exchanges[0]);
                TimedExchange::on_threads(&exchanges, ranks as usize, |place, seconds| {
                    rows.push(row(&exchanges[place], ranks, seconds));
                    if let Some(next) = exchanges.get(place + 1) {
                        show(rows.len(), next);
                    }
                })
                .map_err(CliError::trainer)?;
            }
        }
    }
    display.finish();
    let carrier = match group {
        Some(_) => Carrier::Mpi,
        None => Carrier::Threads,
    };
    Ok(ExchangeMeasurement {
        version: EXCHANGE_VERSION,
        machine,
        cores,
        carrier,
        rows,
    })
}

/// An exchange's share of the time: as it goes with the vectors of all, but for what every message takes.
fn shares(ranks: &[u64], sizes: &[u64]) -> impl Fn(u64, u64) -> f64 {
    const MESSAGE: f64 = 1e5;
    let weight = |ranks: u64, numbers: u64| ranks as f64 * (numbers as f64 + MESSAGE);
    let all = ranks
        .iter()
        .flat_map(|&ranks| sizes.iter().map(move |&n| weight(ranks, n)));
    let all = all.sum::<f64>() * MEASURED.len() as f64;
    move |ranks, numbers| weight(ranks, numbers) / all
}

/// In order, each once.
fn sorted(values: &[u64]) -> Vec<u64> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.dedup();
    values
}

/// Checks the flags before time is spent on measuring.
fn check(args: &ExchangeArgs, ranks: &[u64], sizes: &[u64]) -> Result<(), CliError> {
    if !(args.budget > 0.0 && args.budget <= 86_400.0) {
        let why = format!(
            "{} is not a time above 0 and at most 86400 seconds",
            args.budget
        );
        return Err(CliError::flag("budget", why));
    }
    if let Some(path) = &args.out {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if path.is_dir() || folder.is_some_and(|folder| !folder.is_dir()) {
            let why = format!(
                "{} cannot be written: name a file in a folder",
                path.display()
            );
            return Err(CliError::flag("out", why));
        }
    }
    if !processes::share_a_machine() {
        return Err(CliError::Usage(
            "the processes run on several machines, and this command measures one: start them all on it".to_owned(),
        ));
    }
    let (most, largest) = (ranks.iter().max(), sizes.iter().max());
    let (most, largest) = (most.copied().unwrap_or(0), largest.copied().unwrap_or(0));
    let needed = COPIES * NUMBER_BYTES * most as f64 * largest as f64;
    match machine::available_bytes() {
        Some(available) if needed > available as f64 => {
            let why = format!(
                "{} numbers on {most} ranks take about {}, and {} are available: give smaller ones, or fewer --ranks",
                count(largest),
                bytes(needed as u64),
                bytes(available)
            );
            Err(CliError::flag("sizes", why))
        }
        _ => Ok(()),
    }
}

/// Median and quartiles of repeats.
fn row(exchange: &TimedExchange, ranks: u64, mut seconds: Vec<f64>) -> ExchangeRow {
    // A clock that has not moved has moved by less than it shows.
    seconds.iter_mut().for_each(|s| *s = s.max(1e-9));
    seconds.sort_by(f64::total_cmp);
    ExchangeRow {
        operation: exchange.operation,
        ranks,
        numbers: exchange.numbers,
        seconds: quantile(&seconds, 0.5),
        low: quantile(&seconds, 0.25),
        high: quantile(&seconds, 0.75),
        n: seconds.len() as u64,
    }
}

/// Where times were measured, and what they are not.
fn provenance(of: &ExchangeMeasurement) -> String {
    format!(
        "Measured on {}, {}, with {} {}. They are times of this machine, whose replicas copy memory; they are not network \
         times.",
        of.machine,
        of.carrier.words(),
        of.cores,
        if of.cores == 1 { "core" } else { "cores" }
    )
}

/// The measurement as a table, with what it says.
fn text(of: &ExchangeMeasurement) -> String {
    let width = width();
    let column = |title, right, rank, cell: &dyn Fn(&ExchangeRow) -> String| TextColumn {
        title,
        right,
        rank,
        cells: of.rows.iter().map(cell).collect(),
    };
    let size = |row: &ExchangeRow| bytes((NUMBER_BYTES * row.numbers as f64) as u64);
    let columns = [
        column("ranks", true, 0, &|row| row.ranks.to_string()),
        column("exchange", false, 0, &|row| row.operation.name().to_owned()),
        column("numbers", true, 0, &|row| count(row.numbers)),
        column("size", true, 3, &size),
        column("median", true, 0, &|row| duration(row.seconds)),
        column("quartiles", false, 1, &|row| {
            format!("{} to {}", duration(row.low), duration(row.high))
        }),
        column("repeats", true, 2, &|row| row.n.to_string()),
    ];
    let mut text = text_table(&columns, width) + "\n";
    text += &folded(&provenance(of), width, 2);
    text += &folded(
        "A repeat takes as long as its slowest member, from when all are there. Mixing what neighbors gave is not part of it.",
        width,
        2,
    );
    if let Some(ranks) = of.rows.iter().map(|row| row.ranks).max()
        && ranks > of.cores
        && of.carrier == Carrier::Threads
    {
        let note = format!(
            "Up to {ranks} ranks took turns on {} {}.",
            number(of.cores as f64),
            if of.cores == 1 { "core" } else { "cores" }
        );
        text += &folded(&note, width, 2);
    }
    text
}
