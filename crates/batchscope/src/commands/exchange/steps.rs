//! What `advise --exchange` adds: steps of several replicas on the machine whose exchanges were measured.

use std::{collections::BTreeSet, path::Path};

use batchscope_core::{Estimate, NeverStop, StepTiming, Trainer, TrialSpec};
use batchscope_report::{
    TextColumn,
    format::{count, duration, estimate_short_as},
    text_table,
};
use batchscope_scaling::{ExchangeMeasurement, ExchangeStep, steps_on};
use serde::Serialize;

use super::{super::folded, read, this_machine};
use crate::error::CliError;

/// Measured exchanges that are this machine's.
pub struct Exchanges {
    measurement: ExchangeMeasurement,
    parameters: u64,
}

/// Steps with exchanges, and whose they are.
#[derive(Serialize)]
pub struct Steps {
    machine: String,
    carrier: batchscope_scaling::Carrier,
    /// Numbers that are exchanged.
    parameters: u64,
    /// Examples per step over all replicas.
    batch_size: u64,
    steps: Vec<ExchangeStep>,
}

impl Exchanges {
    /// Reads them, for a model of so many parameters.
    ///
    /// # Errors
    /// Flag `exchange`: when they were measured on another machine, or nothing says what would be exchanged.
    pub fn open(path: &Path, parameters: u64) -> Result<Self, CliError> {
        let measurement = read(path, "exchange")?;
        let refused = |why: String| {
            CliError::flag(
                "exchange",
                format!("{} cannot be used: {why}", path.display()),
            )
        };
        measurement
            .check_machine(&this_machine()?)
            .map_err(|e| refused(e.to_string()))?;
        if parameters == 0 {
            let why = "the study does not say how many parameters its model has, which is what would be exchanged";
            return Err(refused(why.to_owned()));
        }
        Ok(Self {
            measurement,
            parameters,
        })
    }

    /// Steps of a replica's share of these, timed with so many seconds for all of them, beside those that were timed before.
    pub fn timed(
        &self,
        trainer: &dyn Trainer,
        spec: &TrialSpec,
        budget: f64,
        before: &[StepTiming],
    ) -> Vec<StepTiming> {
        let ranks = self.measurement.timed().into_iter().map(|(ranks, _)| ranks);
        let shares: BTreeSet<u64> = ranks
            .filter(|&ranks| ranks <= spec.batch_size)
            .map(|ranks| spec.batch_size.div_ceil(ranks))
            .collect();
        let budget = budget / shares.len().max(1) as f64;
        let mut timings = before.to_vec();
        for share in shares {
            let spec = TrialSpec {
                batch_size: share,
                micro_batch: Some(share),
                ..spec.clone()
            };
            // A share that cannot be timed is modeled from what was.
            if let Ok(Some(timing)) = trainer.time(&spec, budget, &NeverStop) {
                timings.push(timing);
            }
        }
        timings
    }

    /// The steps of a batch size.
    pub fn steps(&self, timings: &[StepTiming], batch_size: u64) -> Result<Steps, CliError> {
        let (of, numbers) = (&self.measurement, self.parameters);
        let steps = steps_on(&of.machine, of, timings, batch_size, numbers);
        Ok(Steps {
            machine: of.machine.clone(),
            carrier: of.carrier,
            parameters: numbers,
            batch_size,
            steps: steps.map_err(CliError::failed)?,
        })
    }
}

impl Steps {
    /// As a table of at most so many columns, with what is measured and what is put together.
    pub fn text(&self, width: usize) -> String {
        let column = |title, right, rank, cell: &dyn Fn(&ExchangeStep) -> String| TextColumn {
            title,
            right,
            rank,
            cells: self.steps.iter().map(cell).collect(),
        };
        let value = |e: &Estimate| e.value.map_or_else(|| "-".to_owned(), duration);
        let columns = [
            column("ranks", true, 0, &|s| s.ranks.to_string()),
            column("exchange", false, 0, &|s| s.operation.name().to_owned()),
            column("examples each", true, 2, &|s| s.share.to_string()),
            column("their step", true, 1, &|s| {
                let modeled = s.step.value.is_some() && !s.step_measured;
                format!("{}{}", value(&s.step), if modeled { " *" } else { "" })
            }),
            column("exchanging", true, 1, &|s| value(&s.exchange)),
            column("step in all", false, 0, &|s| match s.seconds.value {
                Some(_) => estimate_short_as(&s.seconds, duration),
                None => "not known (see below)".to_owned(),
            }),
        ];
        let mut text = folded(
            &format!(
                "\nsteps of batch size {} on {}, {}:",
                self.batch_size,
                self.machine,
                self.carrier.words()
            ),
            width,
            2,
        );
        text += &text_table(&columns, width);
        text += "\n";
        let mut say = |line: &str| text += &folded(&format!("- {line}"), width, 2);
        let is_modeled = |s: &ExchangeStep| s.step.value.is_some() && !s.step_measured;
        say(match self.steps.iter().any(is_modeled) {
            true => {
                "Measured: a step of a replica's examples, alone on this machine; but where marked * it is modeled, from \
                 micro-batches that were timed."
            }
            false => "Measured: a step of a replica's examples, alone on this machine.",
        });
        say(&format!(
            "Measured: exchanges between replicas on this machine, read off at the model's {} parameters.",
            count(self.parameters)
        ));
        say("Put together: their sum.");
        say(
            "Replicas that share this machine's cores compute up to as many times more slowly as there are: the sum is what a \
             step takes at least. It is not what a network of such machines would take.",
        );
        let mut said: Vec<&str> = Vec::new();
        for step in &self.steps {
            if let Some(why) = step.seconds.reason.as_deref()
                && !said.contains(&why)
            {
                said.push(why);
                let (ranks, name) = (step.ranks, step.operation.name());
                say(&format!("Not known for {name} between {ranks}: {why}."));
            }
        }
        text
    }
}
