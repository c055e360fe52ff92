//! NumPy's `.npy` format, versions 1 to 3: a magic string, a header that is a Python dictionary of
//! `descr`, `fortran_order` and `shape`, then the values
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).

use std::path::Path;

use crate::error::DataError;
use crate::limits;

/// An array in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct NpyArray {
    /// Its dimensions; none for a scalar.
    pub shape: Vec<u64>,
    /// As many values as the product of the dimensions.
    pub values: NpyValues,
}

/// Values, by the kinds that data sets use.
#[derive(Debug, Clone, PartialEq)]
pub enum NpyValues {
    /// `uint8`.
    Bytes(Vec<u8>),
    /// `bool` and the other integers.
    Integers(Vec<i64>),
    /// `float32`.
    Floats(Vec<f32>),
    /// `float64`.
    Doubles(Vec<f64>),
}

/// Longest header: real ones have about a hundred bytes.
const MAX_HEADER: usize = 1 << 16;
/// Most dimensions, as in NumPy.
const MAX_RANK: usize = 32;

/// Parses an `.npy` file; `file` is named in errors.
///
/// # Errors
/// When it is not one, holds another type than integers and 4- or 8-byte floats, or has fewer or more
/// bytes than its shape says.
pub fn parse(bytes: &[u8], file: &Path) -> Result<NpyArray, DataError> {
    let (header, data) = parts(bytes, file)?;
    let Header {
        descr,
        fortran,
        shape,
    } = header;
    let (kind, size, big) = element(&descr).ok_or_else(|| {
        DataError::malformed(
            file,
            format!(
                "holds values of type '{}'",
                descr.chars().take(40).collect::<String>()
            ),
            "save integers, float32 or float64 (array.astype('float32'))",
        )
    })?;
    let count = limits::product(&shape);
    let promised = count.saturating_mul(size as u128);
    if promised != data.len() as u128 {
        return Err(DataError::corrupt(
            file,
            format!(
                "its shape {shape:?} takes {promised} bytes, {} are there",
                data.len()
            ),
        ));
    }
    let mut values = decode(data, kind, size, big, file)?;
    if fortran && shape.len() > 1 {
        values = match values {
            NpyValues::Bytes(v) => NpyValues::Bytes(row_major(&v, &shape)),
            NpyValues::Integers(v) => NpyValues::Integers(row_major(&v, &shape)),
            NpyValues::Floats(v) => NpyValues::Floats(row_major(&v, &shape)),
            NpyValues::Doubles(v) => NpyValues::Doubles(row_major(&v, &shape)),
        };
    }
    Ok(NpyArray { shape, values })
}

/// What the header of an array says, for lists of what is there: `(200, 4) <f8`.
pub(crate) fn described(bytes: &[u8], file: &Path) -> Option<String> {
    let (header, _) = parts(bytes, file).ok()?;
    let dimensions: Vec<String> = header.shape.iter().map(u64::to_string).collect();
    let descr: String = header.descr.chars().take(40).collect();
    Some(format!("({}) {descr}", dimensions.join(", ")))
}

/// The longest header with all before it.
pub(crate) const MAX_START: u64 = MAX_HEADER as u64 + 12;

/// The entries of a header.
struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<u64>,
}

/// The header, and the values after it.
fn parts<'a>(bytes: &'a [u8], file: &Path) -> Result<(Header, &'a [u8]), DataError> {
    let not_npy = || DataError::corrupt(file, "does not begin with a NumPy header");
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(not_npy)?;
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err(not_npy()),
    };
    if length > MAX_HEADER || length > rest.len() {
        return Err(DataError::corrupt(
            file,
            format!(
                "its header should have {length} bytes, {} are there",
                rest.len()
            ),
        ));
    }
    let (header, data) = rest.split_at(length);
    let header = std::str::from_utf8(header).map_err(|_| not_npy())?;
    let (descr, fortran, shape) = dictionary(header).ok_or_else(|| {
        DataError::corrupt(
            file,
            "its header is not a dictionary of descr, fortran_order and shape",
        )
    })?;
    let header = Header {
        descr,
        fortran,
        shape,
    };
    Ok((header, data))
}

/// Kind (`b`, `i`, `u`, `f`), bytes and big-endianness of a type description such as `<f4`.
fn element(descr: &str) -> Option<(u8, usize, bool)> {
    let [order, kind, size] = *descr.as_bytes() else {
        return None;
    };
    let size = usize::from(size.checked_sub(b'0')?);
    let known = matches!(
        (kind, size),
        (b'b', 1) | (b'i' | b'u', 1 | 2 | 4 | 8) | (b'f', 4 | 8)
    );
    (known && matches!(order, b'<' | b'>' | b'|' | b'=')).then_some((kind, size, order == b'>'))
}

fn decode(
    data: &[u8],
    kind: u8,
    size: usize,
    big: bool,
    file: &Path,
) -> Result<NpyValues, DataError> {
    // Every element as a little-endian u64, extended by its own rules below.
    let words = data.chunks_exact(size).map(|element| {
        let mut word = [0u8; 8];
        word[..size].copy_from_slice(element);
        if big {
            word[..size].reverse();
        }
        u64::from_le_bytes(word)
    });
    Ok(match (kind, size) {
        (b'u', 1) => NpyValues::Bytes(data.to_vec()),
        (b'f', 4) => NpyValues::Floats(words.map(|w| f32::from_bits(w as u32)).collect()),
        (b'f', _) => NpyValues::Doubles(words.map(f64::from_bits).collect()),
        (b'i', size) => {
            let unused = 64 - 8 * size as u32;
            NpyValues::Integers(words.map(|w| ((w << unused) as i64) >> unused).collect())
        }
        _ => NpyValues::Integers(words.map(i64::try_from).collect::<Result<_, _>>().map_err(
            |_| {
                DataError::malformed(
                    file,
                    "holds an integer above 2^63",
                    "save labels as int64 and inputs as float32",
                )
            },
        )?),
    })
}

/// Turns column-major values into row-major ones.
fn row_major<T: Copy>(values: &[T], shape: &[u64]) -> Vec<T> {
    let mut strides = vec![1usize; shape.len()];
    for i in 1..shape.len() {
        strides[i] = strides[i - 1].saturating_mul(shape[i - 1] as usize);
    }
    let mut index = vec![0u64; shape.len()];
    let mut at = 0usize;
    (0..values.len())
        .map(|_| {
            let value = values[at];
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                at += strides[axis];
                if index[axis] < shape[axis] {
                    break;
                }
                at -= strides[axis] * index[axis] as usize;
                index[axis] = 0;
            }
            value
        })
        .collect()
}

/// The three entries of the header.
fn dictionary(header: &str) -> Option<(String, bool, Vec<u64>)> {
    let mut rest = header.trim().strip_prefix('{')?;
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    loop {
        rest = rest.trim_start();
        if let Some(end) = rest.strip_prefix('}') {
            if !end.trim().is_empty() {
                return None;
            }
            return Some((descr?, fortran?, shape?));
        }
        let (key, after) = quoted(rest)?;
        rest = after.trim_start().strip_prefix(':')?.trim_start();
        match key {
            "descr" => {
                let (value, after) = quoted(rest)?;
                (descr, rest) = (Some(value.to_owned()), after);
            }
            "fortran_order" => {
                let (value, after) = if let Some(after) = rest.strip_prefix("True") {
                    (true, after)
                } else {
                    (false, rest.strip_prefix("False")?)
                };
                (fortran, rest) = (Some(value), after);
            }
            "shape" => {
                let (inner, after) = rest.strip_prefix('(')?.split_once(')')?;
                let numbers = inner
                    .split(',')
                    .map(str::trim)
                    .filter(|n| !n.is_empty())
                    .map(|n| n.trim_end_matches('L').parse().ok());
                let numbers: Vec<u64> = numbers.collect::<Option<_>>()?;
                if numbers.len() > MAX_RANK {
                    return None;
                }
                (shape, rest) = (Some(numbers), after);
            }
            _ => return None,
        }
        rest = rest.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

/// A Python string without escapes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}
