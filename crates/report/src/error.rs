/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file or folder failed.
    #[error("cannot {what} {path}: {source}; choose another folder or free some space")]
    File {
        /// What was tried: `write`, `create the folder`.
        what: &'static str,
        /// On which file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder of an export holds something.
    #[error("{} is not empty, and TensorBoard shows all that is in a folder: name a new one", .0.display())]
    Occupied(std::path::PathBuf),
    /// The destination of an export failed.
    #[error("cannot write the export: {0}")]
    Export(#[source] std::io::Error),
    /// A table could not be encoded.
    #[error("cannot encode the table as {format}: {why}")]
    Encode {
        /// `CSV`, `JSON`, `Parquet`.
        format: &'static str,
        /// What the encoder said.
        why: String,
    },
    /// This build does not do it.
    #[error(
        "this build of batchscope lacks the feature `{feature}`: build it with `--features {feature}`"
    )]
    Lacks {
        /// The cargo feature that brings it.
        feature: &'static str,
    },
    /// A drawing could not be made: a fault of ours.
    #[error("this is a fault in batchscope, please report it: a figure could not be drawn ({0})")]
    Drawing(String),
}
