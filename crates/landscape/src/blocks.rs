//! The table of layers of a flat vector, and the filters inside them.

use std::ops::Range;

use batchscope_core::{ParameterKind, ParameterLayout};
use serde::{Deserialize, Serialize};

use crate::LandscapeError;

/// How a block's scalars fall into filters (the units whose scale the network can absorb).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filters {
    /// `count` filters one after the other, each contiguous: a kernel `[out, in, height, width]`
    /// has `out` of them, an embedding table one per word.
    Rows {
        /// Number of filters.
        count: usize,
    },
    /// `count` interleaved filters, filter `j` holding every `count`-th scalar from `j`: the
    /// columns (output units) of a matrix `[inputs, outputs]`.
    Columns {
        /// Number of filters.
        count: usize,
    },
    /// No filters: biases and the scales and shifts of normalizations, which directions leave
    /// alone (Li et al. 2018).
    None,
}

/// A named range of the parameter vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Name, such as `conv1.weight`.
    pub name: String,
    /// Where its scalars lie.
    pub range: Range<usize>,
    /// Its filters.
    pub filters: Filters,
}

impl Block {
    /// The positions of each filter's scalars in the whole vector, as (first, stride, length).
    pub fn filters(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let (count, len) = match self.filters {
            Filters::Rows { count } | Filters::Columns { count } => (count, self.range.len()),
            Filters::None => (0, 0),
        };
        (0..count).map(move |j| match self.filters {
            Filters::Columns { .. } => (self.range.start + j, count, len / count),
            _ => (self.range.start + j * (len / count), 1, len / count),
        })
    }
}

/// The blocks of a parameter vector: contiguous, in order, covering it.
///
/// ```
/// use batchscope_landscape::{Block, Blocks, Filters};
/// let blocks = Blocks::new(vec![
///     Block { name: "fc.weight".into(), range: 0..6, filters: Filters::Columns { count: 3 } },
///     Block { name: "fc.bias".into(), range: 6..9, filters: Filters::None },
/// ])
/// .unwrap();
/// assert_eq!(blocks.dimension(), 9);
/// let columns: Vec<_> = blocks.iter().next().unwrap().filters().collect();
/// assert_eq!(columns, [(0, 3, 2), (1, 3, 2), (2, 3, 2)]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocks(Vec<Block>);

impl Blocks {
    /// Checks that the ranges follow each other from 0 and that filters divide their blocks.
    ///
    /// # Errors
    /// Names the block that does not fit.
    pub fn new(blocks: Vec<Block>) -> Result<Self, LandscapeError> {
        let mut next = 0;
        for block in &blocks {
            let (name, range) = (&block.name, &block.range);
            if range.start != next || range.end < range.start {
                return Err(LandscapeError::setting(
                    "blocks",
                    format!("block {name} covers {range:?}, expected it to begin at {next}"),
                ));
            }
            next = range.end;
            if let Filters::Rows { count } | Filters::Columns { count } = block.filters
                && (count == 0 || range.len() % count != 0)
            {
                return Err(LandscapeError::setting(
                    "blocks",
                    format!(
                        "block {name} has {} scalars, not a multiple of its {count} filters",
                        range.len()
                    ),
                ));
            }
        }
        Ok(Self(blocks))
    }

    /// One nameless block that is a single filter.
    pub fn whole(dimension: usize) -> Self {
        Self(vec![Block {
            name: "all".to_owned(),
            range: 0..dimension,
            filters: Filters::Rows { count: 1 },
        }])
    }

    /// The blocks of a network's parameters. Kernels have a filter per output channel, matrices a
    /// filter per output unit (for an LSTM, per unit and gate), embeddings one per word.
    pub fn from_layout(layout: &ParameterLayout) -> Self {
        let mut next = 0;
        let blocks = layout.tensors.iter().map(|tensor| {
            let range = next..next + tensor.len();
            next = range.end;
            let first = tensor.shape.first().copied().unwrap_or(1);
            let last = tensor.shape.last().copied().unwrap_or(1);
            let filters = match tensor.kind {
                _ if range.is_empty() => Filters::None,
                ParameterKind::Matrix => Filters::Columns { count: last },
                ParameterKind::Kernel | ParameterKind::Embedding => Filters::Rows { count: first },
                ParameterKind::Bias | ParameterKind::NormScale | ParameterKind::NormShift => {
                    Filters::None
                }
            };
            Block {
                name: tensor.name.clone(),
                range,
                filters,
            }
        });
        Self(blocks.collect())
    }

    /// Length of the vector they cover.
    pub fn dimension(&self) -> usize {
        self.0.last().map_or(0, |b| b.range.end)
    }

    /// The blocks, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Block> {
        self.0.iter()
    }

    /// The block of this name.
    pub fn get(&self, name: &str) -> Option<&Block> {
        self.0.iter().find(|b| b.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use batchscope_core::ParameterTensor;

    #[test]
    fn a_layout_gives_each_kind_its_filters() {
        let tensor = |name: &str, shape: &[usize], kind| ParameterTensor {
            name: name.to_owned(),
            shape: shape.to_vec(),
            kind,
        };
        let layout = ParameterLayout {
            tensors: vec![
                tensor("conv.weight", &[4, 3, 2, 2], ParameterKind::Kernel),
                tensor("conv.bias", &[4], ParameterKind::Bias),
                tensor("fc.weight", &[5, 2], ParameterKind::Matrix),
            ],
        };
        let blocks = Blocks::from_layout(&layout);
        assert_eq!(blocks.dimension(), layout.parameters());
        assert_eq!(
            Blocks::new(blocks.iter().cloned().collect()).unwrap(),
            blocks
        );
        let kernel: Vec<_> = blocks.get("conv.weight").unwrap().filters().collect();
        assert_eq!(kernel[1], (12, 1, 12));
        let matrix: Vec<_> = blocks.get("fc.weight").unwrap().filters().collect();
        assert_eq!(matrix, [(52, 2, 5), (53, 2, 5)]);
        assert_eq!(blocks.get("conv.bias").unwrap().filters().count(), 0);
    }

    #[test]
    fn gaps_and_ragged_filters_are_refused() {
        let block = |range, filters| Block {
            name: "b".to_owned(),
            range,
            filters,
        };
        assert!(Blocks::new(vec![block(1..3, Filters::None)]).is_err());
        assert!(Blocks::new(vec![block(0..3, Filters::Rows { count: 2 })]).is_err());
        assert!(Blocks::new(vec![block(0..3, Filters::Columns { count: 0 })]).is_err());
    }
}
