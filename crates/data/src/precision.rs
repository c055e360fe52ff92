//! Columns that single precision would flatten: numbers far from zero that differ little, such as
//! Unix times. They are read in double precision and lose an offset before they are rounded.

/// Largest share of a column's standard deviation that rounding may take.
const TOLERANCE: f64 = 1e-3;

/// What rounding would do to the columns of some rows.
#[derive(Debug, Clone)]
pub(crate) struct Rounding(Vec<Column>);

/// Sums over a column, about its first value: no cancellation far from zero.
#[derive(Debug, Clone, Copy, Default)]
struct Column {
    count: u64,
    first: f64,
    sum: f64,
    squares: f64,
    /// Sum of the squares of what rounding takes from a value.
    lost: f64,
    largest: f64,
}

impl Rounding {
    /// Of so many columns.
    pub(crate) fn new(columns: usize) -> Self {
        Self(vec![Column::default(); columns])
    }

    /// The rounding of values that belong to `columns` columns in turn.
    pub(crate) fn of(values: impl Iterator<Item = f64>, columns: usize) -> Self {
        let mut rounding = Self::new(columns);
        for (i, value) in values.enumerate() {
            rounding.add(i % columns, value);
        }
        rounding
    }

    /// Takes a value of a column into account.
    pub(crate) fn add(&mut self, column: usize, value: f64) {
        let column = &mut self.0[column];
        if column.count == 0 {
            column.first = value;
        }
        let gap = value - column.first;
        let lost = value - f64::from(value as f32);
        column.count += 1;
        column.sum += gap;
        column.squares += gap * gap;
        column.lost += lost * lost;
        column.largest = column.largest.max(value.abs());
    }

    /// What to take off each column before it is rounded; empty where single precision does for all.
    ///
    /// A column gets an offset, its mean rounded to single precision, where rounding takes more than
    /// [`TOLERANCE`] of its standard deviation from its values (root mean square) or from its mean,
    /// and where double precision holds the deviation to that tolerance.
    pub(crate) fn offsets(&self) -> Vec<f64> {
        let offsets: Vec<f64> = self.0.iter().map(Column::offset).collect();
        if offsets.iter().any(|&offset| offset != 0.0) {
            offsets
        } else {
            Vec::new()
        }
    }
}

impl Column {
    fn offset(&self) -> f64 {
        let n = self.count.max(1) as f64;
        let gap = self.sum / n;
        let mean = self.first + gap;
        let rounded = f64::from(mean as f32);
        let deviation = (self.squares / n - gap * gap).max(0.0).sqrt();
        let lost = (self.lost / n).sqrt().max((mean - rounded).abs());
        let held = deviation * TOLERANCE > self.largest * f64::EPSILON / 2.0;
        if lost > TOLERANCE * deviation && held && rounded.is_finite() {
            rounded
        } else {
            0.0
        }
    }
}

/// Rounds values of `offsets.len()` columns in turn to distances from the offsets; none are taken off
/// where there are no offsets.
pub(crate) fn round(values: impl Iterator<Item = f64>, offsets: &[f64]) -> Vec<f32> {
    if offsets.is_empty() {
        return values.map(|x| x as f32).collect();
    }
    let offsets = offsets.iter().cycle();
    values
        .zip(offsets)
        .map(|(x, offset)| (x - offset) as f32)
        .collect()
}

/// How a note names what was done.
pub(crate) fn note(what: &str, offset: f64) -> String {
    format!(
        "{what}: {offset} is taken off before rounding, because single precision would lose more than \
         {TOLERANCE} of its standard deviation"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(values: &[f64]) -> Vec<f64> {
        Rounding::of(values.iter().copied(), 1).offsets()
    }

    #[test]
    fn only_what_single_precision_flattens_gets_an_offset() {
        assert_eq!(offsets(&[1.7e9 + 0.25, 1.7e9 + 59.5]), [1.7e9]);
        assert_eq!(
            offsets(&[16_777_216.0, 16_777_217.0, 16_777_220.0]).len(),
            1
        );
        for right in [
            &[0.1, 0.7, -3.25][..],
            &[1e6, 1e6 + 100.0],
            &[7.1; 5],              // constant: nothing varies
            &[0.3, 0.1 + 0.2, 0.3], // noise of double precision
            &[1e-30, 2e-30],
            &[],
        ] {
            assert_eq!(offsets(right), Vec::<f64>::new(), "{right:?}");
        }
    }

    #[test]
    fn distances_are_exact_where_the_values_were() {
        let values = [1.7e9 + 0.25, 1.7e9 + 59.5];
        let rounded = round(values.into_iter(), &offsets(&values));
        assert_eq!(rounded, [0.25, 59.5]);
    }
}
