//! A reader of one's own: this file, and one line in a registry.

use batchscope_core::{Described, Descriptor, InputShape, Registry, Task};
use batchscope_data::{
    Answers, ArrayPart, Arrays, DataError, Format, InputRows, Listing, LoadOptions, Reader,
    ReaderOptions, Reading, Source, open,
};

/// What there is to choose: a list like [`batchscope_data::READERS`], of which this line is one.
const READERS: Registry<dyn Reader> = Registry {
    what: "format",
    all: &[&Points],
};

/// Files `*.points`: a class and two coordinates in each line, separated by blanks.
struct Points;

impl Described for Points {
    fn descriptor(&self) -> &Descriptor {
        const POINTS: Descriptor = Descriptor {
            name: "points",
            aliases: &[],
            about: "file of lines CLASS X Y: .points",
            source: "",
            parameters: &[],
        };
        &POINTS
    }
}

impl Reader for Points {
    fn detect(&self, folder: &Listing) -> bool {
        folder.any(|name| self.detect_file(name))
    }

    fn detect_file(&self, name: &str) -> bool {
        name.ends_with(".points")
    }

    fn read(&self, source: Source<'_>, _: ReaderOptions<'_>) -> Result<Reading, DataError> {
        let file = match source {
            Source::File(path) => path.to_owned(),
            Source::Folder(listing) => listing.select(|name| self.detect_file(name)).remove(0),
            other => return Err(other.unrecognized(self)),
        };
        let malformed = |line: &str| DataError::Malformed {
            file: file.clone(),
            what: format!("'{line}' is not CLASS X Y"),
            remedy: "mend the line".into(),
        };
        let text = std::fs::read_to_string(&file).map_err(|source| DataError::Io {
            file: file.clone(),
            action: "read",
            source,
        })?;
        let (mut inputs, mut classes) = (Vec::new(), Vec::new());
        for line in text.lines() {
            let mut cells = line.split_whitespace();
            let class = cells.next().and_then(|cell| cell.parse::<u32>().ok());
            let point: Vec<f32> = cells.map_while(|cell| cell.parse().ok()).collect();
            let (Some(class @ 0..=9), [x, y]) = (class, &point[..]) else {
                return Err(malformed(line));
            };
            classes.push(class);
            inputs.extend([x, y]);
        }
        let train = ArrayPart {
            inputs: InputRows::Floats(inputs),
            answers: Answers::Classes(classes),
        };
        let arrays = Arrays {
            input: InputShape::Vector { features: 2 },
            task: Task::Classify { classes: 10 },
            train,
            validation: None,
            test: None,
            classes: (0..10).map(|class: u32| class.to_string()).collect(),
            notes: Vec::new(),
        };
        Ok(Reading::arrays(vec![file], arrays))
    }
}

#[test]
fn a_reader_of_one_s_own_is_chosen_and_read() {
    assert_eq!(READERS.faults(), Vec::<String>::new());
    let format = Format::of(READERS.find("points").unwrap());
    let options = LoadOptions {
        format: Some(format),
        ..LoadOptions::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("two.points");
    let lines: String = (0..20)
        .map(|i| format!("{} {i} {}\n", i % 2, 2 * i))
        .collect();
    std::fs::write(&file, lines).unwrap();
    for path in [folder.path(), file.as_path()] {
        let data = open(path.to_str().unwrap(), &options).unwrap();
        assert_eq!((data.train.len(), data.validation.len()), (18, 2));
        assert!(data.description.starts_with("points: 18 train"));
    }
    std::fs::write(&file, "1 2\n").unwrap();
    let error = open(file.to_str().unwrap(), &options).unwrap_err();
    assert!(error.to_string().contains("two.points"), "{error}");
}
