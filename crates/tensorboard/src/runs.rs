//! Which event files belong to one run.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

/// Folders within folders that are looked into.
const DEEPEST: usize = 16;
/// Most entries of folders that are looked at.
const MOST_ENTRIES: usize = 200_000;

/// The event files of one run: those of its folder, and of the folders `train`, `validation` and the like in it,
/// which Keras writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// Its folder, from the folder that was searched: `lr=0.1/seed=2`. Empty for that folder itself.
    pub name: String,
    /// Each file, with what stands before the tags in it: `validation/`, or nothing. Files of a folder are in the
    /// order of their names, which begin with the time.
    pub files: Vec<(PathBuf, String)>,
}

/// Folders that hold one split's curves of the run above.
const SPLITS: [&str; 6] = ["train", "training", "val", "valid", "validation", "eval"];

impl Run {
    /// The runs under a folder, by name. Links are not followed.
    ///
    /// A folder with event files is a run. Below it, a folder that is called like a split belongs to it; any other is a
    /// run of its own, or holds the settings of the one above ([`Run::lies_in`]): only its contents tell.
    ///
    /// # Errors
    /// When a folder cannot be read, or there are too many files.
    pub fn find(folder: &Path) -> io::Result<Vec<Run>> {
        let mut runs = Vec::new();
        let mut entries = 0;
        search(folder, (String::new(), 0), &mut entries, &mut runs)?;
        runs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(runs)
    }

    /// True if its folder lies in that of `above`, with none between: PyTorch's `add_hparams` writes a run's settings
    /// into such a one.
    pub fn lies_in(&self, above: &Run) -> bool {
        parent(&self.name) == Some(&above.name)
    }
}

/// The name of the folder above, from the folder that was searched.
fn parent(name: &str) -> Option<&str> {
    match name.rsplit_once('/') {
        Some((above, _)) => Some(above),
        None if name.is_empty() => None,
        None => Some(""),
    }
}

fn search(
    folder: &Path,
    (name, depth): (String, usize),
    entries: &mut usize,
    runs: &mut Vec<Run>,
) -> io::Result<()> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    let here =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
    for entry in fs::read_dir(folder).map_err(here)? {
        let entry = entry.map_err(here)?;
        *entries += 1;
        if *entries > MOST_ENTRIES {
            return Err(io::Error::other(format!(
                "has more than {MOST_ENTRIES} files and folders in it"
            )));
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            folders.push(entry.path());
        } else if kind.is_file() && is_event_file(&entry.path()) {
            files.push((entry.path(), String::new()));
        }
    }
    files.sort();
    folders.sort();
    let mut inner = Vec::new();
    for path in folders.iter().filter(|_| depth < DEEPEST) {
        let own = path.file_name().unwrap_or_default().to_string_lossy();
        let joined = match name.as_str() {
            "" => own.clone().into_owned(),
            name => format!("{name}/{own}"),
        };
        search(path, (joined, depth + 1), entries, &mut inner)?;
    }
    // A split's curves are those of the run above, also where that has no file of its own.
    let is_split = |run: &Run| {
        let own = run
            .name
            .strip_prefix(&name)
            .map(|own| own.trim_start_matches('/'));
        own.is_some_and(|own| SPLITS.contains(&own.to_lowercase().as_str()))
    };
    let (splits, others): (Vec<Run>, Vec<Run>) = inner.into_iter().partition(is_split);
    for split in splits {
        let own = split.name.rsplit('/').next().unwrap_or_default().to_owned();
        files.extend(
            split
                .files
                .into_iter()
                .map(|(file, before)| (file, format!("{own}/{before}"))),
        );
    }
    runs.extend(others);
    if !files.is_empty() {
        runs.push(Run { name, files });
    }
    Ok(())
}

/// True for names that TensorBoard takes for event files: those with `tfevents` in them.
pub fn is_event_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or(OsStr::new(""));
    name.to_string_lossy().contains("tfevents")
}

/// True for tags of Keras's callback whose step is an epoch, counted from 0: `validation/epoch_loss`.
pub fn is_by_epoch(tag: &str) -> bool {
    tag.rsplit('/')
        .next()
        .is_some_and(|own| own.starts_with("epoch_"))
}

/// The tag without what says so: `validation/loss`.
pub fn without_epoch(tag: &str) -> String {
    match tag.rsplit_once('/') {
        Some((before, own)) => format!("{before}/{}", own.trim_start_matches("epoch_")),
        None => tag.trim_start_matches("epoch_").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_given_to_their_runs() {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        for path in [
            "bs=32/events.out.tfevents.2.host",
            "bs=32/events.out.tfevents.1.host",
            "bs=32/checkpoint.pt",
            "bs=32/17000.5/events.out.tfevents.3.host",
            "keras/train/events.out.tfevents.1.host.v2",
            "keras/validation/events.out.tfevents.1.host.v2",
            "empty/notes.txt",
        ] {
            put(path);
        }
        let runs = Run::find(folder.path()).unwrap();
        let short = |path: &Path| {
            let path = path.strip_prefix(folder.path()).unwrap();
            path.to_string_lossy().into_owned()
        };
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["bs=32", "bs=32/17000.5", "keras"]);
        let files: Vec<String> = runs[0].files.iter().map(|(file, _)| short(file)).collect();
        assert_eq!(
            files,
            [
                "bs=32/events.out.tfevents.1.host",
                "bs=32/events.out.tfevents.2.host"
            ]
        );
        let below: Vec<&Run> = runs.iter().filter(|run| run.lies_in(&runs[0])).collect();
        let settings = below.iter().flat_map(|run| &run.files);
        let settings: Vec<String> = settings.map(|(file, _)| short(file)).collect();
        assert_eq!(settings, ["bs=32/17000.5/events.out.tfevents.3.host"]);
        let prefixes: Vec<&str> = runs[2]
            .files
            .iter()
            .map(|(_, before)| before.as_str())
            .collect();
        assert_eq!(prefixes, ["train/", "validation/"]);
        // The folder itself may be a run.
        let alone = Run::find(&folder.path().join("bs=32/17000.5")).unwrap();
        assert_eq!((alone.len(), alone[0].name.as_str()), (1, ""));
    }
}
