//! Trials as TensorBoard's event files.

use std::path::{Path, PathBuf};

use batchscope_core::TrialRecord;
use batchscope_tensorboard::{Setting, Writer};

use crate::{ReportError, export, files::put};

/// Writes a folder of event files: a run for each trial that was evaluated, named by its batch size, learning rate
/// and number, with its settings for the HParams dashboard. Returns the number of runs.
///
/// Values are kept in 32 bits, as TensorBoard keeps them. A trial's clock begins at 1970: a study keeps the seconds
/// of training, not the time of day.
///
/// # Errors
/// When the folder holds something already, which TensorBoard would show beside it, or a file cannot be written.
pub fn export_tensorboard(records: &[TrialRecord], folder: &Path) -> Result<usize, ReportError> {
    let failed = |what: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| ReportError::File { what, path, source }
    };
    std::fs::create_dir_all(folder).map_err(failed("create the folder", folder))?;
    let mut inside = std::fs::read_dir(folder).map_err(failed("read the folder", folder))?;
    if inside.next().is_some() {
        return Err(ReportError::Occupied(folder.to_owned()));
    }
    let evaluated = || records.iter().filter(|r| !r.measurements.is_empty());
    for record in evaluated() {
        let run = folder.join(name(record));
        std::fs::create_dir_all(&run).map_err(failed("create the folder", &run))?;
        let file: PathBuf = run.join("events.out.tfevents.0.batchscope");
        put(&file, &events(record).map_err(failed("write", &file))?)?;
    }
    Ok(evaluated().count())
}

/// The name of a trial's run.
fn name(record: &TrialRecord) -> String {
    let spec = &record.spec;
    format!(
        "b{}-lr{:.3e}-t{}",
        spec.batch_size, spec.learning_rate, spec.id
    )
}

/// The event file of a trial.
fn events(record: &TrialRecord) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, 0.0)?;
    writer.settings(&settings(record), 0.0)?;
    for measurement in &record.measurements {
        let (step, time) = (measurement.step as i64, measurement.seconds);
        for (metric, value) in &measurement.metrics {
            let tag = metric.to_string().replace('-', "_");
            writer.scalar(&tag, *value, step, time)?;
        }
        writer.scalar("learning_rate", measurement.learning_rate, step, time)?;
    }
    Ok(bytes)
}

/// The curves that a trial serves; of one that serves none, what it was for.
fn curve(record: &TrialRecord) -> String {
    match record.spec.curves.is_empty() {
        true => format!("({})", export::purpose(&record.spec.purpose).0),
        false => record.spec.curves.join(" "),
    }
}

/// What tells the trial from others.
fn settings(record: &TrialRecord) -> Vec<Setting> {
    let spec = &record.spec;
    let settings = [
        ("batch_size", spec.batch_size.to_string()),
        ("micro_batch", record.micro_batch.to_string()),
        ("learning_rate", spec.learning_rate.to_string()),
        ("optimizer", export::optimizer(&spec.optimizer)),
        ("curve", curve(record)),
        ("purpose", export::purpose(&spec.purpose).0.to_owned()),
        ("seed", spec.seed.to_string()),
        ("state", record.outcome.name().to_owned()),
        ("trial", spec.id.to_string()),
    ];
    let setting = |(name, value): (&str, String)| Setting {
        name: name.to_owned(),
        value,
    };
    settings.into_iter().map(setting).collect()
}
