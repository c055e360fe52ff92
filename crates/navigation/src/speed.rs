//! How fast the parts of the workload are, against the clock.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use batchscope_core::{Purpose, StreamKey, TrialSpec};
use rayon::prelude::*;
use serde::Serialize;

use crate::{
    NavigationError, NavigationSettings, SceneSet, Session, World,
    rollout::{Senses, act},
    scene::Scene,
    simulator::{Action, Simulator, Stepped},
};

/// Simulator and renderer with so many environments.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Throughput {
    /// Environments.
    pub environments: usize,
    /// Steps of environments a second, nothing drawn.
    pub steps: f64,
    /// Depth images a second, nothing stepped.
    pub frames: f64,
    /// Frames a second, each stepped and drawn.
    pub both: f64,
    /// Bytes of the scenes' triangles, copies included.
    pub scene_bytes: usize,
}

/// Where the seconds of training go.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Breakdown {
    /// Environments, `N`.
    pub environments: usize,
    /// Frames of an update.
    pub batch_size: u64,
    /// Frames a second in all.
    pub frames: f64,
    /// Shares of the time: stepping environments.
    pub simulation: f64,
    /// Drawing what they see.
    pub rendering: f64,
    /// The network's answers while they act.
    pub inference: f64,
    /// Updates, and what is left.
    pub learning: f64,
}

/// Who acts in a timing: a fixed mix of actions, of which three in four go forward.
fn actions(environments: usize, step: usize) -> Vec<Action> {
    let of = |i: usize| match (i + step) % 8 {
        0 => Action::Left,
        1 => Action::Right,
        _ => Action::Forward,
    };
    (0..environments).map(of).collect()
}

/// Calls of a second by their median, over about so long.
fn rate(
    budget: Duration,
    mut call: impl FnMut() -> Result<(), NavigationError>,
) -> Result<f64, NavigationError> {
    call()?;
    let begun = Instant::now();
    let mut seconds = Vec::new();
    while seconds.len() < 5 || begun.elapsed() < budget {
        let clock = Instant::now();
        call()?;
        seconds.push(clock.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(1.0 / batchscope_core::statistics::quantile(&seconds, 0.5))
}

fn key() -> StreamKey {
    StreamKey {
        study_seed: 0,
        trial: 0,
        purpose: Purpose::Episodes,
    }
}

fn bytes(scenes: &[Scene]) -> usize {
    let of = |scene: &Scene| std::mem::size_of_val(&scene.mesh.triangles[..]);
    scenes.iter().map(of).sum()
}

/// Environments that share their scenes, stepped and drawn together; for about `budget` for each of the three numbers.
///
/// # Errors
/// When they cannot be drawn.
pub fn together(
    settings: &NavigationSettings,
    set: &SceneSet,
    environments: usize,
    budget: Duration,
) -> Result<Throughput, NavigationError> {
    let scenes = Arc::clone(&set.scenes);
    let mut simulator = Simulator::new(scenes, settings.difficulty, key(), environments);
    let mut stepped = Stepped::new(environments);
    let mixes: Vec<_> = (0..8).map(|step| actions(environments, step)).collect();
    let mut mix = mixes.iter().cycle();
    let n = environments as f64;
    let mut step = |simulator: &mut Simulator| {
        if let Some(actions) = mix.next() {
            simulator.step(actions, &mut stepped);
        }
    };
    let steps = n * rate(budget, || {
        step(&mut simulator);
        Ok(())
    })?;
    let mut senses = Senses::new(environments, 0);
    let frames = n * rate(budget, || {
        senses.look(&simulator, &set.renderer, 0..environments)
    })?;
    let both = n * rate(budget, || {
        step(&mut simulator);
        senses.look(&simulator, &set.renderer, 0..environments)
    })?;
    Ok(Throughput {
        environments,
        steps,
        frames,
        both,
        scene_bytes: bytes(&set.scenes),
    })
}

/// Environments that each have a simulator, a renderer and a copy of a scene of their own, which are called one at a time on
/// every thread: the design that batch simulation replaces.
///
/// # Errors
/// When they cannot be drawn.
pub fn one_at_a_time(
    settings: &NavigationSettings,
    set: &SceneSet,
    environments: usize,
    budget: Duration,
) -> Result<Throughput, NavigationError> {
    struct Own {
        set: SceneSet,
        simulator: Simulator,
        senses: Senses,
        stepped: Stepped,
        taken: usize,
    }
    let own = (0..environments).map(|i| -> Result<Own, NavigationError> {
        let set = SceneSet::new(vec![set.scenes[i % set.scenes.len()].clone()])?;
        Ok(Own {
            simulator: Simulator::new(Arc::clone(&set.scenes), settings.difficulty, key(), 1),
            senses: Senses::new(1, 0),
            stepped: Stepped::new(1),
            taken: i,
            set,
        })
    });
    let mut own = own.collect::<Result<Vec<Own>, _>>()?;
    let scene_bytes = own.iter().map(|own| bytes(&own.set.scenes)).sum();
    let n = environments as f64;
    let step = |own: &mut Own| {
        let action = actions(1, own.taken)[0];
        own.taken += 1;
        own.simulator.step(&[action], &mut own.stepped);
    };
    let look = |own: &mut Own| own.senses.look(&own.simulator, &own.set.renderer, 0..1);
    let steps = n * rate(budget, || {
        own.par_iter_mut().for_each(step);
        Ok(())
    })?;
    let frames = n * rate(budget, || own.par_iter_mut().try_for_each(look))?;
    let both = n * rate(budget, || {
        own.par_iter_mut().try_for_each(|own| {
            step(own);
            look(own)
        })
    })?;
    Ok(Throughput {
        environments,
        steps,
        frames,
        both,
        scene_bytes,
    })
}

/// Where the seconds of training by a spec go, measured over some rollouts.
///
/// # Errors
/// When the spec cannot be trained by, or the network fails.
pub fn breakdown(
    settings: &NavigationSettings,
    world: &World,
    spec: &TrialSpec,
    micro_batch: u64,
    budget: Duration,
) -> Result<Breakdown, NavigationError> {
    let mut session = Session::new(settings, world, spec, micro_batch)?;
    let environments = session.simulator.environments();
    let horizon = settings.ppo.steps as f64;
    let mini_batches = settings.ppo.mini_batches as u64;
    let mut rollouts = 0;
    let whole = 1.0
        / rate(budget, || {
            for index in 0..mini_batches {
                session.take_step(rollouts * mini_batches + index, &mut None)?;
            }
            rollouts += 1;
            Ok(())
        })?;
    let share = budget / 4;
    let mixes: Vec<_> = (0..8).map(|step| actions(environments, step)).collect();
    let mut mix = mixes.iter().cycle();
    let mut stepped = Stepped::new(environments);
    let simulation = horizon
        / rate(share, || {
            if let Some(actions) = mix.next() {
                session.simulator.step(actions, &mut stepped);
            }
            Ok(())
        })?;
    let rendering = horizon
        / rate(share, || {
            let renderer = &world.train.renderer;
            session
                .senses
                .look(&session.simulator, renderer, 0..environments)
        })?;
    let inference = horizon
        / rate(share, || {
            act(
                &mut session.network,
                &mut session.senses,
                micro_batch as usize,
            )
            .map(|_| ())
        })?;
    let frames = horizon * environments as f64;
    let learning = (whole - simulation - rendering - inference).max(0.0);
    Ok(Breakdown {
        environments,
        batch_size: spec.batch_size,
        frames: frames / whole,
        simulation: simulation / whole,
        rendering: rendering / whole,
        inference: inference / whole,
        learning: learning / whole,
    })
}
