//! Measuring the points of a slice: in parallel, and on from where it stopped.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::Slice;
use crate::{LandscapeError, ObjectiveError};

/// Something that measures a point: losses and accuracies of a network, say. One per worker.
pub trait Measure: Send {
    /// What is measured.
    type Output: Clone + Send;

    /// Measures the point `x`, which is number `index` of the slice and lies at `coordinates`. The
    /// answer may depend on nothing else, so that any worker gives the same.
    ///
    /// # Errors
    /// When the measurement fails or is to stop.
    fn measure(
        &mut self,
        index: usize,
        coordinates: &[f64],
        x: &[f64],
    ) -> Result<Self::Output, ObjectiveError>;
}

/// Measures every point that `known` does not hold, and returns all in order. Each worker takes the
/// next point as it gets free; `on_point` sees each new one as it comes (to be written down, so
/// that a later call can be given it). The numbers do not depend on the number of workers.
///
/// ```
/// use batchscope_landscape::ObjectiveError;
/// use batchscope_landscape::slices::{Measure, Path, Slice, evaluate};
///
/// struct SquaredLength;
/// impl Measure for SquaredLength {
///     type Output = f64;
///     fn measure(&mut self, _: usize, _: &[f64], x: &[f64]) -> Result<f64, ObjectiveError> {
///         Ok(x.iter().map(|x| x * x).sum())
///     }
/// }
///
/// let slice = Slice::between(Path::Curved, &[1.0, 0.0], &[0.0, 1.0]).unwrap();
/// let mut known = vec![None; slice.len()];
/// known[0] = Some(1.0);
/// let mut news = 0;
/// let loss = evaluate(&slice, &mut [SquaredLength, SquaredLength], known, &mut |_, _| news += 1);
/// assert!(loss.unwrap().iter().all(|l| (l - 1.0).abs() < 1e-12));
/// assert_eq!(news, 24);
/// ```
///
/// # Errors
/// When there is no worker, `known` has another length than the slice, or a measurement fails: then
/// the error of the lowest point that failed. Points measured by then have been seen by `on_point`.
pub fn evaluate<M: Measure>(
    slice: &Slice,
    workers: &mut [M],
    known: Vec<Option<M::Output>>,
    on_point: &mut (dyn FnMut(usize, &M::Output) + Send),
) -> Result<Vec<M::Output>, LandscapeError> {
    slice.check()?;
    crate::error::check_length("known", slice.len(), known.len())?;
    if workers.is_empty() {
        return Err(LandscapeError::setting("workers", "give one or more"));
    }
    let pending: Vec<usize> = (0..known.len()).filter(|&i| known[i].is_none()).collect();
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let shared = Mutex::new((known, on_point, None::<(usize, ObjectiveError)>));
    let (pending, next, stop, shared_by_all) = (&pending, &next, &stop, &shared);
    rayon::scope(|scope| {
        for worker in workers {
            scope.spawn(move |_| {
                let mut x = vec![0.0; slice.dimension()];
                while !stop.load(Ordering::Relaxed) {
                    let Some(&index) = pending.get(next.fetch_add(1, Ordering::Relaxed)) else {
                        return;
                    };
                    slice.point(index, &mut x);
                    let measured = worker.measure(index, &slice.coordinates(index), &x);
                    let mut guard = match shared_by_all.lock() {
                        Ok(guard) => guard,
                        Err(poisoned) => poisoned.into_inner(),
                    };
                    let (known, on_point, failed) = &mut *guard;
                    match measured {
                        Ok(output) => {
                            on_point(index, &output);
                            known[index] = Some(output);
                        }
                        Err(error) => {
                            stop.store(true, Ordering::Relaxed);
                            if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                                *failed = Some((index, error));
                            }
                        }
                    }
                }
            });
        }
    });
    let (known, _, failed) = match shared.into_inner() {
        Ok(inner) => inner,
        Err(poisoned) => poisoned.into_inner(),
    };
    match failed {
        Some((_, error)) => Err(error.into()),
        None => Ok(known.into_iter().flatten().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slices::{Path, steps};

    /// Sums coordinates; fails at one place.
    struct Sum {
        fails_at: Option<usize>,
    }

    impl Measure for Sum {
        type Output = f64;
        fn measure(
            &mut self,
            index: usize,
            coordinates: &[f64],
            x: &[f64],
        ) -> Result<f64, ObjectiveError> {
            if self.fails_at == Some(index) {
                return Err(ObjectiveError::new("the device is on fire"));
            }
            Ok(coordinates[0] + x.iter().sum::<f64>())
        }
    }

    fn workers(count: usize, fails_at: Option<usize>) -> Vec<Sum> {
        (0..count).map(|_| Sum { fails_at }).collect()
    }

    #[test]
    fn an_interrupted_slice_goes_on_to_the_same_numbers() {
        let slice = Slice::Surface {
            origin: vec![1.0, 2.0],
            directions: [vec![0.3, 0.1], vec![-0.2, 0.7]],
            steps: steps(7, -1.0, 1.0),
        };
        let whole = evaluate(
            &slice,
            &mut workers(1, None),
            vec![None; 49],
            &mut |_, _| {},
        )
        .unwrap();
        let mut known = vec![None; 49];
        let mut kept = Vec::new();
        let broken = evaluate(
            &slice,
            &mut workers(3, Some(20)),
            known.clone(),
            &mut |i, v| {
                kept.push((i, *v));
            },
        );
        assert!(broken.unwrap_err().to_string().contains("on fire"));
        assert!(kept.len() >= 20, "points before the failure are kept");
        for (i, v) in &kept {
            known[*i] = Some(*v);
        }
        let mut news = 0;
        let rest = evaluate(&slice, &mut workers(2, None), known, &mut |_, _| news += 1).unwrap();
        assert_eq!((rest, news), (whole, 49 - kept.len()));
    }

    #[test]
    fn misfits_are_errors() {
        let slice = Slice::between(Path::Straight, &[0.0], &[1.0]).unwrap();
        assert!(
            evaluate(
                &slice,
                &mut workers(0, None),
                vec![None; 25],
                &mut |_, _| {}
            )
            .is_err()
        );
        assert!(
            evaluate(
                &slice,
                &mut workers(1, None),
                vec![None; 24],
                &mut |_, _| {}
            )
            .is_err()
        );
        let ragged = Slice::Line {
            origin: vec![0.0],
            direction: vec![0.0, 1.0],
            steps: vec![0.0],
        };
        assert!(evaluate(&ragged, &mut workers(1, None), vec![None], &mut |_, _| {}).is_err());
    }
}
