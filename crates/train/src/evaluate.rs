//! Evaluation: the metrics of fixed subsets of the splits.

use std::{collections::BTreeMap, ops::Range};

use batchscope_core::{
    Batch, Confusion, DataShape, EvaluationCost, Examples, Group, Metric, MetricSums, Network,
    Purpose, Quantity, Sampler, Split, StepBatch, StreamKey, Target, Task,
};

use crate::{TrainError, update::sum_in_order};

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
    /// When the network or the group does.
    pub fn measure(
        &mut self,
        split: Split,
        network: &mut dyn Network,
        group: &dyn Group,
        metrics: &mut BTreeMap<Metric, f64>,
    ) -> Result<Option<f64>, TrainError> {
        let set = match split {
            Split::Train => Some(&mut self.train),
            Split::Val => self.validation.as_mut(),
            Split::Test => self.test.as_mut(),
        };
        let Some(set) = set else { return Ok(None) };
        let sums = set.measure(network, group)?;
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

    /// The metric sums of the whole subset, the same to the bit in groups of every size.
    ///
    /// # Errors
    /// When the network or the group does.
    pub fn measure(
        &mut self,
        network: &mut dyn Network,
        group: &dyn Group,
    ) -> Result<MetricSums, TrainError> {
        self.measure_changed(network, group, &mut |_, _| Ok(()))
    }

    /// The metric sums of the whole subset, each batch of which is changed before it is evaluated. The members of a group,
    /// whose networks must be equal, share the batches; those of a text, each of which goes on where the one before it
    /// ended, are evaluated by every member.
    ///
    /// # Errors
    /// When the network or the group does, or the change.
    pub(crate) fn measure_changed(
        &mut self,
        network: &mut dyn Network,
        group: &dyn Group,
        change: &mut dyn FnMut(&mut dyn Network, &mut Batch) -> Result<(), TrainError>,
    ) -> Result<MetricSums, TrainError> {
        let size = match self.batch.shape.task {
            Task::NextToken => 1,
            _ => group.size() as u64,
        };
        let rank = group.rank() as u64 % size;
        let chunks = self.count.div_ceil(self.chunk);
        let mut mine = Vec::new();
        for number in (0..chunks).filter(|number| number % size == rank) {
            let from = number * self.chunk;
            fill(
                &mut self.source,
                from..self.count,
                self.chunk,
                &mut self.batch,
            );
            change(network, &mut self.batch)?;
            mine.push(network.evaluate(&self.batch)?);
        }
        let in_order = match size {
            1 => mine,
            _ => shared_out(&mine, chunks, group)?,
        };
        let mut sums = MetricSums::default();
        in_order.into_iter().for_each(|chunk| sums += chunk);
        Ok(sums)
    }

    /// Gives the network's batch norm the statistics of the whole subset, by groups of `ghost` examples. The members of a
    /// group, whose networks must be equal, share the examples.
    ///
    /// # Errors
    /// When the network or the group does.
    pub fn recalibrate(
        &mut self,
        network: &mut dyn Network,
        ghost: u64,
        group: &dyn Group,
    ) -> Result<(), TrainError> {
        let chunk = self.chunk.next_multiple_of(ghost.max(1));
        let (size, mut number) = (group.size() as u64, group.rank() as u64);
        let mut next = |batch: &mut Batch| {
            let from = number * chunk;
            let more = from < self.count;
            if more {
                fill(&mut self.source, from..self.count, chunk, batch);
                number += size;
            }
            more
        };
        let mut exchanged = Ok(());
        let mut sum = |sums: &mut [f64]| {
            exchanged = sum_in_order(group, sums);
        };
        network.recalibrate(ghost, &mut next, &mut sum)?;
        Ok(exchanged?)
    }
}

/// The sums of all chunks in their order, of which the members of a group have taken one after the other in turn.
fn shared_out(
    mine: &[MetricSums],
    chunks: u64,
    group: &dyn Group,
) -> Result<Vec<MetricSums>, TrainError> {
    // A member without a chunk does not know how long one is.
    let lengths = group.all_gather(&[mine.first().map_or(0, |s| s.numbers().len()) as f64])?;
    let each = lengths.iter().fold(0.0f64, |most, &len| most.max(len)) as usize;
    let rows = chunks.div_ceil(group.size() as u64) as usize;
    let mut numbers: Vec<f64> = mine.iter().flat_map(MetricSums::numbers).collect();
    numbers.resize(rows * each, 0.0);
    let all = group.all_gather(&numbers)?;
    let place = |number: usize| (number % group.size()) * rows + number / group.size();
    (0..chunks as usize)
        .map(|number| {
            let of_chunk = &all[place(number) * each..][..each];
            MetricSums::from_numbers(of_chunk)
                .ok_or_else(|| TrainError::Bug("the replicas evaluate different things".to_owned()))
        })
        .collect()
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
