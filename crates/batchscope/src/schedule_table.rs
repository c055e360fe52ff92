//! Tables of learning rates and batch sizes, for other trainers and from them: CSV or JSON with `step`, `batch_size` and
//! `learning_rate`.

use std::{fs::File, io::Read, path::Path};

use batchscope_core::ScheduleRow;
use batchscope_rules::{check_rows, read_rows, write_rows};
use serde::Deserialize;

use crate::{error::CliError, files::write_whole};

/// Most bytes of a table that is read: a row a step for some million steps.
const LARGEST: u64 = 64 << 20;

/// Rows as they were typed (`0 32 0.1; 640 64 0.1`), or the path of a file of them, as the text that a run keeps.
///
/// # Errors
/// With the file and what is wrong with it.
pub fn resolve(text: &str) -> Result<String, String> {
    if let Ok(rows) = read_rows(text) {
        return Ok(write_rows(&rows));
    }
    let path = Path::new(text);
    let rows = read(path).map_err(|why| format!("{}: {why}", path.display()))?;
    check_rows(&rows).map_err(|why| format!("{}: {why}", path.display()))?;
    Ok(write_rows(&rows))
}

fn read(path: &Path) -> Result<Vec<ScheduleRow>, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let mut text = String::new();
    file.take(LARGEST + 1)
        .read_to_string(&mut text)
        .map_err(|e| e.to_string())?;
    if text.len() as u64 > LARGEST {
        return Err(format!("is larger than {} MiB", LARGEST >> 20));
    }
    parse(text.trim_start_matches('\u{feff}'))
}

/// Of a file's text: JSON where it begins as JSON does, CSV otherwise.
fn parse(text: &str) -> Result<Vec<ScheduleRow>, String> {
    /// Rows alone, or the record that `train --json` prints.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Json {
        Rows(Vec<ScheduleRow>),
        Record { schedule: Vec<ScheduleRow> },
    }
    if text.trim_start().starts_with(['[', '{']) {
        return match serde_json::from_str(text) {
            Ok(Json::Rows(rows) | Json::Record { schedule: rows }) => Ok(rows),
            Err(_) => Err(
                "is no JSON list of {\"step\": …, \"batch_size\": …, \"learning_rate\": …}"
                    .to_owned(),
            ),
        };
    }
    let rows = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes())
        .into_deserialize()
        .collect::<Result<Vec<ScheduleRow>, csv::Error>>();
    rows.map_err(|error| {
        format!("is no CSV with the columns step, batch_size and learning_rate: {error}")
    })
}

/// Writes rows: as JSON to a file so named, as CSV to any other.
///
/// # Errors
/// When the system refuses.
pub fn write(path: &Path, rows: &[ScheduleRow]) -> Result<(), CliError> {
    let is_json = path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("json"));
    let text = match is_json {
        true => serde_json::to_string_pretty(rows).map_err(CliError::failed)? + "\n",
        false => {
            let mut text = "step,batch_size,learning_rate\n".to_owned();
            for row in rows {
                text += &format!("{},{},{}\n", row.step, row.batch_size, row.learning_rate);
            }
            text
        }
    };
    write_whole(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Any text is rows that lead a run, or refused.
        #[test]
        fn any_text_is_a_table_or_refused(
            text in "(step,batch_size,learning_rate\n)?([0-9,.e-]{0,12}\n){0,4}|[\\[{]\\PC{0,60}",
        ) {
            if let Ok(rows) = parse(&text)
                && check_rows(&rows).is_ok()
            {
                prop_assert_eq!(read_rows(&write_rows(&rows)), Ok(rows));
            }
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let rows = read_rows("0 32 0.1; 7 64 0.30000000000000004").unwrap();
        let folder = tempfile::tempdir().unwrap();
        for name in ["table.csv", "table.json"] {
            let path = folder.path().join(name);
            write(&path, &rows).unwrap();
            assert_eq!(resolve(path.to_str().unwrap()).unwrap(), write_rows(&rows));
        }
    }

    #[test]
    fn tables_of_other_programs_are_read_or_refused_with_the_reason() {
        let rows = "0 8 0.5; 10 16 0.5";
        for text in [
            "learning_rate, batch_size, step\n0.5, 8, 0\n# later\n0.5, 16, 10\n",
            r#"[{"step":0,"batch_size":8,"learning_rate":0.5},{"step":10,"batch_size":16,"learning_rate":0.5}]"#,
            r#"{"cap": 3, "schedule": [{"step":0,"batch_size":8,"learning_rate":0.5},{"step":10,"batch_size":16,"learning_rate":0.5}]}"#,
        ] {
            assert_eq!(write_rows(&parse(text).unwrap()), rows, "{text}");
        }
        for (text, what) in [
            ("step,batch\n0,8\n", "batch_size"),
            ("step,batch_size,learning_rate\n0,8.5,0.1\n", "CSV"),
            ("[1, 2]", "JSON"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(what), "{text}: {why}");
        }
        assert!(
            resolve("nowhere.csv")
                .unwrap_err()
                .starts_with("nowhere.csv: ")
        );
    }
}
