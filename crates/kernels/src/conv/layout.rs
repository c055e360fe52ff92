//! Where a channel of a group lies among packed weights.

use super::row::{Run, block_vectors};

/// Columns of the input's gradient that share a stride phase: the kernel columns they meet, as a
/// convolution over the output's gradient.
#[derive(Debug, Clone)]
pub(crate) struct Phase {
    /// Of each weight of a kernel, the weight row that its first output channel has in the phase, if
    /// it takes part; kernel columns go from last to first, the order in which the output's rise.
    pub weight_rows: Vec<Option<usize>>,
    pub runs: Vec<Run>,
    /// Where the phase's weights start, and their number, in the packed backward weights.
    pub weights: std::ops::Range<usize>,
    /// Weight rows of a kernel row.
    pub row_depth: usize,
}

/// Output channels of a group rounded up to whole vectors.
pub(crate) fn padded_channels(channels: usize, lanes: usize) -> usize {
    channels.next_multiple_of(lanes)
}

/// Where channel `channel` of weight row 0 lies in a group's block order, and the row's width.
pub(crate) fn place(channel: usize, channels: usize, lanes: usize, depth: usize) -> (usize, usize) {
    let vectors = channels.div_ceil(lanes);
    // All blocks but the last are two vectors wide.
    let first = channel / lanes / 2 * 2;
    let width = block_vectors(vectors - first) * lanes;
    (first * lanes * depth + channel - first * lanes, width)
}
