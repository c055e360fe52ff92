//! Decentralized rules: their arithmetic in double precision against closed forms, and runs of replicas on threads.

mod common;

use batchscope_core::statistics::NormalDraws;
use std::collections::BTreeMap;

use batchscope_core::{
    Batch, Choice, Metric, Outcome, Purpose, Schedule, Solo, Split, StepBatch, StreamKey, Trainer,
    TrainerError, TrialPurpose, TrialRecord, TrialSpec, Value,
};
use batchscope_group::topology::{TOPOLOGIES, Topology};
use batchscope_train::{
    BuiltIn, EvaluationSet, Shards, class_labels,
    gossip::{
        DaDmSgd, DecentLam, DmSgd, Dsgd, Gossip, LocalSgd, Mix, Momentum, PmSgd, Point,
        PostLocalSgd, QgDmSgd,
    },
    insert_metrics, read_measurements, read_methods,
    testing::TinyFactory,
};
use common::*;
use nalgebra::{DMatrix, DVector};

/// Parameters of each replica's problem.
const D: usize = 3;

fn topology(name: &str, members: usize) -> Topology {
    Topology::new(&TOPOLOGIES.read(name).unwrap().1, members).unwrap()
}

/// Least squares `f_i(x) = ½·xᵀH_i x − c_iᵀx` of replicas whose data differ, with `‖H_i‖ ≤ 1`.
struct Problem {
    hessians: Vec<DMatrix<f64>>,
    slopes: Vec<DVector<f64>>,
}

impl Problem {
    fn new(replicas: usize) -> Self {
        let key = StreamKey {
            study_seed: 3,
            trial: 0,
            purpose: Purpose::Subset,
        };
        let mut draws = NormalDraws::new(key.stream(0));
        let (mut hessians, mut slopes) = (Vec::new(), Vec::new());
        for _ in 0..replicas {
            let a = DMatrix::from_fn(2 * D, D, |_, _| draws.normal());
            let h = a.transpose() * a;
            let norm = h.norm();
            hessians.push(h / norm);
            slopes.push(DVector::from_fn(D, |_, _| draws.normal()));
        }
        Self { hessians, slopes }
    }

    fn replicas(&self) -> usize {
        self.slopes.len()
    }

    fn gradient(&self, replica: usize, x: &[f64]) -> Vec<f64> {
        let x = DVector::from_column_slice(x);
        let g = &self.hessians[replica] * x - &self.slopes[replica];
        g.as_slice().to_vec()
    }

    /// The minimum of the mean.
    fn solution(&self) -> DVector<f64> {
        let h = self
            .hessians
            .iter()
            .fold(DMatrix::zeros(D, D), |sum, h| sum + h);
        let c = self.slopes.iter().fold(DVector::zeros(D), |sum, c| sum + c);
        h.lu().solve(&c).unwrap()
    }

    /// The fixed point of decentralized descent at a rate, `X = W(X − γ∇f(X))`: all replicas' parameters, one after the
    /// other.
    fn fixed_point(&self, topology: &Topology, gamma: f64) -> DVector<f64> {
        let n = self.replicas();
        let mut w = DMatrix::zeros(n * D, n * D);
        for i in 0..n {
            for &(j, weight) in topology.weights(0, i) {
                for k in 0..D {
                    w[(i * D + k, j * D + k)] = weight;
                }
            }
        }
        let mut h = DMatrix::zeros(n * D, n * D);
        let mut c = DVector::zeros(n * D);
        for i in 0..n {
            h.view_mut((i * D, i * D), (D, D))
                .copy_from(&self.hessians[i]);
            c.rows_mut(i * D, D).copy_from(&self.slopes[i]);
        }
        let one = DMatrix::identity(n * D, n * D);
        let left = &one - &w * (&one - gamma * h);
        left.lu().solve(&(gamma * w * c)).unwrap()
    }

    /// Squared distance of the replicas from the solution, summed over them.
    fn squared_bias(&self, x: &DVector<f64>) -> f64 {
        let solution = self.solution();
        (0..self.replicas())
            .map(|i| (x.rows(i * D, D) - &solution).norm_squared())
            .sum()
    }

    /// All replicas' parameters after so many steps from 0.
    fn run(
        &self,
        rule: &dyn Gossip<f64>,
        topology: &Topology,
        gamma: f64,
        beta: f64,
        steps: u64,
    ) -> DVector<f64> {
        let n = self.replicas();
        let mut xs = vec![vec![0.0; D]; n];
        let mut momenta = vec![Momentum::new(beta, D); n];
        for step in 0..steps {
            let gradients: Vec<_> = (0..n).map(|i| self.gradient(i, &xs[i])).collect();
            momenta.iter_mut().for_each(|m| m.begin(gamma));
            for (round, mix) in rule.rounds(step).iter().enumerate() {
                let mut messages = vec![Vec::new(); n];
                for i in 0..n {
                    let at = Point {
                        x: &xs[i],
                        g: &gradients[i],
                        gamma,
                    };
                    rule.message(round, step, at, &mut momenta[i], &mut messages[i]);
                }
                for i in 0..n {
                    let mean: Vec<(usize, f64)> = (0..n).map(|j| (j, 1.0 / n as f64)).collect();
                    let weights = match mix {
                        Mix::Nothing => &[(i, 1.0)],
                        Mix::All => &mean[..],
                        Mix::Neighbors => topology.weights(step, i),
                    };
                    let mixed: Vec<f64> = (0..D)
                        .map(|k| weights.iter().map(|&(j, w)| w * messages[j][k]).sum())
                        .collect();
                    rule.receive(round, step, &mixed, &mut xs[i], &mut momenta[i]);
                }
            }
        }
        DVector::from_vec(xs.concat())
    }
}

const GRAPHS: [&str; 6] = [
    "ring",
    "grid",
    "exponential",
    "symmetric-exponential",
    "star",
    "full",
];

#[test]
fn fixed_points_are_those_of_decentralized_descent_at_each_rule_s_rate() {
    let problem = Problem::new(6);
    let (gamma, beta) = (0.05, 0.8);
    let own: [(&str, &dyn Gossip<f64>, f64); 4] = [
        ("dsgd", &Dsgd, gamma),
        ("decentlam", &DecentLam, gamma),
        ("qg-dmsgd", &QgDmSgd, gamma),
        ("dmsgd", &DmSgd, gamma / (1.0 - beta)),
    ];
    for graph in GRAPHS {
        let topology = topology(graph, 6);
        for (name, rule, rate) in own {
            // Of graphs that are not symmetric it is refused.
            if name == "decentlam" && !topology.is_symmetric() {
                continue;
            }
            let found = problem.run(rule, &topology, gamma, beta, 60_000);
            let expected = problem.fixed_point(&topology, rate);
            let error = (&found - &expected).amax();
            assert!(error < 1e-8, "{name} on {graph}: {error:e}");
        }
    }
}

#[test]
fn momentum_multiplies_the_squared_bias_by_the_square_of_what_it_multiplies_the_rate_by() {
    let problem = Problem::new(8);
    for graph in ["ring", "symmetric-exponential"] {
        let topology = topology(graph, 8);
        let gap = topology.spectral_gap().unwrap();
        for beta in [0.8, 0.9] {
            // The rate at which the law is claimed, ‖H‖ ≤ 1: γL/((1 − β)(1 − ρ)) ≤ 0.02.
            let gamma = 0.02 * (1.0 - beta) * gap;
            let steps = (400.0 / gamma) as u64;
            let bias = |rule: &dyn Gossip<f64>| {
                problem.squared_bias(&problem.run(rule, &topology, gamma, beta, steps))
            };
            let ratio = bias(&DmSgd) / bias(&DecentLam);
            let expected = 1.0 / (1.0f64 - beta).powi(2);
            assert!(
                (ratio / expected - 1.0).abs() < 0.1,
                "{graph}, momentum {beta}: {ratio} instead of {expected}"
            );
        }
    }
}

#[test]
fn on_a_full_graph_every_rule_is_its_centralized_form() {
    let problem = Problem::new(5);
    let full = topology("full", 5);
    let (gamma, beta) = (0.1, 0.7);
    // Momentum descent on the mean, from 0.
    let central = |beta: f64, damped: bool, steps: u64| {
        let (mut x, mut m) = (DVector::zeros(D), DVector::<f64>::zeros(D));
        for _ in 0..steps {
            let g = (0..5)
                .map(|i| DVector::from_vec(problem.gradient(i, x.as_slice())))
                .fold(DVector::zeros(D), |sum, g| sum + g)
                / 5.0;
            let direction = beta * &m + &g;
            x -= gamma * &direction;
            // Quasi-global momentum is the mean of the directions.
            m = match damped {
                true => beta * &m + (1.0 - beta) * direction,
                false => direction,
            };
        }
        x
    };
    let rules: [(&str, &dyn Gossip<f64>, f64, bool); 7] = [
        ("pmsgd", &PmSgd, beta, false),
        ("dsgd", &Dsgd, 0.0, false),
        ("dmsgd", &DmSgd, beta, false),
        ("da-dmsgd", &DaDmSgd, beta, false),
        ("decentlam", &DecentLam, beta, false),
        ("local-sgd", &LocalSgd { period: 1 }, beta, false),
        ("qg-dmsgd", &QgDmSgd, beta, true),
    ];
    for (name, rule, beta, damped) in rules {
        for steps in [1, 2, 30] {
            let found = problem.run(rule, &full, gamma, beta, steps);
            let expected = central(beta, damped, steps);
            // A replica's momentum is its own in dmsgd and local-sgd, and their means are those of the center.
            let mean = (0..5).fold(DVector::zeros(D), |sum, i| sum + found.rows(i * D, D)) / 5.0;
            let error = (mean - &expected).amax();
            assert!(error < 1e-12, "{name} after {steps}: {error:e}");
            for i in 0..5 {
                let error = (found.rows(i * D, D) - &expected).amax();
                assert!(
                    error < 1e-12,
                    "{name}, replica {i} after {steps}: {error:e}"
                );
            }
        }
    }
}

#[test]
fn local_steps_are_averaged_when_they_are_due() {
    let problem = Problem::new(4);
    let full = topology("full", 4);
    let apart = |x: &DVector<f64>| (0..4).any(|i| x.rows(i * D, D) != x.rows(0, D));
    let local = LocalSgd { period: 3 };
    let post = PostLocalSgd { after: 4, local };
    for (steps, local_apart, post_apart) in [
        (1, true, false),
        (3, false, false),
        (4, true, false),
        (5, true, true),
        (6, false, true),
        (7, true, false),
    ] {
        let run = |rule| problem.run(rule, &full, 0.1, 0.9, steps);
        assert_eq!(apart(&run(&local)), local_apart, "local-sgd after {steps}");
        assert_eq!(
            apart(&run(&post)),
            post_apart,
            "post-local-sgd after {steps}"
        );
    }
    assert_eq!(
        problem.run(&PostLocalSgd { after: 9, local }, &full, 0.1, 0.9, 9),
        problem.run(&PmSgd, &full, 0.1, 0.9, 9)
    );
}

#[test]
fn momentum_follows_the_rate() {
    let mut momentum = Momentum::<f64>::new(0.5, 1);
    momentum.begin(0.1);
    momentum.u[0] = 0.2;
    momentum.begin(0.05);
    assert_eq!(momentum.u, [0.1]);
    momentum.begin(0.0);
    momentum.begin(0.1);
    assert_eq!(momentum.u, [0.0]);
}

fn sgd(momentum: f64) -> Choice {
    Choice::new(
        "sgd",
        [
            ("momentum", Value::from(momentum)),
            ("nesterov", Value::from(false)),
            ("weight_decay", Value::from(1e-3)),
        ],
    )
}

/// A run of a method for so many steps.
fn decentralized(method: &str, cap: u64) -> TrialSpec {
    let momentum = if method.starts_with("dsgd") { 0.0 } else { 0.9 };
    TrialSpec {
        methods: read_methods(method).unwrap(),
        batch_size: 32,
        learning_rate: 0.05,
        schedule: Schedule::constant(),
        optimizer: sgd(momentum),
        purpose: TrialPurpose::Single,
        cap,
        ..spec()
    }
}

const METHODS: [&str; 10] = [
    "pmsgd(4)",
    "dsgd(4, exponential)",
    "dmsgd(4)",
    "dmsgd(4, one-peer, dirichlet=0.1)",
    "da-dmsgd(4, star)",
    "qg-dmsgd(4, grid)",
    "decentlam(4)",
    "decentlam(4, full, dirichlet=0.1)",
    "local-sgd(4, period=3)",
    "post-local-sgd(6, 4, period=2)",
];

fn trainer(factory: TinyFactory) -> BuiltIn {
    BuiltIn::new(config(factory, classes())).unwrap()
}

fn normalized() -> TinyFactory {
    TinyFactory {
        ghost: Some(4),
        dropout: 0.2,
        ..TinyFactory::default()
    }
}

fn metric(record: &TrialRecord, name: &str) -> f64 {
    let metric: Metric = name.parse().unwrap();
    record.measurements.last().unwrap().metrics[&metric]
}

#[test]
fn every_rule_trains_and_says_what_it_did() {
    let trainer = trainer(normalized());
    for method in METHODS {
        let record = run(&trainer, &decentralized(method, 150));
        assert_eq!(record.outcome, Outcome::Completed { step: 150 }, "{method}");
        let first = record.measurements[0].metrics[&"val-loss".parse::<Metric>().unwrap()];
        assert!(metric(&record, "val-loss") < 0.8 * first, "{method}");
        let apart = metric(&record, "train-consensus");
        let together = method.starts_with("pmsgd") || method.starts_with("post-local-sgd");
        // 150 is a multiple of the periods: the replicas have just been averaged. A full graph averages at every step.
        let averaged = together || method.contains("full") || method.starts_with("local-sgd");
        assert_eq!(apart < 1e-5, averaged, "{method}: {apart}");
        assert!(
            record.notes[0].contains("4 replicas, each of which sends"),
            "{:?}",
            record.notes
        );
        assert!(
            record.notes[1].contains("training examples of its own"),
            "{:?}",
            record.notes
        );
        let warned = record.notes.iter().any(|note| note.contains("batch norm"));
        assert_eq!(warned, method.contains("dirichlet"), "{:?}", record.notes);
        let again = run(&trainer, &decentralized(method, 150));
        assert_eq!(essence(&again), essence(&record), "{method}");
    }
}

#[test]
fn parallel_momentum_is_descent_by_the_mean_gradient_of_the_parts() {
    let (steps, gamma, beta) = (40, 0.05f32, 0.9f32);
    let spec = decentralized("pmsgd(2, dirichlet=0.3)", steps);
    let found = run(&trainer(TinyFactory::default()), &spec);

    // The same by hand: the parts' gradients one after the other, in one network.
    let config = config(TinyFactory::default(), classes());
    let key = StreamKey {
        study_seed: spec.study_seed,
        trial: spec.seed,
        purpose: Purpose::Initialization,
    };
    let labels = class_labels(config.train.as_ref()).unwrap();
    let shards = Shards::by_class(&labels, 2, 0.3, key).unwrap();
    let mut network = config.factory.build(&classes(), key).unwrap();
    let mut batch = Batch::empty(classes());
    let mut velocity = vec![Vec::new(); network.layout().tensors.len()];
    let decays: Vec<bool> = network
        .layout()
        .tensors
        .iter()
        .map(|t| t.shape.len() == 2)
        .collect();
    for step in 0..steps {
        network.begin_step(32);
        for replica in 0..2 {
            let part = shards.shard(config.train.as_ref(), replica);
            let mut order = part
                .into_sampler(key.with_purpose(Purpose::Order), 16)
                .unwrap();
            order.fill(StepBatch::constant(step, 16), 0..16, &mut batch);
            network.accumulate(&batch, 1.0 / 32.0).unwrap();
        }
        network
            .visit(&mut |tensor, x, g| {
                let v = &mut velocity[tensor];
                v.resize(x.len(), 0.0);
                for ((x, g), v) in x.iter_mut().zip(&*g).zip(v) {
                    let decay = if decays[tensor] { 1e-3 * *x } else { 0.0 };
                    *v = beta * *v + g + decay;
                    *x -= gamma * *v;
                }
            })
            .unwrap();
    }
    let mut metrics = BTreeMap::new();
    let validation = config.validation.unwrap();
    let sums = EvaluationSet::stored(validation.as_ref(), 200, 250)
        .measure(network.as_mut(), &Solo)
        .unwrap();
    insert_metrics(&mut metrics, Split::Val, &sums, &classes());
    let by_hand = metrics[&"val-loss".parse::<Metric>().unwrap()];
    let found = metric(&found, "val-loss");
    assert!((found - by_hand).abs() < 1e-4, "{found} and {by_hand}");
}

#[test]
fn interrupted_runs_go_on_to_the_bit_with_every_replica_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let trainer = saving(folder.path(), normalized());
    for method in METHODS {
        let spec = decentralized(method, 23);
        let whole = run(&trainer, &spec);
        for every in [2, 5, 11] {
            let (pieces, interruptions) = in_pieces(&trainer, &spec, every);
            assert!(interruptions > 0);
            assert_eq!(essence(&pieces), essence(&whole), "{method}, every {every}");
        }
    }
}

#[test]
fn what_does_not_go_together_is_refused_by_name() {
    let trainer = trainer(TinyFactory::default());
    let base = decentralized("decentlam(4)", 10);
    let measuring = |measurement: &str| TrialSpec {
        diagnostics: read_measurements(measurement).unwrap(),
        ..base.clone()
    };
    let refused = |spec: &TrialSpec| match trainer.check(spec) {
        Err(TrainerError::Setting(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    for (spec, words) in [
        (
            TrialSpec {
                optimizer: Choice::new("adam", std::iter::empty::<(String, Value)>()),
                ..base.clone()
            },
            "choose sgd without nesterov",
        ),
        (
            TrialSpec {
                clip: Some(1.0),
                ..base.clone()
            },
            "does not go with clip",
        ),
        (
            TrialSpec {
                optimizer: sgd(0.9),
                ..decentralized("dsgd(4)", 10)
            },
            "dsgd has no momentum",
        ),
        (
            TrialSpec {
                batch_size: 30,
                ..base.clone()
            },
            "a multiple of 4",
        ),
        (
            measuring("linearity"),
            "linearity is of one network's gradient",
        ),
        (
            measuring("sign_noise"),
            "sign_noise is of one network's gradient",
        ),
        (
            decentralized("decentlam(4), conservative", 10),
            "updates several times a step",
        ),
        (decentralized("decentlam(4, torus)", 10), "torus"),
        (
            decentralized("decentlam(4, exponential)", 10),
            "symmetric-exponential",
        ),
        (
            decentralized("decentlam(4, one-peer)", 10),
            "symmetric-exponential",
        ),
        (decentralized("decentlam(4, file:/nowhere)", 10), "/nowhere"),
    ] {
        let error = refused(&spec);
        assert!(error.contains(words), "{error}");
    }
}
