//! Frames per second of the policy network, acting and learning:
//! `RAYON_NUM_THREADS=2 cargo run --release -p batchscope-nn --example policy_speed`.

use std::time::Instant;

use batchscope_core::{Purpose, StreamKey};
use batchscope_nn::{Answers, DeviceSpec, Observations, PolicyNetwork, PolicySpec, Windows};

const KEY: StreamKey = StreamKey {
    study_seed: 1,
    trial: 0,
    purpose: Purpose::Initialization,
};

/// Rows that act at once, and steps and streams that are learned from at once.
const ACTING: usize = 128;
const WINDOW: [usize; 2] = [32, 32];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{} threads", rayon::current_num_threads());
    for (width, hidden) in [(16, 128), (32, 256), (64, 512)] {
        let spec = PolicySpec::new(width, hidden, 2, 4, 64)?;
        let mut network = PolicyNetwork::new(spec, KEY, DeviceSpec::Cpu)?;
        let rows = WINDOW[0] * WINDOW[1];
        let depth: Vec<f32> = (0..rows * 64 * 64)
            .map(|i| (i % 97) as f32 / 97.0)
            .collect();
        let goal = vec![0.5; rows * 3];
        let previous: Vec<u32> = (0..rows).map(|i| (i % 5) as u32).collect();
        let fresh: Vec<bool> = (0..rows).map(|i| i % 100 == 0).collect();
        let mut state = vec![0.0; ACTING * network.state_width()];
        let act = |network: &mut PolicyNetwork, state: &mut [f32]| {
            let observations = Observations {
                depth: &depth[..ACTING * 64 * 64],
                goal: &goal[..ACTING * 3],
                previous: &previous[..ACTING],
            };
            network.act(&observations, &fresh[..ACTING], state)
        };
        let acting = best(|| act(&mut network, &mut state).map(|_| ()))?;
        let windows = Windows {
            steps: WINDOW[0],
            streams: WINDOW[1],
            observations: Observations {
                depth: &depth,
                goal: &goal,
                previous: &previous,
            },
            fresh: &fresh,
            state: &state[..WINDOW[1] * network.state_width()],
        };
        network.begin_step();
        let mut loss = |answers: &Answers, gradient: &mut Answers| {
            gradient.logits.copy_from_slice(&answers.logits);
            gradient.values.copy_from_slice(&answers.values);
        };
        let learning = best(|| network.accumulate(&windows, &mut loss, None))?;
        println!(
            "width {width}, hidden {hidden}, {} parameters: act {:.0} frames/s ({:.1} ms), accumulate {:.0} frames/s ({:.1} ms)",
            network.layout().parameters(),
            ACTING as f64 / acting,
            acting * 1e3,
            rows as f64 / learning,
            learning * 1e3,
        );
    }
    Ok(())
}

/// Seconds of the fastest of some calls, after one to warm up.
fn best<E>(mut call: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    call()?;
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        call()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}
