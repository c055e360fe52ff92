//! Bytes into lines, whatever a program writes.

/// Longest line that is read, in bytes; a longer one is skipped and counted.
pub const LONGEST_LINE: usize = 64 << 10;

/// Cuts bytes into lines as they come. Holds no more than one line.
#[derive(Debug, Default)]
pub struct Lines {
    begun: Vec<u8>,
    /// The line that comes in is too long: what follows is skipped to its end.
    skipping: bool,
    skipped: u64,
}

impl Lines {
    /// Takes bytes, and calls `take` with each line that they end, without its end. What is no UTF-8 is replaced.
    pub fn push(&mut self, bytes: &[u8], take: &mut dyn FnMut(&str)) {
        let mut rest = bytes;
        // A carriage return ends a line too: progress bars write over theirs.
        while let Some(end) = rest.iter().position(|b| matches!(b, b'\n' | b'\r')) {
            let (line, after) = rest.split_at(end);
            self.add(line);
            self.end(take);
            rest = &after[1..];
        }
        self.add(rest);
    }

    /// The program has ended: what was begun is a line too.
    pub fn finish(&mut self, take: &mut dyn FnMut(&str)) {
        self.end(take);
    }

    /// Lines that were too long.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn add(&mut self, part: &[u8]) {
        if self.skipping {
            return;
        }
        if self.begun.len() + part.len() > LONGEST_LINE {
            self.skipping = true;
            self.skipped += 1;
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(part);
        }
    }

    fn end(&mut self, take: &mut dyn FnMut(&str)) {
        if !self.skipping && !self.begun.is_empty() {
            take(&String::from_utf8_lossy(&self.begun));
        }
        self.skipping = false;
        self.begun.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> (Vec<String>, u64) {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let mut take = |line: &str| found.push(line.to_owned());
        for piece in pieces {
            lines.push(piece, &mut take);
        }
        lines.finish(&mut take);
        (found, lines.skipped())
    }

    #[test]
    fn lines_come_in_pieces() {
        let (found, skipped) = lines(&[b"one\ntw", b"o\r\n\nthr", b"ee"]);
        assert_eq!(
            (found, skipped),
            (vec!["one".into(), "two".into(), "three".into()], 0)
        );
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        let piece = vec![b'x'; 1 << 16];
        let mut all: Vec<&[u8]> = vec![&piece; 100];
        all.push(b"\nafter\n");
        assert_eq!(lines(&all), (vec!["after".to_owned()], 1));
        let mut buffer = Lines::default();
        all[..100]
            .iter()
            .for_each(|piece| buffer.push(piece, &mut |_| panic!("no line ended")));
        assert!(buffer.begun.capacity() <= 2 * LONGEST_LINE);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(lines(&[b"a\xff\xfeb\n"]).0, ["a\u{fffd}\u{fffd}b"]);
    }
}
