//! The folder of an experiment: every result a file of its own, whole or not there.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::ReproduceError;

/// Most bytes of a result: far more than any experiment's takes.
const MOST_BYTES: u64 = 256 << 20;

/// An experiment's folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes the folder where there is none.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn create(path: &Path) -> Result<Self, ReproduceError> {
        for part in ["runs", "states", "measured"] {
            let folder = path.join(part);
            fs::create_dir_all(&folder).map_err(|source| ReproduceError::File {
                action: "create",
                path: folder.clone(),
                source,
            })?;
            batchscope_files::sweep(&folder);
        }
        Ok(Self(path.to_owned()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Reads a JSON file; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ReproduceError> {
        let path = self.file(name);
        let failed = |source| ReproduceError::File {
            action: "read",
            path: path.clone(),
            source,
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut text = String::new();
        let mut limited = file.take(MOST_BYTES);
        match limited.read_to_string(&mut text) {
            Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(failed(error)),
            _ => {}
        }
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| ReproduceError::Damaged {
                path,
                why: error.to_string(),
            })
    }

    /// Removes a file that is of no use any more, if it is there. One that cannot be removed is left.
    pub fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.file(name));
    }

    /// Writes a JSON file, whole or not at all.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), ReproduceError> {
        let path = self.file(name);
        let failed = |source| ReproduceError::File {
            action: "write",
            path: path.clone(),
            source,
        };
        let text = serde_json::to_string_pretty(value).map_err(|e| failed(e.into()))?;
        batchscope_files::write(&path, (text + "\n").as_bytes()).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_back_and_damage_names_its_remedy() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::create(&place.path().join("a/b")).unwrap();
        assert_eq!(folder.read::<Vec<f64>>("measured/x.json").unwrap(), None);
        folder
            .write("measured/x.json", &vec![1.5, 2.0, 1e-300])
            .unwrap();
        let back: Option<Vec<f64>> = folder.read("measured/x.json").unwrap();
        assert_eq!(back, Some(vec![1.5, 2.0, 1e-300]));
        for hostile in [&b"[1.5"[..], b"\xff\xfe", b"{}", b""] {
            fs::write(folder.file("measured/x.json"), hostile).unwrap();
            let error = folder.read::<Vec<f64>>("measured/x.json").unwrap_err();
            assert!(error.to_string().contains("delete it"), "{error}");
        }
        assert!(folder.write("nowhere/x.json", &1).is_err());
    }
}
