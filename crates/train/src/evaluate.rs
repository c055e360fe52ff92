//! Evaluation: the metrics of fixed subsets of the splits.

use std::{collections::BTreeMap, ops::Range};

use batchscope_core::{
    Batch, Confusion, DataShape, EvaluationCost, Examples, Metric, MetricSums, Network, Purpose,
    Quantity, Sampler, Split, StepBatch, StreamKey, Target, Task,
};

use crate::TrainError;

/// Examples per evaluation pass, unless the memory allows fewer. Fixed, so that no metric depends
/// on the micro-batch.
pub const EVALUATION_CHUNK: u64 = 250;

/// The subsets of a trial that are evaluated.
pub struct Evaluator<'a> {
    /// A fixed subset of the training examples.
    pub train: EvaluationSet<'a>,
    /// A fixed subset of the validation examples.
    pub validation: Option<EvaluationSet<'a>>,
    /// The test examples, all of them, for the last evaluation; `None` where the trial may not
    /// look at them.
    pub test: Option<EvaluationSet<'a>>,
    /// Shape of the examples.
    pub shape: DataShape,
}

impl Evaluator<'_> {
    /// Examples that an evaluation passes through on the way to `target`; where it `recalibrates` batch norm, the
    /// training subset once more.
    pub fn cost(&self, target: Option<&Target>, recalibrates: bool) -> EvaluationCost {
        let train = self.train.len();
        let validation = self.validation.as_ref().map_or(0, EvaluationSet::len);
        let before = if recalibrates { train } else { 0 };
        EvaluationCost {
            target: before
                + match target.map(|target| target.metric.split) {
                    Some(Split::Train) => train,
                    _ => validation,
                },
            whole: before + train + validation,
        }
    }

    /// Measures one split into `metrics`; returns its mean loss, or `None` without such a set.
    ///
    /// # Errors
    /// When the network does.
    pub fn measure(
        &mut self,
        split: Split,
        network: &mut dyn Network,
        metrics: &mut BTreeMap<Metric, f64>,
    ) -> Result<Option<f64>, TrainError> {
        let set = match split {
            Split::Train => Some(&mut self.train),
            Split::Val => self.validation.as_mut(),
            Split::Test => self.test.as_mut(),
        };
        let Some(set) = set else { return Ok(None) };
        let sums = set.measure(network)?;
        insert_metrics(metrics, split, &sums, &self.shape);
        Ok(Some(sums.loss / sums.weight))
    }
}

/// A fixed subset of one split, evaluated in chunks.
pub struct EvaluationSet<'a> {
    source: Source<'a>,
    count: u64,
    chunk: u64,
    batch: Batch,
}

enum Source<'a> {
    /// The first examples, as stored.
    Stored(&'a dyn Examples),
    /// The first examples of a random order.
    Drawn(Box<dyn Sampler + 'a>),
}

impl<'a> EvaluationSet<'a> {
    /// The first `at_most` examples of a split in their stored order, `chunk` at a time.
    pub fn stored(examples: &'a dyn Examples, at_most: u64, chunk: u64) -> Self {
        Self {
            count: examples.len().min(at_most),
            chunk: chunk.max(1),
            batch: Batch::empty(examples.shape()),
            source: Source::Stored(examples),
        }
    }

    /// `at_most` examples drawn at random without replacement, the same for every trial of a
    /// study: training sets may be stored class by class. Text, whose windows continue each
    /// other, is taken as stored.
    ///
    /// # Errors
    /// When the split cannot be sampled.
    pub fn drawn(
        examples: &'a dyn Examples,
        at_most: u64,
        chunk: u64,
        study_seed: u64,
    ) -> Result<Self, TrainError> {
        let count = examples.len().min(at_most);
        if count == examples.len() || examples.shape().task == Task::NextToken {
            return Ok(Self::stored(examples, at_most, chunk));
        }
        // No trial has this number, so the subset is no trial's first batch, whatever purpose the
        // sampler draws its order for.
        let key = StreamKey {
            study_seed,
            trial: u64::MAX,
            purpose: Purpose::Subset,
        };
        Ok(Self {
            source: Source::Drawn(examples.sampler(key, count)?),
            count,
            chunk: chunk.max(1),
            batch: Batch::empty(examples.shape()),
        })
    }

    /// Examples in the subset.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// True for a subset of nothing.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The metric sums of the whole subset.
    ///
    /// # Errors
    /// When the network does.
    pub fn measure(&mut self, network: &mut dyn Network) -> Result<MetricSums, TrainError> {
        self.measure_changed(network, &mut |_, _| Ok(()))
    }

    /// The metric sums of the whole subset, each batch of which is changed before it is evaluated.
    ///
    /// # Errors
    /// When the network does, or the change.
    pub(crate) fn measure_changed(
        &mut self,
        network: &mut dyn Network,
        change: &mut dyn FnMut(&mut dyn Network, &mut Batch) -> Result<(), TrainError>,
    ) -> Result<MetricSums, TrainError> {
        let mut sums = MetricSums::default();
        let mut from = 0;
        while from < self.count {
            from = fill(
                &mut self.source,
                from..self.count,
                self.chunk,
                &mut self.batch,
            );
            change(network, &mut self.batch)?;
            sums += network.evaluate(&self.batch)?;
        }
        Ok(sums)
    }

    /// Gives the network's batch norm the statistics of the whole subset, by groups of `ghost` examples.
    ///
    /// # Errors
    /// When the network does.
    pub fn recalibrate(&mut self, network: &mut dyn Network, ghost: u64) -> Result<(), TrainError> {
        let chunk = self.chunk.next_multiple_of(ghost.max(1));
        let mut from = 0;
        let mut next = |batch: &mut Batch| {
            let more = from < self.count;
            if more {
                from = fill(&mut self.source, from..self.count, chunk, batch);
            }
            more
        };
        Ok(network.recalibrate(ghost, &mut next)?)
    }
}

/// Fills a batch with the first `chunk` of these examples; returns the number after the last.
fn fill(source: &mut Source<'_>, from: Range<u64>, chunk: u64, batch: &mut Batch) -> u64 {
    let count = from.end;
    let range = from.start..from.start.saturating_add(chunk).min(count);
    let (first, next) = (range.start, range.end);
    match source {
        Source::Stored(examples) => examples.fill_in_order(range, batch),
        Source::Drawn(sampler) => sampler.fill(StepBatch::constant(0, count), range, batch),
    }
    batch.fresh_streams |= first == 0;
    batch.noise = None;
    next
}

/// The quantities measured on every split for this kind of task.
pub fn quantities(shape: &DataShape) -> &'static [Quantity] {
    match shape.task {
        Task::Classify { .. } => &[Quantity::Loss, Quantity::Error, Quantity::Accuracy],
        Task::Regress { .. } => &[Quantity::Loss],
        Task::NextToken => &[
            Quantity::Loss,
            Quantity::Error,
            Quantity::Accuracy,
            Quantity::Perplexity,
        ],
        Task::Segment { .. } => &[
            Quantity::Loss,
            Quantity::Error,
            Quantity::Accuracy,
            Quantity::MeanIou,
        ],
    }
}

/// Adds the metrics of a split to `metrics`: those that are finite.
pub fn insert_metrics(
    metrics: &mut BTreeMap<Metric, f64>,
    split: Split,
    sums: &MetricSums,
    shape: &DataShape,
) {
    for quantity in quantities(shape) {
        let value = match quantity {
            Quantity::Loss => sums.loss / sums.weight,
            Quantity::Error => sums.errors / sums.weight,
            Quantity::Accuracy => 1.0 - sums.errors / sums.weight,
            // A hopeless loss must not turn into an infinity, which no record could hold.
            Quantity::Perplexity => (sums.loss / sums.weight).exp().min(f64::MAX),
            Quantity::MeanIou => match sums.confusion.as_ref().and_then(Confusion::mean_iou) {
                Some(value) => value,
                None => continue,
            },
            Quantity::Other(_) => continue,
        };
        if value.is_finite() {
            metrics.insert(Metric::new(split, quantity.clone()), value);
        }
    }
}
