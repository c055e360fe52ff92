//! Kaldi's archives of matrices and of integer vectors, binary and text ("Kaldi I/O mechanisms",
//! kaldi-asr.org/doc/io.html), plain or gzip.
//!
//! An archive is one entry after another: a key without white space, one white-space character, and an
//! object. Numbers are little-endian.
//!
//! | object | binary, after `\0B` | text |
//! | --- | --- | --- |
//! | matrix | `FM ` (float) or `DM ` (double), `\4` rows, `\4` columns as 32-bit integers; the values row by row | `[`, a row on each line, `]` |
//! | compressed matrix | `CM `, `CM2 ` or `CM3 `, minimum and range as floats, rows, columns; then as below | as a matrix |
//! | integers | `\4` count, and each as `\4` and 32 bits | on the key's line, or there between `[` and `]` |
//!
//! Compressed values lie in `[minimum, minimum + range]`: `CM2` has 16 bits for each, row by row, `CM3`
//! has 8. `CM` has four 16-bit quantiles (0, 25, 75 and 100 %) for each column, then 8 bits for each
//! value, column by column: 0 to 64, 64 to 192 and 192 to 255 run linearly from one quantile to the next.

use std::io::Read;
use std::path::Path;

use crate::error::DataError;
use crate::limits;

/// An object and its key: the name of an utterance.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// What is stored under it.
    pub object: Object,
}

/// What archives hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// Frames of features.
    Matrix(Matrix),
    /// A label for each frame.
    Integers(Vec<i32>),
}

/// Rows of equally many finite numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Numbers of a row; 0 only in a matrix without rows.
    pub columns: usize,
    /// The numbers, row by row.
    pub values: Vec<f32>,
}

impl Matrix {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }
}

/// Most bytes of a key.
const LONGEST_KEY: usize = 1024;
/// What an entry takes beside its numbers and its key, about: archives of tiny entries expand.
const ENTRY_BYTES: u128 = 128;

/// Parses an archive; `file` is named in errors.
///
/// # Errors
/// When it is truncated or damaged, promises more than is there, holds objects of another kind, or a
/// value is not a finite number.
pub fn parse(bytes: &[u8], file: &Path) -> Result<Vec<Entry>, DataError> {
    let inflated;
    let bytes = if limits::is_gzip(bytes) {
        let (stream, _) = limits::inflate(bytes);
        let mut all = Vec::new();
        limits::Limited::new(stream, limits::MAX_DECODED_BYTES)
            .read_to_end(&mut all)
            .map_err(|source| limits::broken_stream(file, &source))?;
        inflated = all;
        &inflated
    } else {
        bytes
    };
    let mut cursor = Cursor {
        bytes,
        file,
        key: String::new(),
    };
    let (mut entries, mut total) = (Vec::new(), 0u128);
    while cursor.next_key()? {
        let object = match cursor.bytes.strip_prefix(b"\0B") {
            Some(rest) => {
                cursor.bytes = rest;
                cursor.binary()?
            }
            None => cursor.text()?,
        };
        let numbers = match &object {
            Object::Matrix(matrix) => matrix.values.len(),
            Object::Integers(integers) => integers.len(),
        };
        total += (4 * numbers + cursor.key.len()) as u128 + ENTRY_BYTES;
        limits::grant(file, "the archive", total, limits::MAX_DECODED_BYTES)?;
        let key = std::mem::take(&mut cursor.key);
        entries.push(Entry { key, object });
    }
    Ok(entries)
}

/// What is left of the file, and the entry it is in.
struct Cursor<'a> {
    bytes: &'a [u8],
    file: &'a Path,
    key: String,
}

impl<'a> Cursor<'a> {
    fn corrupt(&self, what: impl std::fmt::Display) -> DataError {
        DataError::corrupt(self.file, format!("entry '{}' {what}", self.key))
    }

    /// Moves on to the object of the next key; false at the end.
    fn next_key(&mut self) -> Result<bool, DataError> {
        self.bytes = self.bytes.trim_ascii_start();
        if self.bytes.is_empty() {
            return Ok(false);
        }
        let within = &self.bytes[..self.bytes.len().min(LONGEST_KEY + 1)];
        let length = within.iter().position(u8::is_ascii_whitespace);
        let key = length.and_then(|length| std::str::from_utf8(&within[..length]).ok());
        let (Some(length), Some(key)) = (length, key.filter(|k| !k.contains('\0'))) else {
            return Err(DataError::corrupt(
                self.file,
                "holds something that is no key of an utterance where one should be",
            ));
        };
        self.key = key.to_owned();
        // A new line belongs to the object: text without any integers.
        let separator = usize::from(self.bytes[length] != b'\n');
        self.bytes = &self.bytes[length + separator..];
        Ok(true)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DataError> {
        let Some((taken, rest)) = self.bytes.split_at_checked(length) else {
            return Err(self.corrupt(format!(
                "is truncated: {length} bytes should follow, {} are there",
                self.bytes.len()
            )));
        };
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DataError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// A count of 32 bits; `marked` with the byte 4, its width, before it.
    fn count(&mut self, what: &str, marked: bool) -> Result<usize, DataError> {
        if marked && self.array()? != [4] {
            return Err(self.corrupt(format!("has no 32-bit {what}")));
        }
        let count = i32::from_le_bytes(self.array()?);
        usize::try_from(count).map_err(|_| self.corrupt(format!("promises {count} {what}")))
    }

    /// The bytes that `rows` × `columns` values of `width` bytes take, after `before`.
    fn block(
        &mut self,
        rows: usize,
        columns: usize,
        width: usize,
        before: usize,
    ) -> Result<&'a [u8], DataError> {
        let length = limits::product(&[rows as u64, columns as u64, width as u64]) + before as u128;
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => Err(self.corrupt(format!("promises {rows} × {columns} values"))),
        }
    }

    fn binary(&mut self) -> Result<Object, DataError> {
        if self.bytes.first() == Some(&4) {
            return self.integers();
        }
        let within = &self.bytes[..self.bytes.len().min(8)];
        let length = within.iter().position(|&b| b == b' ');
        let Some(length) = length else {
            return Err(self.corrupt("is neither a matrix nor a vector of integers"));
        };
        let token = self.take(length)?;
        self.take(1)?;
        match token {
            b"FM" => self.plain(f32::from_le_bytes),
            b"DM" => self.plain(|b: [u8; 8]| f64::from_le_bytes(b) as f32),
            b"CM" | b"CM2" | b"CM3" => self.compressed(token),
            b"FV" | b"DV" => Err(self.corrupt(
                "is a vector of real numbers: features are matrices, labels are integers",
            )),
            other => Err(self.corrupt(format!(
                "is of kind '{}', which is neither a matrix nor a vector of integers",
                other.escape_ascii()
            ))),
        }
    }

    fn integers(&mut self) -> Result<Object, DataError> {
        let count = self.count("integers", true)?;
        let block = self.block(count, 1, 5, 0)?;
        if block.iter().step_by(5).any(|&width| width != 4) {
            return Err(self.corrupt("holds integers of other than 32 bits"));
        }
        let integers = block
            .chunks_exact(5)
            .map(|b| i32::from_le_bytes([b[1], b[2], b[3], b[4]]));
        Ok(Object::Integers(integers.collect()))
    }

    fn plain<const N: usize>(
        &mut self,
        number: impl Fn([u8; N]) -> f32,
    ) -> Result<Object, DataError> {
        let (rows, columns) = (self.count("rows", true)?, self.count("columns", true)?);
        let (block, _) = self.block(rows, columns, N, 0)?.as_chunks::<N>();
        let values = block.iter().map(|bytes| number(*bytes)).collect();
        self.matrix(columns, values)
    }

    fn compressed(&mut self, token: &[u8]) -> Result<Object, DataError> {
        let minimum = f32::from_le_bytes(self.array()?);
        let range = f32::from_le_bytes(self.array()?);
        let (rows, columns) = (self.count("rows", false)?, self.count("columns", false)?);
        let wide = |b: [u8; 2]| minimum + range * (f32::from(u16::from_le_bytes(b)) / 65535.0);
        let values = match token {
            b"CM2" => {
                let (block, _) = self.block(rows, columns, 2, 0)?.as_chunks();
                block.iter().map(|b| wide(*b)).collect()
            }
            b"CM3" => {
                let block = self.block(rows, columns, 1, 0)?;
                let value = |b: &u8| minimum + range * (f32::from(*b) / 255.0);
                block.iter().map(value).collect()
            }
            _ => {
                let heads = columns.saturating_mul(8);
                let (heads, bytes) = self.block(rows, columns, 1, heads)?.split_at(heads);
                let mut values = vec![0.0; bytes.len()];
                let columns_of = heads.as_chunks::<8>().0.iter();
                for (column, (head, bytes)) in
                    columns_of.zip(bytes.chunks_exact(rows.max(1))).enumerate()
                {
                    let quantiles = [0, 2, 4, 6].map(|i| wide([head[i], head[i + 1]]));
                    for (row, &byte) in bytes.iter().enumerate() {
                        values[row * columns + column] = between(quantiles, byte);
                    }
                }
                values
            }
        };
        self.matrix(columns, values)
    }

    /// A matrix, if all its numbers are finite.
    fn matrix(&self, columns: usize, values: Vec<f32>) -> Result<Object, DataError> {
        if let Some(at) = values.iter().position(|x| !x.is_finite()) {
            return Err(DataError::malformed(
                self.file,
                format!(
                    "entry '{}' has {} in row {} of its matrix",
                    self.key,
                    values[at],
                    at / columns + 1
                ),
                "make the features again: every value must be a finite number",
            ));
        }
        // Columns without rows would make a matrix of no width to compare with.
        let columns = if values.is_empty() { 0 } else { columns };
        Ok(Object::Matrix(Matrix { columns, values }))
    }

    fn text(&mut self) -> Result<Object, DataError> {
        let blanks = self.bytes.iter().position(|b| !b" \t".contains(b));
        self.bytes = &self.bytes[blanks.unwrap_or(self.bytes.len())..];
        if let Some(rest) = self.bytes.strip_prefix(b"[") {
            self.bytes = rest;
            return self.text_brackets();
        }
        let length = self.bytes.iter().position(|&b| b == b'\n');
        let line = self.take(length.unwrap_or(self.bytes.len()))?;
        let integers = self.numbers::<i32>(line)?;
        Ok(Object::Integers(integers.collect::<Result<_, _>>()?))
    }

    fn text_brackets(&mut self) -> Result<Object, DataError> {
        let Some(length) = self.bytes.iter().position(|&b| b == b']') else {
            return Err(self.corrupt("is truncated: its matrix has no end"));
        };
        let body = self.take(length)?;
        self.take(1)?;
        // The rows of a matrix have lines of their own: on the bracket's line stands a vector.
        if !body.trim_ascii().is_empty() && !body.iter().any(|b| b"\n;".contains(b)) {
            let integers = self.numbers::<i32>(body)?;
            return Ok(Object::Integers(integers.collect::<Result<_, _>>()?));
        }
        let (mut values, mut columns) = (Vec::new(), None);
        for line in body.split(|b| b"\n;".contains(b)) {
            let before = values.len();
            for number in self.numbers::<f32>(line)? {
                values.push(number?);
            }
            let width = values.len() - before;
            if width > 0 && *columns.get_or_insert(width) != width {
                return Err(self.corrupt(format!(
                    "has rows of {} and of {width} numbers",
                    columns.unwrap_or(0)
                )));
            }
        }
        self.matrix(columns.unwrap_or(0), values)
    }

    /// The numbers of a line.
    fn numbers<'b, T: std::str::FromStr>(
        &self,
        line: &'b [u8],
    ) -> Result<impl Iterator<Item = Result<T, DataError>> + use<'b, '_, 'a, T>, DataError> {
        let line = std::str::from_utf8(line).map_err(|_| self.corrupt("is not text"))?;
        Ok(line.split_ascii_whitespace().map(move |word| {
            word.parse().map_err(|_| {
                let word: String = word.chars().take(40).collect();
                self.corrupt(format!("holds '{word}' in place of a number"))
            })
        }))
    }
}

/// The value that a byte stands for between a column's quantiles.
fn between([least, lower, upper, most]: [f32; 4], byte: u8) -> f32 {
    let at = f32::from(byte);
    match byte {
        0..=64 => least + (lower - least) * (at / 64.0),
        65..=192 => lower + (upper - lower) * ((at - 64.0) / 128.0),
        _ => upper + (most - upper) * ((at - 192.0) / 63.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Entry> {
        parse(bytes, Path::new("an.ark")).unwrap()
    }

    fn matrix(columns: usize, values: &[f32]) -> Object {
        let values = values.to_vec();
        Object::Matrix(Matrix { columns, values })
    }

    fn entry(key: &str, object: Object) -> Entry {
        let key = key.to_owned();
        Entry { key, object }
    }

    /// Byte for byte by the definition of the format.
    #[test]
    fn binary_archives() {
        let floats = b"a \0BFM \x04\x02\0\0\0\x04\x01\0\0\0\0\0\x80\x3f\0\0\0\xc0";
        assert_eq!(read(floats), [entry("a", matrix(1, &[1.0, -2.0]))]);
        let doubles =
            b"b-1 \0BDM \x04\x01\0\0\0\x04\x02\0\0\0\0\0\0\0\0\0\xe0\x3f\0\0\0\0\0\0\0\x40";
        assert_eq!(read(doubles), [entry("b-1", matrix(2, &[0.5, 2.0]))]);
        let labels = b"c \0B\x04\x03\0\0\0\x04\x07\0\0\0\x04\0\0\0\0\x04\xb4\x07\0\0";
        assert_eq!(
            read(labels),
            [entry("c", Object::Integers(vec![7, 0, 1972]))]
        );
        // entries follow one another without anything between
        let both = [&floats[..], labels].concat();
        let keys: Vec<String> = read(&both).into_iter().map(|e| e.key).collect();
        assert_eq!(keys, ["a", "c"]);
        let empty = b"e \0BFM \x04\0\0\0\0\x04\0\0\0\0";
        assert_eq!(read(empty), [entry("e", matrix(0, &[]))]);
        assert!(read(b"").is_empty());
    }

    #[test]
    fn compressed_archives() {
        // minimum 1, range 2, 2 rows, 2 columns
        let head = |token: &str| {
            let mut bytes = format!("k \0B{token} ").into_bytes();
            for number in [1.0f32, 2.0] {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend([2, 0, 0, 0, 2, 0, 0, 0]);
            bytes
        };
        let words = [0u16, 65535, 13107, 26214].map(u16::to_le_bytes).concat();
        let wide = read(&[head("CM2"), words].concat());
        let near = |object: &Object, expected: [f32; 4]| {
            let Object::Matrix(Matrix { columns: 2, values }) = object else {
                panic!("{object:?}")
            };
            for (value, expected) in values.iter().zip(expected) {
                assert!((value - expected).abs() < 1e-6, "{values:?}");
            }
        };
        near(&wide[0].object, [1.0, 3.0, 1.4, 1.8]);
        let narrow = read(&[head("CM3"), vec![0, 255, 51, 102]].concat());
        near(&narrow[0].object, [1.0, 3.0, 1.4, 1.8]);
        // quantiles of the first column 1, 1.4, 1.8, 3; of the second all 3
        let first = [0u16, 13107, 26214, 65535].map(u16::to_le_bytes).concat();
        let second = [65535u16; 4].map(u16::to_le_bytes).concat();
        let body = [first, second, vec![32, 128, 0, 255]].concat();
        near(
            &read(&[head("CM"), body].concat())[0].object,
            [1.2, 3.0, 1.6, 3.0],
        );
        let quantiles = [0.0, 1.0, 2.0, 4.0];
        let ends = [0, 64, 192, 255].map(|byte| between(quantiles, byte));
        assert_eq!(ends, quantiles);
    }

    #[test]
    fn text_archives() {
        let text =
            b"a  [\n  1 2.5 \n  -3e-1 4 ]\nb 3 1 4 \nnone \nc [ 1 2\n3 4 ]\nd  [ 6 7 ]\nlast 5";
        let expected = [
            entry("a", matrix(2, &[1.0, 2.5, -0.3, 4.0])),
            entry("b", Object::Integers(vec![3, 1, 4])),
            entry("none", Object::Integers(vec![])),
            entry("c", matrix(2, &[1.0, 2.0, 3.0, 4.0])),
            entry("d", Object::Integers(vec![6, 7])),
            entry("last", Object::Integers(vec![5])),
        ];
        assert_eq!(read(text), expected);
        assert_eq!(read(b"x [ ]\n"), [entry("x", matrix(0, &[]))]);
        assert_eq!(
            read(b"x\ny 1"),
            [
                entry("x", Object::Integers(vec![])),
                entry("y", Object::Integers(vec![1])),
            ]
        );
    }
}
