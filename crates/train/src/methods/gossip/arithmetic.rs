use num_traits::Float;

/// Which vectors a message is mixed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// None: the replica keeps its own.
    Nothing,
    /// The neighbors', weighted as the graph says.
    Neighbors,
    /// Everybody's, to their mean.
    All,
}

/// One replica's arithmetic of a rule, in single or double precision.
///
/// A step has one round or more. In each, the replica makes a message of what it holds; the messages are mixed; it takes
/// in what comes of it. Between two rounds the parameters stay, and the momentum may change.
pub trait Gossip<F: Float>: Send + Sync {
    /// How the messages of the rounds of a step are mixed, one for each round.
    fn rounds(&self, step: u64) -> &'static [Mix];

    /// Writes the message of a round, as long as the parameters.
    fn message(
        &self,
        round: usize,
        step: u64,
        at: Point<'_, F>,
        momentum: &mut Momentum<F>,
        message: &mut Vec<F>,
    );

    /// Takes in the mixed messages of a round.
    fn receive(
        &self,
        round: usize,
        step: u64,
        mixed: &[F],
        x: &mut [F],
        momentum: &mut Momentum<F>,
    );
}

/// Where a replica stands in a step.
#[derive(Debug, Clone, Copy)]
pub struct Point<'a, F> {
    /// Its parameters, `x`.
    pub x: &'a [F],
    /// Its gradient there, `g`, weight decay included.
    pub g: &'a [F],
    /// The learning rate, `γ`.
    pub gamma: F,
}

/// The momentum of a replica as `u = γ·m`.
#[derive(Debug, Clone)]
pub struct Momentum<F> {
    /// `β`.
    pub beta: F,
    /// `u`.
    pub u: Vec<F>,
    /// The rate that `u` is scaled by.
    pub gamma: F,
}

impl<F: Float> Momentum<F> {
    /// None yet, for so many parameters.
    pub fn new(beta: f64, parameters: usize) -> Self {
        Self {
            beta: number(beta),
            u: vec![F::zero(); parameters],
            gamma: F::zero(),
        }
    }

    /// Scales `u` to the rate of the coming step.
    pub fn begin(&mut self, gamma: F) {
        if gamma != self.gamma {
            let ratio = match self.gamma > F::zero() {
                true => gamma / self.gamma,
                false => F::zero(),
            };
            self.u.iter_mut().for_each(|u| *u = *u * ratio);
            self.gamma = gamma;
        }
    }

    /// `x ← x − u`.
    pub(super) fn step(&self, x: &mut [F]) {
        x.iter_mut().zip(&self.u).for_each(|(x, &u)| *x = *x - u);
    }

    /// `u ← β·u + d`, number by number.
    pub(super) fn add(&mut self, d: impl Iterator<Item = F>) {
        for (u, d) in self.u.iter_mut().zip(d) {
            *u = self.beta * *u + d;
        }
    }
}

/// A number in another precision.
pub(super) fn number<F: Float>(x: f64) -> F {
    F::from(x).unwrap_or_else(F::nan)
}

impl<'a, F: Float> Point<'a, F> {
    /// `γ·g`, number by number.
    pub(super) fn moves(self) -> impl Iterator<Item = F> + 'a {
        let gamma = self.gamma;
        self.g.iter().map(move |&g| gamma * g)
    }
}

/// Fills a message.
pub(super) fn write<F>(message: &mut Vec<F>, values: impl Iterator<Item = F>) {
    message.clear();
    message.extend(values);
}
