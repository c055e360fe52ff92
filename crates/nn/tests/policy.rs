//! The policy network: its size, its two ways of computing, its state, and what it refuses.

mod common;

use batchscope_core::NetworkError;
use batchscope_nn::{Answers, DeviceSpec, Observations, PolicyNetwork, PolicySpec, Windows};
use common::KEY;
use rand_core::Rng;

/// Six rows of experience of each of four streams.
const STEPS: usize = 6;
const STREAMS: usize = 4;

fn small() -> PolicySpec {
    PolicySpec::new(4, 12, 2, 3, 32).unwrap()
}

/// A network none of whose tensors are zero.
fn network(spec: PolicySpec) -> PolicyNetwork {
    let mut network = PolicyNetwork::new(spec, KEY, DeviceSpec::Cpu).unwrap();
    let mut stream = KEY.stream(500);
    let mut noise = || stream.next_u32() as f32 / 2f32.powi(31) - 1.0;
    let visited = network.visit(&mut |_, values, _| {
        values.iter_mut().for_each(|value| *value += 0.1 * noise());
    });
    visited.unwrap();
    network
}

/// Experience of some streams.
#[derive(Clone)]
struct Experience {
    steps: usize,
    streams: usize,
    depth: Vec<f32>,
    goal: Vec<f32>,
    previous: Vec<u32>,
    fresh: Vec<bool>,
    state: Vec<f32>,
}

impl Experience {
    /// Random, with a few episodes that begin in it.
    fn new(spec: &PolicySpec) -> Self {
        let rows = STEPS * STREAMS;
        let mut stream = KEY.stream(700);
        let mut random = |n: usize| -> Vec<f32> {
            (0..n)
                .map(|_| stream.next_u32() as f32 / 2f32.powi(32))
                .collect()
        };
        Self {
            steps: STEPS,
            streams: STREAMS,
            depth: random(rows * spec.resolution * spec.resolution),
            goal: random(rows * 3),
            previous: (0..rows).map(|i| (i % (spec.actions + 1)) as u32).collect(),
            fresh: (0..rows).map(|i| [1, 9, 10, 19].contains(&i)).collect(),
            state: random(STREAMS * spec.state_width()),
        }
    }

    /// Rows of step `t` and streams `from..to`, or of all steps.
    fn part(&self, steps: std::ops::Range<usize>, streams: std::ops::Range<usize>) -> Self {
        let rows: Vec<usize> = steps
            .clone()
            .flat_map(|t| streams.clone().map(move |i| t * self.streams + i))
            .collect();
        fn take<T: Copy>(values: &[T], each: usize, rows: &[usize]) -> Vec<T> {
            let of = |&row: &usize| values[row * each..(row + 1) * each].to_vec();
            rows.iter().flat_map(of).collect()
        }
        let all = self.steps * self.streams;
        let states: Vec<usize> = streams.clone().collect();
        Self {
            steps: steps.len(),
            streams: streams.len(),
            depth: take(&self.depth, self.depth.len() / all, &rows),
            goal: take(&self.goal, 3, &rows),
            previous: take(&self.previous, 1, &rows),
            fresh: take(&self.fresh, 1, &rows),
            state: take(&self.state, self.state.len() / self.streams, &states),
        }
    }

    fn observations(&self) -> Observations<'_> {
        Observations {
            depth: &self.depth,
            goal: &self.goal,
            previous: &self.previous,
        }
    }

    fn windows(&self) -> Windows<'_> {
        Windows {
            steps: self.steps,
            streams: self.streams,
            observations: self.observations(),
            fresh: &self.fresh,
            state: &self.state,
        }
    }
}

/// Half the squares of all answers: their gradient is the answers.
fn squares(answers: &Answers, gradient: &mut Answers) {
    gradient.clone_from(answers);
}

fn gradients(network: &mut PolicyNetwork) -> Vec<Vec<f32>> {
    let mut gradients = Vec::new();
    network
        .visit(&mut |_, _, gradient| gradients.push(gradient.to_vec()))
        .unwrap();
    gradients
}

/// A 64 × 64 depth image is 16 × 16 blocks of 16 pixels; the blocks of the network leave
/// 16², 8², 4² and 2² pixels of 64, 128, 256 and 512 channels, the compression 2² of 256 = 1024.
#[test]
fn the_published_network_has_its_size() {
    let network = PolicyNetwork::new(PolicySpec::published(4), KEY, DeviceSpec::Cpu).unwrap();
    let block = |input: usize, channels: usize, shortcut: bool| {
        let convolutions = 9 * input * channels + 9 * channels * channels;
        let attention = 2 * channels * (channels / 4) + channels / 4 + channels;
        let shortcut = if shortcut { input * channels } else { 0 };
        convolutions + attention + shortcut + 5 // four biases and a multiplier
    };
    let stem = 16 * 64 + 64;
    let blocks =
        block(64, 64, false) + block(64, 128, true) + block(128, 256, true) + block(256, 512, true);
    let compression = 9 * 512 * 256 + 256;
    let visual = 1024 * 512;
    let embeddings = 3 * 32 + 32 + 5 * 32;
    let lstm = |inputs: usize| 4 * 512 * (inputs + 512 + 1);
    let heads = 512 * 4 + 4 + 512 + 1;
    let expected =
        stem + blocks + compression + visual + embeddings + lstm(576) + lstm(512) + heads;
    assert_eq!(network.layout().parameters(), expected);
    assert_eq!(expected, 11_103_529);
    assert_eq!(network.state_width(), 2048);
    let shape = |name: &str| {
        let tensors = &network.layout().tensors;
        let tensor = tensors.iter().find(|tensor| tensor.name == name);
        tensor.unwrap_or_else(|| panic!("{name}")).shape.clone()
    };
    for (name, expected) in [
        ("stem.weight", &[64, 16, 1, 1][..]),
        ("stem.bias", &[64]),
        ("block1.bias1a", &[1]),
        ("block1.conv1.weight", &[64, 64, 3, 3]),
        ("block1.scale", &[1]),
        ("block1.attention.squeeze.weight", &[64, 16]),
        ("block2.conv1.weight", &[128, 64, 3, 3]),
        ("block2.shortcut.weight", &[128, 64, 1, 1]),
        ("block3.conv2.weight", &[256, 256, 3, 3]),
        ("block4.attention.excite.weight", &[128, 512]),
        ("block4.attention.excite.bias", &[512]),
        ("compression.weight", &[256, 512, 3, 3]),
        ("visual.weight", &[1024, 512]),
        ("goal.weight", &[3, 32]),
        ("previous.weight", &[5, 32]),
        ("lstm1.input", &[576, 2048]),
        ("lstm2.input", &[512, 2048]),
        ("lstm2.recurrent", &[512, 2048]),
        ("lstm2.bias", &[2048]),
        ("actor.weight", &[512, 4]),
        ("critic.weight", &[512, 1]),
        ("critic.bias", &[1]),
    ] {
        assert_eq!(shape(name), expected, "{name}");
    }
    assert!(
        network
            .layout()
            .tensors
            .iter()
            .all(|t| t.name != "block1.shortcut.weight")
    );
}

/// Before training every block is its shortcut, the policy near uniform and all values near 0.
#[test]
fn a_new_network_says_little() {
    let spec = small();
    let mut network = PolicyNetwork::new(spec, KEY, DeviceSpec::Cpu).unwrap();
    for tensor in network.export().unwrap() {
        let zero = tensor.values.iter().all(|&value| value == 0.0);
        let starts_at_zero = tensor.name.ends_with("conv2.weight")
            || [".bias1a", ".bias1b", ".bias2a", ".bias2b"]
                .iter()
                .any(|b| tensor.name.ends_with(b))
            || ["actor.bias", "critic.bias"].contains(&tensor.name.as_str());
        assert_eq!(zero, starts_at_zero, "{}", tensor.name);
    }
    let experience = Experience::new(&spec).part(0..1, 0..STREAMS);
    let mut state = experience.state.clone();
    let answers = network.act(&experience.observations(), &experience.fresh, &mut state);
    let answers = answers.unwrap();
    assert!(
        answers.logits.iter().all(|logit| logit.abs() < 0.03),
        "{answers:?}"
    );
    assert!(
        answers.values.iter().all(|value| value.abs() < 0.3),
        "{answers:?}"
    );
}

#[test]
fn acting_step_by_step_equals_a_window() {
    let spec = small();
    let mut network = network(spec);
    let experience = Experience::new(&spec);
    let mut state = experience.state.clone();
    let mut acted = Answers::default();
    for t in 0..STEPS {
        let step = experience.part(t..t + 1, 0..STREAMS);
        let answers = network
            .act(&step.observations(), &step.fresh, &mut state)
            .unwrap();
        acted.logits.extend(answers.logits);
        acted.values.extend(answers.values);
    }
    let mut seen = Answers::default();
    network.begin_step();
    let mut loss = |answers: &Answers, gradient: &mut Answers| {
        assert!(
            gradient
                .logits
                .iter()
                .chain(&gradient.values)
                .all(|&g| g == 0.0)
        );
        seen.clone_from(answers);
    };
    network
        .accumulate(&experience.windows(), &mut loss, None)
        .unwrap();
    assert_eq!(seen.logits.len(), STEPS * STREAMS * spec.actions);
    let pairs = acted
        .logits
        .iter()
        .zip(&seen.logits)
        .chain(acted.values.iter().zip(&seen.values));
    for (acted, seen) in pairs {
        assert!(
            (acted - seen).abs() <= 1e-5 * (1.0 + seen.abs()),
            "{acted} and {seen}"
        );
    }
    // The loss left zeros: no gradient.
    assert!(gradients(&mut network).concat().iter().all(|&g| g == 0.0));
    // A fresh row forgets: the state before does not matter.
    let mut other = experience.part(0..1, 0..STREAMS);
    other.fresh.fill(true);
    let mut act = |state: f32| {
        let mut state = vec![state; other.state.len()];
        let answers = network.act(&other.observations(), &other.fresh, &mut state);
        (answers.unwrap(), state)
    };
    assert_eq!(act(0.0), act(0.7));
}

#[test]
fn micro_batches_of_streams_add_up() {
    let spec = small();
    let mut network = network(spec);
    let experience = Experience::new(&spec);
    let tensors = network.layout().tensors.len();
    network.begin_step();
    let mut norms = vec![0.0; tensors];
    network
        .accumulate(&experience.windows(), &mut squares, Some(&mut norms))
        .unwrap();
    let whole = gradients(&mut network);
    for ((gradient, norm), tensor) in whole.iter().zip(&norms).zip(&network.layout().tensors) {
        let squared: f64 = gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum();
        assert!((squared - norm).abs() <= 1e-6 * squared, "{}", tensor.name);
    }
    assert!(norms.iter().sum::<f64>() > 0.0);
    network.begin_step();
    for streams in [0..1, 1..STREAMS] {
        let part = experience.part(0..STEPS, streams);
        network
            .accumulate(&part.windows(), &mut squares, None)
            .unwrap();
    }
    for (i, (whole, parts)) in whole.iter().zip(gradients(&mut network)).enumerate() {
        let scale = whole.iter().fold(0f32, |most, g| most.max(g.abs()));
        for (a, b) in whole.iter().zip(parts) {
            assert!((a - b).abs() <= 2e-5 * scale, "tensor {i}: {a} and {b}");
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let spec = PolicySpec::new(8, 16, 2, 3, 64).unwrap();
    let experience = Experience::new(&spec);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let mut network = network(spec);
            network.begin_step();
            network
                .accumulate(&experience.windows(), &mut squares, None)
                .unwrap();
            let step = experience.part(0..1, 0..STREAMS);
            let mut state = step.state.clone();
            let answers = network
                .act(&step.observations(), &step.fresh, &mut state)
                .unwrap();
            (gradients(&mut network), answers, state)
        })
    };
    assert_eq!(run(1), run(2));
}

#[test]
fn a_state_comes_back() {
    let spec = small();
    let mut trained = network(spec);
    let state = trained.export().unwrap();
    let mut other = PolicyNetwork::new(spec, KEY, DeviceSpec::Cpu).unwrap();
    assert_ne!(other.export().unwrap(), state);
    other.import(&state).unwrap();
    assert_eq!(other.export().unwrap(), state);
    let step = Experience::new(&spec).part(0..1, 0..STREAMS);
    let act = |network: &mut PolicyNetwork| {
        let mut state = step.state.clone();
        network
            .act(&step.observations(), &step.fresh, &mut state)
            .unwrap()
    };
    assert_eq!(act(&mut trained), act(&mut other));
    let missing = other.import(&state[1..]).unwrap_err();
    assert!(missing.to_string().contains("stem.weight"), "{missing}");
}

#[test]
fn what_does_not_fit_is_refused() {
    for (spec, part) in [
        (PolicySpec::new(0, 8, 1, 3, 64), "width 0"),
        (PolicySpec::new(4, 8, 99, 3, 64), "layers 99"),
        (PolicySpec::new(4, 8, 1, 0, 64), "actions 0"),
        (PolicySpec::new(4, 8, 1, 3, 48), "multiple of 32"),
        (PolicySpec::new(4, usize::MAX, 1, 3, 64), "hidden"),
    ] {
        let error = spec.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let wrong = PolicySpec {
        resolution: 48,
        ..small()
    };
    assert!(PolicyNetwork::new(wrong, KEY, DeviceSpec::Cpu).is_err());

    let spec = small();
    let mut network = network(spec);
    let good = Experience::new(&spec);
    let spoilt = |spoil: fn(&mut Experience)| {
        let mut experience = good.clone();
        spoil(&mut experience);
        experience
    };
    network.begin_step();
    for (experience, part) in [
        (spoilt(|e| e.depth.truncate(1)), "depth"),
        (spoilt(|e| e.goal.push(0.0)), "goal"),
        (spoilt(|e| e.previous.clear()), "previous"),
        (spoilt(|e| e.fresh.truncate(1)), "fresh"),
        (spoilt(|e| e.state.truncate(1)), "state"),
        (spoilt(|e| e.previous[3] = 4), "action 4"),
        (spoilt(|e| e.steps = 0), "no rows"),
        (spoilt(|e| e.streams = usize::MAX), "no rows"),
    ] {
        let refused = network
            .accumulate(&experience.windows(), &mut squares, None)
            .unwrap_err();
        assert!(matches!(refused, NetworkError::Unfit { .. }), "{refused}");
        assert!(refused.to_string().contains(part), "{refused}");
    }
    let step = good.part(0..1, 0..STREAMS);
    let mut state = step.state.clone();
    let short = network.act(&step.observations(), &step.fresh[1..], &mut state);
    assert!(short.is_err() && state == step.state);
    let nobody = Observations {
        depth: &[],
        goal: &[],
        previous: &[],
    };
    assert!(network.act(&nobody, &[], &mut []).is_err());
    let windows = good.windows();
    assert!(
        network
            .accumulate(&windows, &mut squares, Some(&mut [0.0]))
            .is_err()
    );
    let mut forgetful = |_: &Answers, gradient: &mut Answers| gradient.values.truncate(1);
    assert!(network.accumulate(&windows, &mut forgetful, None).is_err());
    assert!(gradients(&mut network).concat().iter().all(|&g| g == 0.0));
}
