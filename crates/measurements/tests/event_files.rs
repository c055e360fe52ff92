//! Folders of TensorBoard's event files, as the libraries lay them out, give the runs that a table gives.

use std::{fs, path::Path};

use batchscope_core::Outcome;
use batchscope_measurements::{Measurements, MeasurementsError, ReadOptions, read};
use batchscope_tensorboard::{Setting, Writer};

/// One event file under a folder.
struct File {
    bytes: Vec<u8>,
}

impl File {
    fn new() -> Self {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes, 1000.0).unwrap();
        Self { bytes }
    }

    fn writer(&mut self) -> Writer<&mut Vec<u8>> {
        // The record of the version that this begins with does no harm within a file.
        Writer::new(&mut self.bytes, 1000.0).unwrap()
    }

    fn settings(mut self, settings: &[(&str, &str)]) -> Self {
        let owned = settings.iter().map(|(name, value)| Setting {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        });
        let owned: Vec<Setting> = owned.collect();
        self.writer().settings(&owned, 1000.0).unwrap();
        self
    }

    /// A loss that falls from 2 by 0.01 a step, every ten steps.
    fn losses(mut self, tag: &str, steps: std::ops::RangeInclusive<i64>) -> Self {
        let mut writer = self.writer();
        for step in steps.filter(|step| step % 10 == 0) {
            let (loss, time) = (2.0 - 0.01 * step as f64, 1000.0 + 0.5 * step as f64);
            writer.scalar(tag, loss, step, time).unwrap();
        }
        self
    }

    fn put(self, folder: &Path, path: &str) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, self.bytes).unwrap();
    }
}

fn options() -> ReadOptions {
    ReadOptions {
        target: Some("val-loss=1".parse().unwrap()),
        ..ReadOptions::default()
    }
}

fn of(folder: &Path) -> Measurements {
    read(&[folder.to_owned()], &options()).unwrap()
}

/// Batch sizes of runs that crossed the target near 100 steps, where the loss is 1.
fn crossed(measurements: &Measurements) -> Vec<u64> {
    let records = measurements.records.iter();
    records
        .filter(|r| {
            r.outcome
                .crossing()
                .is_some_and(|x| (x - 100.0).abs() < 0.5)
        })
        .map(|r| r.spec.batch_size)
        .collect()
}

fn says(measurements: &Measurements, words: &str) -> bool {
    measurements.notes.iter().any(|note| note.contains(words))
}

#[test]
fn settings_in_the_file_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    for (batch_size, seed) in [("32", "1"), ("32", "2"), ("64", "1")] {
        let settings = [
            ("batch_size", batch_size),
            ("lr", "0.1"),
            ("seed", seed),
            ("steps", "500"),
        ];
        File::new()
            .settings(&settings)
            .losses("val_loss", 10..=150)
            .losses("train/grad_norm", 10..=150)
            .put(
                folder.path(),
                &format!("{batch_size}-{seed}/events.out.tfevents.1.host"),
            );
    }
    let found = of(folder.path());
    // A setting that is called steps does not count them.
    assert_eq!(crossed(&found), [32, 32, 64], "{:?}", found.notes);
    assert!(
        says(&found, "batch_size is 'hparams/batch_size'"),
        "{:?}",
        found.notes
    );
    assert!(says(&found, "steps is 'step'"), "{:?}", found.notes);
    assert!(
        says(&found, "tags not read: 'train/grad_norm'"),
        "{:?}",
        found.notes
    );
    // Half a second a step, from the first value on.
    assert_eq!(found.records[0].seconds, 0.5 * 140.0);
}

#[test]
fn settings_in_a_folder_below_as_pytorch_writes_them() {
    let folder = tempfile::tempdir().unwrap();
    for batch_size in ["16", "32"] {
        let run = format!("run{batch_size}");
        File::new()
            .losses("Loss/val", 10..=150)
            .losses("val/loss", 10..=150)
            .put(folder.path(), &format!("{run}/events.out.tfevents.1.host"));
        File::new()
            .settings(&[("batch_size", batch_size)])
            .losses("hparam/val_loss", 0..=0)
            .put(
                folder.path(),
                &format!("{run}/1700.5/events.out.tfevents.2.host"),
            );
    }
    let found = of(folder.path());
    assert_eq!(crossed(&found), [16, 32], "{:?}", found.notes);
    assert!(
        says(
            &found,
            "the settings of 2 runs are in a folder of their own"
        ),
        "{:?}",
        found.notes
    );
}

#[test]
fn settings_in_the_names_of_folders_and_splits_apart_as_keras_writes_them() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["bs=16_lr=1e-3", "bs=32_lr=1e-3"] {
        for split in ["train", "validation"] {
            let file = File::new().losses("loss", 10..=150);
            file.put(
                folder.path(),
                &format!("{name}/{split}/events.out.tfevents.1.host.v2"),
            );
        }
    }
    let found = of(folder.path());
    assert_eq!(crossed(&found), [16, 32], "{:?}", found.notes);
    assert!(
        says(&found, "metric is 'validation/loss'"),
        "{:?}",
        found.notes
    );
    assert!(
        says(
            &found,
            "batch_size is 'folder/bs', learning_rate is 'folder/lr'"
        ),
        "{:?}",
        found.notes
    );
}

#[test]
fn a_run_that_was_taken_up_again_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("batch_size", "32")];
    let first = File::new().settings(&settings).losses("val_loss", 10..=80);
    first.put(folder.path(), "run/events.out.tfevents.1.host");
    let mut second = File::new().losses("val_loss", 60..=150);
    // Killed while it wrote.
    second.bytes.truncate(second.bytes.len() - 5);
    second.put(folder.path(), "run/events.out.tfevents.2.host");
    let found = of(folder.path());
    assert_eq!(crossed(&found), [32]);
    assert!(
        says(&found, "3 values of a step that was logged again"),
        "{:?}",
        found.notes
    );
    assert!(
        says(&found, "1 event files end within a record"),
        "{:?}",
        found.notes
    );
}

#[test]
fn one_file_is_a_run_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = File::new()
        .settings(&[("batch_size", "8")])
        .losses("val_loss", 10..=60);
    file.put(folder.path(), "run/events.out.tfevents.1.host");
    let path = folder.path().join("run/events.out.tfevents.1.host");
    let found = read(&[path], &options()).unwrap();
    assert_eq!(found.records[0].outcome, Outcome::NotReached { cap: 60 });
}

#[test]
fn what_is_none_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |folder: &Path| {
        read(&[folder.to_owned()], &options())
            .unwrap_err()
            .to_string()
    };
    let error = refused(folder.path());
    assert!(error.contains("without event files"), "{error}");
    File {
        bytes: b"{\"batch_size\": 1}\n".to_vec(),
    }
    .put(folder.path(), "events.out.tfevents.1");
    let error = refused(folder.path());
    assert!(error.contains("no event file of TensorBoard"), "{error}");
    let mut damaged = File::new().losses("val_loss", 10..=60);
    let middle = damaged.bytes.len() / 2;
    damaged.bytes[middle] ^= 1;
    damaged.put(folder.path(), "events.out.tfevents.1");
    let error = refused(folder.path());
    assert!(error.contains("checksum"), "{error}");
    // No value of the target's metric: its tags are named.
    let other = File::new().losses("val_accuracy", 10..=60);
    other.put(folder.path(), "events.out.tfevents.1");
    let error = refused(folder.path());
    assert!(
        error.contains("no tag is val-loss") && error.contains("'val_accuracy'"),
        "{error}"
    );
    // One folder, two runs.
    let twice = File::new()
        .settings(&[("batch_size", "8")])
        .settings(&[("batch_size", "16")]);
    twice
        .losses("val_loss", 10..=60)
        .put(folder.path(), "events.out.tfevents.1");
    let error = refused(folder.path());
    assert!(error.contains("two values of batch_size"), "{error}");
    // Runs that do not say their batch size.
    File::new()
        .losses("val_loss", 10..=60)
        .put(folder.path(), "events.out.tfevents.1");
    let error = read(&[folder.path().to_owned()], &options()).unwrap_err();
    assert!(
        matches!(error, MeasurementsError::NoColumn { .. }),
        "{error}"
    );
}

/// Keras counts epochs, from 0: the loss is 1 after the hundredth, which it calls 99.
#[test]
fn epochs_of_keras_are_not_steps() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = File::new();
    let mut writer = file.writer();
    for epoch in 0..150 {
        let loss = 2.0 - 0.01 * (epoch + 1) as f64;
        writer.scalar("epoch_loss", loss, epoch, 1000.0).unwrap();
    }
    file.put(folder.path(), "bs32/validation/events.out.tfevents.1");
    let found = read(&[folder.path().to_owned()], &options());
    assert!(found.unwrap_err().to_string().contains("train-examples"));
    let epochs = ReadOptions {
        train_examples: Some(3200),
        ..options()
    };
    let found = read(&[folder.path().to_owned()], &epochs).unwrap();
    let at = found.records[0].outcome.crossing().unwrap();
    assert!((at / 10_000.0 - 1.0).abs() < 0.01, "{at}");
}

/// A scalar along a run says nothing of what the run is.
#[test]
fn scalars_are_no_settings() {
    let folder = tempfile::tempdir().unwrap();
    let file = File::new()
        .losses("batch", 10..=150)
        .losses("global_step", 10..=150)
        .losses("model", 10..=150);
    file.losses("val_loss", 10..=150)
        .put(folder.path(), "bs8_seed1/events.out.tfevents.1");
    assert_eq!(crossed(&of(folder.path())), [8]);
}

/// Two folders whose runs have the same names are twice as many runs.
#[test]
fn folders_of_the_same_names_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let both = ["alice", "bob"].map(|name| folder.path().join(name));
    for path in &both {
        let file = File::new()
            .settings(&[("batch_size", "8")])
            .losses("val_loss", 10..=150);
        file.put(path, "version_0/events.out.tfevents.1");
    }
    let found = read(&both, &options()).unwrap();
    assert_eq!(crossed(&found), [8, 8], "{:?}", found.notes);
}
