//! The simulator keeps the rules of its task, whatever its agents do.

use std::sync::Arc;

use batchscope_core::{Purpose, Split, StreamKey};
use batchscope_navigation::{
    Action, Difficulty, Follower, HALF_WIDTH, MAX_STEPS, Obstacles, PlanSettings, Scene, Simulator,
    Stepped, length,
};
use proptest::prelude::*;

const DIFFICULTY: Difficulty = Difficulty {
    nearest: 1.0,
    farthest: 5.0,
};

fn scenes(rooms: [u32; 2], seed: u64) -> Arc<[Scene]> {
    let settings = PlanSettings {
        rooms,
        triangles: 800,
    };
    (0..4)
        .map(|number| Scene::draw(&settings, seed, number, Split::Train))
        .collect()
}

fn key(seed: u64) -> StreamKey {
    StreamKey {
        study_seed: seed,
        trial: 0,
        purpose: Purpose::Episodes,
    }
}

fn simulator(seed: u64, environments: usize) -> Simulator {
    Simulator::new(scenes([1, 3], seed), DIFFICULTY, key(seed), environments)
}

/// Actions without a plan: mostly forward, seldom a stop.
fn actions(step: usize, environments: usize) -> Vec<Action> {
    let of = |i: usize| match (7 * step + 13 * i + step * i) % 23 {
        0 if step.is_multiple_of(9) => Action::Stop,
        0..=5 => Action::Left,
        6..=9 => Action::Right,
        _ => Action::Forward,
    };
    (0..environments).map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_hold_at_every_step(seed in any::<u64>()) {
        const ENVIRONMENTS: usize = 10;
        let mut simulator = simulator(seed, ENVIRONMENTS);
        let free: Vec<Obstacles> = simulator.scenes().iter().map(|scene| {
            Obstacles::new(scene.plan.building, &scene.plan.obstacles(), HALF_WIDTH)
        }).collect();
        let mut stepped = Stepped::new(ENVIRONMENTS);
        for step in 0..300 {
            let before: Vec<_> = (0..ENVIRONMENTS).map(|i| simulator.state(i)).collect();
            let actions = actions(step, ENVIRONMENTS);
            simulator.step(&actions, &mut stepped);
            for (i, before) in before.iter().enumerate() {
                let after = simulator.state(i);
                prop_assert!(free[after.scene].is_free(after.position));
                let straight = length(after.position, after.goal);
                prop_assert!(after.distance >= straight - 1e-9);
                let [distance, cos, sin] = simulator.goal(i).map(f64::from);
                prop_assert!((distance - straight).abs() < 1e-5 && (cos.hypot(sin) - 1.0).abs() < 1e-5);
                match stepped.ended[i] {
                    None => {
                        prop_assert_eq!((after.scene, after.goal), (before.scene, before.goal));
                        prop_assert_eq!(after.steps, before.steps + 1);
                        let reward = before.distance - after.distance - 0.01;
                        prop_assert!((f64::from(stepped.rewards[i]) - reward).abs() < 1e-6);
                        // A step leads no nearer than it is long.
                        prop_assert!(before.distance - after.distance <= 0.25 + 1e-9);
                    }
                    Some(ended) => {
                        prop_assert!((0.0..=1.0).contains(&ended.spl()));
                        prop_assert!(ended.steps <= MAX_STEPS);
                        prop_assert_eq!(ended.success, actions[i] == Action::Stop && before.distance <= 0.2);
                        prop_assert_eq!(after.steps, 0);
                        prop_assert!((DIFFICULTY.nearest..=DIFFICULTY.farthest).contains(&after.distance));
                    }
                }
            }
        }
    }
}

#[test]
fn who_follows_the_shortest_way_succeeds_within_a_step_of_it() {
    const ENVIRONMENTS: usize = 100;
    let mut simulator = simulator(11, ENVIRONMENTS);
    let mut stepped = Stepped::new(ENVIRONMENTS);
    let mut follower = Follower::default();
    let mut episodes = 0;
    let mut spl = 0.0;
    for _ in 0..120 {
        let actions: Vec<_> = (0..ENVIRONMENTS)
            .map(|i| follower.act(&simulator, i))
            .collect();
        simulator.step(&actions, &mut stepped);
        for ended in stepped.ended.iter().flatten() {
            assert!(ended.success, "{ended:?}");
            assert!(ended.path <= ended.shortest + 0.25, "{ended:?}");
            episodes += 1;
            spl += ended.spl();
        }
    }
    assert!(episodes > 200, "{episodes} episodes");
    assert!(
        spl / f64::from(episodes) > 0.99,
        "SPL {}",
        spl / f64::from(episodes)
    );
}

#[test]
fn an_episode_is_over_after_five_hundred_steps() {
    let mut simulator = simulator(3, 1);
    let mut stepped = Stepped::new(1);
    for step in 1..=MAX_STEPS {
        simulator.step(&[Action::Left], &mut stepped);
        assert_eq!(stepped.ended[0].is_some(), step == MAX_STEPS);
    }
    let ended = stepped.ended[0].unwrap();
    assert_eq!((ended.success, ended.spl(), ended.path), (false, 0.0, 0.0));
}

#[test]
fn environments_are_the_same_on_any_number_of_threads_and_beside_any_others() {
    let run = |threads: usize, environments: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let mut simulator = simulator(5, environments);
            let mut stepped = Stepped::new(environments);
            let mut rewards = Vec::new();
            for step in 0..150 {
                simulator.step(&actions(step, environments), &mut stepped);
                rewards.extend(stepped.rewards[..100].iter().map(|r| r.to_bits()));
            }
            (rewards, simulator.save())
        })
    };
    let (rewards, state) = run(1, 200);
    assert_eq!((&rewards, &state), (&run(2, 200).0, &run(5, 200).1));
    assert_eq!(rewards, run(2, 130).0);
}

#[test]
fn a_saved_state_goes_on_as_it_would_have() {
    let mut straight = simulator(9, 70);
    let mut stepped = Stepped::new(70);
    for step in 0..50 {
        straight.step(&actions(step, 70), &mut stepped);
    }
    let mut resumed = simulator(9, 70);
    assert!(resumed.load(&straight.save()));
    let mut again = Stepped::new(70);
    for step in 50..150 {
        straight.step(&actions(step, 70), &mut stepped);
        resumed.step(&actions(step, 70), &mut again);
        assert_eq!(stepped, again);
    }
    assert_eq!(straight.save(), resumed.save());
}

#[test]
fn states_of_other_environments_are_refused() {
    let mut simulator = simulator(9, 3);
    let saved = simulator.save();
    assert!(!simulator.load(&saved[1..]));
    // Scene, place, heading, turns, goal, distance, shortest way, way, steps, episode.
    for (at, wrong) in [
        (0, 99.0),
        (0, 0.5),
        (1, 1e9),
        (2, -5.0),
        (3, f64::NAN),
        (4, 36.0),
        (5, -1.0),
        (7, 0.3),
        (8, 0.0),
        (9, -1.0),
        (10, 5e9),
        (11, -1.0),
    ] {
        let mut broken = saved.clone();
        broken[at] = wrong;
        assert!(!simulator.load(&broken), "{at}: {wrong}");
    }
}
