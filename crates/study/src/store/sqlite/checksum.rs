//! A checksum of what was written, since SQLite has none: a bit that rots in a number must be
//! damage, not a result.
//!
//! FNV-1a, 64 bits (Fowler, Noll and Vo; offset basis and prime from RFC 9923): against accidents,
//! not against forgers.

use batchscope_core::Measurement;

struct Digest(u64);

impl Digest {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// With its length first, so that neighbors cannot trade bytes.
    fn text(&mut self, text: &str) {
        self.integer(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn integer(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    /// As SQLite keeps it: one kind of NaN, one kind of zero.
    fn real(&mut self, value: f64) {
        self.integer(if value.is_nan() {
            u64::MAX
        } else {
            (value + 0.0).to_bits()
        });
    }

    /// As SQLite keeps integers.
    fn end(self) -> i64 {
        i64::from_le_bytes(self.0.to_le_bytes())
    }
}

/// The digest of a text.
pub(super) fn of_text(text: &str) -> i64 {
    let mut digest = Digest::new();
    digest.text(text);
    digest.end()
}

/// The digest of a trial's row: its texts as they are written (spec, outcome, notes), its numbers,
/// and its measurements.
pub(super) fn of_row(
    texts: [&str; 3],
    micro_batch: u64,
    seconds: f64,
    measurements: &[Measurement],
) -> i64 {
    let mut digest = Digest::new();
    for text in texts {
        digest.text(text);
    }
    digest.integer(micro_batch);
    digest.real(seconds);
    for m in measurements {
        digest.integer(m.step);
        digest.integer(m.examples);
        digest.real(m.seconds);
        digest.real(m.learning_rate);
        digest.integer(u64::from(m.finer));
        for (metric, &value) in &m.metrics {
            digest.text(&metric.to_string());
            digest.real(value);
        }
        // What was not watched leaves no trace: digests of earlier layouts stay valid.
        if let Some(noise) = &m.noise {
            digest.text(&serde_json::to_string(noise).expect("plain data"));
        }
    }
    digest.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vectors of the FNV authors (draft-eastlake-fnv, 64-bit FNV-1a).
    #[test]
    fn fnv_gives_its_authors_values() {
        for (text, value) in [
            ("", 0xcbf2_9ce4_8422_2325_u64),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ] {
            let mut digest = Digest::new();
            digest.bytes(text.as_bytes());
            assert_eq!(digest.0, value, "{text}");
        }
    }
}
