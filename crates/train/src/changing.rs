//! Whether a network and its data can be led by a controller: at batch sizes that change, by the gradient noise.

use batchscope_core::{Network, Sampler, SettingError};
use batchscope_rules::BatchSizes;

use crate::{NoiseEstimator, TrainError};

/// Refuses batch sizes that change where the data or the network would not be the same with
/// another: `ghost` is the size of batch norm's groups at the smallest of them, `model_ghost`
/// what the model asks for.
pub(crate) fn check_growth(
    sizes: BatchSizes,
    sampler: &dyn Sampler,
    examples: u64,
    ghost: Option<u64>,
    model_ghost: Option<u64>,
) -> Result<(), TrainError> {
    let BatchSizes {
        smallest: batch_size,
        largest,
        divisor,
    } = sizes;
    if largest > examples {
        let why = format!(
            "may make steps of {largest} examples, more than the {examples} there are to train on"
        );
        return Err(SettingError::new("controller", why).into());
    }
    if let Some(ghost) = ghost
        && ghost == model_ghost.unwrap_or(ghost)
        && !divisor.is_multiple_of(ghost)
    {
        return Err(TrainError::Refused(format!(
            "batch norm's groups of {ghost} examples do not divide the batch sizes from {batch_size} to {largest}: choose sizes that are multiples of {ghost}, or a model with smaller groups, such as ghost={divisor}"
        )));
    }
    if sampler.only_batch_size().is_some() {
        return Err(TrainError::Refused(format!(
            "text is read in {batch_size} streams, as many as a step has examples, so its batch \
             size cannot change during a run: choose a controller that keeps the batch size"
        )));
    }
    if ghost != model_ghost {
        return Err(TrainError::Refused(format!(
            "batch norm would normalize over more examples as the batch grows from {batch_size}: begin with, and keep to, at least {} examples, or choose a model whose ghost batches are no larger than {batch_size}",
            model_ghost.unwrap_or(1)
        )));
    }
    Ok(())
}

/// Refuses a controller that goes by the gradient noise where that is undefined, at these batch sizes.
pub(crate) fn check_noise(
    network: &dyn Network,
    batch_sizes: [u64; 2],
    micro_batch: u64,
) -> Result<(), TrainError> {
    for batch_size in batch_sizes {
        let way = NoiseEstimator::of(network, batch_size, micro_batch);
        if let NoiseEstimator::Nothing(why) = way {
            return Err(TrainError::Refused(format!(
                "the controller goes by the gradient noise, which is undefined at batch size {batch_size}: {why}"
            )));
        }
    }
    Ok(())
}
