//! Which split and class the images of a source belong to, by the folders they lie in.
//!
//! The outermost level of folders that are all called after splits is the level of the splits; the
//! first level below it on which there is a choice is that of the classes, as for torchvision's
//! `ImageFolder`. Splits may also lie within class folders (`cats/train/1.png`). What names leave
//! open is refused, and the settings `train`, `validation` and `test` overrule names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::split_names::SplitName;
use crate::error::DataError;
use crate::inferred::Inferred;
use crate::left_out::{self, shown};
use crate::parts::{PartPaths, Told};

/// How a source should look, for errors.
pub(crate) const REMEDY: &str = "arrange images as train/<class>/<file> and test/<class>/<file>, or name the parts' folders \
     by the settings `train`, `validation` and `test`";

/// Where every image belongs.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Split and class of each path; `None` for those left out. Without splits in the source, all are
    /// `None` splits.
    pub(crate) places: Vec<Option<(Option<SplitName>, String)>>,
    /// What was inferred, and what was left out.
    pub(crate) notes: Vec<String>,
}

/// Finds the splits and classes of images by their paths within the source.
///
/// # Errors
/// When some images lie in split folders and others do not, when there are no class folders, or no
/// training part.
pub(crate) fn arrange(
    source: &Path,
    paths: &[PathBuf],
    parts: &PartPaths,
) -> Result<Layout, DataError> {
    let folders: Vec<Vec<String>> = paths.iter().map(|path| folders_of(path)).collect();
    let mut found = Found::new(paths, folders);
    if !parts.is_empty() {
        parts.expect_used(source, paths.iter().map(PathBuf::as_path))?;
        found.tell(parts);
    }
    found.split_by_names(source, parts)?;
    found.class_by_names();
    found.finish(source, parts)
}

/// The folders that a file lies in, outermost first.
fn folders_of(path: &Path) -> Vec<String> {
    let parts = path.parent().into_iter().flat_map(Path::components);
    parts
        .filter(|part| *part != Component::CurDir)
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect()
}

/// What is known of an image so far.
struct Image {
    /// The folders above that of the split.
    before: Vec<String>,
    /// The folder of its split and those below it; without split, all its folders.
    below: Vec<String>,
    split: Option<SplitName>,
    /// Length of the part of `below` that tells the split.
    head: usize,
    left_out: Option<Reason>,
    class: Option<String>,
}

/// Why an image is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// The settings name other parts.
    Outside,
    /// It lies beside the class folders.
    NoClass,
}

struct Found<'a> {
    paths: &'a [PathBuf],
    images: Vec<Image>,
    /// Classes whose folders hold folders.
    nested: bool,
    within_classes: bool,
}

impl<'a> Found<'a> {
    fn new(paths: &'a [PathBuf], folders: Vec<Vec<String>>) -> Self {
        let image = |below| Image {
            before: Vec::new(),
            below,
            split: None,
            head: 0,
            left_out: None,
            class: None,
        };
        Self {
            paths,
            images: folders.into_iter().map(image).collect(),
            nested: false,
            within_classes: false,
        }
    }

    /// Follows the settings.
    fn tell(&mut self, parts: &PartPaths) {
        for (image, path) in self.images.iter_mut().zip(self.paths) {
            match parts.told(path) {
                Told::Part(split, length) => {
                    (image.split, image.head) = (Some(split), length.min(image.below.len()));
                }
                Told::Outside => image.left_out = Some(Reason::Outside),
                Told::Unsaid => {}
            }
        }
    }

    /// Finds the level of the splits among images of which nothing is said.
    fn split_by_names(&mut self, source: &Path, parts: &PartPaths) -> Result<(), DataError> {
        let open = |image: &&mut Image| image.split.is_none() && image.left_out.is_none();
        let dirs: Vec<&[String]> = self
            .images
            .iter()
            .filter(|image| image.split.is_none() && image.left_out.is_none())
            .map(|image| &image.below[..])
            .collect();
        let wrapper = common(&dirs);
        let level = match split_level(&dirs) {
            Level::None => {
                // What is not named as another part is trained on, if another part was named.
                if !parts.is_empty() {
                    let inner: Vec<&[String]> =
                        dirs.iter().copied().filter(|dir| !dir.is_empty()).collect();
                    let shortest = inner.iter().map(|dir| dir.len()).min().unwrap_or(0);
                    let head = common(&inner).min(shortest.saturating_sub(1));
                    for image in self.images.iter_mut().filter(open) {
                        image.split = Some(SplitName::Train);
                        image.head = head.min(image.below.len());
                    }
                }
                return Ok(());
            }
            Level::At(level) => level,
            Level::Mixed(level) => return Err(self.mixed(source, level)),
        };
        for at in 0..self.images.len() {
            let image = &mut self.images[at];
            if image.split.is_some() || image.left_out.is_some() {
                continue;
            }
            let Some(name) = image.below.get(level) else {
                if image.below.len() > wrapper {
                    return Err(self.mixed(source, level));
                }
                image.left_out = Some(Reason::NoClass);
                continue;
            };
            let split = SplitName::spoken_of(name).expect("all names of the level speak of one");
            if parts.names(split) {
                image.left_out = Some(Reason::Outside);
                continue;
            }
            image.before = image.below.drain(..level).collect();
            (image.split, image.head) = (Some(split), 1);
        }
        Ok(())
    }

    /// The error of images beside split folders.
    fn mixed(&self, source: &Path, level: usize) -> DataError {
        let open = |image: &Image| image.split.is_none() && image.left_out.is_none();
        let named = |image: &Image| {
            image
                .below
                .get(level)
                .is_some_and(|name| SplitName::spoken_of(name).is_some())
        };
        let find = |wanted: bool| {
            let mut both = self.images.iter().zip(self.paths);
            both.find(|(image, _)| open(image) && named(image) == wanted && !image.below.is_empty())
                .map(|(_, path)| path.clone())
                .unwrap_or_default()
        };
        DataError::malformed(
            &source.join(find(false)),
            format!(
                "lies outside the split folders, unlike {}",
                find(true).display()
            ),
            REMEDY,
        )
    }

    /// Finds the classes below the splits, or, where nothing is below them, above.
    fn class_by_names(&mut self) {
        let used = |image: &&Image| image.left_out.is_none();
        let splits: BTreeSet<Option<SplitName>> = self
            .images
            .iter()
            .filter(used)
            .map(|image| image.split)
            .collect();
        // A folder in a folder of the same name, as archives unpack: training_set/training_set.
        for &split in &splits {
            let same = |image: &Image| {
                let again = image.below.get(image.head);
                image.below.len() > image.head + 1
                    && again.is_some_and(|name| SplitName::spoken_of(name) == split)
            };
            let of_split = |image: &&Image| used(image) && image.split == split;
            if split.is_some() && self.images.iter().filter(of_split).all(same) {
                let images = self.images.iter_mut();
                for image in images.filter(|i| i.left_out.is_none() && i.split == split) {
                    image.head += 1;
                }
            }
        }
        // Folders that all images share tell nothing.
        loop {
            let mut inner = self
                .images
                .iter()
                .filter(used)
                .map(|image| &image.below[image.head..])
                .filter(|below| !below.is_empty());
            let Some(name) = inner
                .next()
                .filter(|below| below.len() > 1)
                .map(|b| b[0].clone())
            else {
                break;
            };
            if !inner.all(|below| below.len() > 1 && below[0] == name) {
                break;
            }
            for image in self
                .images
                .iter_mut()
                .filter(|image| image.left_out.is_none())
            {
                if image.below.len() > image.head {
                    image.head += 1;
                }
            }
        }
        let any_below = self
            .images
            .iter()
            .filter(used)
            .any(|i| i.below.len() > i.head);
        let befores: Vec<&[String]> = self
            .images
            .iter()
            .filter(used)
            .map(|image| &image.before[..])
            .collect();
        let shared = common(&befores);
        self.within_classes = !any_below && befores.iter().any(|before| before.len() > shared);
        for image in self
            .images
            .iter_mut()
            .filter(|image| image.left_out.is_none())
        {
            let class = match self.within_classes {
                true => image.before.get(shared),
                false => image.below.get(image.head),
            };
            match class {
                Some(class) => image.class = Some(class.clone()),
                None => image.left_out = Some(Reason::NoClass),
            }
            self.nested |= !self.within_classes && image.below.len() > image.head + 1;
        }
    }

    /// Refuses what cannot be trained on, and says what was taken for what.
    fn finish(self, source: &Path, parts: &PartPaths) -> Result<Layout, DataError> {
        let left_out = |reason| {
            let images = self.images.iter().zip(self.paths);
            images
                .filter(move |(image, _)| image.left_out == Some(reason))
                .map(|(_, path)| path)
                .collect::<Vec<_>>()
        };
        let stray = left_out(Reason::NoClass);
        let used: Vec<&Image> = self.images.iter().filter(|i| i.class.is_some()).collect();
        let strays_to_train_on = self.images.iter().filter(|image| {
            image.left_out == Some(Reason::NoClass)
                && image.split.is_none_or(|split| split == SplitName::Train)
        });
        if used.len() < strays_to_train_on.count() || used.is_empty() && !stray.is_empty() {
            return Err(DataError::malformed(
                source,
                left_out::counted("images lie in no class folder", &stray),
                REMEDY,
            ));
        }
        if used.is_empty() {
            return Err(DataError::NotFound {
                path: source.to_owned(),
                what: "no PNG or JPEG file below a class folder".into(),
                remedy: REMEDY.into(),
            });
        }
        if used
            .iter()
            .all(|image| image.split.is_some_and(|s| s != SplitName::Train))
        {
            return Err(DataError::NotFound {
                path: source.to_owned(),
                what: "there is no train/<class> folder".into(),
                remedy: REMEDY.into(),
            });
        }
        let mut notes = Vec::from_iter(self.inferred(&used, parts).line());
        notes.extend(self.classes_alike(&used));
        left_out::note(
            &mut notes,
            "images lie in no class folder and were left out",
            &stray,
        );
        left_out::note(
            &mut notes,
            "images lie outside the parts that the settings name and were left out",
            &left_out(Reason::Outside),
        );
        let places = self
            .images
            .into_iter()
            .map(|image| Some((image.split, image.class?)));
        Ok(Layout {
            places: places.collect(),
            notes,
        })
    }

    /// A note where the class folders hold folders of the same names: those may be the classes, and these parts.
    fn classes_alike(&self, used: &[&Image]) -> Option<String> {
        if !self.nested {
            return None;
        }
        let mut inner: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for image in used {
            let class = image.class.as_deref()?;
            let below = image.below.get(image.head + 1);
            inner
                .entry(class)
                .or_default()
                .extend(below.map(String::as_str));
        }
        let mut all = inner.values();
        let first = all.next().filter(|names| names.len() > 1)?;
        let alike = inner.len() > 1 && all.all(|names| names == first);
        alike.then(|| {
            let names: Vec<&str> = first.iter().copied().collect();
            format!(
                "the class folders all hold the same folders ({}): if those are the classes, name the \
                 parts' folders by the settings `train`, `validation` and `test`",
                shown(&names)
            )
        })
    }

    /// What was taken for splits and classes.
    fn inferred(&self, used: &[&Image], parts: &PartPaths) -> Inferred {
        let mut inferred = Inferred::default();
        let mut folders: BTreeMap<SplitName, (BTreeSet<String>, usize)> = BTreeMap::new();
        for image in used {
            let Some(split) = image.split else { continue };
            let told = parts.set().find(|(_, set, _)| *set == split);
            let folder = match (told, image.below.first()) {
                (Some((.., path)), _) => path.display().to_string(),
                (None, Some(name)) if SplitName::spoken_of(name).is_some() => name.clone(),
                _ => "the rest".to_owned(),
            };
            let entry = folders.entry(split).or_default();
            entry.0.insert(folder);
            entry.1 += 1;
        }
        for (split, (names, count)) in folders {
            let names = Vec::from_iter(names);
            inferred.took(split.name(), format!("{} ({count})", shown(&names)));
        }
        let classes: BTreeSet<&str> = used.iter().filter_map(|i| i.class.as_deref()).collect();
        let classes = Vec::from_iter(classes);
        let how = match (self.within_classes, self.nested) {
            (true, _) => ", the folders that hold those of the splits",
            (false, true) => ", their subfolders included",
            (false, false) => "",
        };
        inferred.took(
            "classes",
            format!("{} folders ({}){how}", classes.len(), shown(&classes)),
        );
        inferred
    }
}

/// Length of what all share.
fn common(dirs: &[&[String]]) -> usize {
    let Some((first, rest)) = dirs.split_first() else {
        return 0;
    };
    let shared = |dir: &&[String]| first.iter().zip(*dir).take_while(|(a, b)| a == b).count();
    rest.iter().map(shared).min().unwrap_or(first.len())
}

/// Whether folders are called after splits.
enum Level {
    None,
    /// All of this level are.
    At(usize),
    /// Some of this level are.
    Mixed(usize),
}

/// What is known of a folder name on a level.
#[derive(Default)]
struct Name {
    split: Option<SplitName>,
    /// It is nothing but the split's name.
    plain: bool,
    /// Images lie in folders within it.
    deep: bool,
}

/// The outermost level of split folders.
fn split_level(dirs: &[&[String]]) -> Level {
    let deepest = dirs.iter().map(|dir| dir.len()).max().unwrap_or(0);
    for level in 0..deepest {
        let mut names: BTreeMap<&str, Name> = BTreeMap::new();
        for dir in dirs.iter().filter(|dir| dir.len() > level) {
            let name = names.entry(&dir[level]).or_insert_with(|| Name {
                split: SplitName::spoken_of(&dir[level]),
                plain: SplitName::of(&dir[level]).is_some(),
                deep: false,
            });
            name.deep |= dir.len() > level + 1;
        }
        let named = || names.values().filter(|name| name.split.is_some());
        let splits: BTreeSet<_> = named().map(|name| name.split).collect();
        if splits.is_empty() {
            continue;
        }
        let (plain, deep) = (named().any(|n| n.plain), named().any(|n| n.deep));
        if named().count() == names.len() {
            // Two classes of trains are no splits, and one folder `lab_test` is one if it has classes.
            if plain || splits.len() > 1 || names.len() == 1 && deep {
                return Level::At(level);
            }
        } else if deep && (plain || splits.len() > 1) || plain && splits.len() > 1 {
            // `train` beside `bus` and `car`, each with images and no folders, is a class.
            return Level::Mixed(level);
        }
    }
    Level::None
}
