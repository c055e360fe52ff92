//! Policy optimization is exact where it can be, and learns.

use batchscope_core::{
    Choice, Diagnostic, Evaluate, EvaluationPlan, NoiseRecord, Outcome, Schedule, Split, Trainer,
    TrialPurpose, TrialSpec,
};
use batchscope_navigation::{
    NAVIGATION, NavigationSettings, NavigationTrainer, RETURN, SUCCESS, Session, SingleNavigation,
    World, metric,
};
use batchscope_optim::OPTIMIZERS;

/// Small enough for tests: one room, near goals, a narrow network.
const SMALL: &str = "navigation(rooms=1,triangles=600,scenes=2,held_out=2,nearest=0.5,farthest=1.5,width=4,hidden=16,layers=1,horizon=16,episodes=6)";

fn settings(workload: &str) -> NavigationSettings {
    NavigationSettings::of(&choice(workload)).unwrap()
}

fn choice(workload: &str) -> Choice {
    NAVIGATION.read(&workload.parse().unwrap()).unwrap()
}

fn spec(batch_size: u64, optimizer: &str, learning_rate: f64, cap: u64) -> TrialSpec {
    TrialSpec {
        id: 0,
        purpose: TrialPurpose::Single,
        curves: Vec::new(),
        batch_size,
        micro_batch: None,
        learning_rate,
        schedule: Schedule::warm_up(0),
        optimizer: OPTIMIZERS.read(optimizer).unwrap().1,
        methods: Vec::new(),
        controller: None,
        clip: Some(1.0),
        decay: Default::default(),
        start: None,
        study_seed: 1,
        seed: 2,
        cap,
        max_examples: None,
        target: None,
        evaluation: EvaluationPlan {
            examples: 6,
            ..EvaluationPlan::default()
        },
        diagnostics: Vec::new(),
    }
}

/// The parameters after some updates, with so many frames in a pass.
fn parameters(spec: &TrialSpec, micro_batch: u64, steps: u64) -> Vec<f32> {
    let settings = settings(SMALL);
    let world = World::new(&settings).unwrap();
    let mut session = Session::new(&settings, &world, spec, micro_batch).unwrap();
    for step in 0..steps {
        session.take_step(step, &mut None).unwrap();
    }
    let state = session.network.export().unwrap();
    state.into_iter().flat_map(|tensor| tensor.values).collect()
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn accumulated_updates_are_those_of_whole_mini_batches() {
    // Of plain descent, which does not divide by the gradient's size.
    let spec = spec(128, "sgd(momentum=0)", 0.05, 2);
    let whole = parameters(&spec, 128, 2);
    let before = parameters(&spec, 128, 0);
    let moved = difference(&whole, &before);
    for micro_batch in [16, 48] {
        let parts = parameters(&spec, micro_batch, 2);
        let apart = difference(&whole, &parts);
        assert!(apart < 1e-4 * moved, "{apart} of {moved} at {micro_batch}");
    }
}

#[test]
fn updates_have_the_same_bits_on_any_number_of_threads() {
    let spec = spec(
        64,
        "lamb(clamp=10,min_trust=0.01,weight_decay=0.01)",
        1e-3,
        4,
    );
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| parameters(&spec, 32, 4))
    };
    assert_eq!(run(1), run(2));
}

#[test]
fn the_noise_of_the_policy_gradient_is_measured_between_environments() {
    let settings = settings(SMALL);
    let world = World::new(&settings).unwrap();
    let mut spec = spec(128, "adam", 1e-3, 4);
    spec.diagnostics = vec![Diagnostic::named(Diagnostic::NOISE)];
    let mut session = Session::new(&settings, &world, &spec, 16).unwrap();
    let mut noise = None;
    for step in 0..6 {
        session.take_step(step, &mut noise).unwrap();
    }
    let Some(NoiseRecord::Measured(moments)) = noise else {
        panic!("{noise:?}");
    };
    assert_eq!((moments.steps, moments.batch_size), (6, 128));
    // Eight environments' gradients scatter: their covariance is positive beyond doubt.
    assert!(moments.trace > 0.0, "{moments:?}");
}

/// The published network takes two updates (the second convolutions of its blocks start at zero, so that what comes before
/// them moves at the second): everything in it moves, and stays finite.
#[test]
fn the_published_network_takes_updates() {
    let workload = "navigation(rooms=1,triangles=600,scenes=1,held_out=1,width=64,hidden=512,layers=2,horizon=2,episodes=1)";
    let settings = settings(workload);
    let world = World::new(&settings).unwrap();
    let spec = spec(4, "adam", 5e-4, 2);
    let mut session = Session::new(&settings, &world, &spec, 4).unwrap();
    let before = session.network.export().unwrap();
    for step in 0..2 {
        let (loss, _) = session.take_step(step, &mut None).unwrap();
        assert!(loss.is_finite());
    }
    let after = session.network.export().unwrap();
    for (before, after) in before.iter().zip(&after) {
        assert!(after.values.iter().all(|x| x.is_finite()), "{}", after.name);
        assert_ne!(before.values, after.values, "{} stands still", after.name);
    }
}

/// Settings at the ends of their ranges train for a rollout.
#[test]
fn the_ends_of_the_ranges_train() {
    let narrow = "scenes=1,held_out=1,width=4,hidden=8,layers=1,episodes=1";
    for (workload, batch_size) in [
        (
            format!("navigation(rooms=1,triangles=600,horizon=1,{narrow})"),
            1,
        ),
        (
            format!("navigation(rooms=1,horizon=2,mini_batches=16,{narrow})"),
            2,
        ),
        (
            format!("navigation(rooms=12,triangles=600,horizon=2,{narrow})"),
            4,
        ),
        (
            format!("navigation(rooms=1,nearest=2,farthest=3,horizon=2,{narrow})"),
            4,
        ),
    ] {
        let settings = settings(&workload);
        let world = World::new(&settings).unwrap();
        let mut spec = spec(batch_size, "adam", 1e-3, 16);
        spec.diagnostics = vec![Diagnostic::named(Diagnostic::NOISE)];
        let mut session = Session::new(&settings, &world, &spec, 4).unwrap();
        let mut noise = None;
        for step in 0..settings.ppo.mini_batches as u64 {
            let (loss, _) = session.take_step(step, &mut noise).unwrap();
            assert!(loss.is_finite(), "{workload}");
        }
        assert!(noise.is_some(), "{workload}");
    }
    let refused = settings(SMALL).environments(1 << 40).unwrap_err();
    assert!(refused.why.contains("GiB"), "{refused}");
}

#[test]
fn an_agent_learns_to_go_where_it_is_led() {
    let settings = settings(SMALL);
    let world = World::new(&settings).unwrap();
    let spec = spec(256, "adam", 2e-3, 200);
    let mut session = Session::new(&settings, &world, &spec, 1024).unwrap();
    let returns = |session: &mut Session<'_>| {
        let found = session.evaluate(Evaluate::Only(Split::Train), 0).unwrap();
        found.metrics[&metric(Split::Train, RETURN)]
    };
    // Of each fifth of the run.
    let mut found = Vec::new();
    for step in 0..200 {
        session.take_step(step, &mut None).unwrap();
        if step % 40 == 39 {
            found.push(returns(&mut session));
        }
    }
    assert!(found[4] > found[0] + 0.4, "returns went along {found:?}");
}

#[test]
fn a_run_goes_on_from_its_checkpoint_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let workload = choice(SMALL);
    let trainer =
        NavigationTrainer::new(settings(SMALL), NAVIGATION.shortest(&workload), None).unwrap();
    let checkpoint = folder.path().join("run.safetensors");
    let mut spec = spec(32, "lamb", 1e-3, 12);
    let straight = SingleNavigation {
        checkpoint: Some(folder.path().join("straight.safetensors")),
        ..SingleNavigation::default()
    };
    let never = batchscope_core::NeverStop;
    let whole = trainer
        .train_once(&spec, &straight, &never, &mut |_| {})
        .unwrap();
    assert_eq!(whole.outcome, Outcome::Completed { step: 12 });
    let last = &whole.measurements.last().unwrap().metrics;
    assert!(last.contains_key(&metric(Split::Test, SUCCESS)));
    // A shorter run, then longer from there.
    spec.cap = 6;
    let mut single = SingleNavigation {
        checkpoint: Some(checkpoint.clone()),
        ..SingleNavigation::default()
    };
    trainer
        .train_once(&spec, &single, &never, &mut |_| {})
        .unwrap();
    spec.cap = 12;
    single.resume = Some(checkpoint.clone());
    trainer
        .train_once(&spec, &single, &never, &mut |_| {})
        .unwrap();
    let content = |path: &std::path::Path| {
        let bytes = std::fs::read(path).unwrap();
        let content = batchscope_files::tensors::parse(&bytes).unwrap();
        let state: serde_json::Value = serde_json::from_str(&content.state).unwrap();
        // A run that ends at update 6 is evaluated there once more: its measurements are others.
        (content.tensors, state["simulator"].clone())
    };
    let straight = folder.path().join("straight.safetensors");
    assert_eq!(content(&checkpoint), content(&straight));
    // The run once more: it has ended.
    let again = trainer
        .train_once(&spec, &single, &never, &mut |_| {})
        .unwrap();
    assert_eq!(again.outcome, whole.outcome);
    // Other runs do not take it up.
    spec.learning_rate = 2e-3;
    let refused = trainer
        .train_once(&spec, &single, &never, &mut |_| {})
        .unwrap_err();
    assert!(refused.to_string().contains("learning_rate"), "{refused}");
    let bytes = std::fs::read(&checkpoint).unwrap();
    std::fs::write(&checkpoint, &bytes[..bytes.len() / 2]).unwrap();
    let refused = trainer
        .train_once(&spec, &single, &never, &mut |_| {})
        .unwrap_err();
    assert!(refused.to_string().contains("safetensors"), "{refused}");
}

/// Of a run that ends within a rollout nothing can be gone on with; the run itself is there.
#[test]
fn a_run_that_ended_within_a_rollout_is_told_and_not_made_longer() {
    let folder = tempfile::tempdir().unwrap();
    let workload = NAVIGATION.shortest(&choice(SMALL));
    let trainer = NavigationTrainer::new(settings(SMALL), workload, None).unwrap();
    let checkpoint = folder.path().join("run.safetensors");
    let mut spec = spec(32, "adam", 1e-3, 5);
    let mut single = SingleNavigation {
        checkpoint: Some(checkpoint.clone()),
        ..SingleNavigation::default()
    };
    let never = batchscope_core::NeverStop;
    let first = trainer
        .train_once(&spec, &single, &never, &mut |_| {})
        .unwrap();
    single.resume = Some(checkpoint);
    let again = trainer
        .train_once(&spec, &single, &never, &mut |_| {})
        .unwrap();
    assert_eq!(again.outcome, first.outcome);
    assert_eq!(again.measurements, first.measurements);
    spec.cap = 9;
    let refused = trainer
        .train_once(&spec, &single, &never, &mut |_| {})
        .unwrap_err();
    assert!(
        refused.to_string().contains("within a rollout"),
        "{refused}"
    );
}

#[test]
fn what_navigation_cannot_do_is_refused() {
    let trainer = NavigationTrainer::new(settings(SMALL), SMALL.to_owned(), None).unwrap();
    let good = spec(32, "adam", 1e-3, 4);
    assert!(trainer.check(&good).is_ok());
    let refused = |change: fn(&mut TrialSpec)| {
        let mut spec = good.clone();
        change(&mut spec);
        trainer.check(&spec).unwrap_err().to_string()
    };
    assert!(refused(|spec| spec.batch_size = 40).contains("horizon"));
    assert!(refused(|spec| spec.micro_batch = Some(20)).contains("horizon"));
    assert!(
        refused(|spec| spec.target = Some("val-error=0.1".parse().unwrap()))
            .contains("val-success")
    );
    assert!(
        refused(|spec| spec.target = Some("val-success<=0.1".parse().unwrap())).contains("higher")
    );
    let linearity =
        |spec: &mut TrialSpec| spec.diagnostics = vec![Diagnostic::named(Diagnostic::LINEARITY)];
    assert!(refused(linearity).contains("linearity"));
    for (workload, key) in [
        ("navigation(rooms=0)", "rooms"),
        ("navigation(nearest=1.5,farthest=2)", "farthest"),
        ("navigation(speed=2)", "speed"),
    ] {
        let read = NAVIGATION.read(&workload.parse().unwrap());
        let error = match read {
            Err(error) => error.to_string(),
            Ok(choice) => NavigationSettings::of(&choice).unwrap_err().to_string(),
        };
        assert!(error.contains(key), "{workload}: {error}");
    }
}
