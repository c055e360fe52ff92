//! Adversarial and conservative steps against closed forms, cut into micro-batches, shared out and
//! resumed.

mod common;

use std::{ops::Range, sync::Arc};

use batchscope_core::{
    Batch, Cadence, Choice, DataShape, Diagnostic, Examples, ExamplesError, InputShape, Inputs,
    Labels, Metric, NetworkFactory, NeverStop, Outcome, Purpose, Quantity, Sampler, Schedule,
    Split, StateTensor, StepBatch, StreamKey, Task, Trainer, TrainerError, TrialPurpose, TrialSpec,
    Value,
};
use batchscope_train::{
    AdversarialSource, Attack, AttackNorm, BatchStream, BuiltIn, BuiltInConfig, GradientSource,
    Identity, MEASUREMENTS, METHODS, MethodKind, Mixture, Part, Portions, SingleRun, Stored,
    TrainError, check_methods, load_network, read_measurements, read_methods, read_state,
    testing::{LinearFactory, TinyFactory},
    train_loop, write_state,
};
use common::*;

/// The examples themselves, every step the same.
struct Fixed {
    inputs: Vec<f32>,
    targets: Vec<f32>,
}

impl Fixed {
    fn features(&self) -> usize {
        self.inputs.len() / self.targets.len()
    }

    fn fill(&self, range: Range<u64>, batch: &mut Batch) {
        let (d, range) = (self.features(), range.start as usize..range.end as usize);
        batch.len = range.len();
        batch.inputs = Inputs::Values(self.inputs[range.start * d..range.end * d].to_vec());
        batch.labels = Labels::Values(self.targets[range].to_vec());
    }
}

impl Examples for Fixed {
    fn shape(&self) -> DataShape {
        DataShape {
            input: InputShape::Vector {
                features: self.features(),
            },
            task: Task::Regress { outputs: 1 },
        }
    }

    fn len(&self) -> u64 {
        self.targets.len() as u64
    }

    fn sampler(&self, _: StreamKey, _: u64) -> Result<Box<dyn Sampler + '_>, ExamplesError> {
        Ok(Box::new(InOrder(self)))
    }

    fn fill_in_order(&self, range: Range<u64>, batch: &mut Batch) {
        self.fill(range.start..range.end.min(self.len()), batch);
    }
}

struct InOrder<'a>(&'a Fixed);

impl Sampler for InOrder<'_> {
    fn fill(&mut self, _: StepBatch, positions: Range<u64>, batch: &mut Batch) {
        batch.first_position = positions.start;
        self.0.fill(positions, batch);
    }
}

const KEY: StreamKey = StreamKey {
    study_seed: 1,
    trial: 2,
    purpose: Purpose::Initialization,
};

/// For a linear model, `w·x̃ − y = r + ε·sign(r)·‖w‖`, with the norm dual to the attack's: ‖·‖₁ by sign and ‖·‖₂ by l2. The
/// loss is `(|r| + ε·‖w‖)²`, and the move is known to the last digit.
#[test]
fn adversarial_gradients_of_a_linear_model_are_those_of_its_closed_form() {
    let data = Fixed {
        inputs: vec![1.0, 2.0, -1.0, 0.5, 0.0, 3.0],
        targets: vec![0.5, -2.0, 4.0],
    };
    let w = [0.5f32, -0.25];
    let (epsilon, share) = (0.2, 0.3);
    for norm in [AttackNorm::Sign, AttackNorm::L2] {
        let mut network = LinearFactory {
            weights: w.to_vec(),
        }
        .build(&data.shape(), KEY)
        .unwrap();
        let sampler = data.sampler(KEY, 3).unwrap();
        let stream = BatchStream::new(sampler, data.shape(), Portions::whole(2), None, KEY);
        let mixture = Mixture {
            clean_weight: share,
            mixed_norm: false,
        };
        let mut source = AdversarialSource::new(stream, Attack { epsilon, norm }, mixture);
        let step = StepBatch::constant(0, 3);
        let sum = source.gradient(network.as_mut(), step).unwrap();
        let mut found = Vec::new();
        network
            .visit(&mut |_, _, g| found.extend_from_slice(g))
            .unwrap();

        // How far the output moves for each unit of ε, and the move itself where the residual is positive.
        let w64 = w.map(f64::from);
        let l2 = w64.iter().map(|w| w * w).sum::<f64>().sqrt();
        let (reach, direction) = match norm {
            AttackNorm::Sign => (w64.iter().map(|w| w.abs()).sum(), w64.map(f64::signum)),
            AttackNorm::L2 => (l2, w64.map(|w| w / l2)),
        };
        let (mut loss, mut expected) = (0.0, [0.0f64; 2]);
        for (x, y) in data.inputs.chunks(2).zip(&data.targets) {
            let output: f64 = x.iter().zip(w).map(|(&x, w)| f64::from(x * w)).sum();
            let r = output - f64::from(*y);
            let far = r + epsilon * r.signum() * reach;
            loss += share * r * r + (1.0 - share) * far.powi(2);
            for i in 0..2 {
                let x = f64::from(x[i]);
                let moved = x + epsilon * r.signum() * direction[i];
                expected[i] += 2.0 / 3.0 * (share * r * x + (1.0 - share) * far * moved);
            }
        }
        assert!((sum.loss - loss).abs() < 1e-5, "{} {loss}", sum.loss);
        assert_eq!(sum.weight, 3.0);
        for (found, expected) in found.iter().zip(expected) {
            let off = (f64::from(*found) - expected).abs();
            assert!(off < 1e-5, "{norm:?}: {found} {expected}");
        }
    }
}

/// With enough iterations, a step ends where the proximal problem has its minimum:
/// `(2/B·Σx² + λ)·w = 2/B·Σxy + λ·w_k`.
#[test]
fn a_conservative_step_solves_its_proximal_problem() {
    let data = Arc::new(Fixed {
        inputs: vec![1.0, -2.0, 0.5],
        targets: vec![3.0, 1.0, -1.0],
    });
    let config = BuiltInConfig::new(
        Arc::new(LinearFactory { weights: vec![2.0] }),
        "three points",
        data.clone(),
        None,
        None,
    );
    let lambda = 0.7;
    let trainer = BuiltIn::new(config).unwrap();
    let spec = TrialSpec {
        methods: methods(&format!("conservative({lambda},2000)")),
        batch_size: 3,
        learning_rate: 0.02,
        schedule: Schedule::constant(),
        optimizer: Choice::new(
            "sgd",
            [
                ("momentum", Value::from(0.0)),
                ("nesterov", Value::from(false)),
                ("weight_decay", Value::from(0.0)),
            ],
        ),
        cap: 3,
        ..spec()
    };
    let (mut run, _) = trainer.begin(&spec, Cadence::Planned).unwrap();
    train_loop(&mut run, &NeverStop, &mut |_| {}).unwrap();
    let found = run.network.export().unwrap()[0].values[0];
    let mut w = 2.0;
    let (mut xx, mut xy) = (0.0, 0.0);
    for (&x, &y) in data.inputs.iter().zip(&data.targets) {
        xx += 2.0 / 3.0 * f64::from(x * x);
        xy += 2.0 / 3.0 * f64::from(x * y);
    }
    for _ in 0..spec.cap {
        w = (xy + lambda * w) / (xx + lambda);
    }
    assert!((f64::from(found) - w).abs() < 1e-5, "{found} {w}");
}

/// Without a pull and with one iteration a conservative step is a plain one.
#[test]
fn one_iteration_from_where_it_stands_is_a_plain_step() {
    let trainer = trainer();
    let made = |text: &str| {
        let spec = TrialSpec {
            methods: methods(text),
            ..spec()
        };
        essence(&run(&trainer, &spec)).measurements
    };
    assert_eq!(made("conservative(5,1)"), made("plain"));
    assert_ne!(made("conservative"), made("plain"));
}

fn images() -> DataShape {
    DataShape {
        input: InputShape::Image {
            height: 3,
            width: 2,
            channels: 1,
        },
        ..classes()
    }
}

fn methods(text: &str) -> Vec<Choice> {
    read_methods(text).unwrap()
}

/// A network whose batches are cut with care, and a trial of every method there is.
fn each_method() -> (BuiltInConfig, Vec<TrialSpec>) {
    let ghost = TinyFactory {
        ghost: Some(4),
        dropout: 0.2,
        ..TinyFactory::default()
    };
    let spec = |kind: &&MethodKind| {
        let name = kind.descriptor.name;
        let of = |text: &str| TrialSpec {
            methods: methods(text),
            ..spec()
        };
        let Part::Update(_) = kind.part else {
            return of(name);
        };
        // Two replicas, with sixteen examples each.
        let mut spec = TrialSpec {
            batch_size: 32,
            ..of(&match name {
                "post-local-sgd" => "post-local-sgd(9, 2)".to_owned(),
                name => format!("{name}(2)"),
            })
        };
        if name == "dsgd" {
            let without = [
                ("momentum", Value::from(0.0)),
                ("nesterov", Value::from(false)),
            ];
            spec.optimizer = Choice::new("sgd", without);
        }
        spec
    };
    let specs = METHODS.all.iter().map(spec).collect();
    (config(ghost, classes()), specs)
}

#[test]
fn micro_batches_do_not_change_what_is_learned() {
    let (config, specs) = each_method();
    let trainer = BuiltIn::new(config).unwrap();
    for of_method in specs {
        let losses = |micro_batch: u64| {
            let spec = TrialSpec {
                micro_batch: Some(micro_batch),
                cap: 20,
                ..of_method.clone()
            };
            let record = run(&trainer, &spec);
            assert_eq!(record.outcome, Outcome::Completed { step: 20 });
            let last = record.measurements.last().unwrap().metrics.iter();
            last.filter(|(metric, _)| metric.quantity == Quantity::Loss)
                .map(|(_, loss)| *loss)
                .collect::<Vec<f64>>()
        };
        let whole = losses(16);
        for micro_batch in [4, 8, 12] {
            for (cut, whole) in losses(micro_batch).iter().zip(&whole) {
                assert!((cut - whole).abs() < 2e-3, "{micro_batch}: {cut} {whole}");
            }
        }
    }
}

#[test]
fn interrupted_and_resumed_they_give_the_same_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let (mut config, specs) = each_method();
    config.checkpoint_dir = Some(folder.path().to_owned());
    let trainer = BuiltIn::new(config).unwrap();
    for of_method in specs {
        let spec = TrialSpec {
            cap: 60,
            ..of_method
        };
        let whole = run(&trainer, &spec);
        let pieces = (0..1000).find_map(|_| {
            let control = InterruptAfter::steps(7);
            let record = trainer.run(&spec, &control, &mut |_| {}).unwrap();
            (record.outcome != Outcome::Interrupted).then_some(record)
        });
        assert_eq!(essence(&pieces.unwrap()), essence(&whole));
        trainer.forget(&spec);
    }
}

#[test]
fn a_checkpoint_belongs_to_its_method() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let trainer = trainer();
    let train = |method: &str, resume: bool| {
        let single = SingleRun {
            checkpoint: Some(path.clone()),
            resume: resume.then(|| path.clone()),
            ..SingleRun::default()
        };
        let spec = TrialSpec {
            methods: methods(method),
            cap: 10,
            ..spec()
        };
        trainer.train_once(&spec, &single, &NeverStop, &mut |_| {})
    };
    train("adversarial(0.05)", false).unwrap();
    assert!(train("adversarial(0.05)", true).is_ok());
    let error = train("conservative", true).unwrap_err();
    assert!(matches!(error, TrainerError::Refused(_)), "{error}");
    assert!(error.to_string().contains("methods"), "{error}");
    assert!(error.to_string().contains("adversarial"), "{error}");
}

/// Up to 0.1.0 a checkpoint named its methods beside the spec.
#[test]
fn methods_of_earlier_checkpoints_are_read() {
    let spec = TrialSpec { cap: 10, ..spec() };
    let identity = |method: &str| {
        let stored = serde_json::json!({
            "spec": spec, "model": "m", "data": "d", "method": method, "micro_batch": 16,
            "cadence": "planned",
        });
        serde_json::from_value::<Identity>(stored)
            .unwrap()
            .spec
            .methods
    };
    assert_eq!(identity(""), Vec::<Choice>::new());
    let both = "adversarial 0.1:0.7, conservative 0.01:2";
    assert_eq!(
        identity(both),
        methods("adversarial(0.1,0.7), conservative(0.01,2)")
    );
    assert_eq!(identity("unheard of 3")[0].name(), "unheard of 3");
}

#[test]
fn the_registries_are_sound() {
    assert_eq!(METHODS.faults(), Vec::<String>::new());
    assert_eq!(MEASUREMENTS.faults(), Vec::<String>::new());
}

/// A linear model's test loss under attack has its closed form, `(|r| + ε·‖w‖)²`, and measuring it leaves a run as it was.
#[test]
fn a_run_is_attacked_at_its_end_and_left_as_it_was() {
    let points = |shift: f32| {
        Arc::new(Fixed {
            inputs: vec![1.0 + shift, 2.0, -1.0, 0.5 - shift, 0.3, 3.0],
            targets: vec![0.5, -2.0, 4.0],
        })
    };
    let test = points(0.4);
    let mut config = BuiltInConfig::new(
        Arc::new(LinearFactory {
            weights: vec![0.5, -0.25],
        }),
        "three points",
        points(0.0),
        None,
        Some(test.clone()),
    );
    let measured = |config: &BuiltInConfig, text: &str| {
        let spec = TrialSpec {
            purpose: TrialPurpose::Single,
            diagnostics: read_measurements(text).unwrap(),
            batch_size: 3,
            cap: 7,
            ..spec()
        };
        let trainer = BuiltIn::new(config.clone()).unwrap();
        trainer.check(&spec)?;
        let (mut run, _) = trainer.begin(&spec, Cadence::Planned).unwrap();
        train_loop(&mut run, &NeverStop, &mut |_| {}).unwrap();
        let weights = run.network.export().unwrap()[0].values.clone();
        let record = run.driver.record(Outcome::Completed { step: 7 }, 3);
        Ok::<_, TrainerError>((weights, record.measurements.last().unwrap().metrics.clone()))
    };
    let metric = |name: &str| Metric::new(Split::Test, Quantity::Other(name.to_owned()));
    for (norm, epsilon) in [("sign", 0.2), ("l2", 0.7)] {
        let text = format!("attacked({epsilon}, {norm}), linearity");
        let (weights, mut metrics) = measured(&config, &text).unwrap();
        let w: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
        let reach = match norm {
            "sign" => w.iter().map(|w| w.abs()).sum(),
            _ => w.iter().map(|w| w * w).sum::<f64>().sqrt(),
        };
        let losses = test.inputs.chunks(2).zip(&test.targets).map(|(x, y)| {
            let output: f64 = x.iter().zip(&w).map(|(&x, w)| f64::from(x) * w).sum();
            ((output - f64::from(*y)).abs() + epsilon * reach).powi(2)
        });
        let expected = losses.sum::<f64>() / 3.0;
        let found = metrics.remove(&metric("attacked_loss")).unwrap();
        assert!(
            (found - expected).abs() < 1e-5 * expected,
            "{norm}: {found} {expected}"
        );
        assert!(!metrics.contains_key(&metric("attacked_error")));
        metrics.retain(|metric, _| !metric.to_string().contains("linearity"));
        assert_eq!(measured(&config, "").unwrap(), (weights, metrics), "{norm}");
    }
    config.test = None;
    let error = measured(&config, "attacked").unwrap_err().to_string();
    assert!(error.contains("these data have none"), "{error}");
    let error = measured(&config, "attacked(norm=l2)")
        .unwrap_err()
        .to_string();
    assert!(error.contains("epsilon=1"), "{error}");
}

/// A measurement is stored as its name, as it was before some had settings.
#[test]
fn measurements_are_stored_as_names_or_with_their_settings() {
    let own = read_measurements("noise, sign_noise, attacked(0.3)").unwrap();
    let text = serde_json::to_string(&own).unwrap();
    assert!(
        text.starts_with(r#"["noise","sign_noise",{"kind":"attacked""#),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Vec<Diagnostic>>(&text).unwrap(), own);
    assert!(
        read_measurements("nois")
            .unwrap_err()
            .to_string()
            .contains("noise")
    );
}

#[test]
fn senseless_methods_are_refused_by_name() {
    for (text, named) in [
        ("conservative(-1)", "lambda"),
        ("conservative(0.1,0)", "iterations"),
        ("adversarial(0)", "epsilon"),
        ("adversarial(0.1,1.1)", "clean_weight"),
        ("adversary", "adversarial"),
        ("conadv(staleness=0)", "staleness"),
        ("conadv(threads=0)", "threads"),
        ("disadv(norm=l3)", "norm"),
    ] {
        let error = read_methods(text).unwrap_err().to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
    let refused = |shape: DataShape, text: &str| {
        let error = check_methods(&methods(text), &shape).unwrap_err();
        error.to_string()
    };
    let twice = refused(classes(), "adversarial, adversarial(0.2)");
    assert!(twice.contains("gradient comes from"), "{twice}");
    let text = DataShape {
        input: InputShape::Tokens {
            sequence: 4,
            vocabulary: 9,
        },
        task: Task::NextToken,
    };
    assert!(refused(text, "adversarial").contains("tokens"));
    assert!(refused(text, "conadv").contains("tokens"));
    let twice = TrialSpec {
        methods: vec![Choice::new("flip", std::iter::empty::<(String, Value)>())],
        ..spec()
    };
    let mut flipped = config(TinyFactory::default(), images());
    flipped.augment = "flip".parse().unwrap();
    let error = BuiltIn::new(flipped).unwrap().check(&twice).unwrap_err();
    assert!(
        error.to_string().contains("flip is done to all runs"),
        "{error}"
    );
    let length = refused(classes(), "disadv(norm=l2)");
    assert!(length.contains("epsilon=1, norm=l2"), "{length}");
    check_methods(&methods("conadv(2, l2)"), &classes()).unwrap();
}

#[test]
fn states_come_back_as_they_were_and_damage_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let shape = classes();
    let network = |hidden| {
        let factory = TinyFactory {
            hidden,
            ..TinyFactory::default()
        };
        factory.build(&shape, KEY).unwrap()
    };
    let state = network(12).export().unwrap();
    write_state(&path, &state, "after 3 epochs").unwrap();
    let (back, about) = read_state(&path, &state).unwrap();
    assert_eq!((back, about.as_str()), (state.clone(), "after 3 epochs"));
    assert!(read_state(&path, &network(13).export().unwrap()).is_err());
    assert!(read_state(&path, &state[1..]).is_err());
    // Any network takes it up, whatever stored it; a run it is not.
    let mut other = network(12);
    let nulled: Vec<_> = (state.iter())
        .map(|t| StateTensor {
            values: vec![0.0; t.values.len()],
            ..t.clone()
        })
        .collect();
    other.import(&nulled).unwrap();
    load_network(&path, other.as_mut()).unwrap();
    assert_eq!(other.export().unwrap(), state);
    let error = Stored::read(&path).unwrap().into_run().unwrap_err();
    assert!(matches!(error, TrainError::Stored { .. }), "{error}");
    // A note that looks like a run of another format is refused by its number.
    write_state(&path, &state, r#"{"format":7,"identity":{}}"#).unwrap();
    let error = Stored::read(&path).unwrap_err().to_string();
    assert!(error.contains("format 7"), "{error}");

    write_state(&path, &state, "after 3 epochs").unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        assert!(Stored::read(&path).is_err());
        load_network(&path, network(12).as_mut())
            .unwrap_err()
            .to_string()
    };
    let mut last = bytes.clone();
    *last.last_mut().unwrap() ^= 1;
    assert!(refused(&last).contains("damaged"));
    for at in (0..bytes.len()).step_by(37) {
        refused(&bytes[..at]);
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x40;
        // a flipped bit of the header's padding or of an unused name may leave it readable
        std::fs::write(&path, &flipped).unwrap();
        if let Ok(stored) = Stored::read_like(&path, &state) {
            assert_eq!(stored.network, state, "byte {at}");
        }
    }
    let error = Stored::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("not a regular file"), "{error}");
}
