//! `batchscope landscape`: sharpness, curvature and slices of the loss around a checkpoint.

mod folder;
mod slices;
mod subject;

use std::{ops::ControlFlow, time::Instant};

use batchscope_landscape::{
    LandscapeError, Objective, Stopped, Watched,
    survey::{Measurement, MeasurementKind, SurveySettings},
};
use batchscope_nn::{NetworkObjective, Precision};
use batchscope_train::start_threads;

use super::{folded, print, print_json, width};
use crate::{
    args::{LandscapeArgs, LandscapeWhat},
    error::CliError,
    progress::Display,
    signals::Signals,
};
use folder::SurveyFolder;
use subject::LandscapeTarget;

pub use subject::read;

/// Half-widths of Keskar's box, the paper's.
const EPSILONS: [f64; 2] = [1e-3, 5e-4];
/// Dimensions of Keskar's random subspace, the paper's.
const SUBSPACE: usize = 100;
/// Relative half-width of the adaptive box: Keskar's larger one.
const ADAPTIVE: f64 = 1e-3;
/// Radius of ASAM's ball, its authors' choice for CIFAR-10.
const ASAM: f64 = 0.5;
/// Relative deviation of average-case perturbations.
const AVERAGE: f64 = 0.05;

/// Runs the command.
pub fn run(args: &LandscapeArgs, quiet: bool) -> Result<(), CliError> {
    check(&args.what)?;
    start_threads(1).map_err(CliError::trainer)?;
    let settings = SurveySettings {
        seed: args.what.probe_seed,
        starts: args.what.starts,
        iterations: args.what.iterations,
        tolerance: args.what.tolerance,
        ..SurveySettings::default()
    };
    let display = Display::new(quiet);
    let surveyed = LandscapeTarget::open(args, settings)?;
    for note in &surveyed.notes {
        display.line(&format!("note: {note}"));
    }
    let kinds = kinds(&args.what);
    let slices = slices::wanted(&args.what, &surveyed)?;
    if args.dry_run {
        return print(&costs(&kinds, &slices, &surveyed, &settings)?);
    }
    // a checkpoint that does not fit its data is refused before a folder is made
    surveyed.objective(Precision::F32)?;
    let signals = Signals::listen()?;
    let mut folder = SurveyFolder::open(&args.dir, surveyed.subject.clone())?;
    for kind in kinds {
        if folder.survey.result_of(&kind).is_some() {
            display.line(&format!("{}: known from before", kind.name()));
            continue;
        }
        let measured = measure(kind, &surveyed, &settings, &display, &signals)?;
        folder.add(measured)?;
    }
    for slice in slices {
        slices::measure(slice, &surveyed, &mut folder, &display, &signals)?;
    }
    display.finish();
    batchscope_report::write_survey(&args.dir, &folder.survey).map_err(CliError::failed)?;
    if args.json {
        return print_json(&folder.survey);
    }
    let summary = batchscope_report::survey_summary(&folder.survey, width());
    print(&folded(&summary, width(), 2))?;
    print(&folded(
        &format!("Report: {}", args.dir.join("landscape.html").display()),
        width(),
        2,
    ))
}

/// Refuses what could not be measured.
fn check(what: &LandscapeWhat) -> Result<(), CliError> {
    if !(1..=1000).contains(&what.top) {
        return Err(CliError::flag("top", "choose 1 to 1000 eigenvalues"));
    }
    if !(2..=501).contains(&what.points) {
        return Err(CliError::flag("points", "choose 2 to 501 points a side"));
    }
    if !(1..=10_000).contains(&what.starts) {
        return Err(CliError::flag("starts", "choose 1 to 10000 starts"));
    }
    if what.iterations == 0 {
        return Err(CliError::flag("iterations", "must be at least 1"));
    }
    if !(what.tolerance > 0.0 && what.tolerance < 1.0) {
        return Err(CliError::flag(
            "tolerance",
            "choose a number between 0 and 1",
        ));
    }
    Ok(())
}

/// What to measure at the point itself; without any wish the two that cost little.
fn kinds(what: &LandscapeWhat) -> Vec<MeasurementKind> {
    let keskar = |epsilon, subspace| MeasurementKind::Keskar { epsilon, subspace };
    let mut kinds = Vec::new();
    if what.sharpness {
        for subspace in [None, Some(SUBSPACE)] {
            kinds.extend(EPSILONS.map(|epsilon| keskar(epsilon, subspace)));
        }
        kinds.push(MeasurementKind::AdaptiveBox { radius: ADAPTIVE });
        kinds.push(MeasurementKind::Asam { radius: ASAM });
        kinds.push(MeasurementKind::Average { radius: AVERAGE });
    }
    if what.spectrum {
        kinds.push(MeasurementKind::Top { count: what.top });
        kinds.extend([
            MeasurementKind::Trace,
            MeasurementKind::Layers,
            MeasurementKind::Density,
        ]);
        kinds.push(MeasurementKind::GaussNewton { count: 1 });
    }
    let nothing = kinds.is_empty() && what.slice.is_none() && what.surface.is_none();
    if nothing {
        kinds.push(keskar(EPSILONS[0], None));
        kinds.push(MeasurementKind::Top { count: 1 });
    }
    kinds
}

/// Curvature wants double precision; a search for a maximum does not.
fn precision(kind: &MeasurementKind) -> Precision {
    match kind {
        MeasurementKind::Keskar { .. }
        | MeasurementKind::AdaptiveBox { .. }
        | MeasurementKind::Asam { .. }
        | MeasurementKind::Average { .. } => Precision::F32,
        _ => Precision::F64,
    }
}

/// A measurement, with its progress; it ends early on a signal.
fn measure(
    kind: MeasurementKind,
    surveyed: &LandscapeTarget,
    settings: &SurveySettings,
    display: &Display,
    signals: &Signals,
) -> Result<Measurement, CliError> {
    let objective = surveyed.objective(precision(&kind))?;
    let x = objective.parameters().to_vec();
    let expected = kind.gradients(settings, &objective.blocks());
    let name = kind.name();
    display.line(&format!("{name}: about {expected} gradients"));
    let began = Instant::now();
    let mut evaluations = 0;
    let mut watched = Watched::new(objective, |done| {
        evaluations = done;
        // the number of evaluations is a guess: never say that all is done
        display.show((done as f64 / expected as f64).min(0.99), &name);
        match signals.raised() {
            None => ControlFlow::Continue(()),
            Some(_) => ControlFlow::Break(()),
        }
    });
    let result = kind
        .measure(&mut watched, &x, settings)
        .map_err(|error| stopped_or_failed(&error, signals, &name))?;
    let seconds = began.elapsed().as_secs_f64();
    drop(watched);
    display.line(&format!(
        "{name}: {evaluations} evaluations in {}",
        batchscope_report::format::duration(seconds)
    ));
    Ok(Measurement {
        kind,
        result,
        evaluations,
        seconds,
    })
}

/// The error of a measurement: of the signal that ended it, or its own.
fn stopped_or_failed(error: &LandscapeError, signals: &Signals, name: &str) -> CliError {
    let stopped = matches!(error, LandscapeError::Objective(error) if error.0.is::<Stopped>());
    match signals.raised() {
        Some(signal) if stopped => CliError::Interrupted {
            signal,
            left: "what was measured is kept",
            resume: "the same command".to_owned(),
        },
        _ => CliError::Failed(format!("{name}: {error}")),
    }
}

/// What each measurement would cost.
fn costs(
    kinds: &[MeasurementKind],
    slices: &[slices::Wanted],
    surveyed: &LandscapeTarget,
    settings: &SurveySettings,
) -> Result<String, CliError> {
    let mut text = String::new();
    for precision in [Precision::F32, Precision::F64] {
        let kinds = kinds
            .iter()
            .filter(|kind| self::precision(kind) == precision);
        let kinds: Vec<&MeasurementKind> = kinds.collect();
        if kinds.is_empty() {
            continue;
        }
        let mut objective = surveyed.objective(precision)?;
        let seconds = seconds_per_gradient(&mut objective)?;
        let blocks = objective.blocks();
        for kind in kinds {
            let gradients = kind.gradients(settings, &blocks);
            text += &format!(
                "{}: about {gradients} gradients, {}\n",
                kind.name(),
                batchscope_report::format::duration(gradients as f64 * seconds)
            );
        }
    }
    for slice in slices {
        text += &format!("{}: {} points, a loss each\n", slice.name(), slice.len());
    }
    Ok(text)
}

/// Measured once warm.
fn seconds_per_gradient(objective: &mut NetworkObjective) -> Result<f64, CliError> {
    let x = objective.parameters().to_vec();
    let mut gradient = vec![0.0; x.len()];
    let mut seconds = 0.0;
    for _ in 0..2 {
        let began = Instant::now();
        objective
            .value_and_gradient(&x, &mut gradient)
            .map_err(CliError::failed)?;
        seconds = began.elapsed().as_secs_f64();
    }
    Ok(seconds)
}
