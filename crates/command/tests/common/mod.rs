//! Programs of a line or two, and a trainer that runs them.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::{collections::BTreeMap, path::Path, time::Duration};

use batchscope_command::{CommandConfig, CommandTrainer, Devices, Names, Template};
use batchscope_core::{
    Choice, Control, EvaluationPlan, Flow, NeverStop, Schedule, Target, Trainer, TrialPurpose,
    TrialRecord, TrialSpec, Value,
};

/// The target of every trial here.
pub fn target() -> Target {
    "val-error=0.1".parse().unwrap()
}

/// How programs are run in `folder`: `sh -c SCRIPT`, with the settings in the environment.
pub fn config(script: &str, folder: &Path) -> CommandConfig {
    CommandConfig {
        template: Template::new(&["sh", "-c", &script.replace('{', "{{").replace('}', "}}")])
            .unwrap()
            .reading_environment(true),
        names: Names {
            metrics: Vec::new(),
            wanted: vec![target().metric, "train-loss".parse().unwrap()],
        },
        pattern: None,
        csv: None,
        tensorboard: None,
        folder: folder.to_owned(),
        grace: Duration::from_millis(500),
        // Far longer than anything here takes, on a machine that is busy too.
        timeout: Some(Duration::from_secs(300)),
        sizes_only: false,
        retries: 2,
        devices: Devices::new(vec![String::new(); 4]),
        train_examples: Some(60_000),
        directions: BTreeMap::new(),
    }
}

/// A program of one line, which sleeps so many seconds after each report: `S = 60·(1 + 256/B)` steps to 0.1 at the best
/// rate `1/(1 + 256/B)`, and seeds that differ by 5 %.
pub fn one_line(pause: &str) -> Vec<String> {
    const PROGRAM: &str = r#"BEGIN { srand(seed); z = 0; for (i = 0; i < 12; i++) z += rand(); z -= 6; r = log(lr * (1 + 256 / b)); S = 60 * (1 + 256 / b) * exp(0.15 * r * r + 0.05 * z); for (s = 1; s <= n; s = int(s * 1.1) + 1) { printf "step=%d val_error=%.6f\n", s, 0.9 / (1 + 8 * s / S); fflush(); if (pause) system("sleep " pause) } }"#;
    let settings = [
        "b={batch_size}",
        "lr={learning_rate}",
        "seed={seed}",
        "n={max_steps}",
        &format!("pause={pause}"),
    ];
    let mut words = vec!["awk".to_owned()];
    words.extend(
        settings
            .iter()
            .flat_map(|setting| ["-v".to_owned(), (*setting).to_owned()]),
    );
    words.push(PROGRAM.replace('{', "{{").replace('}', "}}"));
    words
}

/// A trial of batch size 32 and at most 1000 steps.
pub fn spec() -> TrialSpec {
    TrialSpec {
        max_examples: None,
        start: None,
        id: 7,
        purpose: TrialPurpose::Fresh { index: 0 },
        curves: vec!["tuned".to_owned()],
        batch_size: 32,
        micro_batch: None,
        learning_rate: 0.125,
        schedule: Schedule::constant(),
        optimizer: Choice::new(
            "sgd",
            [
                ("momentum", Value::from(0.9)),
                ("weight_decay", Value::from(0.0)),
            ],
        ),
        methods: Vec::new(),
        controller: None,
        clip: None,
        decay: Default::default(),
        study_seed: 1,
        seed: 2,
        cap: 1000,
        target: Some(target()),
        evaluation: EvaluationPlan::default(),
        diagnostics: Vec::new(),
    }
}

/// The record of one trial of a script.
pub fn record(script: &str) -> TrialRecord {
    let folder = tempfile::tempdir().unwrap();
    record_of(config(script, folder.path()))
}

/// The record of one trial of a program.
pub fn record_of(config: CommandConfig) -> TrialRecord {
    let trainer = CommandTrainer::new(config).unwrap();
    trainer.run(&spec(), &NeverStop, &mut |_| {}).unwrap()
}

/// `0.9/(1 + 8·s/160)` after `s` steps, reported ever more rarely: 0.1 after 160.
pub const LEARNS: &str = r#"awk 'BEGIN { for (s = 1; s <= ENVIRON["BATCHSCOPE_MAX_STEPS"]; s = int(s * 1.1) + 1) printf "step=%d val_error=%.6f\n", s, 0.9 / (1 + 8 * s / 160) }'"#;

/// Stops after so many questions.
pub struct StopAfter(pub std::sync::atomic::AtomicU64);

impl Control for StopAfter {
    fn flow(&self) -> Flow {
        use std::sync::atomic::Ordering::SeqCst;
        match self.0.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)) {
            Ok(_) => Flow::Continue,
            Err(_) => Flow::Interrupt,
        }
    }
}
