//! Mixing matrices, by their weights that are not 0.

use super::{TOLERANCE, TopologyError};

/// A weight and its column.
pub(super) type Entry = (usize, f64);

/// A square matrix of weights. Each row is in the order of its columns and has its diagonal entry.
#[derive(Debug, Clone)]
pub(super) enum Matrix {
    /// Every row is this one. It has an entry for every column: a full matrix of thousands of members takes the memory of
    /// one row.
    Same(Vec<Entry>),
    /// Row i is `entries[starts[i]..starts[i + 1]]`.
    Rows {
        entries: Vec<Entry>,
        starts: Vec<usize>,
    },
}

impl Matrix {
    /// 11ᵀ/n.
    pub(super) fn uniform(members: usize) -> Self {
        let weight = 1.0 / members as f64;
        Self::Same((0..members).map(|column| (column, weight)).collect())
    }

    /// Row i has the weight of each hop at column i + hop, modulo n. The hops are below n, differ, and include 0.
    pub(super) fn circulant(members: usize, hops: &[(usize, f64)]) -> Self {
        Self::of_rows((0..members).map(|row| {
            let entries = hops.iter();
            entries
                .map(|&(hop, weight)| ((row + hop) % members, weight))
                .collect()
        }))
    }

    /// A symmetric matrix with the weight of each edge. What the edges leave of 1 is on the diagonal, and is 0 where they
    /// leave less than nothing.
    pub(super) fn of_edges(members: usize, edges: &[(usize, usize, f64)]) -> Self {
        let mut rows: Vec<Vec<Entry>> = vec![Vec::new(); members];
        for &(a, b, weight) in edges {
            rows[a].push((b, weight));
            rows[b].push((a, weight));
        }
        Self::of_rows(rows.into_iter().enumerate().map(|(member, mut row)| {
            let others = sum(row.iter().map(|(_, weight)| *weight));
            row.push((member, (1.0 - others).max(0.0)));
            row
        }))
    }

    fn of_rows(rows: impl Iterator<Item = Vec<Entry>>) -> Self {
        let (mut entries, mut starts) = (Vec::new(), vec![0]);
        for mut row in rows {
            row.sort_unstable_by_key(|(column, _)| *column);
            entries.append(&mut row);
            starts.push(entries.len());
        }
        Self::Rows { entries, starts }
    }

    /// Number of rows and of columns.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Same(row) => row.len(),
            Self::Rows { starts, .. } => starts.len() - 1,
        }
    }

    /// A row; empty where there is none.
    pub(super) fn row(&self, row: usize) -> &[Entry] {
        match self {
            _ if row >= self.size() => &[],
            Self::Same(entries) => entries,
            Self::Rows { entries, starts } => &entries[starts[row]..starts[row + 1]],
        }
    }

    /// Checks that it is doubly stochastic: no weight negative, every row and column 1 within [`TOLERANCE`].
    ///
    /// The sums carry their rounding errors along, so that long rows do not fail for them.
    pub(super) fn check(&self, step: usize) -> Result<(), TopologyError> {
        let size = self.size();
        let wrong = |of, member, sum| TopologyError::NotDoublyStochastic {
            step,
            of,
            member,
            sum,
        };
        let is_one = |sum: f64| (sum - 1.0).abs() <= TOLERANCE;
        let mut columns = vec![Sum::default(); size];
        // Rows that are all the same are looked at once.
        let (rows, times) = match self {
            Self::Same(_) => (1, size as f64),
            Self::Rows { .. } => (size, 1.0),
        };
        for member in 0..rows {
            let row = self.row(member);
            if row.iter().any(|(_, weight)| !(0.0..=1.0).contains(weight)) {
                return Err(wrong("row", member, f64::NAN));
            }
            let total = sum(row.iter().map(|(_, weight)| *weight));
            if !is_one(total) {
                return Err(wrong("row", member, total));
            }
            for &(column, weight) in row {
                columns[column].add(weight * times);
            }
        }
        let mut totals = columns.iter().map(Sum::value).enumerate();
        match totals.find(|(_, total)| !is_one(*total)) {
            Some((member, total)) => Err(wrong("column", member, total)),
            None => Ok(()),
        }
    }

    /// True if every weight equals, bit for bit, the one across the diagonal.
    pub(super) fn is_symmetric(&self) -> bool {
        if let Self::Same(row) = self {
            return row.iter().all(|(_, weight)| *weight == row[0].1);
        }
        // Rows are looked at in order. So in a symmetric matrix, the entries (j, i) of row j are met in the order of i.
        let mut met = vec![0; self.size()];
        (0..self.size()).all(|i| {
            self.row(i).iter().all(|&(j, weight)| {
                let across = self.row(j).get(met[j]);
                met[j] += 1;
                across == Some(&(i, weight))
            })
        })
    }

    /// The matrix with rows and columns exchanged.
    pub(super) fn transpose(&self) -> Self {
        let mut columns: Vec<Vec<Entry>> = vec![Vec::new(); self.size()];
        for row in 0..self.size() {
            for &(column, weight) in self.row(row) {
                columns[column].push((row, weight));
            }
        }
        Self::of_rows(columns.into_iter())
    }

    /// The hops and weights of the first row, if every row has them, counted from its own column, modulo n.
    pub(super) fn hops(&self) -> Option<&[Entry]> {
        let (size, first) = (self.size(), self.row(0));
        let mut expected: Vec<Entry> = Vec::with_capacity(first.len());
        let is_circulant = (1..size).all(|row| {
            expected.clear();
            let hops = first.iter();
            expected.extend(hops.map(|&(hop, weight)| ((row + hop) % size, weight)));
            // The columns of the first row are in order: those that wrap around are the last, and come first here.
            let wrapped = first.iter().filter(|(hop, _)| row + hop >= size).count();
            expected.rotate_right(wrapped);
            expected == self.row(row)
        });
        is_circulant.then_some(first)
    }
}

/// The sum of numbers, with the rounding errors of its additions added at the end.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let mut sum = Sum::default();
    values.for_each(|value| sum.add(value));
    sum.value()
}

/// A sum that carries its rounding errors along: Neumaier 1974.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    total: f64,
    error: f64,
}

impl Sum {
    pub(super) fn add(&mut self, value: f64) {
        let total = self.total + value;
        self.error += if self.total.abs() >= value.abs() {
            (self.total - total) + value
        } else {
            (value - total) + self.total
        };
        self.total = total;
    }

    pub(super) fn value(&self) -> f64 {
        self.total + self.error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: &[&[Entry]]) -> Matrix {
        Matrix::of_rows(rows.iter().map(|row| row.to_vec()))
    }

    #[test]
    fn what_is_not_doubly_stochastic_is_refused() {
        let refused = |rows: &[&[Entry]]| match matrix(rows).check(3) {
            Err(TopologyError::NotDoublyStochastic {
                step: 3,
                of,
                member,
                sum,
            }) => (of, member, sum.to_string()),
            other => panic!("{other:?}"),
        };
        let halves: &[Entry] = &[(0, 0.5), (1, 0.5)];
        matrix(&[halves, halves]).check(3).unwrap();
        assert_eq!(
            refused(&[halves, &[(0, 0.5), (1, 0.5 + 2e-12)]]),
            ("row", 1, "1.000000000002".to_owned())
        );
        assert_eq!(
            refused(&[&[(0, 1.0), (1, 0.0)], halves]),
            ("column", 0, "1.5".to_owned())
        );
        for wrong in [-0.5, f64::NAN, f64::INFINITY, 1.5] {
            let row: &[Entry] = &[(0, wrong), (1, 1.0 - wrong)];
            assert_eq!(refused(&[row, row]), ("row", 0, "NaN".to_owned()));
        }
        let row = vec![(0, 0.75), (1, 0.25)];
        assert!(Matrix::Same(row).check(0).is_err());
    }

    #[test]
    fn symmetry_and_hops_are_recognized() {
        let symmetric = matrix(&[
            &[(0, 0.75), (1, 0.25)],
            &[(0, 0.25), (1, 0.5), (2, 0.25)],
            &[(1, 0.25), (2, 0.75)],
        ]);
        assert!(symmetric.is_symmetric() && symmetric.hops().is_none());
        let directed = Matrix::circulant(3, &[(0, 0.5), (1, 0.5)]);
        assert!(!directed.is_symmetric());
        assert_eq!(directed.hops().unwrap(), [(0, 0.5), (1, 0.5)]);
        let back = directed.transpose();
        assert_eq!(back.hops().unwrap(), [(0, 0.5), (2, 0.5)]);
        assert_eq!(back.row(0), [(0, 0.5), (2, 0.5)]);
        // A pattern that is symmetric, with weights that are not.
        let uneven = matrix(&[&[(0, 0.5), (1, 0.5)], &[(0, 0.25), (1, 0.75)]]);
        assert!(!uneven.is_symmetric() && uneven.hops().is_none());
        let more = matrix(&[&[(0, 1.0)], &[(0, 0.5), (1, 0.5)]]);
        assert!(!more.is_symmetric());
        for members in [1, 2, 5] {
            let uniform = Matrix::uniform(members);
            assert!(uniform.is_symmetric());
            assert_eq!(uniform.hops().unwrap().len(), members);
        }
    }

    #[test]
    fn sums_carry_their_rounding_errors() {
        assert_eq!(sum([1.0, 1e100, 1.0, -1e100].into_iter()), 2.0);
    }
}
