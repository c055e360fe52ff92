//! Findings into charts, one offline HTML file, SVG, PNG, CSV, JSON, Parquet and TensorBoard's event files.
//!
//! The report takes findings, trials and how they were run, and never touches a store: [`write()`]
//! fills a folder, [`html`] is the page, [`figures`] its charts, [`terminal_summary`] the same in
//! twenty lines, [`export`] the table of trials for other tools. What is no study is reported by a
//! [`Document`] of prose, tables and [`Chart`]s, which [`write_document`] writes.
//!
//! Numbers become text in [`format`](mod@format) only. Text in raster images is set in DejaVu Sans
//! Condensed, which is part of the crate, so images do not depend on the machine's fonts.

mod columns;
mod error;
mod export;
mod figures;
mod files;
pub mod format;
mod how;
mod html;
#[cfg(feature = "parquet")]
mod parquet;
mod plot;
mod survey;
mod table;
mod tensorboard;
mod terminal;
mod words;

pub use columns::{TextColumn, display_width, fold, text_table, wrap};
pub use error::ReportError;
pub use export::{
    Format, export, export_measurements, measurements_table, to_json, trials_csv, trials_records,
};
pub use figures::{
    Axis, AxisScale, Chart, ChartPanel, ExchangeDrawn, Point, Series, exchange_figure, figures,
};
pub use files::{write, write_document};
pub use how::{HowRun, Machine};
pub use html::{Document, PageTable, Section, html};
pub use plot::figure::{Figure, View};
pub use survey::{survey_figures, survey_html, survey_summary, write_survey};
pub use table::{Column, Table, Values};
pub use tensorboard::export_tensorboard;
pub use terminal::{terminal_summary, trials_table};
pub use words::put_into_words;

/// True if this build draws PNG.
pub const DRAWS_PNG: bool = cfg!(feature = "png");

/// The PNG of a view of a figure, at twice its size.
///
/// # Errors
/// [`ReportError::Drawing`], a fault of ours; [`ReportError::Lacks`] without the feature `png`.
pub fn png(figure: &Figure, view: &View) -> Result<Vec<u8>, ReportError> {
    plot::raster::png(&figure.svg(view))
}
