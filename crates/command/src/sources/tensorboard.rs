//! TensorBoard's event files of a folder, which grow.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use batchscope_core::Metric;
use batchscope_tensorboard::{Entries, Entry, Run, is_by_epoch, without_epoch};

use crate::{Names, Reading};

use super::{Source, Tail};

/// How often new files are looked for.
const SEARCHED_EVERY: Duration = Duration::from_millis(500);

/// The event files under a folder. Each is a file of its own that is written when its program sees fit, so values are
/// put in the order of their steps: those of a step are passed on once the target's metric has been read that far.
pub(crate) struct EventFiles {
    folder: PathBuf,
    names: Names,
    /// What the trial waits for; without one, values are passed on as they come.
    target: Option<Metric>,
    files: BTreeMap<PathBuf, (Tail, Entries, String)>,
    searched: Option<Instant>,
    /// Values by step that are not passed on yet.
    waiting: BTreeMap<i64, Reading>,
    /// The step up to which the target's metric was read.
    measured: i64,
    /// The step up to which values were passed on.
    passed: i64,
    /// Tags say that the program counts epochs; Keras does, from 0.
    by_epoch: bool,
}

impl EventFiles {
    pub fn new(folder: &Path, names: &Names, target: Option<&Metric>) -> Self {
        Self {
            folder: folder.to_owned(),
            names: names.clone(),
            target: target.cloned(),
            files: BTreeMap::new(),
            searched: None,
            waiting: BTreeMap::new(),
            measured: -1,
            passed: -1,
            by_epoch: false,
        }
    }

    /// Leaves out what is there already: an earlier run of the trial has reported it.
    pub fn skip(&mut self) {
        let _ = self.read();
        self.waiting.clear();
        self.measured = -1;
        // New files come at once.
        self.searched = None;
    }

    fn search(&mut self) -> io::Result<()> {
        if self
            .searched
            .is_some_and(|at| at.elapsed() < SEARCHED_EVERY)
        {
            return Ok(());
        }
        self.searched = Some(Instant::now());
        let runs = match Run::find(&self.folder) {
            Ok(runs) => runs,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for (path, before) in runs.into_iter().flat_map(|run| run.files) {
            let new = || (Tail::new(&path), Entries::default(), before);
            self.files.entry(path.clone()).or_insert_with(new);
        }
        Ok(())
    }

    /// Reads what has come into the files.
    fn read(&mut self) -> io::Result<()> {
        self.search()?;
        let Self {
            files,
            names,
            target,
            waiting,
            measured,
            by_epoch,
            ..
        } = self;
        for (path, (tail, entries, before)) in files {
            let mut take = |entry: Entry| {
                let Entry::Scalar {
                    tag, step, value, ..
                } = entry
                else {
                    return;
                };
                let tag = format!("{before}{tag}");
                let plain = without_epoch(&tag);
                let named = names.metric(&tag).map(|metric| (metric, tag.clone()));
                // The usual names, where the tag itself is not told of.
                let usual = || names.metric(&plain).map(|metric| (metric, plain.clone()));
                let Some((metric, name)) = named.or_else(usual) else {
                    return;
                };
                let step = if is_by_epoch(&tag) { step + 1 } else { step };
                *by_epoch |= is_by_epoch(&tag);
                if target.as_ref() == Some(metric) {
                    *measured = step.max(*measured);
                }
                waiting.entry(step).or_default().0.push((name, value));
            };
            loop {
                let bytes = tail.next()?;
                if bytes.is_empty() {
                    break;
                }
                entries
                    .push(&bytes, &mut take)
                    .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
            }
        }
        Ok(())
    }

    /// Passes on the values up to a step.
    fn pass(&mut self, upto: i64, take: &mut dyn FnMut(Reading)) {
        while let Some(first) = self
            .waiting
            .first_entry()
            .filter(|first| *first.key() <= upto)
        {
            let (step, mut reading) = first.remove_entry();
            // What comes late is told of a step that is past.
            if step >= self.passed {
                self.passed = step;
                let count = if self.by_epoch { "epoch" } else { "step" };
                reading.0.insert(0, (count.to_owned(), step as f64));
                take(reading);
            }
        }
    }
}

impl Source for EventFiles {
    fn poll(&mut self, take: &mut dyn FnMut(Reading)) -> io::Result<()> {
        let result = self.read();
        let upto = match self.target {
            Some(_) => self.measured,
            None => i64::MAX,
        };
        self.pass(upto, take);
        result
    }

    fn finish(&mut self, take: &mut dyn FnMut(Reading)) {
        self.searched = None;
        let _ = self.read();
        self.pass(i64::MAX, take);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use batchscope_tensorboard::Writer;
    use std::{fs, fs::File};

    fn names() -> Names {
        Names {
            metrics: Vec::new(),
            wanted: ["val-loss", "train-loss"]
                .map(|name| name.parse().unwrap())
                .to_vec(),
        }
    }

    fn readings(source: &mut EventFiles) -> Vec<String> {
        let mut found = Vec::new();
        source.searched = None;
        let mut take = |reading: Reading| {
            let pairs: Vec<String> = reading.0.iter().map(|(k, v)| format!("{k}={v}")).collect();
            found.push(pairs.join(" "));
        };
        source.poll(&mut take).unwrap();
        found
    }

    #[test]
    fn values_of_several_files_come_in_the_order_of_their_steps() {
        let folder = tempfile::tempdir().unwrap();
        let target: Metric = "val-loss".parse().unwrap();
        let mut source = EventFiles::new(folder.path(), &names(), Some(&target));
        assert_eq!(readings(&mut source), [] as [String; 0]);
        let open = |split: &str| {
            let folder = folder.path().join(split);
            fs::create_dir_all(&folder).unwrap();
            Writer::new(
                File::create(folder.join("events.out.tfevents.1")).unwrap(),
                0.0,
            )
            .unwrap()
        };
        let mut train = open("train");
        for step in 1..=4 {
            train
                .scalar("loss", f64::from(step), step.into(), 0.0)
                .unwrap();
        }
        assert_eq!(
            readings(&mut source),
            [] as [String; 0],
            "the target's metric is not there yet"
        );
        let mut val = open("val");
        val.scalar("loss", 0.5, 3, 0.0).unwrap();
        val.scalar("weights", 0.5, 4, 0.0).unwrap();
        let found = readings(&mut source);
        assert_eq!(
            found,
            [
                "step=1 train/loss=1",
                "step=2 train/loss=2",
                "step=3 train/loss=3 val/loss=0.5"
            ]
        );
        // One that is told too late is left out; the program has ended, so the rest is passed on.
        train.scalar("loss", 9.0, 2, 0.0).unwrap();
        let mut left = Vec::new();
        source.finish(&mut |reading| left.push(reading.0));
        assert_eq!(
            left,
            [[("step".to_owned(), 4.0), ("train/loss".to_owned(), 4.0)]]
        );
    }

    #[test]
    fn epochs_of_keras_are_epochs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.out.tfevents.1");
        let mut writer = Writer::new(File::create(&path).unwrap(), 0.0).unwrap();
        let mut source = EventFiles::new(folder.path(), &names(), None);
        writer.scalar("val/epoch_loss", 1.0, 0, 0.0).unwrap();
        assert_eq!(readings(&mut source), ["epoch=1 val/loss=1"]);
    }

    #[test]
    fn what_an_earlier_run_wrote_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.out.tfevents.1");
        let mut writer = Writer::new(File::create(&path).unwrap(), 0.0).unwrap();
        writer.scalar("val_loss", 1.0, 5, 0.0).unwrap();
        let mut source = EventFiles::new(folder.path(), &names(), None);
        source.skip();
        writer.scalar("val_loss", 0.5, 10, 0.0).unwrap();
        assert_eq!(readings(&mut source), ["step=10 val_loss=0.5"]);
        fs::write(folder.path().join("events.out.tfevents.2"), [7; 40]).unwrap();
        source.searched = None;
        let error = source.poll(&mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("no event file"), "{error}");
    }
}
