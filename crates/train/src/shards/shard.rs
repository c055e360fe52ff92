use std::{ops::Range, sync::Arc};

use batchscope_core::{
    Batch, DataShape, Examples, ExamplesError, Purpose, Sampler, StepBatch, StreamKey,
};

use super::shuffle;

/// One replica's part of a training set, as a set of its own.
///
/// Its order is one permutation of its own examples after another, as that of the whole set is, and
/// depends on the key (purpose `Order`) and on the replica. Draws are counted by each replica for
/// itself: batches of two replicas may have the same `first_draw`, and what is keyed by it
/// (augmentation, dropout) is then the same too, unless each replica has a key of its own.
#[derive(Clone)]
pub struct Shard<'a> {
    pub(super) whole: &'a dyn Examples,
    pub(super) indices: Arc<[u64]>,
    pub(super) replica: u64,
}

impl<'a> Shard<'a> {
    /// Its endless training order, as [`Examples::sampler`] gives it, for as long as the whole set is there.
    ///
    /// # Errors
    /// As [`Examples::sampler`].
    pub fn into_sampler(
        self,
        key: StreamKey,
        batch_size: u64,
    ) -> Result<Box<dyn Sampler + 'a>, ExamplesError> {
        match batch_size {
            0 => Err(ExamplesError::BatchOfZero),
            b if b > self.len() => Err(ExamplesError::BatchTooLarge {
                batch_size,
                examples: self.len(),
            }),
            _ => Ok(Box::new(ShardSampler {
                shard: self,
                key: key.with_purpose(Purpose::Order),
                kept: [None, None],
                drawn: Vec::new(),
            })),
        }
    }
}

impl Examples for Shard<'_> {
    fn shape(&self) -> DataShape {
        self.whole.shape()
    }

    fn len(&self) -> u64 {
        self.indices.len() as u64
    }

    fn sampler(
        &self,
        key: StreamKey,
        batch_size: u64,
    ) -> Result<Box<dyn Sampler + '_>, ExamplesError> {
        self.clone().into_sampler(key, batch_size)
    }

    fn fill_in_order(&self, range: Range<u64>, batch: &mut Batch) {
        let end = range.end.min(self.len());
        let start = range.start.min(end);
        let indices = &self.indices[start as usize..end as usize];
        self.whole.fill_these(indices, batch);
        batch.first_draw = start;
    }

    fn fill_these(&self, indices: &[u64], batch: &mut Batch) {
        let of_whole = |&index: &u64| self.indices[index as usize];
        let indices: Vec<u64> = indices.iter().map(of_whole).collect();
        self.whole.fill_these(&indices, batch);
    }
}

/// A fresh permutation of a replica's examples every epoch, windows straddling epochs.
struct ShardSampler<'a> {
    shard: Shard<'a>,
    key: StreamKey,
    /// The last orders used, with their epochs: a window of at most an epoch touches no more.
    kept: [Option<(u64, Vec<u64>)>; 2],
    /// Numbers of the examples in the batch under way.
    drawn: Vec<u64>,
}

impl ShardSampler<'_> {
    /// The replica's examples in the order of `epoch`.
    fn epoch(&mut self, epoch: u64) -> &[u64] {
        let slot = &mut self.kept[(epoch % 2) as usize];
        if slot.as_ref().is_none_or(|(kept, _)| *kept != epoch) {
            // Replicas have 2³² streams each; the first replica's are those of a set that is not
            // shared out.
            let stream = (self.shard.replica << 32).wrapping_add(epoch);
            let mut order = self.shard.indices.to_vec();
            shuffle(&mut order, &mut self.key.stream(stream));
            *slot = Some((epoch, order));
        }
        &slot.as_ref().expect("just filled").1
    }
}

impl Sampler for ShardSampler<'_> {
    fn fill(&mut self, step: StepBatch, positions: Range<u64>, batch: &mut Batch) {
        let end = positions.end.min(step.batch_size);
        let start = positions.start.min(end);
        let (first, n) = (step.first_draw + start, self.shard.len());
        let (mut draw, last) = (first, step.first_draw + end);
        let mut drawn = std::mem::take(&mut self.drawn);
        drawn.clear();
        while draw < last {
            let place = draw % n;
            let run = (last - draw).min(n - place);
            let order = self.epoch(draw / n);
            drawn.extend_from_slice(&order[place as usize..(place + run) as usize]);
            draw += run;
        }
        self.shard.whole.fill_these(&drawn, batch);
        self.drawn = drawn;
        batch.first_position = start;
        batch.first_draw = first;
        batch.noise = Some(self.key.with_purpose(Purpose::Network));
    }
}
