//! Lines from a byte stream. An oversized one is skipped up to its newline without being held in memory.

use std::io::{self, BufRead};

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// A line, without its ending.
    Line(Vec<u8>),
    /// A line longer than the limit; it was skipped.
    TooLong,
}

pub struct Frames<R> {
    input: R,
    limit: usize,
    /// Whether another line is in the input's buffer already.
    more: bool,
}

impl<R: BufRead> Frames<R> {
    /// Lines of `input` of at most `limit` bytes.
    pub fn new(input: R, limit: usize) -> Frames<R> {
        Frames { input, limit, more: false }
    }

    /// Whether the next frame is there already: reading it will not block.
    pub fn has_next(&self) -> bool {
        self.more
    }

    /// The next frame, or `None` at the end. Blank lines are passed over. A last line without a newline is a line.
    pub fn read(&mut self) -> io::Result<Option<Frame>> {
        loop {
            let mut line = Vec::new();
            let mut too_long = false;
            let ended = loop {
                let available = match self.input.fill_buf() {
                    Ok(available) => available,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
                if available.is_empty() {
                    break true;
                }
                let newline = available.iter().position(|byte| *byte == b'\n');
                let taken = newline.unwrap_or(available.len());
                // A carriage return before the newline does not count, and is not known to be one until the newline.
                if too_long || line.len() + taken > self.limit + 1 {
                    too_long = true;
                    line = Vec::new();
                } else {
                    line.extend_from_slice(&available[..taken]);
                }
                self.more = newline.is_some_and(|at| has_line(&available[at + 1..]));
                self.input.consume(taken + usize::from(newline.is_some()));
                if newline.is_some() {
                    break false;
                }
            };
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if too_long || line.len() > self.limit {
                return Ok(Some(Frame::TooLong));
            }
            if line.iter().any(|byte| !byte.is_ascii_whitespace()) {
                return Ok(Some(Frame::Line(line)));
            }
            if ended {
                return Ok(None);
            }
        }
    }
}

/// Whether a line that is not blank ends in `bytes`.
fn has_line(bytes: &[u8]) -> bool {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    bytes[..end].iter().any(|byte| !byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(input: &[u8], limit: usize) -> Vec<Frame> {
        // A tiny buffer, so that lines span several reads.
        let mut frames = Frames::new(io::BufReader::with_capacity(3, input), limit);
        std::iter::from_fn(|| frames.read().unwrap()).collect()
    }

    fn line(text: &str) -> Frame {
        Frame::Line(text.as_bytes().to_vec())
    }

    #[test]
    fn lines_are_split_and_blank_ones_passed_over() {
        assert_eq!(frames(b"one\r\n\n  \ntwo\nthree", 10), [line("one"), line("two"), line("three")]);
        assert_eq!(frames(b"", 10), []);
    }

    #[test]
    fn a_line_of_the_limit_passes_and_one_byte_more_does_not() {
        assert_eq!(frames(b"12345\n", 5), [line("12345")]);
        assert_eq!(frames(b"12345\r\n", 5), [line("12345")]);
        assert_eq!(frames(b"123456\nok\n", 5), [Frame::TooLong, line("ok")]);
        assert_eq!(frames(b"123456789012345678901234567890\nok\n", 5), [Frame::TooLong, line("ok")]);
        assert_eq!(frames(b"1234567890", 5), [Frame::TooLong]);
    }
}
