//! Running statistics of batch norm between two solutions.

/// A running statistic of batch norm. It is no parameter, and has a rule of its own between two
/// solutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Statistic {
    /// Mean of a channel.
    Mean,
    /// Variance of a channel, not below 0.
    Variance,
}

impl Statistic {
    /// The statistic between that of the small-batch solution, where α is 0, and that of the
    /// large-batch one, where α is 1; exactly these two there, on a curved path too. Means lie on
    /// the straight line; variances on the straight line of their logarithms, on which they stay
    /// above 0 beyond the solutions as well. Where one of two variances is 0, which has no
    /// logarithm, they lie on the straight line as far as it is above 0.
    ///
    /// ```
    /// use batchscope_landscape::slices::Statistic;
    /// assert_eq!(Statistic::Mean.between(2.0, 1.0, 4.0), 7.0);
    /// assert!((Statistic::Variance.between(0.5, 1.0, 4.0) - 2.0).abs() < 1e-12);
    /// assert!((Statistic::Variance.between(-1.0, 1.0, 4.0) - 0.25).abs() < 1e-12);
    /// assert_eq!(Statistic::Variance.between(2.0, 4.0, 0.0), 0.0);
    /// ```
    pub fn between(self, alpha: f64, small: f64, large: f64) -> f64 {
        let line = |small: f64, large: f64| (1.0 - alpha) * small + alpha * large;
        match self {
            _ if alpha == 0.0 => small,
            _ if alpha == 1.0 => large,
            Self::Mean => line(small, large),
            Self::Variance if small > 0.0 && large > 0.0 => line(small.ln(), large.ln()).exp(),
            Self::Variance => line(small, large).max(0.0),
        }
    }
}
