//! `batchscope fit`.

use std::path::PathBuf;

use batchscope_core::Target;
use batchscope_measurements::{Censoring, ReadOptions, Role};
use clap::{Args, ValueEnum};

use crate::values::{self, Switch};

/// `batchscope fit`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct FitArgs {
    /// Tables of runs or logs of them: CSV, TSV, JSON lines or Parquet; folders of TensorBoard's event files; `-` is standard input
    #[arg(required = true, value_name = "TABLE")]
    pub tables: Vec<PathBuf>,
    /// How they are read.
    #[command(flatten)]
    pub read: FitReadArgs,
    /// Also give the critical batch size of Zhang et al. 2024: 20 % more examples than at this batch size
    #[arg(long, value_name = "B", help_heading = "Analysis", value_parser = values::at_least_one)]
    pub overhead_from: Option<u64>,
    /// Critical batch size at another size, such as 7B, by the law across curves that have sizes. Repeatable
    #[arg(long, value_name = "SIZE", help_heading = "Analysis", value_parser = size)]
    pub at: Vec<f64>,
    /// Price of one device, per hour, in your currency
    #[arg(long, value_name = "PRICE", help_heading = "Cost", value_parser = values::at_least_zero)]
    pub price_per_hour: Option<f64>,
    /// Power of one device in watts
    #[arg(long, value_name = "W", help_heading = "Cost", value_parser = values::at_least_zero)]
    pub watts: Option<f64>,
    /// Folder of the report
    #[arg(
        long,
        value_name = "DIR",
        default_value = "batchscope-fit",
        help_heading = "Output"
    )]
    pub dir: PathBuf,
    /// Print the findings as JSON on standard output
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// What a table does not say of itself.
#[derive(Debug, Args)]
#[command(next_help_heading = "Table")]
pub struct FitReadArgs {
    /// Take a column for something, as in steps=iter: batch_size, steps, examples, epochs, tokens, curve, run, state, learning_rate, step_seconds, seconds, size (of a curve) or metric; =none takes no column for it. Repeatable
    #[arg(long, value_name = "WHAT=HEADING", value_parser = column)]
    pub column: Vec<Column>,
    /// What separates cells (default: what the line of headings holds most of)
    #[arg(long, value_name = "CHARACTER", value_parser = separator)]
    pub separator: Option<u8>,
    /// Training examples: what one epoch is
    #[arg(long, value_name = "N")]
    pub train_examples: Option<u64>,
    /// Tokens per example, where lengths are in tokens and batch sizes are not
    #[arg(long, value_name = "N")]
    pub tokens_per_example: Option<u64>,
    /// Lengths were rounded up to multiples of this, in the unit of their column: an evaluation interval
    #[arg(long, value_name = "N", value_parser = values::positive)]
    pub rounded_to: Option<f64>,
    /// Runs that count as having reached the target: as their state says, or all of them (none is censored)
    #[arg(long, value_enum, default_value_t = CensoringChoice::State)]
    pub censoring: CensoringChoice,
    /// Target that the runs of a log are to cross: val-loss=3.2. Of a table without metrics it is the target's name
    #[arg(long, value_name = "TARGET", value_parser = values::fixed_target)]
    pub target: Option<Target>,
    /// The table logs a metric along each run (default: if runs have several rows)
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
    pub log: Option<Switch>,
}

/// Which runs count as having reached the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CensoringChoice {
    /// As the column of states says
    State,
    /// All of them: no run is censored
    None,
}

/// A column named by hand.
#[derive(Debug, Clone)]
pub struct Column {
    role: Role,
    heading: Option<String>,
}

fn column(text: &str) -> Result<Column, String> {
    let wrong = || "write WHAT=HEADING, for example batch_size=bs".to_owned();
    let (role, heading) = text.split_once('=').ok_or_else(wrong)?;
    let heading = heading.trim();
    if heading.is_empty() {
        return Err(wrong());
    }
    Ok(Column {
        role: role.trim().parse()?,
        heading: (heading != "none").then(|| heading.to_owned()),
    })
}

fn size(text: &str) -> Result<f64, String> {
    batchscope_scaling::read_size(text)
        .ok_or_else(|| "write a size above 0, such as 7B or 300M".to_owned())
}

fn separator(text: &str) -> Result<u8, String> {
    match text {
        "\\t" | "tab" => Ok(b'\t'),
        _ => match text.as_bytes() {
            [one] if one.is_ascii() && !one.is_ascii_alphanumeric() && *one != b'"' => Ok(*one),
            _ => Err("write one character, such as ; or tab".to_owned()),
        },
    }
}

impl FitReadArgs {
    /// As the reader takes them.
    pub fn options(&self) -> ReadOptions {
        let columns = self.column.iter().map(|c| (c.role, c.heading.clone()));
        ReadOptions {
            columns: columns.collect(),
            separator: self.separator,
            train_examples: self.train_examples,
            tokens_per_example: self.tokens_per_example,
            rounded_to: self.rounded_to,
            censoring: match self.censoring {
                CensoringChoice::State => Censoring::State,
                CensoringChoice::None => Censoring::None,
            },
            target: self.target.clone(),
            log: self.log.map(|Switch(on)| on),
        }
    }
}
