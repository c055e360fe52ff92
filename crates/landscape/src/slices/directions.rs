use crate::random::{Use, draws};
use crate::{Blocks, LandscapeError};

/// Keeps a filter of zeros from a division by zero (the constant of the paper's authors).
const TINY: f64 = 1e-10;

/// A random normal direction, each filter scaled to the length of the parameters' own:
/// `d ← d·‖w‖/(‖d‖ + 1e-10)`, and zero where there are no filters (biases, normalizations), as in Li
/// et al. 2018. Along it a step of 1 moves every filter by its own length, so that networks whose
/// weights differ in scale can be compared. `index` tells the directions of a seed apart.
///
/// ```
/// use batchscope_landscape::{Block, Blocks, Filters, slices::filter_normalized};
/// let blocks = Blocks::new(vec![
///     Block { name: "weight".into(), range: 0..4, filters: Filters::Rows { count: 2 } },
///     Block { name: "bias".into(), range: 4..6, filters: Filters::None },
/// ])
/// .unwrap();
/// let d = filter_normalized(&blocks, &[3.0, 4.0, 0.0, 0.1, 1.0, 1.0], 7, 0).unwrap();
/// assert!((d[0].hypot(d[1]) - 5.0).abs() < 1e-6 && (d[2].hypot(d[3]) - 0.1).abs() < 1e-6);
/// assert_eq!(d[4..], [0.0, 0.0]);
/// ```
///
/// # Errors
/// When the blocks cover another number of parameters, or `index` is too large.
pub fn filter_normalized(
    blocks: &Blocks,
    x: &[f64],
    seed: u64,
    index: u32,
) -> Result<Vec<f64>, LandscapeError> {
    crate::error::check_length("x", blocks.dimension(), x.len())?;
    if index >= 1 << 20 {
        return Err(LandscapeError::setting(
            "index",
            "choose a direction below 1048576",
        ));
    }
    let mut direction = draws(seed, Use::Direction, u64::from(index), 0).normals(x.len());
    for block in blocks.iter() {
        if block.filters().next().is_none() {
            direction[block.range.clone()].fill(0.0);
        }
        for (first, stride, length) in block.filters() {
            let members = || (0..length).map(|k| first + k * stride);
            let size = |v: &[f64]| members().map(|i| v[i] * v[i]).sum::<f64>().sqrt();
            let factor = size(x) / (size(&direction) + TINY);
            members().for_each(|i| direction[i] *= factor);
        }
    }
    Ok(direction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, Filters};

    #[test]
    fn interleaved_filters_have_their_own_lengths_and_seeds_their_own_directions() {
        let block = Block {
            name: "fc".to_owned(),
            range: 0..6,
            filters: Filters::Columns { count: 2 },
        };
        let blocks = Blocks::new(vec![block]).unwrap();
        let x = [3.0, 0.0, 0.0, 2.0, 4.0, 0.0];
        let d = filter_normalized(&blocks, &x, 1, 0).unwrap();
        let even: f64 = d.iter().step_by(2).map(|d| d * d).sum();
        let odd: f64 = d.iter().skip(1).step_by(2).map(|d| d * d).sum();
        assert!((even - 25.0).abs() < 1e-6 && (odd - 4.0).abs() < 1e-6);
        assert_eq!(d, filter_normalized(&blocks, &x, 1, 0).unwrap());
        assert_ne!(d, filter_normalized(&blocks, &x, 1, 1).unwrap());
        assert_ne!(d, filter_normalized(&blocks, &x, 2, 0).unwrap());
        assert!(filter_normalized(&blocks, &[0.0; 5], 1, 0).is_err());
    }
}
