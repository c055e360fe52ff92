//! Where a program's reports come from.
//!
//! Lines of its standard output and the file of JSON lines in `$BATCHSCOPE_EVENTS` are always read; a CSV file
//! that grows, and a folder of TensorBoard's event files, where they are named.

mod events;
mod grown;
mod output;
mod tensorboard;

use std::{io, path::Path};

use crate::Reading;

pub(crate) use events::Events;
pub use events::protocol_schema;
pub(crate) use grown::GrownCsv;
pub use output::Pattern;
pub(crate) use output::output_line;
pub(crate) use tensorboard::EventFiles;

/// A file that a program writes its reports into, and that is looked at again and again.
pub(crate) trait Source: Send {
    /// Takes what has come since the last time.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or is not what it should be.
    fn poll(&mut self, take: &mut dyn FnMut(Reading)) -> io::Result<()>;

    /// The program has ended: what is left, a last line without its end too. A fault was told by [`Source::poll`].
    fn finish(&mut self, take: &mut dyn FnMut(Reading));
}

/// New bytes of a file that grows; none while it is not there.
#[derive(Debug)]
pub(crate) struct Tail {
    path: std::path::PathBuf,
    read: u64,
}

/// Most bytes that are taken from a file at once.
const AT_ONCE: u64 = 1 << 20;

impl Tail {
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            read: 0,
        }
    }

    /// The next bytes; empty where there are none. A file that became shorter is read from its beginning.
    pub fn next(&mut self) -> io::Result<Vec<u8>> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = match std::fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        if metadata.len() < self.read {
            self.read = 0;
        }
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.take(AT_ONCE).read_to_end(&mut bytes)?;
        self.read += bytes.len() as u64;
        Ok(bytes)
    }
}
