//! The slices of `batchscope landscape`, point by point.

use std::{
    path::Path as FilePath,
    sync::atomic::{AtomicBool, Ordering},
};

use batchscope_landscape::{
    Objective, ObjectiveError, Stopped,
    slices::{Measure, Path, Slice, evaluate, filter_normalized, steps},
    survey::{SliceKind, SliceRecord},
};
use batchscope_nn::{Precision, SliceMeasure, Statistics};

use super::{folder::SurveyFolder, stopped_or_failed, subject::LandscapeTarget};
use crate::{
    args::{LandscapeWhat, PathChoice, StatisticsChoice, SurfaceChoice},
    error::CliError,
    progress::Display,
    signals::Signals,
};

/// Ends of the random directions: a step of 1 moves every filter by its own length.
const REACH: f64 = 1.0;

/// What the record says of statistics taken from all training examples of the loss. Records of earlier
/// versions, whose variances were another average, say it in other words: they are other measurements.
const ESTIMATED: &str = "estimated anew at every point";
/// The same, of statistics between those of two solutions.
const INTERPOLATED: &str = "interpolated between the solutions";

/// A slice that was asked for.
pub struct Wanted {
    record: SliceRecord,
    slice: Slice,
    statistics: Statistics,
}

impl Wanted {
    /// What people call it.
    pub fn name(&self) -> String {
        let slice = match &self.record.kind {
            SliceKind::Straight { to } => format!("straight path to {to}"),
            SliceKind::Curved { to } => format!("curved path to {to}"),
            SliceKind::Line => "line along a random direction".to_owned(),
            SliceKind::Surface => "surface over two random directions".to_owned(),
        };
        match self.record.statistics.as_str() {
            "" => slice,
            how => format!("{slice}, statistics {how}"),
        }
    }

    /// Points of the slice.
    pub fn len(&self) -> usize {
        self.slice.len()
    }

    fn new(kind: SliceKind, to: String, slice: Slice, statistics: Statistics, norm: bool) -> Self {
        let how = match (&statistics, norm) {
            (_, false) => "",
            (Statistics::Kept, _) => "the checkpoint's",
            (Statistics::Interpolated { .. }, _) => INTERPOLATED,
            (Statistics::Estimated, _) => ESTIMATED,
        };
        Self {
            record: SliceRecord {
                kind,
                to,
                statistics: how.to_owned(),
                coordinates: (0..slice.len()).map(|i| slice.coordinates(i)).collect(),
                points: vec![None; slice.len()],
            },
            slice,
            statistics,
        }
    }
}

/// The slices asked for.
pub fn wanted(what: &LandscapeWhat, surveyed: &LandscapeTarget) -> Result<Vec<Wanted>, CliError> {
    let mut all = Vec::new();
    if what.slice.is_none() && what.surface.is_none() {
        return Ok(all);
    }
    let own = surveyed.objective(Precision::F32)?;
    let (x, norm) = (own.parameters(), own.has_norm());
    let estimated: &[bool] = match surveyed.statistics {
        StatisticsChoice::Estimated => &[true],
        StatisticsChoice::Interpolated => &[false],
        // without batch norm they are one and the same
        StatisticsChoice::Both if !norm => &[true],
        StatisticsChoice::Both => &[true, false],
    };
    if let Some(path) = &what.slice {
        let (other, objective) = surveyed.other(path, Precision::F32)?;
        let to = name(path);
        let (mine, theirs) = (own.statistics(), objective.statistics());
        let statistics = mine.and_then(|mine| theirs.map(|theirs| (mine, theirs)));
        let (mine, theirs) = statistics.map_err(CliError::failed)?;
        let paths: &[Path] = match what.path {
            PathChoice::Straight => &[Path::Straight],
            PathChoice::Curved => &[Path::Curved],
            PathChoice::Both => &[Path::Straight, Path::Curved],
        };
        for (&path, &estimated) in paths
            .iter()
            .flat_map(|p| estimated.iter().map(move |e| (p, e)))
        {
            let kind = match path {
                Path::Straight => SliceKind::Straight { to: to.clone() },
                Path::Curved => SliceKind::Curved { to: to.clone() },
            };
            let slice =
                Slice::between(path, x, objective.parameters()).map_err(CliError::failed)?;
            let statistics = match estimated {
                true => Statistics::Estimated,
                false => Statistics::Interpolated {
                    small: mine.clone(),
                    large: theirs.clone(),
                },
            };
            all.push(Wanted::new(
                kind,
                other.checksum.clone(),
                slice,
                statistics,
                norm,
            ));
        }
    }
    let direction = |index| {
        let seed = surveyed.subject.settings.seed;
        filter_normalized(&own.blocks(), x, seed, index).map_err(CliError::failed)
    };
    let mut around = |kind: SliceKind, slice: Slice| {
        for &estimated in estimated {
            // around one solution there is nothing to interpolate between
            let statistics = match estimated {
                true => Statistics::Estimated,
                false => Statistics::Kept,
            };
            let (kind, slice) = (kind.clone(), slice.clone());
            all.push(Wanted::new(kind, String::new(), slice, statistics, norm));
        }
    };
    let (origin, steps) = (x.to_vec(), steps(what.points, -REACH, REACH));
    if let Some(SurfaceChoice::Line | SurfaceChoice::Both) = what.surface {
        let slice = Slice::Line {
            origin: origin.clone(),
            direction: direction(0)?,
            steps: steps.clone(),
        };
        around(SliceKind::Line, slice);
    }
    if let Some(SurfaceChoice::Plane | SurfaceChoice::Both) = what.surface {
        let slice = Slice::Surface {
            origin,
            directions: [direction(0)?, direction(1)?],
            steps,
        };
        around(SliceKind::Surface, slice);
    }
    Ok(all)
}

/// Measures the points of a slice that are not known yet. They are written every few seconds, and
/// at the end, however it comes: a signal loses nothing, a process that is killed (a second signal
/// does that too) loses the points of the last seconds. A write that fails ends the measurement.
pub fn measure(
    wanted: Wanted,
    surveyed: &LandscapeTarget,
    folder: &mut SurveyFolder,
    display: &Display,
    signals: &Signals,
) -> Result<(), CliError> {
    let name = wanted.name();
    let index = folder.slice(wanted.record);
    let known = folder.survey.slices[index].points.clone();
    let (total, mut done) = (known.len(), known.iter().flatten().count());
    if done == total {
        display.line(&format!("{name}: known from before"));
        return Ok(());
    }
    display.line(&format!("{name}: {} points to measure", total - done));
    let first = SliceMeasure::new(
        surveyed.objective(Precision::F32)?,
        surveyed.test_objective(Precision::F32)?,
        wanted.statistics,
    )
    .map_err(CliError::failed)?;
    // one worker a core: whole passes side by side waste less than shares of one pass
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let lost = AtomicBool::new(false);
    let stoppable = |measure| Stoppable {
        measure,
        signals,
        lost: &lost,
    };
    let mut workers = Vec::new();
    for _ in 1..cores.min(total - done) {
        workers.push(stoppable(first.worker().map_err(CliError::failed)?));
    }
    workers.push(stoppable(first));
    let mut unwritten = None;
    let end = evaluate(&wanted.slice, &mut workers, known, &mut |point, reading| {
        folder.survey.slices[index].points[point] = Some(*reading);
        // the other workers may still bring the points they are at
        if unwritten.is_none() {
            unwritten = folder.save_now_and_then().err();
            lost.store(unwritten.is_some(), Ordering::Relaxed);
        }
        done += 1;
        display.show(done as f64 / total as f64, &name);
    });
    if let Some(error) = unwritten {
        return Err(error);
    }
    folder.save()?;
    end.map_err(|error| stopped_or_failed(&error, signals, &name))?;
    Ok(())
}

/// A measure that stops on a signal, or when its points cannot be written.
struct Stoppable<'a> {
    measure: SliceMeasure,
    signals: &'a Signals,
    lost: &'a AtomicBool,
}

impl Measure for Stoppable<'_> {
    type Output = <SliceMeasure as Measure>::Output;

    fn measure(
        &mut self,
        index: usize,
        coordinates: &[f64],
        x: &[f64],
    ) -> Result<Self::Output, ObjectiveError> {
        if self.signals.raised().is_some() || self.lost.load(Ordering::Relaxed) {
            return Err(ObjectiveError::new(Stopped));
        }
        self.measure.measure(index, coordinates, x)
    }
}

/// A checkpoint's name for the reader: its folder's or file's, no path of somebody's machine.
fn name(path: &FilePath) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
