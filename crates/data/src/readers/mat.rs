//! MATLAB's MAT-file, version 5: a header of 128 bytes, then elements, each compressed by zlib or not
//! ("MAT-File Format", MathWorks). Numeric arrays are read; everything else is passed over.

use std::io::Read;
use std::path::Path;

use flate2::read::ZlibDecoder;

use crate::error::DataError;
use crate::limits;

/// A numeric array, in MATLAB's column-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Its name in the file.
    pub name: String,
    /// Its dimensions, at least two.
    pub dimensions: Vec<u64>,
    /// As many values as the product of the dimensions.
    pub values: MatValues,
}

/// Values as they are stored.
#[derive(Debug, Clone, PartialEq)]
pub enum MatValues {
    /// `uint8`.
    Bytes(Vec<u8>),
    /// Any other number.
    Doubles(Vec<f64>),
}

/// Data types of elements.
mod kind {
    pub(super) const INT8: u32 = 1;
    pub(super) const UINT8: u32 = 2;
    pub(super) const INT16: u32 = 3;
    pub(super) const UINT16: u32 = 4;
    pub(super) const INT32: u32 = 5;
    pub(super) const UINT32: u32 = 6;
    pub(super) const SINGLE: u32 = 7;
    pub(super) const DOUBLE: u32 = 9;
    pub(super) const INT64: u32 = 12;
    pub(super) const UINT64: u32 = 13;
    pub(super) const MATRIX: u32 = 14;
    pub(super) const COMPRESSED: u32 = 15;
}

/// Array classes from double (6) to 64-bit unsigned (15) are numeric.
const NUMERIC_CLASSES: std::ops::RangeInclusive<u32> = 6..=15;
const HEADER: usize = 128;

/// Parses a MAT-file; `file` is named in errors.
///
/// # Errors
/// When it is not version 5, big-endian, truncated, or an array promises more than is there.
pub fn parse(bytes: &[u8], file: &Path) -> Result<Vec<Variable>, DataError> {
    let Some((header, mut rest)) = bytes.split_at_checked(HEADER) else {
        return Err(DataError::corrupt(
            file,
            format!(
                "has {} bytes, less than the header of a MAT-file",
                bytes.len()
            ),
        ));
    };
    match header[124..] {
        [0, 1, b'I', b'M'] => {}
        [1, 0, b'M', b'I'] => {
            return Err(DataError::malformed(
                file,
                "is a big-endian MAT-file",
                "save it again on a little-endian machine",
            ));
        }
        _ => {
            return Err(DataError::malformed(
                file,
                "is not a MAT-file of version 5",
                "save it with MATLAB's option -v7 (version 7.3 is HDF5)",
            ));
        }
    }
    let (mut variables, mut total) = (Vec::new(), 0u64);
    while !rest.is_empty() {
        let element;
        (element, rest) = split_element(rest, file)?;
        match element.kind {
            kind::COMPRESSED => {
                let inflated = inflate(element.data, &mut total, file)?;
                let (inner, _) = split_element(&inflated, file)?;
                variables.extend(matrix(inner, file)?);
            }
            _ => variables.extend(matrix(element, file)?),
        }
    }
    Ok(variables)
}

/// An element: its data type and its bytes.
struct Element<'a> {
    kind: u32,
    data: &'a [u8],
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Takes the first element off, with its padding to 8 bytes. Compressed elements are not padded.
fn split_element<'a>(bytes: &'a [u8], file: &Path) -> Result<(Element<'a>, &'a [u8]), DataError> {
    let truncated = || DataError::corrupt(file, "is truncated inside an element");
    let first = word(bytes, 0).ok_or_else(truncated)?;
    if first >> 16 != 0 {
        // Small element: type and length share a word, up to 4 bytes of data follow.
        let length = (first >> 16) as usize;
        let data = bytes
            .get(4..4 + length)
            .filter(|_| length <= 4)
            .ok_or_else(truncated)?;
        return Ok((
            Element {
                kind: first & 0xffff,
                data,
            },
            bytes.get(8..).unwrap_or_default(),
        ));
    }
    let length = word(bytes, 4).ok_or_else(truncated)? as usize;
    let data = bytes[8..].get(..length).ok_or_else(|| {
        DataError::corrupt(
            file,
            format!(
                "is truncated: an element should take {length} bytes, {} are there",
                bytes.len() - 8
            ),
        )
    })?;
    let padded = if first == kind::COMPRESSED {
        length
    } else {
        length.next_multiple_of(8)
    };
    Ok((
        Element { kind: first, data },
        bytes.get(8 + padded..).unwrap_or_default(),
    ))
}

/// Decompresses an element, granting it what its own header promises and deflate can have packed.
fn inflate(data: &[u8], total: &mut u64, file: &Path) -> Result<Vec<u8>, DataError> {
    let mut reader = ZlibDecoder::new(data);
    let mut bytes = limits::take(file, "a compressed element's header", &mut reader, 8)?;
    let promised = u64::from(word(&bytes, 4).unwrap_or(0));
    let could_hold = (data.len() as u64).saturating_mul(limits::MAX_DEFLATE_RATIO);
    if promised > could_hold {
        return Err(DataError::corrupt(
            file,
            format!("a compressed element promises {promised} bytes, more than it can hold"),
        ));
    }
    *total = total.saturating_add(promised);
    limits::grant(
        file,
        "the arrays",
        u128::from(*total),
        limits::MAX_DECODED_BYTES,
    )?;
    reader
        .by_ref()
        .take(promised)
        .read_to_end(&mut bytes)
        .map_err(|source| limits::broken_stream(file, &source))?;
    Ok(bytes)
}

/// Reads a numeric matrix; `None` for other elements and classes.
fn matrix(element: Element<'_>, file: &Path) -> Result<Option<Variable>, DataError> {
    if element.kind != kind::MATRIX || element.data.is_empty() {
        return Ok(None);
    }
    let (flags, rest) = split_element(element.data, file)?;
    let class = word(flags.data, 0)
        .filter(|_| flags.kind == kind::UINT32)
        .ok_or_else(|| DataError::corrupt(file, "an array has no flags"))?;
    if !NUMERIC_CLASSES.contains(&(class & 0xff)) {
        return Ok(None);
    }
    let (sizes, rest) = split_element(rest, file)?;
    let (name, rest) = split_element(rest, file)?;
    let name = String::from_utf8_lossy(name.data).into_owned();
    if sizes.kind != kind::INT32
        || sizes.data.len() < 8
        || sizes.data.len() > 4 * 32
        || sizes.data.len() % 4 != 0
    {
        return Err(DataError::corrupt(
            file,
            format!("array '{name}' has no sensible dimensions"),
        ));
    }
    let dimensions: Vec<u64> = sizes
        .data
        .chunks_exact(4)
        .map(|b| u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])))
        .collect();
    let (real, _) = split_element(rest, file)?;
    let width = match real.kind {
        kind::INT8 | kind::UINT8 => 1,
        kind::INT16 | kind::UINT16 => 2,
        kind::INT32 | kind::UINT32 | kind::SINGLE => 4,
        kind::DOUBLE | kind::INT64 | kind::UINT64 => 8,
        other => {
            return Err(DataError::corrupt(
                file,
                format!("array '{name}' has values of unknown type {other}"),
            ));
        }
    };
    let promised = limits::product(&dimensions).saturating_mul(width);
    if promised != real.data.len() as u128 {
        return Err(DataError::corrupt(
            file,
            format!(
                "array '{name}' of {dimensions:?} takes {promised} bytes, {} are there",
                real.data.len()
            ),
        ));
    }
    let values = match real.kind {
        kind::UINT8 => MatValues::Bytes(real.data.to_vec()),
        kind => MatValues::Doubles(
            real.data
                .chunks_exact(width as usize)
                .map(|bytes| number(kind, bytes))
                .collect(),
        ),
    };
    Ok(Some(Variable {
        name,
        dimensions,
        values,
    }))
}

/// A stored number of another type than `uint8`.
fn number(kind: u32, bytes: &[u8]) -> f64 {
    let mut word = [0u8; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    let word = u64::from_le_bytes(word);
    match kind {
        kind::INT8 => f64::from(word as i8),
        kind::INT16 => f64::from(word as i16),
        kind::INT32 => f64::from(word as i32),
        kind::INT64 => word as i64 as f64,
        kind::SINGLE => f64::from(f32::from_bits(word as u32)),
        kind::DOUBLE => f64::from_bits(word),
        _ => word as f64,
    }
}
