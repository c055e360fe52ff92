//! `batchscope navigate bench`: how fast simulator, renderer and training are on this machine.

use std::time::Duration;

use batchscope_core::{DecayPolicy, EvaluationPlan, Schedule, TrialPurpose, TrialSpec};
use batchscope_navigation::{
    Breakdown, MICRO_BATCH, NavigationSettings, Throughput, World, breakdown, one_at_a_time,
    published_learning_rate, together,
};
use batchscope_optim::OPTIMIZERS;
use batchscope_report::{
    TextColumn,
    format::{bytes, count, percent},
    text_table,
};
use serde::Serialize;

use super::workload;
use crate::{
    args::NavigateBench,
    commands::{folded, print, print_json, width},
    error::CliError,
    progress::Display,
};

/// Large plans, furnished to the limit.
const WORKLOAD: &str = "navigation(rooms=8,triangles=2000)";
/// Environments with a copy of a scene each at most: thousands take gigabytes.
const MOST_COPIES: u64 = 1024;
/// Frames of an update in the breakdown, about: they are multiples of the horizon.
const BATCH_SIZES: [u64; 3] = [512, 2048, 8192];

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    workload: String,
    threads: usize,
    scenes: u64,
    /// Triangles of the smallest and the largest scene.
    triangles: [usize; 2],
    together: Vec<Throughput>,
    one_at_a_time: Vec<Throughput>,
    training: Vec<Breakdown>,
}

/// Runs the command.
pub fn run(args: &NavigateBench, quiet: bool) -> Result<(), CliError> {
    let (settings, written) = workload(Some(args.workload.as_deref().unwrap_or(WORKLOAD)))?;
    let world = World::new(&settings).map_err(CliError::trainer)?;
    let display = Display::new(quiet);
    let budget = Duration::from_secs_f64(args.budget.min(600.0));
    let sizes = BATCH_SIZES.map(|size| size.next_multiple_of(settings.ppo.steps as u64));
    for size in sizes {
        settings.environments(size).map_err(CliError::trainer)?;
    }
    let total = 2 * args.environments.len() + BATCH_SIZES.len();
    let mut done = 0;
    let mut show = |what: String| {
        display.show(f64::from(done) / total as f64, &what);
        done += 1;
    };
    let triangles = || {
        world
            .train
            .scenes
            .iter()
            .map(|scene| scene.mesh.triangles.len())
    };
    let mut measured = Measured {
        workload: written,
        threads: batchscope_train::threads(),
        scenes: settings.scenes,
        triangles: [
            triangles().min().unwrap_or(0),
            triangles().max().unwrap_or(0),
        ],
        together: Vec::new(),
        one_at_a_time: Vec::new(),
        training: Vec::new(),
    };
    for &n in &args.environments {
        show(format!("{} environments together", count(n)));
        let row = together(&settings, &world.train, n as usize, budget);
        measured.together.push(row.map_err(CliError::trainer)?);
        if n <= MOST_COPIES {
            show(format!("{} environments one at a time", count(n)));
            let row = one_at_a_time(&settings, &world.train, n as usize, budget);
            measured.one_at_a_time.push(row.map_err(CliError::trainer)?);
        }
    }
    for batch_size in sizes {
        show(format!("updates of {} frames", count(batch_size)));
        let spec = spec(batch_size, &settings)?;
        let row = breakdown(&settings, &world, &spec, MICRO_BATCH, 4 * budget);
        measured.training.push(row.map_err(CliError::trainer)?);
    }
    display.finish();
    match args.json {
        true => print_json(&measured),
        false => print(&text(&measured)),
    }
}

fn spec(batch_size: u64, settings: &NavigationSettings) -> Result<TrialSpec, CliError> {
    let (_, optimizer) = OPTIMIZERS.read("lamb").map_err(CliError::failed)?;
    Ok(TrialSpec {
        id: 0,
        purpose: TrialPurpose::Single,
        curves: Vec::new(),
        batch_size,
        micro_batch: None,
        learning_rate: published_learning_rate(batch_size),
        schedule: Schedule::warm_up(0),
        optimizer,
        methods: Vec::new(),
        controller: None,
        clip: Some(1.0),
        decay: DecayPolicy::default(),
        start: None,
        study_seed: 0,
        seed: 0,
        cap: u64::MAX,
        max_examples: None,
        target: None,
        evaluation: EvaluationPlan {
            examples: settings.episodes,
            ..EvaluationPlan::default()
        },
        diagnostics: Vec::new(),
    })
}

fn text(measured: &Measured) -> String {
    let Measured {
        threads,
        scenes,
        triangles: [least, most],
        ..
    } = measured;
    let mut text = folded(
        &format!(
            "{}: {scenes} shared scenes of {least} to {most} triangles, {threads} threads. Steps and frames a second: environments \
             stepped, 64 x 64 depth images drawn, and both.",
            measured.workload
        ),
        width(),
        2,
    );
    for (name, rows) in [
        (
            "\nenvironments together, scenes shared\n",
            &measured.together,
        ),
        (
            "\none environment at a time, each with its own copy of a scene\n",
            &measured.one_at_a_time,
        ),
    ] {
        text += name;
        text += &throughputs(rows);
    }
    text += "\ntraining, and where the time goes\n";
    text + &breakdowns(&measured.training)
}

fn throughputs(rows: &[Throughput]) -> String {
    let column = |title, cell: fn(&Throughput) -> String| TextColumn {
        title,
        right: true,
        rank: 0,
        cells: rows.iter().map(cell).collect(),
    };
    let columns = [
        column("environments", |row| count(row.environments as u64)),
        column("steps/s", |row| count(row.steps as u64)),
        column("frames/s", |row| count(row.frames as u64)),
        column("both/s", |row| count(row.both as u64)),
        column("triangles", |row| bytes(row.scene_bytes as u64)),
    ];
    text_table(&columns, width())
}

fn breakdowns(rows: &[Breakdown]) -> String {
    let column = |title, rank, cell: fn(&Breakdown) -> String| TextColumn {
        title,
        right: true,
        rank,
        cells: rows.iter().map(cell).collect(),
    };
    let columns = [
        column("batch size", 0, |row| count(row.batch_size)),
        column("environments", 1, |row| count(row.environments as u64)),
        column("frames/s", 0, |row| count(row.frames as u64)),
        column("simulation", 0, |row| percent(row.simulation)),
        column("rendering", 0, |row| percent(row.rendering)),
        column("inference", 0, |row| percent(row.inference)),
        column("learning", 0, |row| percent(row.learning)),
    ];
    text_table(&columns, width())
}
