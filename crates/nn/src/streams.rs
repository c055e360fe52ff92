use batchscope_core::StateTensor;

/// The hidden states of text streams, on the host: row `p` of each state belongs to the stream at
/// position `p` of the batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams {
    count: usize,
    states: Vec<StreamState>,
}

/// Handle of a hidden state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StateId(usize);

#[derive(Debug, Clone)]
struct StreamState {
    name: String,
    width: usize,
    values: Vec<f32>,
}

impl Streams {
    /// Adds a state of `width` numbers per stream.
    pub(crate) fn add(&mut self, name: String, width: usize) -> StateId {
        self.states.push(StreamState {
            name,
            width,
            values: vec![0.0; self.count * width],
        });
        StateId(self.states.len() - 1)
    }

    /// True for a network without hidden states.
    pub(crate) fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Width of a state.
    pub(crate) fn width(&self, id: StateId) -> usize {
        self.states[id.0].width
    }

    /// Makes room for `count` streams; a change of their number starts all afresh.
    pub(crate) fn resize(&mut self, count: usize) {
        if count != self.count {
            self.count = count;
            for state in &mut self.states {
                state.values.clear();
                state.values.resize(count * state.width, 0.0);
            }
        }
    }

    /// Makes room for at least `count` streams, keeping those there are.
    pub(crate) fn grow(&mut self, count: usize) {
        if count > self.count {
            self.count = count;
            for state in &mut self.states {
                state.values.resize(count * state.width, 0.0);
            }
        }
    }

    /// Zeroes the streams at these positions.
    pub(crate) fn clear(&mut self, first: usize, len: usize) {
        for state in &mut self.states {
            state.values[first * state.width..(first + len) * state.width].fill(0.0);
        }
    }

    /// A state of the streams at these positions, `[len, width]`.
    pub(crate) fn read(&self, id: StateId, first: usize, len: usize) -> &[f32] {
        let state = &self.states[id.0];
        &state.values[first * state.width..(first + len) * state.width]
    }

    /// Replaces a state of the streams from position `first` on.
    pub(crate) fn write(&mut self, id: StateId, first: usize, values: &[f32]) {
        let state = &mut self.states[id.0];
        state.values[first * state.width..][..values.len()].copy_from_slice(values);
    }

    /// Every state of every stream, with the stream's position.
    pub(crate) fn visit(&mut self, visitor: &mut dyn FnMut(u64, &mut [f32])) {
        for state in &mut self.states {
            for (position, values) in state.values.chunks_mut(state.width.max(1)).enumerate() {
                visitor(position as u64, values);
            }
        }
    }

    /// The states for a checkpoint; none before the first step.
    pub(crate) fn export(&self) -> impl Iterator<Item = StateTensor> + '_ {
        self.states
            .iter()
            .filter(|_| self.count > 0)
            .map(|state| StateTensor {
                name: state.name.clone(),
                shape: vec![self.count, state.width],
                values: state.values.clone(),
            })
    }

    /// Names and widths of the states.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.states
            .iter()
            .map(|state| (state.name.as_str(), state.width))
    }

    /// Takes over states, in the order of [`Streams::names`], of `count` streams each.
    pub(crate) fn import(&mut self, count: usize, values: Vec<Vec<f32>>) {
        self.count = count;
        for (state, values) in self.states.iter_mut().zip(values) {
            state.values = values;
        }
    }
}
