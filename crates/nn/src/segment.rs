//! The metrics of segmentation.

use batchscope_core::{Confusion, MetricSums, NetworkError, UNLABELED};
use burn_tensor::{Int, Tensor, TensorData};

use crate::storage::to_numbers;

/// Metric sums over the labeled pixels of scores `[pixels, classes]`. The prediction is the class
/// with the first largest score; a pixel whose scores are not all numbers counts as wrong.
pub(crate) fn segmentation(scores: Tensor<2>, labels: &[u8]) -> Result<MetricSums, NetworkError> {
    let classes = scores.dims()[1];
    let scores = to_numbers(scores)?;
    let mut confusion = Confusion::new(classes);
    let mut sums = MetricSums::default();
    for (row, &label) in scores.chunks_exact(classes).zip(labels) {
        if label == UNLABELED {
            continue;
        }
        let label = usize::from(label);
        let (mut best, mut sum) = (0, 0.0);
        for (class, &score) in row.iter().enumerate() {
            if score > row[best] {
                best = class;
            }
        }
        let most = row[best];
        let mut sound = true;
        for &score in row {
            sum += (score - most).exp();
            sound &= !score.is_nan();
        }
        if !sound {
            // Any class but its own; with a single class there is none.
            best = usize::from(label == 0).min(classes - 1);
        }
        sums.loss += sum.ln() + most - row[label];
        sums.errors += f64::from(u8::from(best != label || !sound));
        sums.weight += 1.0;
        confusion.add(label, best);
    }
    sums.confusion = Some(confusion);
    Ok(sums)
}

/// The rows of labeled pixels and their classes, for burn's operations.
pub(crate) fn labeled(scores: Tensor<2>, labels: &[u8]) -> (Tensor<2>, Vec<u32>) {
    let device = scores.device().without_autodiff();
    let (rows, classes): (Vec<i64>, Vec<u32>) = (0..)
        .zip(labels)
        .filter(|&(_, &label)| label != UNLABELED)
        .map(|(pixel, &label)| (pixel, u32::from(label)))
        .unzip();
    let shape = [rows.len()];
    let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, shape), &device);
    (scores.select(0, rows), classes)
}
