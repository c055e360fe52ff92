//! TensorBoard's event files as a table: a row for each step of each run.
//!
//! Columns are the run, its settings (`hparams/batch_size`), settings in the names of its folders
//! (`folder/lr` of `bs=32_lr=0.1`), the step, the seconds since its first event, and the scalars by their tags.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read},
    path::Path,
};

use batchscope_core::plain_name;
use batchscope_tensorboard::{Entries, Entry, Run, is_by_epoch, is_event_file, without_epoch};

use crate::{
    MeasurementsError, ROLES, ReadOptions, Row, Table,
    formats::{bounded, wrong},
};

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;
/// Most values that are kept.
const MOST_VALUES: usize = 5_000_000;

/// True for a file whose name and first record are those of an event file.
pub(crate) fn is_one(path: &Path) -> io::Result<bool> {
    const FIRST: u64 = 12;
    if !is_event_file(path) {
        return Ok(false);
    }
    let mut first = Vec::new();
    File::open(path)?.take(FIRST).read_to_end(&mut first)?;
    Ok(Entries::default().push(&first, &mut |_| {}).is_ok())
}

/// The runs under a folder.
///
/// # Errors
/// When there are none, or a file cannot be read.
pub(crate) fn of_folder(folder: &Path, options: &ReadOptions) -> Result<Table, MeasurementsError> {
    let runs = Run::find(folder).map_err(|source| MeasurementsError::File {
        path: folder.to_owned(),
        source,
    })?;
    if runs.is_empty() {
        let why = "is a folder without event files of TensorBoard (their names have 'tfevents' in them): name a table, or a folder of runs; links are not followed";
        return Err(wrong(folder, why.to_owned()));
    }
    of_runs(&runs, folder, options)
}

/// One event file, as a run.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn of_file(file: &Path, options: &ReadOptions) -> Result<Table, MeasurementsError> {
    let folder = file.parent().and_then(Path::file_name);
    let run = Run {
        name: folder.map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        files: vec![(file.to_owned(), String::new())],
    };
    of_runs(&[run], file, options)
}

/// What the files of one run say.
#[derive(Debug, Default)]
struct Content {
    settings: BTreeMap<String, String>,
    /// Values by step and tag, with the time of the first.
    rows: BTreeMap<i64, (f64, BTreeMap<String, f64>)>,
    /// When its first value was written.
    began: Option<f64>,
    /// The last step of each tag, in the order of the files.
    last: BTreeMap<String, i64>,
    /// Tags say that steps are epochs.
    by_epoch: bool,
    /// A setting that files of its folder give two values.
    contradiction: Option<String>,
}

/// What is counted while files are read.
#[derive(Debug, Default)]
struct Count {
    values: usize,
    /// Values of a step and tag that was there already.
    again: u64,
    left_out: u64,
    broken_off: u64,
    tags_not_read: BTreeSet<String>,
}

fn of_runs(runs: &[Run], path: &Path, options: &ReadOptions) -> Result<Table, MeasurementsError> {
    let mut count = Count::default();
    let mut contents = BTreeMap::new();
    for run in runs {
        let mut content = Content::default();
        for (file, before) in &run.files {
            content.read(file, before, options, &mut count)?;
        }
        if let Some(name) = &content.contradiction {
            let why = format!(
                "run '{}' has two values of {name}: give each run a folder of its own",
                run.name
            );
            return Err(wrong(path, why));
        }
        contents.insert(run.name.as_str(), content);
    }
    let apart = give_settings(runs, &mut contents);
    if contents.values().all(|content| content.rows.is_empty()) {
        return Err(wrong(path, nothing(&count, options)));
    }
    let by_epoch = contents.values().any(|content| content.by_epoch);
    let settings: BTreeSet<&String> = contents.values().flat_map(|c| c.settings.keys()).collect();
    let named: BTreeMap<&str, Vec<(String, String)>> = contents
        .keys()
        .map(|name| (*name, settings_of_name(name)))
        .collect();
    let of_names: BTreeSet<&String> = named.values().flatten().map(|(key, _)| key).collect();
    let tags: BTreeSet<&String> = contents
        .values()
        .flat_map(|c| c.rows.values().flat_map(|(_, values)| values.keys()))
        .collect();
    let mut columns = vec!["run".to_owned()];
    columns.extend(settings.iter().map(|key| format!("hparams/{key}")));
    columns.extend(of_names.iter().map(|key| format!("folder/{key}")));
    let counted = if by_epoch { "epochs" } else { "step" };
    columns.extend([counted.to_owned(), "seconds".to_owned()]);
    columns.extend(tags.iter().map(|tag| (*tag).clone()));
    let mut rows = Vec::new();
    for (name, content) in &contents {
        let began = content.began.unwrap_or(0.0);
        for (step, (time, values)) in &content.rows {
            let setting = |key: &&String| content.settings.get(*key).cloned().unwrap_or_default();
            let of_name = |key: &&String| {
                let found = named[name].iter().find(|(own, _)| own == *key);
                found.map_or_else(String::new, |(_, value)| value.clone())
            };
            let value = |tag: &&String| values.get(*tag).map_or_else(String::new, f64::to_string);
            let mut cells = vec![(*name).to_owned()];
            cells.extend(settings.iter().map(setting));
            cells.extend(of_names.iter().map(of_name));
            cells.extend([step.to_string(), (time - began).max(0.0).to_string()]);
            cells.extend(tags.iter().map(value));
            rows.push(Row {
                place: format!("step {step} of run '{name}'"),
                cells,
            });
            bounded(columns.len(), rows.len(), path)?;
        }
    }
    let mut notes = vec![format!(
        "{} runs of TensorBoard; their values are taken to have been written as decimal numbers that fit 32 bits, their seconds are those since the first value, evaluations included",
        contents.len()
    )];
    if by_epoch {
        notes.push(
            "tags called epoch_… are taken for Keras's: their steps are epochs, counted from 0"
                .to_owned(),
        );
    }
    let within = contents.keys().filter(|name| {
        let mut above = contents.keys().filter(|other| !other.is_empty());
        above.any(|other| {
            name.strip_prefix(*other)
                .is_some_and(|rest| rest.starts_with('/'))
        })
    });
    let within: Vec<String> = within.map(|name| (*name).to_owned()).collect();
    if !within.is_empty() {
        notes.push(format!(
            "{} runs lie in the folders of other runs, and count as runs of their own: {}",
            within.len(),
            some(within.iter())
        ));
    }
    notes.extend(count.notes(&apart));
    Ok(Table {
        name: crate::name(path),
        columns: distinct(columns),
        rows,
        notes,
    })
}

/// Why no value is of use.
fn nothing(count: &Count, options: &ReadOptions) -> String {
    let tags = match count.tags_not_read.is_empty() {
        true => "there are no scalars in it".to_owned(),
        false => format!("its tags are {}", some(count.tags_not_read.iter())),
    };
    match &options.target {
        Some(target) => format!(
            "no tag is {}: {tags}; name one by --column metric=TAG",
            target.metric
        ),
        None => format!("{tags}: say which value they are to reach, as in --target val-loss=3.2"),
    }
}

/// Gives runs without settings those that a folder below holds, which is then no run of its own. Returns the names of
/// those folders.
fn give_settings(runs: &[Run], contents: &mut BTreeMap<&str, Content>) -> Vec<String> {
    let mut apart = Vec::new();
    for run in runs {
        let lacks = |content: &Content| content.settings.is_empty() && !content.rows.is_empty();
        if !contents.get(run.name.as_str()).is_some_and(lacks) {
            continue;
        }
        let has_settings = |below: &Run| {
            contents
                .get(below.name.as_str())
                .is_some_and(|c| !c.settings.is_empty())
        };
        let found: Vec<&Run> = runs
            .iter()
            .filter(|below| below.lies_in(run) && has_settings(below))
            .collect();
        // Of several that differ nobody can say which is this run's.
        let agree = found
            .windows(2)
            .all(|pair| settings_of(contents, pair[0]) == settings_of(contents, pair[1]));
        if let Some(one) = found.first().filter(|_| agree)
            && let Some(taken) = contents.remove(one.name.as_str())
            && let Some(content) = contents.get_mut(run.name.as_str())
        {
            content.settings = taken.settings;
            apart.extend(found.iter().map(|below| below.name.clone()));
            for below in &found[1..] {
                contents.remove(below.name.as_str());
            }
        }
    }
    apart
}

/// The settings of a run that a column can be taken for.
fn settings_of<'a>(
    contents: &'a BTreeMap<&str, Content>,
    run: &Run,
) -> Vec<(&'a String, &'a String)> {
    let content = contents.get(run.name.as_str());
    let settings = content.into_iter().flat_map(|content| &content.settings);
    settings.filter(|(name, _)| is_known(name)).collect()
}

impl Count {
    fn notes(self, apart: &[String]) -> Vec<String> {
        let mut notes = Vec::new();
        if !apart.is_empty() {
            notes.push(format!(
                "the settings of {} runs are in a folder of their own below ({}), of which nothing else is read",
                apart.len(),
                some(apart.iter())
            ));
        }
        if !self.tags_not_read.is_empty() {
            notes.push(format!(
                "tags not read: {}",
                some(self.tags_not_read.iter())
            ));
        }
        if self.again > 0 {
            notes.push(format!(
                "{} values of a step that was logged again are left out: the last is taken",
                self.again
            ));
        }
        if self.left_out > 0 {
            notes.push(format!(
                "{} records that hold no event are left out",
                self.left_out
            ));
        }
        if self.broken_off > 0 {
            notes.push(format!(
                "{} event files end within a record, which is left out: they were cut short, or are being written",
                self.broken_off
            ));
        }
        notes
    }
}

/// The first few of many.
fn some<'a>(all: impl ExactSizeIterator<Item = &'a String>) -> String {
    const SHOWN: usize = 8;
    let more = all.len().saturating_sub(SHOWN);
    const LONGEST: usize = 60;
    let short = |one: &String| match one.chars().count() {
        long if long > LONGEST => one.chars().take(LONGEST).chain(['…']).collect(),
        _ => one.clone(),
    };
    let shown: Vec<String> = all
        .take(SHOWN)
        .map(|one| format!("'{}'", short(one)))
        .collect();
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl Content {
    /// Adds what a file says. Later files of a run go on where earlier ones were cut short.
    fn read(
        &mut self,
        file: &Path,
        before: &str,
        options: &ReadOptions,
        count: &mut Count,
    ) -> Result<(), MeasurementsError> {
        let cannot = |source| MeasurementsError::File {
            path: file.to_owned(),
            source,
        };
        let mut source = File::open(file).map_err(cannot)?;
        let mut entries = Entries::default();
        let mut piece = vec![0; PIECE];
        loop {
            let n = source.read(&mut piece).map_err(cannot)?;
            if n == 0 {
                break;
            }
            let pushed = entries.push(&piece[..n], &mut |entry| {
                self.take(entry, before, options, count)
            });
            pushed.map_err(|error| {
                wrong(
                    file,
                    format!("{error}: take it out of the folder to go on without it"),
                )
            })?;
            if count.values > MOST_VALUES {
                let why =
                    format!("the runs have more than {MOST_VALUES} values of use: name fewer runs");
                return Err(wrong(file, why));
            }
        }
        count.left_out += entries.left_out();
        count.broken_off += u64::from(entries.is_within());
        Ok(())
    }

    fn take(&mut self, entry: Entry, before: &str, options: &ReadOptions, count: &mut Count) {
        match entry {
            Entry::Settings(settings) => {
                for setting in settings {
                    let before = self.settings.get(&setting.name);
                    let differs = before.is_some_and(|before| *before != setting.value);
                    if differs && is_known(&setting.name) {
                        self.contradiction.get_or_insert(setting.name.clone());
                    }
                    self.settings.insert(setting.name, setting.value);
                }
            }
            Entry::Scalar {
                tag,
                step,
                wall_time,
                value,
            } => {
                self.began = Some(self.began.map_or(wall_time, |began| began.min(wall_time)));
                let tag = format!("{before}{tag}");
                let by_epoch = is_by_epoch(&tag);
                let Some(name) = of_use(&tag, options) else {
                    count.tags_not_read.insert(tag);
                    return;
                };
                self.by_epoch |= by_epoch;
                let step = if by_epoch { step + 1 } else { step };
                // As TensorBoard does: what a run that was taken up again logs takes the place of all that was
                // logged from there on.
                let last = self.last.insert(name.clone(), step);
                if last.is_some_and(|last| step <= last) {
                    for (_, values) in self.rows.range_mut(step.max(0)..).map(|(_, row)| row) {
                        count.again += u64::from(values.remove(&name).is_some());
                    }
                }
                // A run counts from its first step.
                let row = self
                    .rows
                    .entry(step.max(0))
                    .or_insert((wall_time, BTreeMap::new()));
                row.0 = wall_time;
                count.values += 1;
                row.1.insert(name, value);
            }
        }
    }
}

/// The name of the column of a tag: the target's metric, or named by hand. No other value along a run says what the
/// run is.
fn of_use(tag: &str, options: &ReadOptions) -> Option<String> {
    let by_hand = |heading: &String| heading == tag || plain_name(heading) == plain_name(tag);
    let mut named = options
        .columns
        .iter()
        .filter_map(|(_, heading)| heading.as_ref());
    if named.any(by_hand) {
        return Some(tag.to_owned());
    }
    let plain = without_epoch(tag);
    let metric = options.target.as_ref().map(|target| &target.metric);
    metric
        .is_some_and(|metric| metric.is_called(&plain))
        .then_some(plain)
}

/// True for a name that a column of settings can be taken for.
fn is_known(name: &str) -> bool {
    let plain = plain_name(name);
    let settings = ROLES.iter().filter(|info| !info.role.is_measured());
    settings
        .into_iter()
        .any(|info| info.headings.contains(&plain.as_str()))
}

/// Settings in the names of folders: `name=value`, or a known heading and a number, as in `bs32_lr0.1` and
/// `batch_size_32`.
fn settings_of_name(name: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for part in name.split(['/', ',', ' ', ';']) {
        let pairs = match part.contains('=') {
            true => assigned(part),
            false => numbered(part),
        };
        found.extend(pairs);
    }
    // Of a name that is there twice with two values nobody can say which it is.
    let all = found.clone();
    found.retain(|(key, value)| {
        let same = |(other, _): &&(String, String)| plain_name(other) == plain_name(key);
        all.iter().filter(same).all(|(_, other)| other == value)
    });
    found.dedup();
    found
}

/// `batch_size=32_lr=1e-3`: names and values may hold the sign that stands between settings, so the longest number is
/// taken for a value, and otherwise what comes before the first such sign.
fn assigned(part: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = part;
    while let Some((key, after)) = rest.split_once('=') {
        let upto = after.split('=').next().unwrap_or(after);
        let is_last = upto.len() == after.len();
        let ends = || upto.match_indices(['_', '-']).map(|(at, _)| at);
        let number = ends().rev().find(|&at| upto[..at].parse::<f64>().is_ok());
        let end = match is_last {
            true => upto.len(),
            false => number.or(ends().find(|&at| at > 0)).unwrap_or(upto.len()),
        };
        let key = key.trim_matches(['_', '-']);
        if !key.is_empty() && end > 0 {
            found.push((key.to_owned(), upto[..end].to_owned()));
        }
        rest = &after[end..];
    }
    found
}

/// What stands between `_` and `-`; the sign of an exponent, as in `1e-4`, is none of these.
fn words(part: &str) -> Vec<&str> {
    let bytes = part.as_bytes();
    let is_exponent = |at: usize| {
        at >= 2 && matches!(bytes[at - 1], b'e' | b'E') && bytes[at - 2].is_ascii_digit()
    };
    let mut words = Vec::new();
    let mut from = 0;
    for (at, sign) in part.match_indices(['_', '-']) {
        if sign == "_" || !is_exponent(at) {
            words.push(&part[from..at]);
            from = at + 1;
        }
    }
    words.push(&part[from..]);
    words
}

/// `bs32_lr0.1`, `batch_size_32`: a known heading, and a number after it.
fn numbered(part: &str) -> Vec<(String, String)> {
    const WORDS_OF_A_HEADING: usize = 3;
    let mut found = Vec::new();
    let mut before: Vec<&str> = Vec::new();
    for word in words(part) {
        let at = word
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(word.len());
        let (own, value) = word.split_at(at);
        if value.parse::<f64>().is_err() {
            before.push(word);
            continue;
        }
        // The longest heading: `batch_size`, not `size`.
        let from = before.len().saturating_sub(WORDS_OF_A_HEADING - 1);
        let keys = (from..=before.len()).map(|from| {
            let words: Vec<&str> = before[from..].iter().copied().chain([own]).collect();
            words.join("_").trim_matches(['_', '-']).to_owned()
        });
        let key = keys.into_iter().find(|key| is_known(key));
        found.extend(key.map(|key| (key, value.to_owned())));
        before.clear();
    }
    found
}

/// Headings that differ: a tag may be called as a column of ours.
fn distinct(columns: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let rename = |mut column: String| {
        while !seen.insert(column.clone()) {
            column.insert_str(0, "tag/");
        }
        column
    };
    columns.into_iter().map(rename).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_folders_hold_settings() {
        let of = |name: &str| {
            let found = settings_of_name(name);
            let pairs: Vec<String> = found.iter().map(|(k, v)| format!("{k}={v}")).collect();
            pairs.join(" ")
        };
        assert_eq!(of("bs32_lr0.1_seed2"), "bs=32 lr=0.1 seed=2");
        assert_eq!(
            of("batch_size=32,lr=1e-3/seed=7"),
            "batch_size=32 lr=1e-3 seed=7"
        );
        assert_eq!(
            of("lr=1e-3_batch_size=32_opt=adam"),
            "lr=1e-3 batch_size=32 opt=adam"
        );
        assert_eq!(of("opt=adam_w=0-bs=4"), "opt=adam w=0 bs=4");
        assert_eq!(of("batch_size_32_lr_1e-4"), "batch_size=32 lr=1e-4");
        assert_eq!(of("batch_size256"), "batch_size=256");
        assert_eq!(of("run-bs8-lr1e-4-seed2"), "bs=8 lr=1e-4 seed=2");
        assert_eq!(of("eval_bs_512_bs_8_seed_1"), "seed=1");
        assert_eq!(of("resnet20-v2/version_0/Nov26_12-00-00_host3"), "");
        assert_eq!(of("=/a=/==/_=3"), "");
    }

    #[test]
    fn headings_are_told_apart() {
        let columns = ["run", "step", "run", "tag/run"].map(str::to_owned);
        assert_eq!(
            distinct(columns.to_vec()),
            ["run", "step", "tag/run", "tag/tag/run"]
        );
    }
}
