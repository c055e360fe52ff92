//! Windows of text: parallel streams in training, single windows in evaluation.

use std::ops::Range;
use std::sync::Arc;

use batchscope_core::{
    Batch, DataShape, Examples, ExamplesError, InputShape, Inputs, Labels, Purpose, Sampler,
    StepBatch, StreamKey, Task,
};
use rand_core::Rng;

/// A token stream cut into windows of `sequence` tokens; the label of a token is the one after it.
///
/// *Length.* A window is an example: there are `(tokens − 1)/sequence` of them, whatever the batch size.
///
/// *Training.* In each epoch, the pairs (token, next token) are seen as a circle, turned by a random
/// amount and cut into `B` streams of equal length; each step every stream moves on by one window, and
/// hidden states are carried from step to step. When less than a window is left, the next epoch begins
/// with fresh states. The turn makes seeds differ from the first step on, and lets what was cut off at
/// the end of a stream be seen in another epoch.
///
/// *Evaluation.* Every window is predicted from a zero state, so that the loss of a window, and of any
/// range of windows, does not depend on how the range is cut into batches. (Carrying states on would
/// make it depend on that, or force one cut on all callers; the price is a perplexity a little above the
/// customary one, the same for all batch sizes.) Windows are stored in a random order, like the examples
/// of all splits, so that the first thousand are a fair sample of the text.
pub(crate) struct TextSplit {
    tokens: Arc<[u32]>,
    sequence: usize,
    vocabulary: usize,
    /// Windows in stored order.
    windows: Vec<u32>,
}

impl TextSplit {
    /// A split of at least `sequence + 1` tokens; `order` holds each of its windows once.
    pub(crate) fn new(
        tokens: Vec<u32>,
        sequence: usize,
        vocabulary: usize,
        windows: Vec<u32>,
    ) -> Self {
        debug_assert_eq!((tokens.len() - 1) / sequence, windows.len());
        Self {
            tokens: tokens.into(),
            sequence,
            vocabulary,
            windows,
        }
    }

    /// The tokens, in the order of the text.
    pub(crate) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Distinct tokens.
    pub(crate) fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn prepare(&self, batch: &mut Batch) {
        if batch.shape != self.shape() {
            *batch = Batch::empty(self.shape());
        }
        batch.len = 0;
        if let (Inputs::Tokens(inputs), Labels::Tokens(labels)) =
            (&mut batch.inputs, &mut batch.labels)
        {
            inputs.clear();
            labels.clear();
        }
    }

    /// Appends the window whose first pair is `start` on the circle of pairs.
    fn append(&self, start: usize, batch: &mut Batch) {
        let pairs = self.tokens.len() - 1;
        let (Inputs::Tokens(inputs), Labels::Tokens(labels)) =
            (&mut batch.inputs, &mut batch.labels)
        else {
            unreachable!("`prepare` made token buffers")
        };
        let (mut at, mut left) = (start % pairs, self.sequence);
        while left > 0 {
            let run = left.min(pairs - at);
            inputs.extend_from_slice(&self.tokens[at..at + run]);
            labels.extend_from_slice(&self.tokens[at + 1..at + run + 1]);
            left -= run;
            at = 0;
        }
        batch.len += 1;
    }

    /// Fills the batch with these windows, in order, each from a zero state.
    fn fill_windows(&self, windows: impl Iterator<Item = u32>, first_draw: u64, batch: &mut Batch) {
        self.prepare(batch);
        for window in windows {
            self.append(window as usize * self.sequence, batch);
        }
        batch.first_position = 0;
        batch.first_draw = first_draw;
        batch.fresh_streams = true;
        batch.noise = None;
    }
}

impl Examples for TextSplit {
    fn shape(&self) -> DataShape {
        let input = InputShape::Tokens {
            sequence: self.sequence,
            vocabulary: self.vocabulary,
        };
        DataShape {
            input,
            task: Task::NextToken,
        }
    }

    fn len(&self) -> u64 {
        self.windows.len() as u64
    }

    fn sampler(
        &self,
        key: StreamKey,
        batch_size: u64,
    ) -> Result<Box<dyn Sampler + '_>, ExamplesError> {
        // B streams of at least a window each: pairs/B ≥ sequence exactly when B ≤ len.
        ExamplesError::check_batch_size(batch_size, self.len())?;
        let length = (self.tokens.len() as u64 - 1) / batch_size;
        let steps = length / self.sequence as u64;
        let key = key.with_purpose(Purpose::Order);
        Ok(Box::new(TextSampler {
            split: self,
            key,
            batch_size,
            length,
            steps,
            turn: None,
        }))
    }

    fn fill_in_order(&self, range: Range<u64>, batch: &mut Batch) {
        let end = range.end.min(self.len());
        let start = range.start.min(end);
        let windows = &self.windows[start as usize..end as usize];
        self.fill_windows(windows.iter().copied(), start, batch);
    }

    fn fill_these(&self, indices: &[u64], batch: &mut Batch) {
        let windows = indices.iter().map(|&index| self.windows[index as usize]);
        self.fill_windows(windows, 0, batch);
    }
}

struct TextSampler<'a> {
    split: &'a TextSplit,
    key: StreamKey,
    batch_size: u64,
    /// Pairs in a stream.
    length: u64,
    /// Whole windows in a stream: steps of an epoch.
    steps: u64,
    /// The turn of the circle in the epoch last used.
    turn: Option<(u64, u64)>,
}

impl TextSampler<'_> {
    fn turn(&mut self, epoch: u64) -> u64 {
        match self.turn {
            Some((known, turn)) if known == epoch => turn,
            _ => {
                let pairs = self.split.tokens.len() as u64 - 1;
                // 128 random bits below a 64-bit bound: the bias is below 2^-64.
                let mut rng = self.key.stream(epoch);
                let wide = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
                let turn = (wide % u128::from(pairs)) as u64;
                self.turn = Some((epoch, turn));
                turn
            }
        }
    }
}

impl Sampler for TextSampler<'_> {
    fn fill(&mut self, step: StepBatch, positions: Range<u64>, batch: &mut Batch) {
        self.split.prepare(batch);
        let (epoch, time) = (step.step / self.steps, step.step % self.steps);
        let turn = self.turn(epoch);
        let end = positions.end.min(self.batch_size);
        let start = positions.start.min(end);
        for stream in start..end {
            let first = turn + stream * self.length + time * self.split.sequence as u64;
            self.split.append(first as usize, batch);
        }
        batch.first_position = start;
        batch.first_draw = step.first_draw + start;
        batch.fresh_streams = time == 0;
        batch.noise = Some(self.key.with_purpose(Purpose::Network));
    }

    fn only_batch_size(&self) -> Option<u64> {
        Some(self.batch_size)
    }
}
