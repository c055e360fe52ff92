//! The records of an event file.
//!
//! TensorFlow's TFRecord: the length as 8 bytes, its checksum as 4, the bytes, their checksum as 4, all little
//! endian. A checksum is CRC-32C, rotated and shifted by a constant ("masked").

use std::fmt;

/// Longest record that is kept: a longer one holds an image or a graph, and is passed over.
pub const LONGEST_RECORD: u64 = 16 << 20;
/// Longest record that is believed: of a longer one the length is damaged.
const LONGEST_BELIEVED: u64 = 1 << 40;
/// Bytes of a length and its checksum.
const HEADER: usize = 12;
/// Bytes of the checksum after a record.
const FOOTER: u64 = 4;

/// Takes a file apart into records, from pieces of any size.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// What has come of a record that is not complete.
    pending: Vec<u8>,
    /// Bytes that are still to be passed over.
    skip: u64,
    /// Bytes that have come.
    read: u64,
    skipped: u64,
}

/// What makes a file no event file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordError {
    /// Bytes before the damaged record.
    pub at: u64,
    /// The length is damaged, rather than the bytes.
    pub in_length: bool,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, in_length } = self;
        match (at, in_length) {
            (0, true) => f.write_str("it is no event file of TensorBoard"),
            (_, true) => write!(
                f,
                "the checksum of a record's length is wrong after {at} bytes"
            ),
            (_, false) => write!(f, "the checksum of a record is wrong after {at} bytes"),
        }
    }
}

impl std::error::Error for RecordError {}

impl Records {
    /// Takes the next bytes of the file, and calls `take` with each record that they complete.
    ///
    /// # Errors
    /// When a checksum is wrong. Nothing after it can be read.
    pub fn push(&mut self, bytes: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<(), RecordError> {
        self.read += bytes.len() as u64;
        let jumped = usize::try_from(self.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
        self.skip -= jumped as u64;
        self.pending.extend_from_slice(&bytes[jumped..]);
        let mut at = 0;
        let result = loop {
            let rest = &self.pending[at..];
            let wrong = |in_length| RecordError {
                at: self.read - rest.len() as u64,
                in_length,
            };
            let Some((header, body)) = rest.split_at_checked(HEADER) else {
                break Ok(());
            };
            let (length, sum) = header.split_at(8);
            if little_endian(sum) != u64::from(masked(length)) {
                break Err(wrong(true));
            }
            let length = little_endian(length);
            if length > LONGEST_BELIEVED {
                break Err(wrong(true));
            }
            if length > LONGEST_RECORD {
                self.skipped += 1;
                let whole = length + FOOTER;
                let here = whole.min(body.len() as u64);
                self.skip = whole - here;
                at += HEADER + here as usize;
                continue;
            }
            let length = length as usize;
            let Some(sum) = body.get(length..length + FOOTER as usize) else {
                break Ok(());
            };
            let record = &body[..length];
            if little_endian(sum) != u64::from(masked(record)) {
                break Err(wrong(false));
            }
            take(record);
            at += HEADER + length + FOOTER as usize;
        };
        self.pending.drain(..at);
        result
    }

    /// True if the bytes so far end within a record.
    pub fn is_within(&self) -> bool {
        !self.pending.is_empty() || self.skip > 0
    }

    /// Records that were too long to be kept.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// A record as it stands in a file.
pub(crate) fn framed(record: &[u8]) -> Vec<u8> {
    let length = (record.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(HEADER + record.len() + FOOTER as usize);
    bytes.extend(length);
    bytes.extend(masked(&length).to_le_bytes());
    bytes.extend(record);
    bytes.extend(masked(record).to_le_bytes());
    bytes
}

/// The masked checksum: CRC-32C rotated right by 15 bits, plus `0xa282ead8`.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |x, &byte| x << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(records: &mut Records, bytes: &[u8]) -> Result<Vec<Vec<u8>>, RecordError> {
        let mut found = Vec::new();
        records.push(bytes, &mut |record| found.push(record.to_vec()))?;
        Ok(found)
    }

    #[test]
    fn the_checksum_is_tensorflows() {
        // The first record that TensorFlow and tensorboardX write: version "brain.Event:2" at time 0 has another
        // length; this is the length 24 of one with a time, whose sum their files show.
        assert_eq!(
            masked(&24u64.to_le_bytes()).to_le_bytes(),
            [0xa3, 0x7f, 0x4b, 0x22]
        );
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_give_the_same(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            size in 1..50usize,
        ) {
            let bytes: Vec<u8> = records.iter().flat_map(|record| framed(record)).collect();
            let mut reader = Records::default();
            let mut found = Vec::new();
            for piece in bytes.chunks(size) {
                found.extend(all(&mut reader, piece).unwrap());
            }
            prop_assert_eq!(found, records);
            prop_assert!(!reader.is_within());
        }

        #[test]
        fn a_changed_byte_is_found(
            record in prop::collection::vec(any::<u8>(), 0..40), at in 0..56usize, bit in 0..8u32,
        ) {
            let mut bytes = framed(&record);
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let found = all(&mut Records::default(), &bytes);
            prop_assert!(found.is_err(), "{found:?}");
        }

        #[test]
        fn anything_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = all(&mut Records::default(), &bytes);
        }
    }

    #[test]
    fn long_records_are_passed_over() {
        let length = (LONGEST_RECORD + 1).to_le_bytes();
        let mut reader = Records::default();
        let mut header = length.to_vec();
        header.extend(masked(&length).to_le_bytes());
        header.extend([7; 100]);
        assert_eq!(all(&mut reader, &header).unwrap().len(), 0);
        assert!(reader.is_within());
        // What is passed over is not kept either.
        assert!(reader.pending.is_empty());
        let mut left = LONGEST_RECORD + 1 + FOOTER - 100;
        while left > 0 {
            let piece = left.min(1 << 20);
            assert_eq!(all(&mut reader, &vec![7; piece as usize]).unwrap().len(), 0);
            left -= piece;
        }
        assert_eq!(all(&mut reader, &framed(b"next")).unwrap(), [b"next"]);
        assert_eq!(reader.skipped(), 1);
    }
}
