//! The file: `#!SILK_V3`, before it WeChat's byte 0x02, behind it packets. Each stands behind its length, 16 bits with the
//! low byte first. The standard's file ends with the length 0xffff, WeChat's with its last packet.

use std::io::{ErrorKind, Read};

use super::range::LONGEST_PACKET;
use super::{Damage, Error};

const MARK: &[u8; 9] = b"#!SILK_V3";
const WECHAT: u8 = 2;
const END: u16 = 0xffff;

/// The packets of a file.
pub struct Packets<R> {
    input: R,
    buffer: [u8; LONGEST_PACKET],
    count: u64,
}

impl<R: Read> Packets<R> {
    /// Behind the mark of a file.
    pub fn open(mut input: R) -> Result<Packets<R>, Error> {
        let mut mark = [0; MARK.len()];
        let start = usize::from(read(&mut input, &mut mark[..1])? && mark[0] != WECHAT);
        if !read(&mut input, &mut mark[start..])? || &mark != MARK {
            return Err(Error::NotSilk);
        }
        Ok(Packets { input, buffer: [0; LONGEST_PACKET], count: 0 })
    }

    /// The next packet.
    pub fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        let mut length = [0; 2];
        // Nothing is the end; one byte is not.
        if !read(&mut self.input, &mut length[..1])? {
            return Ok(None);
        }
        let cut = Error::Cut { packet: self.count + 1 };
        if !read(&mut self.input, &mut length[1..])? {
            return Err(cut);
        }
        let length = u16::from_le_bytes(length);
        if length == END {
            return Ok(None);
        }
        self.count += 1;
        let Some(packet) = self.buffer.get_mut(..usize::from(length)) else {
            return Err(Error::Damaged { packet: self.count, damage: Damage::TooLong });
        };
        if read(&mut self.input, packet)? { Ok(Some(packet)) } else { Err(cut) }
    }

    /// How many packets there were so far.
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// Fills `buffer`; false where the file ends before it is full.
fn read(input: &mut impl Read, buffer: &mut [u8]) -> Result<bool, Error> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error.into()),
    }
}
