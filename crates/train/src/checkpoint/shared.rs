//! What member 0 of a group has read, on every member: files are where it runs, perhaps nowhere else.

use batchscope_core::{Group, GroupError};

/// The bytes that `read` gives on member 0, where alone it is called; its error is everybody's.
pub(crate) fn from_first(
    group: &dyn Group,
    read: impl FnOnce() -> Result<Vec<u8>, String>,
) -> Result<Result<Vec<u8>, String>, GroupError> {
    if group.size() == 1 {
        return Ok(read());
    }
    let found = match group.rank() {
        0 => read(),
        _ => Ok(Vec::new()),
    };
    let (is_error, bytes) = match found {
        Ok(bytes) => (0, bytes),
        Err(why) => (1, why.into_bytes()),
    };
    let mut head = [is_error, bytes.len() as u64];
    group.broadcast(&mut head, 0)?;
    let [is_error, len] = head;
    let mut words: Vec<u64> = bytes.chunks(8).map(word).collect();
    words.resize(len.div_ceil(8) as usize, 0);
    group.broadcast(&mut words, 0)?;
    let mut bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
    bytes.truncate(len as usize);
    Ok(match is_error {
        0 => Ok(bytes),
        _ => Err(String::from_utf8_lossy(&bytes).into_owned()),
    })
}

/// Up to eight bytes as a number, the lowest first.
fn word(bytes: &[u8]) -> u64 {
    let mut whole = [0; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(whole)
}

#[cfg(test)]
mod tests {
    use batchscope_group::ThreadGroup;

    use super::*;

    #[test]
    fn every_member_has_what_the_first_one_read_or_its_error() {
        for read in [
            Ok(Vec::new()),
            Ok((0..=255).chain(0..3).collect()),
            Err("no such file: é".to_owned()),
        ] {
            std::thread::scope(|scope| {
                for (rank, member) in ThreadGroup::members(3).into_iter().enumerate() {
                    let read = read.clone();
                    scope.spawn(move || {
                        let found = from_first(&member, || {
                            assert_eq!(rank, 0);
                            read.clone()
                        });
                        assert_eq!(found.unwrap(), read);
                    });
                }
            });
        }
    }
}
