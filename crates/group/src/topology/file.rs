//! A graph from a text file: one edge `a b` on each line, or `a b weight`.
//!
//! Nodes are the group's members, 0 to n − 1. Edges have no direction. `#` begins a comment. Without weights, edges take
//! Metropolis-Hastings weights. With weights, a node's own weight is what its edges leave of 1.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use batchscope_core::{Choice, Descriptor, Kind, Parameter, ParameterDefault};

use super::{EdgeFileError, TopologyError, TopologyKind, edges, matrix::Matrix};

/// Longest file of edges that is read, in bytes: 16 MiB.
pub(super) const MAX_BYTES: u64 = 16 << 20;

pub(super) static FILE: TopologyKind = TopologyKind {
    descriptor: Descriptor {
        name: "file",
        aliases: &[],
        about: "Edges from a text file, one 'A B' or 'A B WEIGHT' a line",
        source: "weights where the file has none: Xiao, Boyd and Lall 2005",
        parameters: &[Parameter {
            name: "path",
            about: "The file",
            kind: Kind::Text("the path of a text file of edges"),
            default: ParameterDefault::Required,
        }],
    },
    build: |choice, members| Ok(vec![read(choice, members)?]),
    gap: None,
};

fn read(choice: &Choice, members: usize) -> Result<Matrix, TopologyError> {
    let path = choice.text("path").unwrap_or_default();
    content(Path::new(path))
        .and_then(|content| edges::matrix(&content, members))
        .map_err(|problem| TopologyError::File {
            path: path.to_owned(),
            problem,
        })
}

/// The bytes of a regular file.
///
/// What is not a file is refused before it is opened, because opening a FIFO without a writer waits for ever. The limit holds
/// while reading too: a file may grow.
fn content(path: &Path) -> Result<Vec<u8>, EdgeFileError> {
    let unreadable = |e: std::io::Error| EdgeFileError::Unreadable(e.to_string());
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(EdgeFileError::NotAFile);
    }
    if metadata.len() > MAX_BYTES {
        return Err(EdgeFileError::TooLarge);
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut content = Vec::new();
    let mut limited = file.take(MAX_BYTES + 1);
    limited.read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > MAX_BYTES {
        return Err(EdgeFileError::TooLarge);
    }
    Ok(content)
}
