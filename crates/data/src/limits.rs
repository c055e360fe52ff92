//! Bounds on what an untrusted file may make the readers do.
//!
//! Three rules, applied before memory is taken: a header may promise no more bytes than its file
//! could hold (for compressed files, than deflate could expand it to); nothing decoded may pass
//! [`MAX_DECODED_BYTES`]; and buffers grow with the bytes that really arrive.

use std::fs::{self, File, FileType, Metadata};
use std::io::{self, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::DataError;

/// Most bytes any file, or any array inside one, may decode to: 8 GiB.
pub const MAX_DECODED_BYTES: u64 = 8 << 30;

/// Deflate cannot expand a byte to more than this many (258 bytes from 2 bits, RFC 1951).
pub(crate) const MAX_DEFLATE_RATIO: u64 = 1032;

/// Buffers start no larger than this, whatever a header promises.
const FIRST_RESERVATION: u64 = 1 << 20;

/// Opens a regular file, following links: the one way in which this crate opens a file to read.
///
/// What is not a file is refused before it is opened, because opening a FIFO without a writer waits
/// for ever; and once more after, because a path may change its meaning in between.
pub(crate) fn open(path: &Path) -> Result<(File, Metadata), DataError> {
    let failed = |source| DataError::io(path, "read", source);
    expect_file(path, &fs::metadata(path).map_err(failed)?)?;
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    expect_file(path, &metadata)?;
    Ok((file, metadata))
}

/// Refuses what is not a regular file: a FIFO may never end, a device like `/dev/zero` never does.
pub(crate) fn expect_file(path: &Path, metadata: &Metadata) -> Result<(), DataError> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let (what, remedy) = if kind.is_dir() {
        ("a folder", "give the path of a file")
    } else {
        (
            special(kind),
            "copy its content into a regular file and give that",
        )
    };
    Err(DataError::malformed(
        path,
        format!("is {what}, not a regular file"),
        remedy,
    ))
}

/// What a file that is neither regular nor a folder is.
#[cfg(unix)]
fn special(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_fifo() {
        "a FIFO (named pipe)"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else {
        "a special file"
    }
}

/// What a file that is neither regular nor a folder is.
#[cfg(not(unix))]
fn special(_kind: FileType) -> &'static str {
    "a special file"
}

/// The whole content of a regular file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, DataError> {
    let failed = |source| DataError::io(path, "read", source);
    let (file, metadata) = open(path)?;
    grant(
        path,
        "the file",
        u128::from(metadata.len()),
        MAX_DECODED_BYTES,
    )?;
    let mut bytes = Vec::with_capacity(metadata.len().min(FIRST_RESERVATION) as usize);
    file.take(MAX_DECODED_BYTES)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}

/// Refuses `bytes` above `limit`.
pub(crate) fn grant(
    file: &Path,
    what: &'static str,
    bytes: u128,
    limit: u64,
) -> Result<u64, DataError> {
    if bytes > u128::from(limit) {
        return Err(DataError::TooLarge {
            file: file.to_owned(),
            what,
            bytes,
            limit,
        });
    }
    Ok(bytes as u64)
}

/// The product of dimensions, which headers choose so that it overflows.
pub(crate) fn product(dimensions: &[u64]) -> u128 {
    dimensions
        .iter()
        .fold(1u128, |product, &d| product.saturating_mul(u128::from(d)))
}

/// True for the first bytes of a gzip member.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// The bytes of a file as a stream, decompressed if it is gzip, and how many it could hold.
pub(crate) fn inflate<'a>(bytes: &'a [u8]) -> (Box<dyn Read + 'a>, u64) {
    if is_gzip(bytes) {
        (
            Box::new(MultiGzDecoder::new(bytes)),
            (bytes.len() as u64).saturating_mul(MAX_DEFLATE_RATIO),
        )
    } else {
        (Box::new(bytes), bytes.len() as u64)
    }
}

/// Exactly `promised` bytes from `reader`, or an error that says how many there were.
pub(crate) fn take(
    file: &Path,
    what: &'static str,
    reader: &mut dyn Read,
    promised: u64,
) -> Result<Vec<u8>, DataError> {
    grant(file, what, u128::from(promised), MAX_DECODED_BYTES)?;
    let mut bytes = Vec::with_capacity(promised.min(FIRST_RESERVATION) as usize);
    reader
        .take(promised)
        .read_to_end(&mut bytes)
        .map_err(|source| broken_stream(file, &source))?;
    if (bytes.len() as u64) < promised {
        return Err(DataError::corrupt(
            file,
            format!(
                "is truncated: {what} should take {promised} bytes, {} are there",
                bytes.len()
            ),
        ));
    }
    Ok(bytes)
}

/// Fails unless `reader` ends here; reading the end also verifies a gzip member's checksum.
pub(crate) fn expect_end(file: &Path, reader: &mut dyn Read) -> Result<(), DataError> {
    let mut one = [0u8];
    match reader.read(&mut one) {
        Ok(0) => Ok(()),
        Ok(_) => Err(DataError::corrupt(
            file,
            "holds more bytes than its header promises",
        )),
        Err(source) => Err(broken_stream(file, &source)),
    }
}

/// A compressed stream that does not decompress.
pub(crate) fn broken_stream(file: &Path, source: &io::Error) -> DataError {
    DataError::corrupt(file, format!("cannot be decompressed ({source})"))
}

/// A stream that fails after `left` bytes: stops archives that expand without end.
pub(crate) struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Limited<R> {
    pub(crate) fn new(inner: R, limit: u64) -> Self {
        Self { inner, left: limit }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| {
            io::Error::other(format!("it expands to more than {MAX_DECODED_BYTES} bytes"))
        })?;
        Ok(n)
    }
}
