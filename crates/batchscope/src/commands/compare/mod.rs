//! `batchscope compare`: methods against a baseline, over batch sizes.

mod notes;
mod page;

use std::path::Path;

use batchscope_core::{Estimate, TrainerInfo, TrialPurpose, TrialRecord, format::p_value};
use batchscope_report::{
    TextColumn,
    format::{count, estimate_short_as, number, percent},
    text_table,
};
use batchscope_scaling::{
    AnalysisOptions, Contrast, ContrastVerdict, Contrasts, Endpoint, contrasts,
};
use batchscope_study::{Comparison, Method, StudyResult, controlled_runs};
use serde::Serialize;

use super::{folded, print, print_json, refuse_other, study, width};
use crate::{
    args::CompareArgs,
    error::CliError,
    files::write_whole,
    folder::{RunFacts, StudyFolder},
    progress::Display,
    resolve,
    trainers::Trainers,
};

/// Level of the intervals and tests.
const LEVEL: f64 = 0.95;

/// What was found, as `comparison.json` holds it.
#[derive(Debug, Serialize)]
pub struct Compared {
    /// The model.
    pub model: String,
    /// The data.
    pub data: String,
    /// Passes over the training examples: of every run, or at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Examples in place of epochs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_examples: Option<u64>,
    /// Fresh seeds at each batch size.
    pub seeds: u32,
    /// The primary endpoint, and every method's values.
    #[serde(flatten)]
    pub contrasts: Contrasts,
    /// What each method was given to be tuned by.
    pub budgets: Vec<Budget>,
    /// On the way to a target: fitted curves, of methods with one.
    pub curves: Vec<MethodCurve>,
    /// What of the runs does not go together: a warm-up that does not end.
    pub notes: Vec<String>,
}

/// What a method was tuned by.
#[derive(Debug, Serialize)]
pub struct Budget {
    /// The method.
    pub method: String,
    /// Trials, shared ones included.
    pub trials: u64,
    /// What was tuned: `rate`, `length of the decay`.
    pub tuned: Vec<&'static str>,
}

/// The hyperbola of a method's steps. None of the three is to be read without the others: a method that wastes examples at
/// small batch sizes has a larger critical batch size.
#[derive(Debug, Serialize)]
pub struct MethodCurve {
    /// The method.
    pub method: String,
    /// Steps at infinite batch size.
    pub s_min: Estimate,
    /// Examples at batch size 1.
    pub e_min: Estimate,
    /// Where the two costs meet.
    pub critical_batch_size: Estimate,
}

/// Runs the command.
pub fn run(args: &CompareArgs, trainers: &Trainers, quiet: bool) -> Result<(), CliError> {
    let folder = StudyFolder(args.dir.clone());
    let settings = folder.settings_under(args.settings(), args.config.as_deref())?;
    refuse_other("compare", &settings)?;
    if settings.comparison.methods.is_none() {
        let why = "is missing: name two methods or more, 'sgd+lsr, lars+legw'";
        return Err(CliError::flag("methods", why));
    }
    if !settings.trainer.command.is_empty() {
        let why = "a program trains with an optimizer of its own: studies of two programs' folders can be compared by `fit`";
        return Err(CliError::flag("methods", why));
    }
    let settings = super::with_preferred(trainers, settings, quiet)?;
    let plan = resolve::plan(&settings)?;
    let trainer = trainers.open(&settings, Some(&folder.checkpoints()))?;
    study::check(&plan, &*trainer)?;
    for spec in controlled_runs(&plan, &trainer.info()).map_err(CliError::study)? {
        trainer.check(&spec).map_err(|error| {
            let at = spec.batch_size;
            CliError::flag(
                "methods",
                format!("{} at batch size {at}: {error}", spec.curves.join(", ")),
            )
        })?;
    }
    let ran = study::run_trials(settings, plan, &*trainer, trainers, &args.dir, quiet)?;
    let Some(comparison) = ran.result.plan.comparison.clone() else {
        return Err(CliError::failed("the stored plan compares nothing"));
    };
    ran.log.line("stage: report");
    let info = trainer.info();
    let found = found(&ran.folder, &ran.result, &comparison, &info)?;
    write(&ran.folder, &ran.result, &found, &ran.facts)?;
    ran.finished(&found.verdict())?;
    show(&found, Some(&args.dir), args.json, &ran.display)
}

/// Analyzes a finished comparison, and writes `comparison.json`, `trials.csv` and the report.
pub fn write(
    folder: &StudyFolder,
    result: &StudyResult,
    found: &Compared,
    facts: &RunFacts,
) -> Result<(), CliError> {
    let json = serde_json::to_string_pretty(found).map_err(CliError::failed)? + "\n";
    write_whole(&folder.0.join("comparison.json"), json.as_bytes())?;
    let trials = batchscope_report::trials_csv(&result.records).map_err(CliError::failed)?;
    write_whole(&folder.0.join("trials.csv"), trials.as_bytes())?;
    let document = page::document(found, result);
    batchscope_report::write_document(&folder.0, &document, &facts.how)
        .map_err(CliError::failed)?;
    Ok(())
}

/// Analyzes a finished comparison.
pub fn found(
    folder: &StudyFolder,
    result: &StudyResult,
    comparison: &Comparison,
    info: &TrainerInfo,
) -> Result<Compared, CliError> {
    if result.interrupted {
        return Err(CliError::Failed(format!(
            "the comparison in {} is unfinished: `{}` goes on with it",
            folder.0.display(),
            study::resume_command("compare", &folder.0)
        )));
    }
    let plan = &result.plan;
    let contrasts = contrasts(
        &comparison.names(),
        &comparison.endpoint,
        &plan.batch_sizes,
        &result.records,
        LEVEL,
    );
    let budget = |method: &Method| Budget {
        method: method.name.clone(),
        trials: tuning_trials(method, result),
        tuned: tuned(method, result, comparison),
    };
    Ok(Compared {
        model: info.model.clone(),
        data: info.data.clone(),
        epochs: (comparison.run_examples.is_none()).then_some(comparison.epochs),
        run_examples: comparison.run_examples,
        seeds: plan.seeds,
        budgets: comparison.methods.iter().map(budget).collect(),
        curves: curves(result),
        notes: notes::long_warm_ups(result, info)
            .into_iter()
            .chain(notes::of_runs(result, comparison.methods.len()))
            .collect(),
        contrasts,
    })
}

/// What was tuned for a method.
fn tuned(method: &Method, result: &StudyResult, comparison: &Comparison) -> Vec<&'static str> {
    let mut tuned = Vec::new();
    if !method.finds_rate() {
        tuned.push("rate");
        tuned.extend(comparison.tune_warm_up.then_some("length of the warm-up"));
    }
    if comparison.tunes_horizon(&result.plan) {
        tuned.push("length of the decay");
    }
    tuned
}

/// Tuning trials of a method: its own, and those it shares with methods that tune the same optimizer.
fn tuning_trials(method: &Method, result: &StudyResult) -> u64 {
    let own = |record: &&TrialRecord| {
        matches!(record.spec.purpose, TrialPurpose::Tune { .. })
            && record.spec.curves.contains(&method.name)
    };
    result.records.iter().filter(own).count() as u64
}

/// The fitted curves of a comparison of steps.
fn curves(result: &StudyResult) -> Vec<MethodCurve> {
    let Some(summary) = result.summary.clone() else {
        return Vec::new();
    };
    let findings = batchscope_scaling::analyze(
        summary,
        Vec::new(),
        &result.records,
        &AnalysisOptions::default(),
    );
    let curves = findings.curves.iter().filter_map(|curve| {
        let fit = curve.fit.as_ref()?;
        let critical = findings.critical_batch_size.get(&curve.rule)?;
        Some(MethodCurve {
            method: curve.rule.clone(),
            s_min: fit.s_min.clone(),
            e_min: fit.e_min.clone(),
            critical_batch_size: critical.hyperbola.clone(),
        })
    });
    curves.collect()
}

impl Compared {
    /// The endpoint in words.
    fn endpoint(&self) -> String {
        match &self.contrasts.endpoint {
            Endpoint::Metric(metric) => {
                format!("{metric} after {}", self.length())
            }
            Endpoint::Steps(target) => format!("steps to {target}"),
        }
    }

    /// How long runs were in words.
    fn length(&self) -> String {
        match (self.run_examples, self.epochs) {
            (Some(examples), _) => format!("{} examples", count(examples)),
            (None, epochs) => format!("{} epochs", number(epochs.unwrap_or_default())),
        }
    }

    /// A contrast in a sentence.
    fn sentence(&self, contrast: &Contrast) -> String {
        let (method, baseline) = (&contrast.method, &self.contrasts.baseline);
        let ratio = matches!(self.contrasts.endpoint, Endpoint::Steps(_));
        let shown = match ratio {
            true => format!(
                "{} times the steps",
                estimate_short_as(&contrast.difference, number)
            ),
            false => format!(
                "a difference of {}",
                estimate_short_as(&contrast.difference, number)
            ),
        };
        let p = contrast
            .p_holm
            .map_or_else(String::new, |p| format!(", p {}", p_value(p)));
        let detectable = contrast.detectable.map_or_else(String::new, |least| {
            let least = number(least);
            let kind = if ratio { "ratio" } else { "difference" };
            format!(
                "; the smallest {kind} that {} seeds would mostly have shown is {least}",
                contrast.difference.n
            )
        });
        match contrast.verdict {
            ContrastVerdict::Better => format!("{method} is better than {baseline}: {shown}{p}"),
            ContrastVerdict::Worse => format!("{method} is worse than {baseline}: {shown}{p}"),
            ContrastVerdict::Undecided => {
                format!(
                    "no significant difference of {method} to {baseline}: {shown}{p}{detectable}"
                )
            }
            ContrastVerdict::Missing => format!(
                "{method} cannot be compared with {baseline}: {}",
                contrast.difference.reason.as_deref().unwrap_or("no value")
            ),
        }
    }

    /// The answer.
    pub fn verdict(&self) -> String {
        let sentences: Vec<String> = self
            .contrasts
            .primary
            .iter()
            .map(|c| self.sentence(c))
            .collect();
        let corrected = match self.contrasts.primary.len() {
            0 | 1 => String::new(),
            several => format!(", p corrected for {several} comparisons by Holm's method"),
        };
        format!(
            "At batch size {}, by {} ({} intervals{corrected}): {}.",
            self.contrasts.batch_size,
            self.endpoint(),
            percent(self.contrasts.level),
            sentences.join("; ")
        )
    }

    /// Where budgets differ, that they do.
    fn unequal(&self) -> Option<String> {
        let most = self.budgets.iter().map(|budget| budget.trials).max()?;
        let equal = self.budgets.iter().all(|budget| budget.trials == most);
        let list = self
            .budgets
            .iter()
            .map(|budget| format!("{} {}", budget.method, budget.trials));
        (!equal).then(|| {
            format!(
                "Tuning trials were not equal in number: {}.",
                list.collect::<Vec<_>>().join(", ")
            )
        })
    }

    /// A method's value at a batch size, with what is missing of it.
    fn cell(&self, method: &str, batch_size: u64) -> String {
        let point = self
            .contrasts
            .points
            .iter()
            .find(|point| point.method == method && point.batch_size == batch_size);
        let Some(point) = point else {
            return "–".to_owned();
        };
        let mut missing = Vec::new();
        for (count, what) in [
            (point.diverged, "diverged"),
            (point.not_reached, "not reached"),
            (point.failed, "failed"),
        ] {
            if count > 0 {
                missing.push(format!("{count} {what}"));
            }
        }
        let value = match point.with_value {
            0 => String::new(),
            _ => estimate_short_as(&point.value, number),
        };
        match (value.is_empty(), missing.is_empty()) {
            (_, true) => value,
            (true, false) => missing.join(", "),
            (false, false) => format!("{value}; {}", missing.join(", ")),
        }
    }

    /// The batch sizes, increasing.
    fn batch_sizes(&self) -> Vec<u64> {
        let mut sizes: Vec<u64> = self.contrasts.points.iter().map(|p| p.batch_size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// The methods, the baseline first.
    fn methods(&self) -> Vec<&str> {
        self.budgets
            .iter()
            .map(|budget| budget.method.as_str())
            .collect()
    }
}

/// Prints what was found: as JSON, or in words with the place of the report, where one was written.
pub fn show(
    found: &Compared,
    dir: Option<&Path>,
    json: bool,
    display: &Display,
) -> Result<(), CliError> {
    if json {
        return print_json(found);
    }
    let width = width();
    let mut rows: Vec<[String; 3]> = Vec::new();
    for method in found.methods() {
        for size in found.batch_sizes() {
            rows.push([
                method.to_owned(),
                size.to_string(),
                found.cell(method, size),
            ]);
        }
    }
    let column = |at: usize, title, right| TextColumn {
        title,
        right,
        rank: 0,
        cells: rows.iter().map(|row| row[at].clone()).collect(),
    };
    let columns = [
        column(0, "method", false),
        column(1, "batch size", true),
        column(2, "value", false),
    ];
    let mut text = folded(&found.verdict(), width, 2) + "\n";
    text += &(text_table(&columns, width) + "\n");
    text += &folded(&found.remarks().join("\n"), width, 2);
    print(&text)?;
    if let Some(dir) = dir {
        display.line(&format!("report: {}", dir.join("report.html").display()));
    }
    Ok(())
}

impl Compared {
    /// How the numbers are to be read.
    fn remarks(&self) -> Vec<String> {
        let what = match &self.contrasts.endpoint {
            Endpoint::Metric(metric) => format!(
                "Values are means of {metric} at the end of {} runs of {}, with {} intervals.",
                self.seeds,
                self.length(),
                percent(self.contrasts.level)
            ),
            Endpoint::Steps(target) => format!(
                "Values are geometric means of the steps to {target} of {} runs, with {} intervals; no run was longer than {}.",
                self.seeds,
                percent(self.contrasts.level),
                self.length()
            ),
        };
        let mut remarks = vec![what];
        remarks.extend(self.unequal());
        remarks.extend(self.notes.iter().cloned());
        for curve in &self.curves {
            let critical = match curve.critical_batch_size.value {
                None => "its critical batch size is undefined".to_owned(),
                Some(_) => format!(
                    "so a critical batch size of {}",
                    estimate_short_as(&curve.critical_batch_size, number)
                ),
            };
            remarks.push(format!(
                "{}: S_min {}, E_min {}, {critical}.",
                curve.method,
                estimate_short_as(&curve.s_min, number),
                estimate_short_as(&curve.e_min, number)
            ));
        }
        remarks
    }
}
