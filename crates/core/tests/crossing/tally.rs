//! Errors of crossings over many simulated runs.

use batchscope_core::EvaluationPlan;

use crate::curve::Curve;

/// One kind of run.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    pub p: f64,
    /// Deviation of the noise, in parts of the target.
    pub sigma: f64,
    pub correlated: bool,
}

impl Cell {
    pub fn kind(&self) -> &'static str {
        match (self.sigma > 0.0, self.correlated) {
            (false, _) => "none",
            (true, false) => "independent",
            (true, true) => "over ten steps",
        }
    }
}

/// Every exponent, amount and kind of noise.
pub fn cells() -> Vec<Cell> {
    let noises = [
        (0.0, false),
        (0.05, false),
        (0.15, false),
        (0.05, true),
        (0.15, true),
    ];
    let of = |(sigma, correlated)| {
        [0.3, 0.6, 1.0].map(|p| Cell {
            p,
            sigma,
            correlated,
        })
    };
    noises.into_iter().flat_map(of).collect()
}

/// Sums over runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    pub n: u64,
    /// Runs in which nothing was found.
    pub lost: u64,
    /// Crossings that are no better known than to lie before an evaluation of the plan.
    pub coarse: u64,
    sum: f64,
    squares: f64,
    trained: f64,
    evaluations: usize,
}

impl Tally {
    /// One run whose crossing was found at `crossing` after training `end` steps.
    pub fn of(curve: &Curve, crossing: f64, end: u64, evaluations: usize, coarse: bool) -> Self {
        let error = (crossing / curve.truth).ln();
        Self {
            n: 1,
            lost: 0,
            coarse: u64::from(coarse),
            sum: error,
            squares: error * error,
            trained: (end as f64 / curve.truth).ln(),
            evaluations,
        }
    }

    fn add(&mut self, other: Option<Self>) {
        match other {
            None => self.lost += 1,
            Some(other) => {
                self.n += 1;
                self.coarse += other.coarse;
                self.sum += other.sum;
                self.squares += other.squares;
                self.trained += other.trained;
                self.evaluations += other.evaluations;
            }
        }
    }

    /// Mean of the log of found to true steps.
    pub fn bias(&self) -> f64 {
        self.sum / self.n as f64
    }

    /// Mean square of that log.
    pub fn mean_square(&self) -> f64 {
        self.squares / self.n as f64
    }

    /// Standard deviation of that log.
    pub fn deviation(&self) -> f64 {
        (self.mean_square() - self.bias().powi(2)).max(0.0).sqrt()
    }

    /// Steps trained, in those of the true crossing (geometric mean).
    pub fn trained(&self) -> f64 {
        (self.trained / self.n as f64).exp()
    }

    /// Evaluations made in a run.
    pub fn evaluations(&self) -> f64 {
        self.evaluations as f64 / self.n as f64
    }
}

/// So many runs of a kind.
pub fn tally(
    cell: &Cell,
    runs: u64,
    plan: &EvaluationPlan,
    find: impl Fn(&Curve, &EvaluationPlan) -> Option<Tally>,
) -> Tally {
    let mut tally = Tally::default();
    for i in 0..runs {
        // Evenly over the decades: a golden-section sequence.
        let part = (i as f64 * 0.618_033_988_749_895).fract();
        let truth = 25.0 * 120f64.powf(part);
        let curve = Curve::new(cell.p, truth, cell.sigma, cell.correlated, i);
        tally.add(find(&curve, plan));
    }
    tally
}
