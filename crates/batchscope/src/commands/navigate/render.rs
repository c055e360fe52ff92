//! `batchscope navigate render`: plans, what agents see, and an episode, as PNG.

use std::{fs, path::Path, sync::Arc};

use batchscope_core::{Purpose, Split, StreamKey};
use batchscope_navigation::{
    Action, Animation, AnimationSettings, Ended, EnvironmentState, EpisodeFrame, Follower, Marks,
    NavigationSettings, Picture, PlanPictureSettings, Policy, Scene, SceneSet, SheetSettings,
    Simulator, Stepped, StoredPolicy, World, contact_sheet, exam_key, plan_picture,
};
use batchscope_report::format::fixed;

use super::workload;
use crate::{
    args::NavigateRender,
    commands::{folded, print, width},
    error::CliError,
    files::{CHECKPOINT, write_whole},
    progress::Display,
};

/// Depth images in a row of the sheet.
const COLUMNS: usize = 8;
/// Pixels of the sheet for each of an image.
const ENLARGED: usize = 2;

/// Runs the command.
pub fn run(args: &NavigateRender, quiet: bool) -> Result<(), CliError> {
    let stored = (args.checkpoint.as_deref())
        .map(|folder| StoredPolicy::read(&folder.join(CHECKPOINT)).map_err(CliError::trainer))
        .transpose()?;
    let (settings, note) = settings(args, stored.as_ref())?;
    fs::create_dir_all(&args.out)
        .map_err(|e| CliError::file("cannot create the folder", &args.out, e))?;
    let display = Display::new(quiet);
    if let Some(note) = note {
        display.line(&format!("note: {note}"));
    }
    let world = World::new(&settings).map_err(CliError::trainer)?;
    let mut text = String::new();
    for number in 0..args.plans {
        let scene = Scene::draw(&settings.plan, settings.scene_seed, number, Split::Train);
        let path = args.out.join(format!("plan-{number}.png"));
        let picture = plan_picture(&scene, &Marks::default(), &PlanPictureSettings::default());
        write_picture(&path, &picture)?;
        text += &format!(
            "{}: {} rooms, {} pieces of furniture, {} triangles\n",
            path.display(),
            scene.plan.rooms,
            scene.plan.furniture.len(),
            scene.mesh.triangles.len()
        );
    }
    let path = args.out.join("views.png");
    write_picture(&path, &views(&settings, &world.train, args.views as usize)?)?;
    text += &format!(
        "{}: what {} agents see, near in light, 10 m in dark\n",
        path.display(),
        args.views
    );
    let path = args.out.join("episode.png");
    let mut agent = match &stored {
        None => Agent::Follower(Follower::default()),
        Some(stored) => {
            let policy = stored.begin(&settings).map_err(CliError::trainer)?;
            Agent::Policy(Box::new(policy))
        }
    };
    let episode = Episode::of(
        &settings,
        &world.held_out,
        args.episode as usize,
        &mut agent,
    )?;
    display.finish();
    episode.write(&path, &world.held_out)?;
    text += &format!("{}: {}\n", path.display(), episode.told(&agent));
    print(&folded(&text, width(), 2))
}

/// The workload that is asked for; where none is, the agent's own, which is told.
fn settings(
    args: &NavigateRender,
    agent: Option<&StoredPolicy>,
) -> Result<(NavigationSettings, Option<String>), CliError> {
    let of_agent = agent.map(StoredPolicy::workload);
    let (settings, written) = workload(args.workload.as_deref().or(of_agent))?;
    let note = of_agent.map(|own| match own == written {
        true => format!("the workload is the agent's: {own}"),
        false => format!("the agent was trained on {own}"),
    });
    Ok((settings, note))
}

fn write_picture(path: &Path, picture: &Picture) -> Result<(), CliError> {
    let mut bytes = Vec::new();
    picture.write_png(&mut bytes).map_err(CliError::failed)?;
    write_whole(path, &bytes)
}

/// What agents see at the beginning of their episodes.
fn views(settings: &NavigationSettings, set: &SceneSet, count: usize) -> Result<Picture, CliError> {
    let simulator = Simulator::new(Arc::clone(&set.scenes), settings.difficulty, key(), count);
    let views: Vec<_> = (0..count).map(|i| simulator.view(i)).collect();
    let camera = set.renderer.camera();
    let mut depth = vec![0.0; count * camera.pixels()];
    set.renderer
        .render(&views, &mut depth)
        .map_err(CliError::failed)?;
    let images: Vec<&[f32]> = depth.chunks(camera.pixels()).collect();
    let sheet = SheetSettings {
        resolution: camera.resolution,
        columns: COLUMNS,
        enlarged: ENLARGED,
        limit: camera.limit,
    };
    contact_sheet(&images, &sheet).map_err(CliError::failed)
}

fn key() -> StreamKey {
    StreamKey {
        study_seed: 0,
        trial: 0,
        purpose: Purpose::Episodes,
    }
}

/// Who acts in the episode.
enum Agent {
    /// It knows the way.
    Follower(Follower),
    /// It has learned.
    Policy(Box<Policy>),
}

impl Agent {
    fn act(
        &mut self,
        simulator: &Simulator,
        episode: usize,
        depth: &[f32],
        limit: f32,
    ) -> Result<Action, CliError> {
        match self {
            Self::Follower(follower) => Ok(follower.act(simulator, episode)),
            Self::Policy(policy) => policy
                .act(simulator.goal(episode), depth, limit)
                .map_err(CliError::trainer),
        }
    }
}

/// An episode from its beginning to its end.
struct Episode {
    depths: Vec<Vec<f32>>,
    states: Vec<EnvironmentState>,
    ended: Ended,
}

impl Episode {
    fn of(
        settings: &NavigationSettings,
        set: &SceneSet,
        number: usize,
        agent: &mut Agent,
    ) -> Result<Self, CliError> {
        let key = exam_key(settings.scene_seed, Split::Val);
        let environments = number + 1;
        let mut simulator = Simulator::new(
            Arc::clone(&set.scenes),
            settings.difficulty,
            key,
            environments,
        );
        let camera = set.renderer.camera();
        let (mut depths, mut states) = (Vec::new(), Vec::new());
        let mut stepped = Stepped::new(environments);
        let mut actions = vec![Action::Left; environments];
        loop {
            let mut depth = vec![0.0; camera.pixels()];
            (set.renderer.render(&[simulator.view(number)], &mut depth))
                .map_err(CliError::failed)?;
            actions[number] = agent.act(&simulator, number, &depth, camera.limit)?;
            depths.push(depth);
            states.push(simulator.state(number));
            simulator.step(&actions, &mut stepped);
            if let Some(ended) = stepped.ended[number] {
                return Ok(Self {
                    depths,
                    states,
                    ended,
                });
            }
        }
    }

    fn write(&self, path: &Path, set: &SceneSet) -> Result<(), CliError> {
        let way: Vec<[f64; 2]> = self.states.iter().map(|state| state.position).collect();
        let mut bytes = Vec::new();
        let scene = &set.scenes[self.states[0].scene];
        let frames = self.states.len() as u32;
        let mut animation =
            Animation::new(&mut bytes, scene, frames, &AnimationSettings::default())
                .map_err(CliError::failed)?;
        for (i, (depth, &state)) in self.depths.iter().zip(&self.states).enumerate() {
            let frame = EpisodeFrame {
                depth,
                state,
                way: &way[..=i],
            };
            animation.add(&frame).map_err(CliError::failed)?;
        }
        animation.finish().map_err(CliError::failed)?;
        write_whole(path, &bytes)
    }

    fn told(&self, agent: &Agent) -> String {
        let Ended {
            success,
            steps,
            shortest,
            path,
        } = self.ended;
        format!(
            "an animated episode of {}: {} after {steps} steps, {} m for a shortest way of {} m, SPL {}",
            match agent {
                Agent::Follower(_) => "an agent that follows the shortest way",
                Agent::Policy(_) => "the trained agent",
            },
            if success { "success" } else { "no success" },
            fixed(path),
            fixed(shortest),
            fixed(self.ended.spl())
        )
    }
}
