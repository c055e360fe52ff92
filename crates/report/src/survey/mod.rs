//! The report of a survey of a loss landscape: figures, one page, a summary for the terminal.

mod facts;
mod page;
mod slice;
mod spectrum;
mod surface;

use std::{
    fs,
    path::{Path, PathBuf},
};

use batchwise_landscape::survey::{SliceKind, SliceRecord, Survey};

use crate::{Figure, ReportError, files::atomically, plot, wrap};

pub use page::html as survey_html;

/// The figures of a survey. Of several slices of one kind the newest is drawn.
pub fn survey_figures(survey: &Survey) -> Vec<Figure> {
    let mut figures: Vec<Figure> = spectrum::figure(survey).into_iter().collect();
    let newest = |wanted: fn(&SliceKind) -> bool| {
        let whole = |slice: &&SliceRecord| wanted(&slice.kind) && slice.missing() == 0;
        survey.slices.iter().rev().find(whole)
    };
    let lines: [fn(&SliceKind) -> bool; 3] = [
        |kind| matches!(kind, SliceKind::Straight { .. }),
        |kind| matches!(kind, SliceKind::Curved { .. }),
        |kind| matches!(kind, SliceKind::Line),
    ];
    figures.extend(
        lines
            .into_iter()
            .filter_map(newest)
            .filter_map(slice::figure),
    );
    let plane = newest(|kind| matches!(kind, SliceKind::Surface));
    figures.extend(plane.and_then(surface::figure));
    figures
}

/// Writes `landscape.html` and `figures/*.svg`, `figures/*.png` into `dir`, and returns their paths
/// in that order. A file is complete or absent.
///
/// # Errors
/// When a file or folder cannot be written.
pub fn write_survey(dir: &Path, survey: &Survey) -> Result<Vec<PathBuf>, ReportError> {
    let folder = dir.join("figures");
    fs::create_dir_all(&folder).map_err(|source| ReportError::File {
        what: "create the folder",
        path: folder.clone(),
        source,
    })?;
    let figures = survey_figures(survey);
    let mut written = vec![dir.join("landscape.html")];
    atomically(&written[0], page::page(survey, &figures).as_bytes())?;
    for figure in &figures {
        for view in &figure.views {
            let svg = figure.svg(view);
            let stem = folder.join(figure.file_stem(view));
            for (path, content) in [
                (stem.with_extension("svg"), svg.as_bytes().to_vec()),
                (stem.with_extension("png"), plot::raster::png(&svg)?),
            ] {
                atomically(&path, &content)?;
                written.push(path);
            }
        }
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
