//! How many examples go forward at once.

use batchscope_core::{DataShape, NetworkError, NetworkFactory, SettingError};

use crate::TrainError;

/// Examples per forward pass at most, unless a trial asks for more: beyond this a CPU gains no
/// speed and only takes memory.
pub const MICRO_BATCH_CEILING: u64 = 1024;

/// Largest micro-batch, up to `most`, whose training step takes at most `bytes` beside `fixed`
/// bytes that do not depend on it; 0 if not even one example fits.
pub fn largest_within(
    factory: &dyn NetworkFactory,
    shape: &DataShape,
    most: u64,
    fixed: u64,
    bytes: u64,
) -> u64 {
    let fits = |b: u64| factory.memory(shape, b).saturating_add(fixed) <= bytes;
    let (mut low, mut high) = (0, most.max(1));
    if fits(high) {
        return high;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// The micro-batch of a trial.
///
/// `asked` is the trial's own, `ghost` the size of the groups batch norm normalizes over at this
/// batch size, `within` the largest that fits the memory. Chosen freely, the micro-batch is the
/// batch itself up to `ceiling` (and `within`), otherwise an even share of it.
///
/// # Errors
/// [`TrainError::Setting`] or [`TrainError::Network`] when the micro-batch asked for is 0 or would
/// change the network being studied; [`TrainError::Infeasible`] when it, or the smallest possible one, does not fit.
pub fn choose(
    batch_size: u64,
    asked: Option<u64>,
    ghost: Option<u64>,
    within: Option<u64>,
    ceiling: u64,
) -> Result<u64, TrainError> {
    let unit = ghost.unwrap_or(1).max(1);
    let fits = |b: u64| within.is_none_or(|most| b <= most);
    if let Some(asked) = asked {
        let micro_batch = asked.min(batch_size);
        if asked == 0 {
            let why = "a micro-batch of 0 trains nothing: choose at least 1";
            return Err(SettingError::new("micro-batch", why).into());
        }
        if micro_batch < batch_size && micro_batch % unit != 0 {
            let error = NetworkError::GhostSize {
                micro_batch,
                ghost: unit,
            };
            return Err(error.into());
        }
        if !fits(micro_batch) {
            return Err(too_large(micro_batch, within, unit));
        }
        return Ok(micro_batch);
    }
    let limit = ceiling.max(unit).min(within.unwrap_or(u64::MAX));
    if batch_size <= limit {
        return Ok(batch_size);
    }
    let limit = limit / unit * unit;
    if limit == 0 {
        return Err(too_large(unit, within, unit));
    }
    let share = batch_size.div_ceil(batch_size.div_ceil(limit));
    Ok(share.div_ceil(unit) * unit)
}

fn too_large(micro_batch: u64, within: Option<u64>, unit: u64) -> TrainError {
    let within = within.unwrap_or(u64::MAX);
    let remedy = if within >= unit {
        format!(
            "choose a micro-batch of {} or fewer, or allow more memory",
            within / unit * unit
        )
    } else {
        "allow more memory or choose a smaller model".to_owned()
    };
    TrainError::Infeasible(format!(
        "a training step on {micro_batch} examples at once does not fit the allowed memory: {remedy}"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_batch_below_the_ceiling_goes_through_whole() {
        assert_eq!(choose(64, None, None, None, 1024).unwrap(), 64);
        assert_eq!(choose(1500, None, None, None, 1024).unwrap(), 750);
        assert_eq!(choose(64, Some(256), None, None, 1024).unwrap(), 64);
        assert_eq!(choose(4096, Some(2048), None, None, 1024).unwrap(), 2048);
    }

    #[test]
    fn memory_bounds_the_micro_batch() {
        assert_eq!(choose(64, None, None, Some(20), 1024).unwrap(), 16);
        assert!(matches!(
            choose(64, None, None, Some(0), 1024),
            Err(TrainError::Infeasible(_))
        ));
        assert!(matches!(
            choose(64, None, Some(32), Some(31), 1024),
            Err(TrainError::Infeasible(_))
        ));
        let error = choose(64, Some(32), None, Some(20), 1024).unwrap_err();
        assert!(error.to_string().contains("20 or fewer"), "{error}");
    }

    #[test]
    fn a_micro_batch_that_would_change_the_network_is_refused() {
        assert_eq!(choose(64, Some(32), Some(16), None, 1024).unwrap(), 32);
        let error = choose(64, Some(24), Some(16), None, 1024).unwrap_err();
        assert!(error.to_string().contains("multiple of 16"), "{error}");
        assert!(choose(64, Some(0), None, None, 1024).is_err());
    }

    proptest! {
        #[test]
        fn the_choice_fits_and_respects_the_groups(
            batch_size in 1u64..5000,
            ghost in prop::option::of(1u64..64),
            within in prop::option::of(0u64..5000),
            ceiling in 1u64..2000,
        ) {
            let ghost = ghost.map(|g| g.min(batch_size));
            if let Ok(b) = choose(batch_size, None, ghost, within, ceiling) {
                prop_assert!(b >= 1 && b <= batch_size.max(ghost.unwrap_or(1)));
                prop_assert!(within.is_none_or(|most| b <= most));
                prop_assert!(b >= batch_size || b % ghost.unwrap_or(1) == 0);
            } else {
                prop_assert!(within.unwrap() < ghost.unwrap_or(1));
            }
        }
    }
}
