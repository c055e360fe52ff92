use serde::{Deserialize, Serialize};

use crate::Blocks;

/// How far each parameter may move, per unit of radius.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Scale {
    /// `|x_i| + 1`, as in Keskar et al. 2016.
    Keskar,
    /// `|x_i| + η`: adaptive sharpness, element by element (ASAM; η = 0.01 there, 0 is exactly
    /// invariant to rescaling).
    Element {
        /// Keeps parameters at 0 from being frozen, and the measure from ignoring them.
        eta: f64,
    },
    /// `‖filter‖ + η` for every parameter of a filter, `|x_i| + η` where there are no filters:
    /// adaptive sharpness, filter by filter (ASAM section 3.1).
    Filter {
        /// As above.
        eta: f64,
    },
}

impl Scale {
    /// The diagonal of `T`: the distance of each parameter per unit of radius.
    ///
    /// ```
    /// use batchscope_landscape::{Blocks, sharpness::Scale};
    /// let blocks = Blocks::whole(2);
    /// assert_eq!(Scale::Keskar.diagonal(&[3.0, -4.0], &blocks), [4.0, 5.0]);
    /// assert_eq!(Scale::Element { eta: 0.5 }.diagonal(&[3.0, -4.0], &blocks), [3.5, 4.5]);
    /// assert_eq!(Scale::Filter { eta: 0.5 }.diagonal(&[3.0, -4.0], &blocks), [5.5, 5.5]);
    /// ```
    pub fn diagonal(&self, x: &[f64], blocks: &Blocks) -> Vec<f64> {
        match *self {
            Scale::Keskar => x.iter().map(|x| x.abs() + 1.0).collect(),
            Scale::Element { eta } => x.iter().map(|x| x.abs() + eta).collect(),
            Scale::Filter { eta } => {
                let mut diagonal: Vec<f64> = x.iter().map(|x| x.abs() + eta).collect();
                for (first, stride, length) in blocks.iter().flat_map(|b| b.filters()) {
                    let members = || (0..length).map(|k| first + k * stride);
                    let norm = members().map(|i| x[i] * x[i]).sum::<f64>().sqrt();
                    members().for_each(|i| diagonal[i] = norm + eta);
                }
                diagonal
            }
        }
    }
}
