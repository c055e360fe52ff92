//! The files of a report, each written under a temporary name and then renamed.

use std::fs;
use std::path::{Path, PathBuf};

use batchscope_core::TrialRecord;
use batchscope_scaling::Findings;

use crate::{Document, Figure, HowRun, ReportError, figures, html, plot, to_json, trials_csv};

/// Writes `findings.json`, `trials.csv`, `report.html` and `figures/*.svg`, `figures/*.png` into
/// `dir`, which is created, and returns their paths in that order.
///
/// A file is complete or absent: nobody reads half a report, whenever the program stops.
///
/// # Errors
/// When a file or folder cannot be written.
pub fn write(
    dir: &Path,
    findings: &Findings,
    records: &[TrialRecord],
    how: &HowRun,
) -> Result<Vec<PathBuf>, ReportError> {
    let folder = figures_folder(dir)?;
    let figures = figures(findings, records);
    let mut written = Vec::new();
    for (name, content) in [
        ("findings.json", to_json(findings)?),
        ("trials.csv", trials_csv(records)?),
        ("report.html", html::page(findings, records, how, &figures)),
    ] {
        let path = dir.join(name);
        put(&path, content.as_bytes())?;
        written.push(path);
    }
    for figure in &figures {
        written.extend(draw(&folder, figure)?);
    }
    Ok(written)
}

/// Writes `report.html` and `figures/*.svg`, `figures/*.png` of a page into `dir`, which is created,
/// and returns their paths.
///
/// # Errors
/// When a file or folder cannot be written.
pub fn write_document(
    dir: &Path,
    document: &Document,
    how: &HowRun,
) -> Result<Vec<PathBuf>, ReportError> {
    let folder = figures_folder(dir)?;
    let page = dir.join("report.html");
    put(&page, document.html(how).as_bytes())?;
    let mut written = vec![page];
    for figure in document.figures() {
        written.extend(draw(&folder, figure)?);
    }
    Ok(written)
}

/// Makes the folder `figures` in `dir`, and `dir`, where there is none.
pub(crate) fn figures_folder(dir: &Path) -> Result<PathBuf, ReportError> {
    let folder = dir.join("figures");
    match fs::create_dir_all(&folder) {
        Ok(()) => Ok(folder),
        Err(source) => Err(ReportError::File {
            what: "create the folder",
            path: folder,
            source,
        }),
    }
}

/// Writes every view of a figure, as SVG and PNG.
pub(crate) fn draw(folder: &Path, figure: &Figure) -> Result<Vec<PathBuf>, ReportError> {
    let mut written = Vec::new();
    for view in &figure.views {
        let svg = figure.svg(view);
        let stem = folder.join(figure.file_stem(view));
        if crate::DRAWS_PNG {
            let path = stem.with_extension("png");
            put(&path, &plot::raster::png(&svg)?)?;
            written.push(path);
        }
        let path = stem.with_extension("svg");
        put(&path, svg.as_bytes())?;
        written.push(path);
    }
    Ok(written)
}

/// Writes a file, whole or not at all.
pub(crate) fn put(path: &Path, content: &[u8]) -> Result<(), ReportError> {
    batchscope_files::write(path, content).map_err(|source| ReportError::File {
        what: "write",
        path: path.to_owned(),
        source,
    })
}
