//! Golmant et al. 2018's diagnostic of the linear scaling rule, `|L(w) − L̂(w)|`: the
//! error of a first-order prediction across one step. Above 1 the rule's premise is gone.

use batchscope_core::{Metric, Quantity, Split};

use crate::curves::CurveTrials;
use crate::findings::LinearityPoint;
use crate::generalization::means;

/// Name under which [`batchscope_core::Diagnostic::LINEARITY`] reports, on the train split.
fn metric() -> Metric {
    Metric::new(Split::Train, Quantity::Other("linearity".into()))
}

/// The gap at each batch size of a curve where it was measured: the geometric mean over a run's
/// evaluations, then over seeds.
pub(crate) fn linearity(trials: &CurveTrials, level: f64) -> Vec<LinearityPoint> {
    let metric = metric();
    let (mut values, mut overflowed) = (Vec::new(), Vec::new());
    for record in trials.trials() {
        let gaps: Vec<f64> = record
            .measurements
            .iter()
            .filter_map(|m| m.metrics.get(&metric))
            .map(|g| g.abs())
            .collect();
        let logs: Vec<f64> = gaps
            .iter()
            .map(|g| g.ln())
            .filter(|g| g.is_finite())
            .collect();
        if gaps.iter().any(|g| !g.is_finite()) {
            overflowed.push(record.spec.batch_size);
        }
        if !logs.is_empty() {
            values.push((
                record.spec.batch_size,
                logs.iter().sum::<f64>() / logs.len() as f64,
            ));
        }
    }
    means(&values, level)
        .into_iter()
        .map(|(batch_size, mut gap)| {
            for end in [&mut gap.value, &mut gap.low, &mut gap.high] {
                *end = end.map(f64::exp);
            }
            if overflowed.contains(&batch_size) {
                gap = gap.because("without the evaluations at which the prediction overflowed");
            }
            LinearityPoint {
                batch_size,
                curve: trials.name.clone(),
                gap,
            }
        })
        .collect()
}
