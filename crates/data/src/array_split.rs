//! A split of independent examples: gathered in a reproducible order, and normalized on the way.

use std::ops::Range;
use std::sync::Arc;

use batchscope_core::{
    Batch, DataShape, Examples, ExamplesError, Inputs, Labels, Purpose, Sampler, StepBatch,
    StreamKey, Task, order::EpochOrder,
};

use crate::arrays::{Answers, ArrayPart};
use crate::normalize::Normalization;

/// A split: rows of a part, normalized while they are gathered. Splits cut from the same part share
/// its memory.
pub(crate) struct ArraySplit {
    pub(crate) shape: DataShape,
    pub(crate) part: Arc<ArrayPart>,
    /// Rows of the part in this split's stored order.
    pub(crate) rows: Vec<u32>,
    pub(crate) inputs: Arc<Normalization>,
    /// Standardization of regression targets.
    pub(crate) targets: Option<Arc<Normalization>>,
}

impl ArraySplit {
    /// Labels of an example.
    fn outputs(&self) -> usize {
        match self.shape.task {
            Task::Regress { outputs } => outputs,
            Task::Segment { .. } => self.shape.input.pixels(),
            _ => 1,
        }
    }

    /// Writes the examples with these row numbers of the part to the batch, whose buffers have been
    /// sized for them.
    fn gather(&self, rows: &[u32], batch: &mut Batch) {
        let outputs = self.outputs();
        let Inputs::Values(values) = &mut batch.inputs else {
            unreachable!("sized by `prepare`")
        };
        self.inputs.gather(&self.part.inputs, rows, values);
        for (place, &row) in rows.iter().enumerate() {
            let row = row as usize;
            match (&self.part.answers, &mut batch.labels) {
                (Answers::Classes(classes), Labels::Classes(out)) => out[place] = classes[row],
                (Answers::Values(values), Labels::Values(out)) => {
                    let (from, to) = (
                        &values[row * outputs..(row + 1) * outputs],
                        &mut out[place * outputs..(place + 1) * outputs],
                    );
                    match &self.targets {
                        Some(targets) => targets.floats(from, to),
                        None => to.copy_from_slice(from),
                    }
                }
                (Answers::Masks(masks), Labels::Pixels(out)) => {
                    out[place * outputs..(place + 1) * outputs]
                        .copy_from_slice(&masks[row * outputs..(row + 1) * outputs]);
                }
                _ => unreachable!("labels are sized by `prepare` for the part's answers"),
            }
        }
    }

    /// Sizes the batch for `len` examples, keeping its buffers.
    fn prepare(&self, len: usize, batch: &mut Batch) {
        if batch.shape != self.shape {
            *batch = Batch::empty(self.shape);
        }
        batch.len = len;
        batch.fresh_streams = true;
        if let Inputs::Values(values) = &mut batch.inputs {
            values.resize(len * self.shape.input.len(), 0.0);
        }
        match &mut batch.labels {
            Labels::Classes(classes) => classes.resize(len, 0),
            Labels::Values(values) => values.resize(len * self.outputs(), 0.0),
            Labels::Pixels(pixels) => pixels.resize(len * self.outputs(), 0),
            Labels::Tokens(_) => unreachable!("arrays have no tokens"),
        }
    }

    /// Fills the batch with these rows of the part, in order, as evaluation sees them.
    fn fill_rows(&self, rows: &[u32], first_draw: u64, batch: &mut Batch) {
        self.prepare(rows.len(), batch);
        batch.first_position = 0;
        batch.first_draw = first_draw;
        batch.noise = None;
        self.gather(rows, batch);
    }

    /// The classes of the split's examples, in stored order.
    pub(crate) fn classes(&self) -> Option<impl Iterator<Item = u32> + '_> {
        match &self.part.answers {
            Answers::Classes(classes) => Some(self.rows.iter().map(|&row| classes[row as usize])),
            Answers::Values(_) | Answers::Masks(_) => None,
        }
    }
}

impl Examples for ArraySplit {
    fn shape(&self) -> DataShape {
        self.shape
    }

    fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    fn sampler(
        &self,
        key: StreamKey,
        batch_size: u64,
    ) -> Result<Box<dyn Sampler + '_>, ExamplesError> {
        ExamplesError::check_batch_size(batch_size, self.len())?;
        let key = key.with_purpose(Purpose::Order);
        Ok(Box::new(ArraySampler {
            split: self,
            order: EpochOrder::new(key, self.rows.len() as u32),
            key,
            rows: Vec::new(),
        }))
    }

    fn fill_in_order(&self, range: Range<u64>, batch: &mut Batch) {
        let end = range.end.min(self.len());
        let start = range.start.min(end);
        self.fill_rows(&self.rows[start as usize..end as usize], start, batch);
    }

    fn fill_these(&self, indices: &[u64], batch: &mut Batch) {
        let row = |&index: &u64| self.rows[index as usize];
        let rows: Vec<u32> = indices.iter().map(row).collect();
        self.fill_rows(&rows, 0, batch);
    }
}

struct ArraySampler<'a> {
    split: &'a ArraySplit,
    order: EpochOrder,
    key: StreamKey,
    /// Rows of the part that the batch under way holds.
    rows: Vec<u32>,
}

impl Sampler for ArraySampler<'_> {
    fn fill(&mut self, step: StepBatch, positions: Range<u64>, batch: &mut Batch) {
        let end = positions.end.min(step.batch_size);
        let start = positions.start.min(end);
        let count = end - start;
        let first = step.first_draw + start;
        self.split.prepare(count as usize, batch);
        batch.first_position = start;
        batch.first_draw = first;
        batch.noise = Some(self.key.with_purpose(Purpose::Network));
        let (split, rows) = (self.split, &mut self.rows);
        rows.clear();
        self.order.visit(first, count, |run| {
            rows.extend(run.iter().map(|&place| split.rows[place as usize]));
        });
        split.gather(rows, batch);
    }
}
