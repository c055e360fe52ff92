//! How well a policy finds its way: whole episodes in scenes that it has not trained in.

use std::sync::Arc;

use batchscope_core::{Purpose, Split, StreamKey};
use batchscope_nn::PolicyNetwork;

use crate::{
    NavigationError,
    rollout::{Senses, act, draw_actions},
    simulator::{Action, Difficulty, Ended, Simulator, Stepped},
    world::SceneSet,
};

/// Frames of an episode, as evaluations are counted before they are made: half of the longest.
pub const FRAMES_OF_AN_EPISODE: u64 = crate::simulator::MAX_STEPS as u64 / 2;

/// Episodes, as they ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged(pub Vec<Ended>);

impl Judged {
    /// Share of episodes that succeeded.
    pub fn success(&self) -> f64 {
        self.mean(|ended| f64::from(u8::from(ended.success)))
    }

    /// Mean SPL.
    pub fn spl(&self) -> f64 {
        self.mean(Ended::spl)
    }

    fn mean(&self, of: impl Fn(&Ended) -> f64) -> f64 {
        self.0.iter().map(of).sum::<f64>() / self.0.len() as f64
    }
}

/// Where the episodes of an evaluation come from.
#[derive(Clone, Copy)]
pub struct Exam<'a> {
    /// The scenes.
    pub set: &'a SceneSet,
    /// What they are for: their episodes and actions are drawn from streams of their own.
    pub split: Split,
    /// How far goals are.
    pub difficulty: Difficulty,
    /// Seed of the episodes: the same for all runs that are compared.
    pub seed: u64,
    /// How many.
    pub episodes: usize,
    /// Updates before it: other actions are drawn after other updates.
    pub step: u64,
    /// Key of the actions' draws, of the purpose [`Actions`](Purpose::Actions).
    pub actions: StreamKey,
    /// Rows that pass through the network together at most.
    pub rows: usize,
}

/// The key of an evaluation's episodes: the same for all runs that are compared, and no trial's.
pub fn exam_key(seed: u64, split: Split) -> StreamKey {
    StreamKey {
        study_seed: seed,
        trial: u64::MAX - split as u64,
        purpose: Purpose::Episodes,
    }
}

impl Exam<'_> {
    /// The stream of the actions of a step of the episodes: beyond those of training, and none twice.
    fn stream(&self, step: u64) -> u64 {
        let is_test = u64::from(self.split == Split::Test);
        (1 << 63) | (is_test << 62) | ((self.step & ((1 << 52) - 1)) << 10) | step
    }
}

/// Lets a policy act in the episodes of an exam, drawing actions as in training.
///
/// # Errors
/// When scenes cannot be drawn or the network fails.
pub fn judge(exam: Exam<'_>, network: &mut PolicyNetwork) -> Result<Judged, NavigationError> {
    let key = exam_key(exam.seed, exam.split);
    let environments = exam.episodes;
    let scenes = Arc::clone(&exam.set.scenes);
    let mut simulator = Simulator::new(scenes, exam.difficulty, key, environments);
    let width = network.state_width();
    let mut senses = Senses::new(environments, width);
    let mut stepped = Stepped::new(environments);
    let mut found: Vec<Option<Ended>> = vec![None; environments];
    // The environments whose first episodes go on, one for each row of the senses. The others turn around.
    let mut rows: Vec<usize> = (0..environments).collect();
    let mut actions = vec![Action::Left; environments];
    for step in 0.. {
        if rows.is_empty() {
            break;
        }
        senses.look(&simulator, &exam.set.renderer, rows.iter().copied())?;
        let answers = act(network, &mut senses, exam.rows)?;
        draw_actions(
            &answers,
            exam.actions,
            exam.stream(step),
            |row, action, _| {
                actions[rows[row]] = action;
                senses.previous[row] = 1 + action as u32;
                senses.fresh[row] = false;
            },
        );
        simulator.step(&actions, &mut stepped);
        let mut kept = 0;
        for row in 0..rows.len() {
            let environment = rows[row];
            if let Some(ended) = stepped.ended[environment] {
                found[environment] = Some(ended);
                actions[environment] = Action::Left;
                continue;
            }
            rows[kept] = environment;
            senses.previous[kept] = senses.previous[row];
            senses
                .state
                .copy_within(row * width..(row + 1) * width, kept * width);
            kept += 1;
        }
        rows.truncate(kept);
        senses.keep_first(kept, width);
    }
    Ok(Judged(found.into_iter().flatten().collect()))
}
