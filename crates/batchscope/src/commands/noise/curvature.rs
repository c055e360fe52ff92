//! `--curvature`: the noise scale weighted by curvature, through Hessian-vector products.
//!
//! What is sampled: the Hessian `H` of the mean training loss over the first examples of the training
//! set's stored order (which the data's seed drew), and the mean gradients `d_k` of micro-batches of
//! the examples after those, each example in one of them at most. One product `H·d_k` each. The loss
//! is that of training, label smoothing and ghost batches included, but for augmentation and dropout;
//! windows of text start from a hidden state of zeros.

use std::{ops::ControlFlow, ops::Range, time::Instant};

use batchscope_core::{Batch, Examples, Network, NetworkFactory, Purpose, StateTensor, StreamKey};
use batchscope_data::Dataset;
use batchscope_landscape::{
    HessianOperator, LandscapeError, LinearOperator, Products, Stopped, Watched, quadratic_forms,
};
use batchscope_nn::{Factory, NormMode, ObjectiveSettings, Precision};
use batchscope_report::format::{bytes as in_bytes, duration, number};
use batchscope_scaling::noise::{CurvedNoise, Groups};
use batchscope_train::NoiseRequest;
use serde::Serialize;

use super::{LEVEL, said};
use crate::{
    args::NoiseArgs, commands::landscape::read as read_checkpoint, error::CliError,
    progress::Display, signals::Signals,
};

/// Micro-batches, each with a product, when nothing is said: enough for an interval, and for pairs
/// of them to outnumber the products by far.
const PRODUCTS: u64 = 32;
/// The fewest that have an interval, and the most whose pairs are worth their memory.
const FEWEST_AND_MOST: (u64, u64) = (6, 1000);
/// Examples the Hessian is taken over when nothing is said.
const HESSIAN_EXAMPLES: u64 = 1024;
/// Bytes that each parameter takes: of each gradient that is kept, in single precision, and of the
/// vectors that a product needs, in double (the point in three places, the shifted one, the gradient,
/// the direction and its product, the network's parameters and their gradients).
const GRADIENT: u64 = 4;
const PRODUCT: u64 = 9 * 8;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Curvature {
    /// `B_noise` and its pieces.
    #[serde(flatten)]
    noise: CurvedNoise,
    /// Micro-batches, and products of the Hessian, one each.
    products: u64,
    /// Examples of a micro-batch.
    micro_batch: u64,
    /// Examples that the Hessian is the mean over; none of them is in a micro-batch.
    hessian_examples: u64,
    /// Estimated relative error of the products.
    relative_error: f64,
    /// What it took.
    seconds: f64,
}

/// Which examples make what.
#[derive(Debug, PartialEq)]
struct Parts {
    /// Of the Hessian.
    hessian: Range<u64>,
    /// Of each micro-batch.
    micro_batches: Vec<Range<u64>>,
}

/// Cuts a training set of `examples` into the Hessian's and the micro-batches', both multiples of
/// `unit` examples.
fn parts(args: &NoiseArgs, examples: u64, batch_size: u64, unit: u64) -> Result<Parts, CliError> {
    let (fewest, most) = FEWEST_AND_MOST;
    let products = args.products.unwrap_or(PRODUCTS);
    if !(fewest..=most).contains(&products) {
        return Err(CliError::flag(
            "products",
            format!("choose {fewest} to {most} micro-batches: fewer have no interval"),
        ));
    }
    let down = |n: u64| n / unit * unit;
    let hessian = match args.hessian_examples {
        Some(n) if n == 0 || n >= examples => {
            return Err(CliError::flag(
                "hessian-examples",
                format!(
                    "choose 1 to {}: micro-batches need others of the {examples}",
                    examples.saturating_sub(1)
                ),
            ));
        }
        Some(n) if !n.is_multiple_of(unit) => {
            let why = format!("{n} is not a multiple of the batch-norm ghost size {unit}");
            return Err(CliError::flag("hessian-examples", why));
        }
        Some(n) => n,
        None => down(HESSIAN_EXAMPLES.min(examples / 4)).max(unit),
    };
    let room = down(examples.saturating_sub(hessian) / products);
    if args.batch_size.is_some_and(|asked| down(asked) > room) || room == 0 {
        let asked = args.batch_size.unwrap_or(unit);
        return Err(CliError::flag(
            "products",
            format!(
                "{products} micro-batches of {asked} examples beside the Hessian's {hessian} do not fit in {examples}: choose fewer, fewer --hessian-examples, or a smaller --batch-size"
            ),
        ));
    }
    let micro_batch = down(batch_size).clamp(unit, room);
    let from = |k: u64| hessian + k * micro_batch;
    Ok(Parts {
        hessian: 0..hessian,
        micro_batches: (0..products).map(|k| from(k)..from(k + 1)).collect(),
    })
}

/// The examples at these places of a split's stored order, which the data's seed drew.
fn batch(examples: &dyn Examples, places: Range<u64>) -> Batch {
    let mut batch = Batch::empty(examples.shape());
    examples.fill_in_order(places, &mut batch);
    batch
}

/// The parameters, and the running statistics: those of the checkpoint or fresh ones.
fn state(request: &NoiseRequest, network: &dyn Network) -> Result<Vec<StateTensor>, CliError> {
    let state = match &request.checkpoint {
        Some(path) => read_checkpoint(path)?.network,
        None => network.export().map_err(CliError::failed)?,
    };
    // Windows start from hidden states of zeros.
    let kept = |t: &StateTensor| !(t.name.ends_with(".hidden") || t.name.ends_with(".cell"));
    Ok(state.into_iter().filter(kept).collect())
}

/// What is to be measured, once it is known to be possible: before anything is measured.
pub struct Plan {
    parts: Parts,
    state: Vec<StateTensor>,
}

impl Plan {
    /// With the gradients that are kept, and the vectors of a product, in `max_memory` bytes, if
    /// that is limited.
    pub fn new(
        args: &NoiseArgs,
        request: &NoiseRequest,
        factory: &Factory,
        data: &Dataset,
        max_memory: Option<u64>,
    ) -> Result<Self, CliError> {
        let shape = data.train.shape();
        let key = StreamKey {
            study_seed: request.seed,
            trial: 0,
            purpose: Purpose::Initialization,
        };
        let network = factory.build(&shape, key).map_err(CliError::failed)?;
        let unit = network.ghost_size(u64::MAX).unwrap_or(1).max(1);
        let parts = parts(args, data.train.len(), request.batch_size, unit)?;
        let products = parts.micro_batches.len() as u64;
        fits(products, network.layout().parameters() as u64, max_memory)?;
        let state = state(request, network.as_ref())?;
        Ok(Self { parts, state })
    }
}

/// That the gradients of so many micro-batches and the vectors of a product are within the limit.
fn fits(products: u64, parameters: u64, max_memory: Option<u64>) -> Result<(), CliError> {
    let bytes = parameters * (products * GRADIENT + PRODUCT);
    match max_memory {
        Some(limit) if bytes > limit => Err(CliError::flag(
            "max-memory",
            format!(
                "the gradients of {products} micro-batches and the vectors of a product take {}: choose more, or fewer --products",
                in_bytes(bytes)
            ),
        )),
        _ => Ok(()),
    }
}

/// Measures it: `d_k` of each micro-batch and `H·d_k` of each. `None` where a signal ended it.
pub fn measure(
    Plan { parts, state }: Plan,
    factory: &Factory,
    data: &Dataset,
    display: &Display,
    signals: &Signals,
) -> Result<Option<Curvature>, CliError> {
    let began = Instant::now();
    let shape = data.train.shape();
    let precision = Precision::F64;
    let settings = ObjectiveSettings {
        norm: NormMode::Training,
        precision,
        smoothing: true,
    };
    let hessian_examples = batch(data.train.as_ref(), parts.hessian.clone());
    let mut objective = factory
        .objective(&shape, &state, vec![hessian_examples], settings)
        .map_err(CliError::failed)?;
    let x = objective.parameters().to_vec();
    let mut gradients = Vec::with_capacity(parts.micro_batches.len());
    for places in &parts.micro_batches {
        if signals.raised().is_some() {
            return Ok(None);
        }
        let part = batch(data.train.as_ref(), places.clone());
        let gradient = objective.gradient_on(part, &x).map_err(CliError::failed)?;
        gradients.push(gradient.into_iter().map(|g| g as f32).collect::<Vec<f32>>());
    }

    // Two gradients a product, and a few to choose their step.
    let expected = 2.0 * gradients.len() as f64 + 4.0;
    let mut watched = Watched::new(&mut objective, |done| {
        display.show((done as f64 / expected).min(0.99), "curvature");
        match signals.raised() {
            None => ControlFlow::Continue(()),
            Some(_) => ControlFlow::Break(()),
        }
    });
    let mut hessian =
        HessianOperator::new(&mut watched, &x, Products::Fast).map_err(CliError::failed)?;
    let forms = match quadratic_forms(&mut hessian, &gradients) {
        Err(LandscapeError::Objective(error)) if error.0.is::<Stopped>() => return Ok(None),
        forms => forms.map_err(CliError::failed)?,
    };
    let relative_error = hessian.relative_error();
    let micro_batch = parts.micro_batches.first().map_or(0, |m| m.end - m.start);
    let groups = Groups::new(&forms, micro_batch).map_err(CliError::failed)?;
    Ok(Some(Curvature {
        noise: groups.estimate_curved(LEVEL),
        products: parts.micro_batches.len() as u64,
        micro_batch,
        hessian_examples: parts.hessian.end,
        relative_error,
        seconds: began.elapsed().as_secs_f64(),
    }))
}

/// The answer in lines.
pub fn text(found: &Curvature) -> String {
    format!(
        "\nnoise scale weighted by curvature, B_noise = tr(HΣ)/GᵀHG, in examples\nB_noise       {}\ntr(HΣ)        {}\nGᵀHG          {}\n{} micro-batches of {} examples with a Hessian-vector product each (relative error {}), the Hessian over {} other examples, without augmentation or dropout; it took {}\n",
        said(&found.noise.noise_scale),
        said(&found.noise.trace),
        said(&found.noise.curvature),
        found.products,
        found.micro_batch,
        number(found.relative_error),
        found.hessian_examples,
        duration(found.seconds),
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn cut(line: &[&str], examples: u64, unit: u64) -> Result<Parts, CliError> {
        let line = ["batchscope", "noise", "--curvature"].iter().chain(line);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Noise(args) => parts(&args, examples, args.batch_size.unwrap_or(256), unit),
            other => panic!("{other:?}"),
        }
    }

    /// No example makes both the Hessian and a gradient, none two gradients, and all are there.
    #[test]
    fn parts_do_not_meet() {
        for (line, examples, unit) in [
            (&[][..], 4000, 1),
            (&[], 100, 1),
            (&[], 1000, 16),
            (&["--products", "6", "--hessian-examples", "94"], 100, 1),
            (&["--batch-size", "20", "--products", "40"], 50_000, 1),
        ] {
            let parts = cut(line, examples, unit).unwrap();
            assert_eq!(parts.hessian.start, 0);
            let mut end = parts.hessian.end;
            assert!(end > 0 && end.is_multiple_of(unit));
            for part in &parts.micro_batches {
                assert_eq!(part.start, end);
                end = part.end;
                assert!(end > part.start && (end - part.start).is_multiple_of(unit));
            }
            assert!(end <= examples, "{line:?}");
        }
        let asked = cut(&["--batch-size", "20"], 50_000, 1).unwrap();
        assert_eq!(asked.micro_batches[0], 1024..1044);
    }

    #[test]
    fn gradients_are_held_to_the_memory() {
        assert!(fits(32, 1000, None).is_ok());
        assert!(fits(32, 1000, Some(200_000)).is_ok());
        let error = fits(32, 1000, Some(199_999)).unwrap_err();
        assert!(error.to_string().starts_with("--max-memory"), "{error}");
        assert!(error.to_string().contains("195\u{a0}KiB"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn what_does_not_fit_names_its_flag() {
        for (line, examples, unit, flag) in [
            (&["--products", "5"][..], 4000, 1, "--products"),
            (&["--hessian-examples", "0"], 4000, 1, "--hessian-examples"),
            (
                &["--hessian-examples", "4000"],
                4000,
                1,
                "--hessian-examples",
            ),
            (
                &["--hessian-examples", "100"],
                4000,
                16,
                "--hessian-examples",
            ),
            (&["--batch-size", "200"], 4000, 1, "--products"),
            (&[], 30, 1, "--products"),
            (&[], 400, 64, "--products"),
        ] {
            let error = cut(line, examples, unit).unwrap_err();
            assert!(error.to_string().starts_with(flag), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
