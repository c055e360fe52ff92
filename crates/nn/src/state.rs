//! The complete state of a network as named host tensors, and back.

use std::collections::BTreeMap;

use batchscope_core::{NetworkError, StateTensor};
use burn_tensor::Device;

use crate::{
    layers::{NormState, Running},
    parameters::Parameters,
    streams::Streams,
};

/// What the names of main and of auxiliary running statistics hold.
const KINDS: [&str; 2] = ["running", "auxiliary"];

/// Parameters under their names, running statistics as `NAME.running_mean` and
/// `NAME.running_variance`, auxiliary ones, where there are any, as `NAME.auxiliary_mean` and
/// `NAME.auxiliary_variance`, hidden states under theirs.
pub(crate) fn export(
    parameters: &Parameters,
    norms: &[NormState],
    streams: &Streams,
) -> Result<Vec<StateTensor>, NetworkError> {
    let mut state = Vec::new();
    for (tensor, values) in parameters
        .layout()
        .tensors
        .iter()
        .zip(parameters.to_host()?)
    {
        state.push(StateTensor {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            values,
        });
    }
    for norm in norms {
        let statistics = [Some(&norm.main), norm.auxiliary.as_ref()];
        for (kind, running) in KINDS.into_iter().zip(statistics) {
            let Some(Running { mean, variance, .. }) = running else {
                continue;
            };
            for (moment, values) in [("mean", mean), ("variance", variance)] {
                state.push(StateTensor {
                    name: format!("{}.{kind}_{moment}", norm.name),
                    shape: vec![norm.channels],
                    values: values.to_host()?,
                });
            }
        }
    }
    state.extend(streams.export());
    Ok(state)
}

/// Takes over a state, or leaves everything as it was and says which tensor does not fit.
pub(crate) fn import(
    state: &[StateTensor],
    parameters: &mut Parameters,
    norms: &mut [NormState],
    streams: &mut Streams,
    device: &Device,
) -> Result<(), NetworkError> {
    let mut given = BTreeMap::new();
    for tensor in state {
        if tensor
            .shape
            .iter()
            .try_fold(1usize, |len, &side| len.checked_mul(side))
            != Some(tensor.values.len())
        {
            return refuse(format!(
                "tensor {} has {} values for shape {:?}",
                tensor.name,
                tensor.values.len(),
                tensor.shape
            ));
        }
        if given.insert(tensor.name.as_str(), tensor).is_some() {
            return refuse(format!("tensor {} is there twice", tensor.name));
        }
    }
    let has_auxiliary: Vec<bool> = norms
        .iter()
        .map(|norm| given.contains_key(format!("{}.auxiliary_mean", norm.name).as_str()))
        .collect();
    let mut take = |name: &str, shape: &[usize]| match given.remove(name) {
        None => refuse(format!("tensor {name} is missing")),
        Some(tensor) if tensor.shape != shape => refuse(format!(
            "tensor {name} has shape {:?}, the network's has {shape:?}",
            tensor.shape
        )),
        Some(tensor) => Ok(tensor.values.clone()),
    };
    let mut values = Vec::new();
    for tensor in &parameters.layout().tensors {
        values.push(take(&tensor.name, &tensor.shape)?);
    }
    let mut statistics = Vec::new();
    for (norm, has_auxiliary) in norms.iter().zip(has_auxiliary) {
        let mut moments = |kind: &str| -> Result<[Vec<f32>; 2], NetworkError> {
            let mut moment =
                |moment: &str| take(&format!("{}.{kind}_{moment}", norm.name), &[norm.channels]);
            Ok([moment("mean")?, moment("variance")?])
        };
        let [main, auxiliary] = KINDS;
        let of_others = has_auxiliary.then(|| moments(auxiliary)).transpose()?;
        statistics.push((moments(main)?, of_others));
    }
    let count = state
        .iter()
        .find(|tensor| streams.names().any(|(name, _)| name == tensor.name));
    let count = count
        .and_then(|tensor| tensor.shape.first().copied())
        .unwrap_or(0);
    let mut hidden = Vec::new();
    if count > 0 {
        for (name, width) in streams.names() {
            hidden.push(take(name, &[count, width])?);
        }
    }
    if let Some(name) = given.keys().next() {
        return refuse(format!("the network has no tensor {name}"));
    }
    for (index, values) in values.into_iter().enumerate() {
        parameters.set(index, values);
    }
    parameters.clear_gradients();
    for (norm, (main, auxiliary)) in norms.iter_mut().zip(statistics) {
        let channels = norm.channels;
        let set = |running: &mut Running, [mean, variance]: [Vec<f32>; 2]| {
            running.mean.set(mean, &[channels], device);
            running.variance.set(variance, &[channels], device);
        };
        set(&mut norm.main, main);
        norm.auxiliary = auxiliary.map(|moments| {
            let mut running = Running::new(channels, device);
            set(&mut running, moments);
            running
        });
        norm.begin_step();
    }
    streams.resize(0);
    if count > 0 {
        streams.import(count, hidden);
    }
    Ok(())
}

fn refuse<T>(why: String) -> Result<T, NetworkError> {
    Err(NetworkError::State(why))
}
