//! TensorBoard's event files: the bytes as a file, and as the content of a record whose checksums are right.
#![no_main]

use batchscope_tensorboard::Entries;
use libfuzzer_sys::fuzz_target;

/// The masked checksum of TensorFlow's records.
fn masked(bytes: &[u8]) -> [u8; 4] {
    let sum = crc32c::crc32c(bytes).rotate_right(15);
    sum.wrapping_add(0xa282_ead8).to_le_bytes()
}

fuzz_target!(|bytes: &[u8]| {
    let _ = Entries::default().push(bytes, &mut |_| {});
    let length = (bytes.len() as u64).to_le_bytes();
    let record = [&length[..], &masked(&length), bytes, &masked(bytes)].concat();
    let mut entries = Entries::default();
    entries
        .push(&record, &mut |_| {})
        .expect("its checksums are right");
});
