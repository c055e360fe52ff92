//! The built-in trainer: the networks of this workspace on the data of this workspace.

use std::{path::Path, sync::Arc};

use batchscope_core::{Descriptor, Trainer};
use batchscope_data::Dataset;
use batchscope_train::{BuiltIn, BuiltInConfig, Call, Replicas};

use super::TrainerKind;
use crate::{
    error::CliError,
    processes, resolve,
    settings::{StudySettings, Workload, to_table},
};

/// Trains a model on data, both chosen by settings.
pub(super) static BUILT_IN: TrainerKind = TrainerKind {
    descriptor: Descriptor {
        name: "built-in",
        aliases: &[],
        about: "Trains a model of --model on --data",
        source: "",
        parameters: &[],
    },
    prefers: &[],
    open: |opening| {
        let workload = &opening.settings.workload;
        let data = resolve::workload_data(workload)?;
        let mut config = config(workload, &data)?;
        config.checkpoint_dir = opening.checkpoints.map(ToOwned::to_owned);
        let branching = &opening.settings.branching;
        config.starts_from.clone_from(&branching.checkpoints_from);
        Ok(Box::new(opened(config)?))
    },
};

/// The trainer that process 0 of several has opened, from the settings that it tells.
///
/// # Errors
/// As [`built_in`], and when the data cannot be read here.
pub fn opened_from(settings: &str, replicas: Replicas) -> Result<BuiltIn, CliError> {
    let path = Path::new("told by process 0");
    let table = settings
        .parse()
        .map_err(|e: toml::de::Error| CliError::settings(path, e.to_string()))?;
    let workload = StudySettings::from_table(table, path)?.workload;
    let data = resolve::workload_data(&workload)?;
    let mut config = alone(&workload, &data)?;
    config.replicas = replicas;
    BuiltIn::new(config).map_err(CliError::trainer)
}

/// The built-in trainer of a workload on data that were read already.
///
/// # Errors
/// When the model cannot take the data, or is not to be had on the device.
pub fn built_in(workload: &Workload, data: &Dataset) -> Result<BuiltIn, CliError> {
    opened(config(workload, data)?)
}

/// The trainer, which other processes are to have too.
fn opened(config: BuiltInConfig) -> Result<BuiltIn, CliError> {
    let trainer = BuiltIn::new(config).map_err(CliError::trainer)?;
    if let Replicas::Processes(group) = &trainer.config().replicas {
        let call = Call::compare(trainer.info());
        call.tell(group.as_ref()).map_err(CliError::failed)?;
    }
    Ok(trainer)
}

/// What it trains with all replicas; other processes are told of it.
fn config(w: &Workload, data: &Dataset) -> Result<BuiltInConfig, CliError> {
    let mut config = alone(w, data)?;
    config.replicas = processes::replicas(w)?;
    Ok(config)
}

fn alone(w: &Workload, data: &Dataset) -> Result<BuiltInConfig, CliError> {
    let mut config = BuiltInConfig::new(
        Arc::new(resolve::factory(&w.model, &w.compute)?),
        data.description.clone(),
        data.train.clone(),
        Some(data.validation.clone()),
        data.test.clone(),
    );
    config.notes = data.notes.clone();
    config.augment = w.examples.augment.clone().unwrap_or_default();
    config.max_memory = w.compute.max_memory.map(|bytes| bytes.0);
    Ok(config)
}

/// Writes the choices that were left open into the workload.
pub(super) fn resolve(w: &mut Workload) -> Result<(), CliError> {
    let data = || resolve::DEFAULT_DATA.to_owned();
    w.data.data.get_or_insert_with(data);
    if w.model.model.is_none() {
        w.model.model = Some(resolve::default_model()?);
    }
    Ok(())
}

/// The keys that are set and that no other trainer understands.
pub(super) fn settings_of(w: &Workload) -> Vec<String> {
    let compute = ["device", "max-memory", "ranks"];
    let tables = [
        to_table(&w.data),
        to_table(&w.read),
        to_table(&w.examples),
        to_table(&w.model),
    ];
    let whole = tables.into_iter().flatten().map(|(key, _)| key);
    let parts = to_table(&w.compute).into_iter().chain(to_table(&w.step));
    let parts = parts.map(|(key, _)| key);
    let own = |key: &String| compute.contains(&key.as_str()) || key == "method";
    whole.chain(parts.filter(own)).collect()
}
