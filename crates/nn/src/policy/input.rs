use batchscope_core::NetworkError;

use super::{GOAL, PolicySpec};

/// What agents see, a row for each.
#[derive(Debug, Clone, Copy)]
pub struct Observations<'a> {
    /// Depth images, `[rows, resolution, resolution]`, in [0, 1].
    pub depth: &'a [f32],
    /// The goal in polar coordinates, `[rows, 3]`: distance, cosine and sine of its direction.
    pub goal: &'a [f32],
    /// The action before, `[rows]`: 1 for action 0 and so on; 0 for none, at an episode's start.
    pub previous: &'a [u32],
}

/// Some steps of some streams of experience. Rows stand in the order of time: row
/// `t · streams + i` is step `t` of stream `i`.
#[derive(Debug, Clone, Copy)]
pub struct Windows<'a> {
    /// Steps of each stream.
    pub steps: usize,
    /// Streams.
    pub streams: usize,
    /// What was seen at every row.
    pub observations: Observations<'a>,
    /// An episode begins at this row, `[steps · streams]`: the state before it counts as zero.
    pub fresh: &'a [bool],
    /// The state of each stream before its first row, `[streams, state_width]`.
    pub state: &'a [f32],
}

/// What the network says of each row, or the gradient of a loss with respect to it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answers {
    /// Logarithms of the actions' probabilities up to a constant of each row, `[rows, actions]`.
    pub logits: Vec<f32>,
    /// The return expected from here, `[rows]`.
    pub values: Vec<f32>,
}

impl Answers {
    /// Zeros for so many rows.
    pub fn zeros(rows: usize, actions: usize) -> Self {
        Self {
            logits: vec![0.0; rows * actions],
            values: vec![0.0; rows],
        }
    }
}

impl PolicySpec {
    /// Numbers of a stream's state: hidden and cell state of each recurrent layer.
    pub fn state_width(&self) -> usize {
        2 * self.layers * self.hidden
    }

    /// Checks that everything holds `streams` times `steps` rows.
    pub(super) fn check_windows(&self, windows: &Windows) -> Result<(), NetworkError> {
        let Windows {
            steps,
            streams,
            observations,
            fresh,
            state,
        } = *windows;
        let rows = steps.checked_mul(streams).filter(|&rows| rows > 0);
        let rows = rows.ok_or_else(|| {
            self.unfit(format!("{streams} streams of {steps} steps hold no rows"))
        })?;
        let image = self.resolution * self.resolution;
        let lengths = [
            ("depth", observations.depth.len(), rows.checked_mul(image)),
            ("goal", observations.goal.len(), rows.checked_mul(GOAL)),
            ("previous", observations.previous.len(), Some(rows)),
            ("fresh", fresh.len(), Some(rows)),
            (
                "state",
                state.len(),
                streams.checked_mul(self.state_width()),
            ),
        ];
        for (name, found, needed) in lengths {
            if needed != Some(found) {
                let needed = needed.map_or("more than fits".to_owned(), |n| n.to_string());
                return Err(self.unfit(format!(
                    "{streams} streams of {steps} steps need {needed} numbers of {name}, there are {found}"
                )));
            }
        }
        let outside = |&&action: &&u32| action as usize > self.actions;
        match observations.previous.iter().find(outside) {
            Some(action) => Err(self.unfit(format!(
                "previous action {action} is above the {} there are",
                self.actions
            ))),
            None => Ok(()),
        }
    }

    /// Checks that a loss has left its gradient in the shape it was given.
    pub(super) fn check_gradient(
        &self,
        gradient: &Answers,
        rows: usize,
    ) -> Result<(), NetworkError> {
        let Answers { logits, values } = gradient;
        if logits.len() == rows * self.actions && values.len() == rows {
            return Ok(());
        }
        Err(self.unfit(format!(
            "the loss left gradients of {} logits and {} values for {rows} rows",
            logits.len(),
            values.len()
        )))
    }
}
