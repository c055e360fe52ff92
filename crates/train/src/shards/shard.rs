use std::{ops::Range, sync::Arc};

use batchscope_core::{
    Batch, DataShape, Examples, ExamplesError, Purpose, Sampler, StepBatch, StreamKey,
    order::EpochOrder,
};

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
        ExamplesError::check_batch_size(batch_size, self.len())?;
        let key = key.with_purpose(Purpose::Order);
        // Replicas have 2³² streams each; the first replica's are those of a set that is not shared out.
        let order = EpochOrder::from_stream(key, self.replica << 32, self.len() as u32);
        Ok(Box::new(ShardSampler {
            shard: self,
            key,
            order,
            drawn: Vec::new(),
        }))
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
    /// Places among its own examples.
    order: EpochOrder,
    /// Numbers of the examples in the batch under way.
    drawn: Vec<u64>,
}

impl Sampler for ShardSampler<'_> {
    fn fill(&mut self, step: StepBatch, positions: Range<u64>, batch: &mut Batch) {
        let end = positions.end.min(step.batch_size);
        let start = positions.start.min(end);
        let first = step.first_draw + start;
        let (indices, drawn) = (&self.shard.indices, &mut self.drawn);
        drawn.clear();
        self.order.visit(first, end - start, |run| {
            drawn.extend(run.iter().map(|&place| indices[place as usize]));
        });
        self.shard.whole.fill_these(drawn, batch);
        batch.first_position = start;
        batch.first_draw = first;
        batch.noise = Some(self.key.with_purpose(Purpose::Network));
    }
}
