//! One suite for every optimizer: each case of the golden traces is also a case of each property.

mod plain;

use std::sync::LazyLock;

use batchscope_core::{
    Choice, DecayPolicy, ParameterKind, ParameterLayout, ParameterTensor, StateTensor,
};
use batchscope_optim::{OPTIMIZERS, Optimizer, StateError, build, clip_factor, sum_of_squares};
use plain::Plain;
use proptest::prelude::*;
use serde_json::Value;

/// Traces made by `golden/make_traces.py` with the versions named inside.
fn golden() -> &'static Value {
    static GOLDEN: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(include_str!("golden/traces.json")).unwrap());
    &GOLDEN
}

fn layout() -> ParameterLayout {
    let tensor = |name: &str, shape: &[usize], kind| ParameterTensor {
        name: name.into(),
        shape: shape.to_vec(),
        kind,
    };
    ParameterLayout {
        tensors: vec![
            tensor("weight", &[3, 4], ParameterKind::Matrix),
            tensor("kernel", &[4, 3, 2, 2], ParameterKind::Kernel),
            tensor("bias", &[4], ParameterKind::Bias),
            tensor("head.weight", &[4, 2], ParameterKind::Matrix),
        ],
    }
}

fn floats(value: &Value) -> Vec<f32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap() as f32)
        .collect()
}

fn tensors(value: &Value) -> Vec<Vec<f32>> {
    layout()
        .tensors
        .iter()
        .map(|t| floats(&value[&t.name]))
        .collect()
}

struct Case {
    spec: Choice,
    policy: DecayPolicy,
    clip: Option<f64>,
    trace: Vec<Vec<Vec<f32>>>,
    /// The averages of an optimizer that has them.
    averages: Vec<Vec<Vec<f32>>>,
    label: String,
}

impl Case {
    fn build(&self) -> Box<dyn Optimizer> {
        build(&self.spec, &layout(), self.policy).unwrap()
    }
}

/// An optimizer as somebody writes it.
fn chosen(text: &str) -> Choice {
    let (_, choice) = OPTIMIZERS.read(text).unwrap();
    choice
}

/// A trace's settings as arguments: PyTorch's `betas` and `eps` are two fractions and `epsilon`
/// here, and its momentum is 0 unless it is set.
fn arguments(settings: &Value) -> String {
    let mut arguments = Vec::new();
    for (key, value) in settings.as_object().unwrap() {
        match (key.as_str(), value) {
            ("betas", pair) => {
                arguments.extend([1, 2].map(|n| format!("beta{n}={}", pair[n - 1])));
            }
            ("eps", value) => arguments.push(format!("epsilon={value}")),
            (key, Value::String(word)) => arguments.push(format!("{key}={word}")),
            (key, value) => arguments.push(format!("{key}={value}")),
        }
    }
    if settings.get("betas").is_none() && settings.get("momentum").is_none() {
        arguments.push("momentum=0".to_owned());
    }
    arguments.join(",")
}

fn cases() -> Vec<Case> {
    let read = |case: &Value| {
        let name = case["kind"].as_str().unwrap();
        let spec = chosen(&format!("{name}({})", arguments(&case["settings"])));
        Case {
            spec,
            policy: if case["decay"] == "weights" {
                DecayPolicy::Weights
            } else {
                DecayPolicy::All
            },
            clip: case["clip"].as_f64(),
            trace: case["trace"]
                .as_array()
                .unwrap()
                .iter()
                .map(tensors)
                .collect(),
            averages: case["averages"]
                .as_array()
                .into_iter()
                .flatten()
                .map(tensors)
                .collect(),
            label: format!("{} {}", case["kind"], case["settings"]),
        }
    };
    golden()["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(read)
        .collect()
}

/// One step of the problem the traces were made on: gradient `0.5·w + noise`.
fn step(optimizer: &mut dyn Optimizer, parameters: &mut [Vec<f32>], k: usize, clip: Option<f64>) {
    let golden = golden();
    let mut gradients = tensors(&golden["noise"][k]);
    for (g, w) in gradients
        .iter_mut()
        .flatten()
        .zip(parameters.iter().flatten())
    {
        *g += 0.5 * w;
    }
    let norm = gradients.iter().map(|g| sum_of_squares(g)).sum();
    if let Some(factor) = clip.and_then(|c| clip_factor(norm, c)) {
        gradients.iter_mut().flatten().for_each(|g| *g *= factor);
    }
    optimizer.begin_step(golden["rates"][k].as_f64().unwrap(), k as u64);
    for (tensor, (w, g)) in parameters.iter_mut().zip(&gradients).enumerate() {
        optimizer.update(tensor, w, g);
    }
}

fn start() -> Vec<Vec<f32>> {
    tensors(&golden()["start"])
}

#[test]
fn steps_follow_other_implementations() {
    let cases = cases();
    assert!(cases.len() >= 34);
    assert!(cases.iter().all(|case| case.trace.len() == 20));
    for case in cases {
        let (mut optimizer, mut parameters) = (case.build(), start());
        let near = |found: &[Vec<f32>], expected: &[Vec<f32>], k: usize| {
            for (w, e) in found.iter().flatten().zip(expected.iter().flatten()) {
                assert!(
                    (w - e).abs() <= 3e-6 * (1.0 + e.abs()),
                    "{} step {k}: {w} against {e}",
                    case.label
                );
            }
        };
        assert_eq!(optimizer.averages(), !case.averages.is_empty());
        for (k, expected) in case.trace.iter().enumerate() {
            step(optimizer.as_mut(), &mut parameters, k, case.clip);
            near(&parameters, expected, k);
            if let Some(expected) = case.averages.get(k) {
                near(&averaged(optimizer.as_ref(), &parameters), expected, k);
            }
        }
    }
}

/// The parameters that a run is judged by.
fn averaged(optimizer: &dyn Optimizer, parameters: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let mut average = parameters.to_vec();
    for (tensor, w) in average.iter_mut().enumerate() {
        optimizer.average(tensor, w);
    }
    average
}

/// The same against the formulas in double precision, also for settings that no other implementation has.
#[test]
fn steps_follow_plain_arithmetic() {
    let more = [
        "lars(trust_coefficient=0.2,rate_inside,weight_decay=0.1)",
        "lamb(clamp=0.5,weight_decay=0.1)",
        "lamb(clamp=100)",
        "lamb(min_trust=0.9)",
        "lamb(clamp=10,min_trust=0.01,weight_decay=0.01)",
        "sgdp(nesterov,delta=1.8,weight_decay=0.02)",
        "muon(weight_decay=0.1)",
        "schedule_free_sgd(weight_lr_power=0)",
    ];
    let own = more.map(|text| (chosen(text), DecayPolicy::Weights, None));
    let traced = cases()
        .into_iter()
        .map(|case| (case.spec, case.policy, case.clip));
    let layout = layout();
    for (spec, policy, clip) in traced.chain(own) {
        let mut optimizer = build(&spec, &layout, policy).unwrap();
        let mut plain = Plain::new(&spec, &layout, policy);
        let mut parameters = start();
        let mut expected: Vec<Vec<f64>> = parameters
            .iter()
            .map(|w| w.iter().map(|&x| f64::from(x)).collect())
            .collect();
        for k in 0..20 {
            step(optimizer.as_mut(), &mut parameters, k, clip);
            plain_step(&mut plain, &mut expected, k, clip);
            for (w, e) in parameters.iter().flatten().zip(expected.iter().flatten()) {
                let off = (f64::from(*w) - e).abs();
                assert!(
                    off <= 1e-6 * (1.0 + e.abs()),
                    "{spec} step {k}: {w} against {e}"
                );
            }
        }
    }
}

/// As [`step`], in double precision.
fn plain_step(plain: &mut Plain, parameters: &mut [Vec<f64>], k: usize, clip: Option<f64>) {
    let golden = golden();
    let noise = tensors(&golden["noise"][k]);
    let mut gradients: Vec<Vec<f64>> = parameters
        .iter()
        .zip(&noise)
        .map(|(w, noise)| {
            w.iter()
                .zip(noise)
                .map(|(w, &n)| 0.5 * w + f64::from(n))
                .collect()
        })
        .collect();
    let norm = gradients
        .iter()
        .flatten()
        .map(|g| g * g)
        .sum::<f64>()
        .sqrt();
    if let Some(most) = clip.filter(|most| norm > *most) {
        gradients
            .iter_mut()
            .flatten()
            .for_each(|g| *g *= most / norm);
    }
    let rate = golden["rates"][k].as_f64().unwrap();
    for (tensor, (w, g)) in parameters.iter_mut().zip(&gradients).enumerate() {
        plain.update(tensor, (rate, k as i32 + 1), w, g);
    }
}

/// LARS, on its first step and without decay, moves each layer by `η·c·‖w‖`.
#[test]
fn the_first_step_of_lars_is_a_fraction_of_the_weights() {
    let mut optimizer = build(
        &chosen("lars(trust_coefficient=0.5)"),
        &layout(),
        DecayPolicy::All,
    )
    .unwrap();
    let (before, mut after) = (start(), start());
    step(optimizer.as_mut(), &mut after, 0, None);
    let rate = golden()["rates"][0].as_f64().unwrap();
    let norm = |x: &[f32]| sum_of_squares(x).sqrt();
    for (before, after) in before.iter().zip(&after).take(2) {
        let moved: Vec<f32> = before.iter().zip(after).map(|(b, a)| b - a).collect();
        let expected = rate * 0.5 * norm(before);
        assert!((norm(&moved) / expected - 1.0).abs() < 1e-5);
    }
}

/// Muon's steps are of one size: nearly all singular values of a step on a matrix are near the rate times the scale.
#[test]
fn steps_of_muon_go_by_the_shape_alone() {
    let mut optimizer = build(&chosen("muon"), &layout(), DecayPolicy::All).unwrap();
    let mut parameters = start();
    for k in 0..20 {
        let before = parameters.clone();
        step(optimizer.as_mut(), &mut parameters, k, None);
        let rate = golden()["rates"][k].as_f64().unwrap();
        // Of a matrix of 3 inputs and 4 outputs, and a kernel of 4 outputs and 12 inputs.
        for (tensor, [rank, longer]) in [(0, [3.0, 4.0]), (1, [4.0, 12.0f64])] {
            let moved: Vec<f32> = before[tensor]
                .iter()
                .zip(&parameters[tensor])
                .map(|(b, a)| b - a)
                .collect();
            let singular = sum_of_squares(&moved).sqrt() / (rate * 0.2 * longer.sqrt());
            let mean = singular / f64::sqrt(rank);
            assert!((0.6..1.25).contains(&mean), "step {k}: {mean}");
        }
    }
}

/// The average of schedule-free SGD is that of its sequence of plain steps, whatever the interpolation.
#[test]
fn schedule_free_averages_the_plain_steps() {
    let spec = chosen("schedule_free_sgd(momentum=0.7,weight_lr_power=0)");
    let mut optimizer = build(&spec, &layout(), DecayPolicy::All).unwrap();
    let mut parameters = start();
    assert_eq!(averaged(optimizer.as_ref(), &parameters), start());
    let (mut sequence, mut sum) = (start(), vec![0.0f64; 12]);
    for k in 0..50 {
        let rate = 0.1 / (1.0 + k as f64);
        optimizer.begin_step(rate, k);
        for (tensor, w) in parameters.iter_mut().enumerate() {
            let gradient: Vec<f32> = w.iter().map(|&x| x + 0.3).collect();
            optimizer.update(tensor, w, &gradient);
            for (z, g) in sequence[tensor].iter_mut().zip(&gradient) {
                *z -= rate as f32 * g;
            }
        }
        sum.iter_mut()
            .zip(&sequence[0])
            .for_each(|(sum, &z)| *sum += f64::from(z));
        let average = averaged(optimizer.as_ref(), &parameters);
        for (x, sum) in average[0].iter().zip(&sum) {
            assert!(
                (f64::from(*x) - sum / (k + 1) as f64).abs() < 1e-5,
                "step {k}"
            );
        }
    }
}

/// LAMB moves each layer by `η·‖w‖`, whatever the gradient; biases by Adam's step.
#[test]
fn every_step_of_lamb_is_a_fraction_of_the_weights() {
    let mut optimizer = build(&chosen("lamb"), &layout(), DecayPolicy::All).unwrap();
    let mut adam = build(&chosen("adam(epsilon=1e-6)"), &layout(), DecayPolicy::All).unwrap();
    let (mut parameters, mut of_adam) = (start(), start());
    let norm = |x: &[f32]| sum_of_squares(x).sqrt();
    for k in 0..20 {
        let before = parameters.clone();
        of_adam[2].clone_from(&parameters[2]);
        step(optimizer.as_mut(), &mut parameters, k, None);
        step(adam.as_mut(), &mut of_adam, k, None);
        let rate = golden()["rates"][k].as_f64().unwrap();
        for (before, after) in before.iter().zip(&parameters).take(2) {
            let moved: Vec<f32> = before.iter().zip(after).map(|(b, a)| b - a).collect();
            assert!(
                (norm(&moved) / (rate * norm(before)) - 1.0).abs() < 1e-4,
                "step {k}"
            );
        }
        for (a, b) in parameters[2].iter().zip(&of_adam[2]) {
            assert!((a - b).abs() < 1e-6, "step {k}: {a} {b}");
        }
    }
}

#[test]
fn a_resumed_optimizer_continues_to_the_bit() {
    for case in cases() {
        let (mut straight, mut expected) = (case.build(), start());
        let (mut resumed, mut parameters) = (case.build(), start());
        for k in 0..case.trace.len() {
            step(straight.as_mut(), &mut expected, k, case.clip);
            let state = resumed.state();
            resumed = case.build();
            resumed.load(&state).unwrap();
            step(resumed.as_mut(), &mut parameters, k, case.clip);
            assert_eq!(parameters, expected, "{}", case.label);
        }
        assert_eq!(straight.state(), resumed.state(), "{}", case.label);
    }
}

#[test]
fn a_foreign_state_is_refused_and_changes_nothing() {
    for case in cases() {
        let (mut optimizer, mut parameters) = (case.build(), start());
        step(optimizer.as_mut(), &mut parameters, 0, None);
        let before = optimizer.state();

        let mut unknown = before.clone();
        unknown.push(StateTensor {
            name: "momentum.conv9.weight".into(),
            shape: vec![1],
            values: vec![0.0],
        });
        assert!(
            matches!(optimizer.load(&unknown), Err(StateError::Unknown(name)) if name == "momentum.conv9.weight")
        );
        if !before.is_empty() {
            let mut missing = before.clone();
            missing.pop();
            assert!(matches!(
                optimizer.load(&missing),
                Err(StateError::Missing(_))
            ));
            let mut reshaped = before.clone();
            reshaped[0].shape.reverse();
            assert!(matches!(
                optimizer.load(&reshaped),
                Err(StateError::Shape { .. })
            ));
            let mut short = before.clone();
            short[0].values.pop();
            assert!(matches!(
                optimizer.load(&short),
                Err(StateError::Shape { .. })
            ));
        }
        assert_eq!(optimizer.state(), before, "{}", case.label);
    }
}

#[test]
fn every_optimizer_descends_a_quadratic() {
    // With a large δ the whole gradient of this problem, which lies along the weights, is projected away.
    let projects_all = |case: &Case| case.spec.number("delta").is_some_and(|delta| delta > 0.1);
    for case in cases().into_iter().filter(|case| !projects_all(case)) {
        let mut optimizer = case.build();
        // Steps in proportion to the weights, or of one size, end near 0 only where the rate falls.
        let mut parameters = start();
        for k in 0..2000 {
            optimizer.begin_step(0.02 * (1.0 - k as f64 / 2000.0), k);
            for (tensor, w) in parameters.iter_mut().enumerate() {
                let gradient: Vec<f32> = w.iter().map(|&x| 2.0 * x).collect();
                optimizer.update(tensor, w, &gradient);
            }
        }
        // An average keeps a share of where the run has come from.
        let bound = if optimizer.averages() { 0.3 } else { 0.05 };
        let parameters = averaged(optimizer.as_ref(), &parameters);
        assert!(
            parameters.iter().flatten().all(|w| w.abs() < bound),
            "{}",
            case.label
        );
    }
}

#[test]
fn decay_by_default_leaves_biases_and_norms_alone() {
    use ParameterKind::*;
    let decayed = [Matrix, Kernel, Embedding, Bias, NormScale, NormShift]
        .map(|k| DecayPolicy::default().decays(k));
    assert_eq!(decayed, [true, true, true, false, false, false]);

    // With no gradient only decay moves a parameter.
    let spec = chosen("adamw(weight_decay=0.5)");
    let mut optimizer = build(&spec, &layout(), DecayPolicy::default()).unwrap();
    optimizer.begin_step(0.1, 0);
    let (mut weight, mut bias) = ([1.0f32; 12], [1.0f32; 4]);
    optimizer.update(0, &mut weight, &[0.0; 12]);
    optimizer.update(2, &mut bias, &[0.0; 4]);
    assert_eq!((weight, bias), ([0.95; 12], [1.0; 4]));
}

#[test]
fn constants_out_of_range_are_named() {
    let with = |name: &str, key: &str, value: f64| {
        let mut choice = chosen(name);
        choice.set(key, value);
        choice
    };
    for (spec, name) in [
        (with("sgd", "momentum", 1.0), "momentum"),
        (with("sgd", "momentum", -0.1), "momentum"),
        (with("sgd", "momentum", f64::NAN), "momentum"),
        (with("sgd(nesterov)", "momentum", 0.0), "momentum"),
        (with("sgd", "weight_decay", -1.0), "weight_decay"),
        (with("sgd", "weight_decay", f64::INFINITY), "weight_decay"),
        (with("adam", "beta1", 1.0), "beta1"),
        (with("adam", "beta2", 1.5), "beta2"),
        (with("adam", "epsilon", f64::NAN), "epsilon"),
        (with("adam", "epsilon", 0.0), "epsilon"),
        (with("adam", "momentum", 0.9), "momentum"),
        (with("lars", "trust_coefficient", 0.0), "trust_coefficient"),
        (with("lars", "beta1", 0.9), "beta1"),
        (with("lamb", "clamp", -1.0), "clamp"),
        (with("lamb", "trust_coefficient", 1.0), "trust_coefficient"),
        (with("muon", "momentum", 1.0), "momentum"),
        (with("schedule_free_sgd", "momentum", 0.0), "momentum"),
        (with("schedule_free_adamw", "beta1", 0.0), "beta1"),
    ] {
        let error = build(&spec, &layout(), DecayPolicy::All).err().unwrap();
        assert_eq!(error.key(), Some(name), "{spec:?}");
        assert!(error.to_string().contains(name));
    }
}

#[test]
fn the_registry_is_sound_and_every_optimizer_has_a_trace() {
    assert_eq!(OPTIMIZERS.faults(), Vec::<String>::new());
    for name in OPTIMIZERS.names() {
        let traced = cases().iter().any(|case| case.spec.name() == name);
        assert!(traced, "{name} has no golden trace");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Tensors are independent of each other: the order of updates within a step is free.
    #[test]
    fn the_order_of_tensors_does_not_matter(
        rates in prop::collection::vec(0.0f64..0.5, 1..6),
        seed in prop::collection::vec(-2.0f32..2.0, 48),
    ) {
        for case in cases() {
            let (mut forward, mut backward) = (case.build(), case.build());
            let (mut a, mut b) = (start(), start());
            for (k, &rate) in rates.iter().enumerate() {
                forward.begin_step(rate, k as u64);
                backward.begin_step(rate, k as u64);
                for tensor in [0, 1, 2, 3] {
                    let n = a[tensor].len();
                    forward.update(tensor, &mut a[tensor], &seed[..n]);
                }
                for tensor in [2, 0, 3, 1] {
                    let n = b[tensor].len();
                    backward.update(tensor, &mut b[tensor], &seed[..n]);
                }
            }
            prop_assert_eq!(&a, &b);
        }
    }

    /// A rate of zero moves nothing, whatever is remembered; only an average goes on toward where the run is.
    #[test]
    fn a_rate_of_zero_moves_nothing(gradient in prop::collection::vec(-2.0f32..2.0, 12)) {
        for case in cases().into_iter().filter(|case| case.averages.is_empty()) {
            let (mut optimizer, mut parameters) = (case.build(), start());
            step(optimizer.as_mut(), &mut parameters, 0, case.clip);
            let before = parameters[0].clone();
            optimizer.begin_step(0.0, 1);
            optimizer.update(0, &mut parameters[0], &gradient);
            prop_assert_eq!(&before, &parameters[0]);
        }
    }
}
