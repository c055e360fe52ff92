//! The complete state of a network as named host tensors, and back.

use std::collections::BTreeMap;

use batchscope_core::{NetworkError, StateTensor};
use burn_tensor::Device;

use crate::{layers::NormState, parameters::Parameters, streams::Streams};

/// Parameters under their names, running statistics as `NAME.running_mean` and
/// `NAME.running_variance`, hidden states under theirs.
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
        for (kind, values) in [("mean", &norm.mean), ("variance", &norm.variance)] {
            state.push(StateTensor {
                name: format!("{}.running_{kind}", norm.name),
                shape: vec![norm.channels],
                values: values.to_host()?,
            });
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
    for norm in norms.iter() {
        let mut statistic =
            |kind: &str| take(&format!("{}.running_{kind}", norm.name), &[norm.channels]);
        statistics.push([statistic("mean")?, statistic("variance")?]);
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
    for (norm, [mean, variance]) in norms.iter_mut().zip(statistics) {
        let shape = [norm.channels];
        norm.mean.set(mean, &shape, device);
        norm.variance.set(variance, &shape, device);
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
