//! `batchscope scale`: what each rule makes of a learning rate at another batch size.

use std::collections::BTreeMap;

use batchscope_core::{Estimate, Schedule, WarmUp, WarmUpShape};
use batchscope_measurements::ReadOptions;
use batchscope_report::{
    TextColumn,
    format::{estimate_as, number},
    text_table,
};
use batchscope_rules::{Base, RULES, Rule, Setting};
use batchscope_scaling::rate_power;
use batchscope_study::SqliteStore;
use serde::Serialize;

use super::{folded, print, print_json, width};
use crate::{args::ScaleArgs, error::CliError, folder::StudyFolder};

/// Coverage of the interval of a measured power.
const LEVEL: f64 = 0.95;

/// One rate at one batch size.
#[derive(Serialize)]
struct Row {
    /// The rule, or where rates were measured.
    by: String,
    batch_size: u64,
    learning_rate: Estimate,
    /// Everything else that the rule moves, by its key: `beta2`, `warm_up`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    moved: BTreeMap<String, String>,
    /// True where a measured law is followed outside the batch sizes it was measured at.
    beyond: bool,
}

/// A law of rates that were measured.
struct Measured {
    name: String,
    power: Estimate,
    smallest: u64,
    largest: u64,
    /// The optimizer that it was measured with, where it is known.
    optimizer: Option<String>,
}

/// Runs the command.
pub fn run(args: &ScaleArgs) -> Result<(), CliError> {
    let from = &args.from;
    let base = Base {
        setting: Setting {
            learning_rate: from.learning_rate,
            schedule: Schedule {
                warm_up: WarmUp {
                    length: from.warm_up,
                    shape: WarmUpShape::Linear,
                },
                ..Schedule::constant()
            },
            optimizer: from.optimizer.clone(),
        },
        batch_size: from.batch_size,
        train_examples: None,
        noise_scale: from.noise_scale,
    };
    let mut rows = Vec::new();
    for &batch_size in &args.to.0 {
        rows.extend(Rule::all().iter().map(|rule| row(rule, &base, batch_size)));
    }
    let measured = measured(args)?;
    for law in &measured {
        for &batch_size in &args.to.0 {
            rows.push(law.row(&base, batch_size));
        }
    }
    if args.json {
        return print_json(&rows);
    }
    print(&text(&rows, &measured, from.optimizer.name()))
}

/// What a rule makes of the setting at a batch size, or why it cannot be followed.
fn row(rule: &Rule, base: &Base, batch_size: u64) -> Row {
    let (learning_rate, moved) = match rule.apply(base, batch_size) {
        Ok(setting) => (
            Estimate::exact(setting.learning_rate),
            moved(base, &setting),
        ),
        Err(error) => (
            Estimate::undefined(LEVEL, 0, error.to_string()),
            BTreeMap::new(),
        ),
    };
    Row {
        by: rule.to_string(),
        batch_size,
        learning_rate,
        moved,
        beyond: false,
    }
}

/// What differs between a base and a setting, the learning rate aside.
fn moved(base: &Base, setting: &Setting) -> BTreeMap<String, String> {
    let before = &base.setting;
    let mut moved = BTreeMap::new();
    for (key, value) in setting.optimizer.values() {
        if before.optimizer.get(key) != Some(value)
            && let Some(x) = setting.optimizer.number(key)
        {
            moved.insert(key.to_owned(), number(x));
        }
    }
    let warm_up = setting.schedule.warm_up.length;
    if warm_up != before.schedule.warm_up.length {
        moved.insert("warm_up".to_owned(), warm_up.to_string());
    }
    moved
}

impl Measured {
    /// The rate at a batch size, in proportion to the one that is known.
    fn row(&self, base: &Base, batch_size: u64) -> Row {
        let ratio = batch_size as f64 / base.batch_size as f64;
        let rate =
            |power: Option<f64>| power.map(|power| base.setting.learning_rate * ratio.powf(power));
        let (one, other) = (rate(self.power.low), rate(self.power.high));
        // Towards a smaller batch size the higher power gives the lower rate.
        let (low, high) = if ratio < 1.0 {
            (other, one)
        } else {
            (one, other)
        };
        let inside = self.smallest..=self.largest;
        Row {
            by: self.name.clone(),
            batch_size,
            learning_rate: Estimate {
                value: rate(self.power.value),
                low,
                high,
                ..self.power.clone()
            },
            moved: BTreeMap::new(),
            beyond: !inside.contains(&batch_size) || !inside.contains(&base.batch_size),
        }
    }
}

/// The laws of the rates of a study or a table, a curve each.
fn measured(args: &ScaleArgs) -> Result<Vec<Measured>, CliError> {
    let law = |(name, rates): (String, Vec<(u64, f64)>), optimizer: &Option<String>| {
        let sizes = || rates.iter().map(|rate| rate.0);
        Some(Measured {
            power: rate_power(&rates, LEVEL)?,
            smallest: sizes().min()?,
            largest: sizes().max()?,
            optimizer: optimizer.clone(),
            name,
        })
    };
    let (flag, rates, optimizer) = match (&args.study, &args.table) {
        (Some(dir), _) => {
            let (rates, optimizer) = rates_of_study(dir)?;
            ("study", rates, optimizer)
        }
        (None, Some(table)) => ("table", rates_of_table(table)?, None),
        (None, None) => return Ok(Vec::new()),
    };
    let laws: Vec<Measured> = rates
        .into_iter()
        .filter_map(|rates| law(rates, &optimizer))
        .collect();
    match laws.is_empty() {
        true => {
            let why = "has learning rates of fewer than three batch sizes: there is no power law to follow";
            Err(CliError::flag(flag, why))
        }
        false => Ok(laws),
    }
}

/// Curves with the learning rate of each batch size.
type Rates = Vec<(String, Vec<(u64, f64)>)>;

/// The rates that a study tuned, and its optimizer, unless that is a program's own.
fn rates_of_study(dir: &std::path::Path) -> Result<(Rates, Option<String>), CliError> {
    let folder = StudyFolder::existing(dir)?;
    let store = SqliteStore::read(folder.database()).map_err(CliError::study)?;
    let result = super::load(&store, dir)?;
    let tuned = result
        .tuning
        .iter()
        .filter_map(|t| Some((t.batch_size, t.chosen?)));
    let conditions = result
        .summary
        .as_ref()
        .and_then(|summary| summary.conditions.as_ref());
    let optimizer = conditions.map(|conditions| conditions.optimizer.name().to_owned());
    Ok((vec![("measured".to_owned(), tuned.collect())], optimizer))
}

/// The best rates of a table.
fn rates_of_table(table: &std::path::Path) -> Result<Rates, CliError> {
    let found = batchscope_measurements::read(&[table.to_owned()], &ReadOptions::default());
    let found = found.map_err(super::fit::wrong)?;
    let mut rates: std::collections::BTreeMap<String, std::collections::BTreeMap<u64, f64>> =
        Default::default();
    for record in &found.records {
        if !record.spec.learning_rate.is_nan() {
            let curve = rates.entry(record.spec.curves.concat()).or_default();
            curve.insert(record.spec.batch_size, record.spec.learning_rate);
        }
    }
    let named = |(name, rates): (String, std::collections::BTreeMap<u64, f64>)| {
        let name = match name.as_str() {
            "table" => "measured".to_owned(),
            _ => format!("measured ({name})"),
        };
        (name, rates.into_iter().collect())
    };
    Ok(rates.into_iter().map(named).collect())
}

/// A table, and under it where each row comes from.
fn text(rows: &[Row], measured: &[Measured], optimizer: &str) -> String {
    let width = width();
    let column = |title, right, cell: &dyn Fn(&Row) -> String| TextColumn {
        title,
        right,
        rank: 0,
        cells: rows.iter().map(cell).collect(),
    };
    let columns = [
        column("by", false, &|row| row.by.clone()),
        column("batch size", true, &|row| row.batch_size.to_string()),
        column("learning rate", false, &|row| {
            let Some(_) = row.learning_rate.value else {
                return "none (see below)".to_owned();
            };
            let rate = match row.learning_rate.low == row.learning_rate.high {
                true => row.learning_rate.value.map_or_else(String::new, number),
                false => estimate_as(&row.learning_rate, number),
            };
            format!("{rate}{}", if row.beyond { ", extrapolated" } else { "" })
        }),
        column("and", false, &|row| {
            let moved = row
                .moved
                .iter()
                .map(|(key, value)| format!("{key} {value}"));
            moved.collect::<Vec<_>>().join(", ")
        }),
    ];
    let mut text = text_table(&columns, width) + "\n";
    for row in rows {
        if let (None, Some(reason)) = (row.learning_rate.value, &row.learning_rate.reason) {
            let why = format!("none by {} at {}: {reason}.", row.by, row.batch_size);
            text += &folded(&why, width, 2);
        }
    }
    for kind in RULES.all {
        let d = &kind.descriptor;
        text += &folded(
            &format!(
                "{}: {} ({}). Limits: {}.",
                d.name, d.about, d.source, kind.limits
            ),
            width,
            2,
        );
    }
    for law in measured {
        text += &folded(
            &format!(
                "{}: the best rate grows with the batch size to the power {} between {} and {}, measured.",
                law.name,
                estimate_as(&law.power, number),
                law.smallest,
                law.largest
            ),
            width,
            2,
        );
    }
    let other = measured
        .iter()
        .find_map(|law| law.optimizer.clone())
        .filter(|measured| measured != optimizer);
    if let Some(other) = other {
        let note = format!(
            "The rates were measured with {other}, and you asked for {optimizer}: their law need not hold for it."
        );
        text += &folded(&note, width, 2);
    }
    if measured.is_empty() {
        let hint = format!(
            "No rule knows your problem: `batchscope study` measures the best rate of {optimizer} at each batch size, and --study DIR adds its power law here."
        );
        text += &folded(&hint, width, 2);
    }
    text
}
