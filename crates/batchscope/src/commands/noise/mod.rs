//! `batchscope noise`: the gradient noise scale of a network as it is.

mod curvature;

use std::path::{Path, PathBuf};

use batchscope_core::{Estimate, InputShape};
use batchscope_report::{
    TextColumn,
    format::{duration, number},
    text_table,
};
use batchscope_scaling::noise::NoiseEstimates;
use batchscope_train::{
    LawPoint, NoiseLaw, NoiseMeasurement, NoiseNorms, NoiseRequest, NormNoiseMeasurement,
};
use serde::Serialize;

use super::{folded, landscape::read as read_checkpoint, print, print_json, width};
use crate::{
    args::NoiseArgs, error::CliError, files::CHECKPOINT, progress::Display, resolve,
    settings::Workload, signals::Signals, trainers::built_in,
};

/// Ratio of the interval's ends at which measuring stops, when nothing is said.
pub const WIDTH: f64 = 1.25;
/// Examples per step when nothing is said.
pub const BATCH: u64 = 256;
/// Coverage of the intervals.
const LEVEL: f64 = 0.95;

/// Runs the command.
pub fn run(args: &NoiseArgs, quiet: bool) -> Result<(), CliError> {
    let mut workload = Workload {
        data: args.data.clone(),
        read: args.read.clone(),
        examples: args.examples.clone(),
        model: args.model.clone(),
        compute: args.compute.clone(),
        ..Workload::default()
    };
    let mut trained_on = None;
    if let Some(path) = &args.checkpoint {
        let identity = read_checkpoint(path)?.identity;
        trained_on = Some(identity.data);
        if workload.model.model.is_none() {
            workload.model.model = Some(identity.model.parse().map_err(CliError::failed)?);
        }
    }
    let data = resolve::workload_data(&workload)?;
    let request = request(args, data.train.len())?;
    let factory = resolve::factory(&workload.model, &workload.compute)?;
    let trainer = built_in(&workload, &data)?;
    // refused before the first measurement, not after it
    let plan = match args.curvature {
        true => {
            let within = workload.compute.max_memory.map(|bytes| bytes.0);
            Some(curvature::Plan::new(
                args, &request, &factory, &data, within,
            )?)
        }
        false => None,
    };
    let signals = Signals::listen()?;
    let display = Display::new(quiet);
    for note in &data.notes {
        display.line(&format!("note: {note}"));
    }
    // An augmented run says so after the data's own description.
    if let Some(other) = trained_on.filter(|of| !of.starts_with(&data.description)) {
        display.line(&format!(
            "note: the checkpoint was trained on other data, or on them read in another way ({other}); these are: {}",
            data.description
        ));
    }
    if matches!(data.shape.input, InputShape::Tokens { .. }) {
        display.line(
            "note: hidden states are carried along the streams of text, as in training: steps are not independent draws",
        );
    }
    let mut now = "measuring".to_owned();
    let found = trainer
        .measure_noise(&request, &signals, &mut |examples, estimate| {
            if let Some(estimate) = estimate {
                now = format!("noise scale {}", estimate.noise_scale);
            }
            let message = format!("{examples} examples  {now}");
            display.show(examples as f64 / request.max_examples as f64, &message);
        })
        .map_err(CliError::trainer);
    let stopped = || CliError::Interrupted {
        signal: signals.raised().unwrap_or(signal_hook::consts::SIGINT),
        left: "nothing is kept of a measurement",
        resume: "the same command: it starts anew".to_owned(),
    };
    let found = found?.ok_or_else(stopped)?;
    let mut law = None;
    if args.law {
        let measured = trainer.measure_law(&request, &signals, &mut |done, of| {
            let message = format!("the law: {done} of {of} batch sizes");
            display.show(done as f64 / of as f64, &message);
        });
        law = Some(measured.map_err(CliError::trainer)?.ok_or_else(stopped)?);
    }
    let mut norms = None;
    let asked = NoiseNorms {
        l1: args.l1,
        nuclear: args.nuclear,
    };
    if asked.l1 || asked.nuclear {
        let measured = trainer.measure_norm_noise(&request, asked, &signals, &mut |done, of| {
            let message = format!("{done} examples for other norms");
            display.show(done as f64 / of as f64, &message);
        });
        norms = Some(measured.map_err(CliError::trainer)?.ok_or_else(stopped)?);
    }
    let mut curvature = None;
    if let Some(plan) = plan {
        let measured = curvature::measure(plan, &factory, &data, &display, &signals)?;
        curvature = Some(measured.ok_or_else(stopped)?);
    }
    display.finish();
    if args.json {
        return print_json(&Found {
            noise: found,
            law,
            norms,
            curvature,
        });
    }
    let mut said = text(&found, request.width, width());
    if let Some(law) = &law {
        said += &law_text(law, width());
    }
    if let Some(norms) = &norms {
        said += &folded(&norms_text(norms), width(), 2);
    }
    if let Some(curvature) = &curvature {
        said += &folded(&curvature::text(curvature), width(), 2);
    }
    print(&said)
}

/// What `--json` prints: the noise, and the law and `B_noise` where they were asked for.
#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    noise: NoiseMeasurement,
    #[serde(skip_serializing_if = "Option::is_none")]
    law: Option<NoiseLaw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    norms: Option<NormNoiseMeasurement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    curvature: Option<curvature::Curvature>,
}

/// The noise scales in other norms, in words.
fn norms_text(found: &NormNoiseMeasurement) -> String {
    let section = |head: &str, scale: &Estimate, [deviation, gradient, plain]: [(&str, f64); 3]| {
        format!(
            "\nnoise scale {head}\npopulation    {}\n{}  {}\n{}  {} ({} as it comes, the bias of the noise included)\n",
            said(scale),
            deviation.0,
            number(deviation.1),
            gradient.0,
            number(gradient.1),
            number(plain.1)
        )
    };
    let mut text = String::new();
    if let Some(l1) = &found.l1 {
        text += &section(
            "B_ℓ1 = ‖σ‖₁²/‖∇L‖₁², in examples, for optimizers that go by signs",
            &l1.noise_scale,
            [
                ("‖σ‖₁        ", l1.deviation),
                ("‖∇L‖₁       ", l1.gradient),
                ("", l1.plain_gradient),
            ],
        );
    }
    if let Some(nuclear) = &found.nuclear {
        text += &section(
            "B_S1 = ‖C^½‖*²/‖∇L‖*², in examples, of the matrices that Muon moves",
            &nuclear.noise_scale,
            [
                ("‖C^½‖*      ", nuclear.deviation),
                ("‖∇L‖*       ", nuclear.gradient),
                ("", nuclear.plain_gradient),
            ],
        );
    }
    text + &format!("{} parts of {} examples\n", found.parts, found.part)
}

/// The law as a table of at most `width` columns.
fn law_text(law: &NoiseLaw, width: usize) -> String {
    let head = format!(
        "\nerror |g_B − G_N| of the gradient of B examples against that of all {}, whose norm is {} (it took {})\n",
        law.examples,
        number(law.gradient_norm),
        duration(law.seconds)
    );
    let column = |title, rank, cell: &dyn Fn(&LawPoint) -> String| TextColumn {
        title,
        right: true,
        rank,
        cells: law.points.iter().map(cell).collect(),
    };
    let value = |e: Option<f64>| e.map_or_else(|| "-".to_owned(), number);
    let columns = [
        column("B", 0, &|p| p.batch_size.to_string()),
        column("error", 0, &|p| value(p.error.value)),
        column("95 %", 2, &|p| {
            format!("{}–{}", value(p.error.low), value(p.error.high))
        }),
        column("√(tr Σ·(1/B − 1/N))", 1, &|p| number(p.predicted)),
        column("time", 0, &|p| duration(p.seconds)),
    ];
    folded(&head, width, 2) + &text_table(&columns, width)
}

/// What was asked for, checked.
pub fn request(args: &NoiseArgs, train_examples: u64) -> Result<NoiseRequest, CliError> {
    let at_least_two = |flag: &'static str, value: Option<u64>, default: u64| match value {
        Some(n) if n < 2 => Err(CliError::flag(flag, "must be at least 2")),
        Some(n) if flag == "batch-size" && n > train_examples => Err(CliError::flag(
            flag,
            format!("{n} is larger than the training set ({train_examples} examples)"),
        )),
        value => Ok(value.unwrap_or(default)),
    };
    if args.compute.micro_batch == Some(0) {
        return Err(CliError::flag("micro-batch", "must be at least 1"));
    }
    if args.curvature && args.examples.augment.is_some() {
        return Err(CliError::flag(
            "curvature",
            "is that of the loss on the examples as they are: leave out --augment",
        ));
    }
    let width = args.width.unwrap_or(WIDTH);
    if !(width.is_finite() && width > 1.0) {
        let why = format!("{width} is not a ratio above 1");
        return Err(CliError::flag("width", why));
    }
    let eighth = (train_examples / 8).max(2);
    Ok(NoiseRequest {
        batch_size: at_least_two("batch-size", args.batch_size, BATCH.min(eighth))?,
        micro_batch: args.compute.micro_batch,
        seed: args.compute.seed.unwrap_or(0),
        checkpoint: args.checkpoint.as_deref().map(checkpoint),
        width,
        max_examples: at_least_two("max-examples", args.max_examples, train_examples)?,
        level: LEVEL,
    })
}

/// A checkpoint's file, given as such or as the folder it lies in.
fn checkpoint(path: &Path) -> PathBuf {
    match path.is_dir() {
        true => path.join(CHECKPOINT),
        false => path.to_owned(),
    }
}

/// The answer in lines of at most `width` columns.
fn text(found: &NoiseMeasurement, asked: f64, width: usize) -> String {
    let whole = &found.noise.whole;
    let mut text = format!(
        "noise scale B_simple = tr Σ/|G|², in examples\npopulation    {}\n",
        said(&whole.population.noise_scale)
    );
    if let Some(inner) = &whole.training_set {
        text += &format!("training set  {}\n", said(&inner.noise_scale));
    }
    text += &format!(
        "tr Σ          {}\n|G|²          {}, of the population\n",
        said(&whole.population.trace),
        said(&whole.population.squared_norm)
    );
    let by = match found.way.as_str() {
        "examples" => "every example's gradient norm".to_owned(),
        _ => format!("micro-batches of {}", found.micro_batch),
    };
    text += &format!(
        "{} steps of {} examples, measured by {by}; the training set has {}\n",
        found.steps, found.batch_size, found.train_examples
    );
    // the open ends of batches of everything have said their reason, and more of them close none
    if !found.settled && found.batch_size < found.train_examples {
        text += &format!(
            "the interval's ends are more than {asked} times apart: allow more with --max-examples, or a larger --batch-size\n"
        );
    }
    let mut out = folded(&text, width, 2);
    if found.noise.layers.len() > 1 {
        out += "\n";
        out += &text_table(&columns(&found.noise.layers), width);
    }
    out
}

/// An estimate, and why it is none where it is none.
fn said(estimate: &Estimate) -> String {
    match &estimate.reason {
        Some(reason) => format!("{estimate}: {reason}"),
        None => estimate.to_string(),
    }
}

fn columns(layers: &[(String, NoiseEstimates)]) -> Vec<TextColumn> {
    let column = |title, rank, cell: &dyn Fn(&NoiseEstimates) -> String| TextColumn {
        title,
        right: true,
        rank,
        cells: layers.iter().map(|(_, layer)| cell(layer)).collect(),
    };
    let value = |e: &Estimate| e.value.map_or_else(|| "-".to_owned(), number);
    let end = |e: Option<f64>| e.map_or_else(|| "open".to_owned(), number);
    let interval = |e: &Estimate| match (e.low, e.high) {
        (None, None) => "-".to_owned(),
        (low, high) => format!("{}–{}", end(low), end(high)),
    };
    vec![
        TextColumn {
            title: "layer",
            right: false,
            rank: 0,
            cells: layers.iter().map(|(name, _)| name.clone()).collect(),
        },
        column("noise scale", 0, &|l| value(&l.population.noise_scale)),
        column("95 %", 1, &|l| interval(&l.population.noise_scale)),
        column("tr Σ", 2, &|l| value(&l.population.trace)),
        column("|G|²", 2, &|l| value(&l.population.squared_norm)),
    ]
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn asked(line: &[&str]) -> Result<NoiseRequest, CliError> {
        let cli = Cli::try_parse_from(["batchscope", "noise"].iter().chain(line)).unwrap();
        match cli.command {
            Command::Noise(args) => request(&args, 4000),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_stated_width_is_taken() {
        assert_eq!(asked(&[]).unwrap(), asked(&["--width", "1.25"]).unwrap());
        assert_ne!(asked(&[]).unwrap(), asked(&["--width", "1.5"]).unwrap());
    }

    #[test]
    fn small_training_sets_have_several_steps() {
        assert_eq!(asked(&[]).unwrap().batch_size, 256);
        let few = Cli::try_parse_from(["batchscope", "noise"])
            .unwrap()
            .command;
        let Command::Noise(few) = few else { panic!() };
        assert_eq!(request(&few, 80).unwrap().batch_size, 10);
    }

    #[test]
    fn what_makes_no_sense_names_its_flag() {
        for (line, flag) in [
            (["--batch-size", "1"], "--batch-size"),
            (["--batch-size", "4001"], "--batch-size"),
            (["--width", "1"], "--width"),
            (["--width", "nan"], "--width"),
            (["--max-examples", "0"], "--max-examples"),
            (["--micro-batch", "0"], "--micro-batch"),
        ] {
            let error = asked(&line).unwrap_err();
            assert!(error.to_string().starts_with(flag), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
