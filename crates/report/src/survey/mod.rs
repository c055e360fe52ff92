//! The report of a survey of a loss landscape: figures, one page, a summary for the terminal.

mod facts;
mod page;
mod slice;
mod spectrum;
mod surface;

use std::path::{Path, PathBuf};

use batchscope_landscape::survey::{SliceKind, SliceRecord, Survey};

use crate::{
    Figure, ReportError,
    files::{draw, figures_folder, put},
    wrap,
};

pub use page::html as survey_html;

/// The figures of a survey: the spectrum, then every slice whose points are all measured. Paths
/// come first, then lines, then surfaces, each kind in the order in which it was asked for.
pub fn survey_figures(survey: &Survey) -> Vec<Figure> {
    let mut figures: Vec<Figure> = spectrum::figure(survey).into_iter().collect();
    let place = |slice: &&SliceRecord| match slice.kind {
        SliceKind::Straight { .. } => 0,
        SliceKind::Curved { .. } => 1,
        SliceKind::Line => 2,
        SliceKind::Surface => 3,
    };
    let mut whole: Vec<&SliceRecord> = (survey.slices.iter())
        .filter(|s| s.missing() == 0)
        .collect();
    whole.sort_by_key(place);
    let mut count = [0; 4];
    for slice in &whole {
        let among = &mut count[place(slice)];
        *among += 1;
        // the first of a kind keeps the plain name
        let suffix = match *among {
            1 => String::new(),
            n => format!("-{n}"),
        };
        let which = distinction(slice, &whole);
        figures.extend(match slice.kind {
            SliceKind::Surface => surface::figure(slice, &suffix, &which),
            _ => slice::figure(slice, &suffix, &which),
        });
    }
    figures
}

/// What tells a slice from others of the same name, for its title; empty where there is none.
fn distinction(slice: &SliceRecord, all: &[&SliceRecord]) -> String {
    let name = facts::slice_name(&slice.kind);
    let alike = || {
        all.iter()
            .filter(|other| facts::slice_name(&other.kind) == name)
    };
    let differ = |what: &dyn Fn(&SliceRecord) -> String| alike().any(|o| what(o) != what(slice));
    let mut words = Vec::new();
    if differ(&|s| s.statistics.clone()) {
        words.push(format!("statistics: {}", slice.statistics));
    }
    if differ(&|s| s.points.len().to_string()) {
        words.push(format!("{} points", slice.points.len()));
    }
    if differ(&|s| s.to.clone()) {
        words.push(format!("content {}", slice.to));
    }
    match words.is_empty() {
        true => String::new(),
        false => format!("; {}", words.join(", ")),
    }
}

/// Writes `landscape.html` and `figures/*.svg`, `figures/*.png` into `dir`, and returns their paths
/// in that order. A file is complete or absent.
///
/// # Errors
/// When a file or folder cannot be written.
pub fn write_survey(dir: &Path, survey: &Survey) -> Result<Vec<PathBuf>, ReportError> {
    let folder = figures_folder(dir)?;
    let figures = survey_figures(survey);
    let mut written = vec![dir.join("landscape.html")];
    put(&written[0], page::page(survey, &figures).as_bytes())?;
    for figure in &figures {
        written.extend(draw(&folder, figure)?);
    }
    Ok(written)
}

/// What was found, a line each, for the terminal.
pub fn survey_summary(survey: &Survey, width: usize) -> String {
    let mut text = String::new();
    for line in wrap(&facts::subject(survey), width, 2) {
        text += &line;
        text.push('\n');
    }
    for fact in facts::all(survey) {
        for line in wrap(&format!("{}: {}", fact.name, fact.value), width, 2) {
            text += &line;
            text.push('\n');
        }
    }
    text
}
