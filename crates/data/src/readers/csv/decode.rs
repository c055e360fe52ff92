//! From the bytes of a table to its text: unpacked, and out of the encodings that spreadsheets write.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use crate::error::DataError;
use crate::limits::{self, Limited, MAX_DECODED_BYTES};

/// First bytes of files that are no tables, and what those files are.
const SIGNATURES: [(&[u8], &str); 6] = [
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"PAR1", "a Parquet file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
];

/// UTF-8's mark, which spreadsheets write first.
const MARK: char = '\u{feff}';

/// Bytes in which the encoding of a text without a mark is looked for.
const LOOKED_AT: usize = 4096;

/// The text of a table; `file` is named in errors.
pub(super) fn text<'a>(bytes: &'a [u8], file: &Path) -> Result<Cow<'a, str>, DataError> {
    if !limits::is_gzip(bytes) {
        return decode(Cow::Borrowed(bytes), file);
    }
    let (stream, _) = limits::inflate(bytes);
    let mut unpacked = Vec::new();
    Limited::new(stream, MAX_DECODED_BYTES)
        .read_to_end(&mut unpacked)
        .map_err(|source| limits::broken_stream(file, &source))?;
    decode(Cow::Owned(unpacked), file)
}

fn decode<'a>(bytes: Cow<'a, [u8]>, file: &Path) -> Result<Cow<'a, str>, DataError> {
    if let Some((_, what)) = SIGNATURES
        .iter()
        .find(|(start, _)| bytes.starts_with(start))
    {
        return Err(DataError::malformed(
            file,
            format!("is {what}, not a table of text"),
            "export the table as CSV",
        ));
    }
    let wide = |units: Option<String>, name: &str| {
        units.map(Cow::Owned).ok_or_else(|| {
            DataError::malformed(file, format!("is not whole {name}"), "save it as UTF-8")
        })
    };
    // UTF-32's little-endian mark begins with UTF-16's.
    match *bytes {
        [0xff, 0xfe, 0, 0, ref rest @ ..] => {
            return wide(utf32(rest, u32::from_le_bytes), "UTF-32");
        }
        [0, 0, 0xfe, 0xff, ref rest @ ..] => {
            return wide(utf32(rest, u32::from_be_bytes), "UTF-32");
        }
        [0xff, 0xfe, ref rest @ ..] => return wide(utf16(rest, u16::from_le_bytes), "UTF-16"),
        [0xfe, 0xff, ref rest @ ..] => return wide(utf16(rest, u16::from_be_bytes), "UTF-16"),
        _ => {}
    }
    if bytes.contains(&0) {
        return Err(DataError::malformed(
            file,
            format!("holds zero bytes: it looks like {}", unmarked(&bytes)),
            "save it as UTF-8",
        ));
    }
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes)
            .map(|text| Cow::Borrowed(text.trim_start_matches(MARK)))
            .map_err(|error| not_utf8(&bytes[..error.valid_up_to()], file)),
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) if text.starts_with(MARK) => {
                Ok(Cow::Owned(text.trim_start_matches(MARK).to_owned()))
            }
            Ok(text) => Ok(Cow::Owned(text)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                Err(not_utf8(&error.as_bytes()[..valid], file))
            }
        },
    }
}

/// The error of a text that stops being one after `valid`.
fn not_utf8(valid: &[u8], file: &Path) -> DataError {
    let line = 1 + valid.iter().filter(|&&b| b == b'\n').count();
    DataError::malformed(
        file,
        format!("is not a table: line {line} is not UTF-8"),
        "save it as UTF-8; it may be Latin-1 or Windows-1252",
    )
}

fn utf16(bytes: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Option<String> {
    let (units, []) = bytes.as_chunks::<2>() else {
        return None;
    };
    let units = units.iter().map(|&pair| unit(pair));
    char::decode_utf16(units).collect::<Result<_, _>>().ok()
}

fn utf32(bytes: &[u8], unit: impl Fn([u8; 4]) -> u32) -> Option<String> {
    let (units, []) = bytes.as_chunks::<4>() else {
        return None;
    };
    units
        .iter()
        .map(|&four| char::from_u32(unit(four)))
        .collect()
}

/// The encoding of a text with zero bytes and without a mark, by the places of the zeros.
fn unmarked(bytes: &[u8]) -> &'static str {
    let mut zeros = [0usize; 4];
    for (i, _) in bytes
        .iter()
        .take(LOOKED_AT)
        .enumerate()
        .filter(|(_, b)| **b == 0)
    {
        zeros[i % 4] += 1;
    }
    let quarter = bytes.len().min(LOOKED_AT) / 4;
    let most = zeros.map(|n| 2 * n > quarter);
    match most {
        [false, true, true, true] => "UTF-32 (little-endian) without a byte order mark",
        [true, true, true, false] => "UTF-32 (big-endian) without a byte order mark",
        [false, true, false, true] => "UTF-16 (little-endian) without a byte order mark",
        [true, false, true, false] => "UTF-16 (big-endian) without a byte order mark",
        _ => "a binary file",
    }
}
