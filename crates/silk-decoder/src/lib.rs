//! SILK v3, the format of WeChat's voice messages, decoded: bytes that strangers sent become sound or an error, never
//! anything else. Nothing here is unsafe, nothing is indexed by what a packet says without a table that bounds it, and both
//! the packets and the length of the sound are limited.
//!
//! It is a decoder of our own because the others are wrappers of one C source, Skype's SDK, which writes beyond its buffers
//! when a packet is made to. The tables are that SDK's (see `LICENSE-SILK`), and so is, to the last bit, the sound of what
//! its encoder made.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `container` | the file: its mark, its packets |
//! | `range` | symbols out of a packet's bits |
//! | `frame`, `nlsf`, `pulses` | what the symbols say of 20 ms of sound |
//! | `synthesis` | the sound |
//! | `resample` | from the rate of the packet to 24 kHz |
//! | `fixed`, `tables` | the arithmetic and the numbers of the format |
//!
//! A packet that is missing (its length is 0: nobody spoke) is silence, into which the voice before it dies away.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/24khz.silk");
//! let file = std::io::BufReader::new(std::fs::File::open(path)?);
//! let mut sound: Vec<i16> = Vec::new();
//! let samples = silk_decoder::decode(file, |piece| {
//!     sound.extend_from_slice(piece);
//!     Ok(())
//! })?;
//! assert_eq!(samples, sound.len() as u64);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod container;
mod fixed;
mod frame;
mod nlsf;
mod pulses;
mod range;
mod resample;
mod synthesis;
mod tables;
#[cfg(test)]
mod tests;

use std::io::{self, Read};

use container::Packets;
use frame::FrameReader;
use resample::Resampler;
use synthesis::Synthesis;

/// Samples a second of what comes out.
pub const OUTPUT_RATE: u32 = 24_000;
/// The longest sound that is decoded, in seconds. WeChat's longest is a minute.
pub const LONGEST: u64 = 600;
/// Subframes of a frame.
const SUBFRAMES: usize = 4;
/// Samples in the longest frame.
const FRAME_MAX: usize = 480;
/// Frames in the longest packet.
const PACKET_FRAMES: usize = 5;

/// Why a file cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It has not the mark.
    #[error("it is not SILK")]
    NotSilk,
    /// It has no packet.
    #[error("it has no sound in it")]
    Empty,
    /// A packet is not all there.
    #[error("it ends in the middle of packet {packet}")]
    Cut {
        /// Which, from 1.
        packet: u64,
    },
    /// A packet says what it cannot.
    #[error("packet {packet} is damaged: {damage}")]
    Damaged {
        /// Which, from 1.
        packet: u64,
        /// What is wrong.
        damage: Damage,
    },
    /// It goes on and on.
    #[error("it plays for more than {} minutes", LONGEST / 60)]
    TooLong,
    /// It cannot be read, or its sound not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It has more bytes than a packet may.
    #[error("it is longer than {} bytes", range::LONGEST_PACKET)]
    TooLong,
    /// It ends within a frame.
    #[error("it is too short for what it says")]
    TooShort,
    /// Its bits stand for nothing.
    #[error("no symbol has these bits")]
    NoSymbol,
    /// The bits behind its end are not all ones.
    #[error("its last bits are wrong")]
    Padding,
}

/// The sampling rate inside of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rate {
    Khz8,
    Khz12,
    Khz16,
    Khz24,
}

impl Rate {
    const ALL: [Rate; 4] = [Rate::Khz8, Rate::Khz12, Rate::Khz16, Rate::Khz24];

    /// Samples a millisecond.
    fn khz(self) -> usize {
        [8, 12, 16, 24][self as usize]
    }

    /// Samples in a frame of 20 ms.
    fn frame(self) -> usize {
        20 * self.khz()
    }

    fn subframe(self) -> usize {
        self.frame() / SUBFRAMES
    }

    /// Coefficients of the short-term predictor.
    fn order(self) -> usize {
        if self == Rate::Khz8 { 10 } else { nlsf::ORDER }
    }

    /// The poles of the high-pass filter, Q13: 6 dB down at 44 Hz or so.
    fn high_pass(self) -> [i32; 2] {
        [[-15_885, 7710], [-16_043, 7859], [-16_127, 7940], [-16_220, 8030]][self as usize]
    }
}

/// Decodes packets, at the rate that each of them has.
struct Decoder {
    frames: FrameReader,
    synthesis: Synthesis,
    /// How many frames the last packet had: a missing one is as long.
    packet_frames: usize,
}

impl Decoder {
    fn new() -> Decoder {
        Decoder { frames: FrameReader::default(), synthesis: Synthesis::new(), packet_frames: 1 }
    }

    /// Decodes a packet and hands out its frames.
    fn packet(&mut self, packet: &[u8], mut take: impl FnMut(Rate, &[i16])) -> Result<(), Damage> {
        let mut sound = [0; FRAME_MAX];
        if packet.is_empty() {
            for _ in 0..self.packet_frames {
                let rate = self.synthesis.missing(&mut sound);
                take(rate, &sound[..rate.frame()]);
            }
            return Ok(());
        }
        let mut reader = self.frames.packet(packet)?;
        let rate = reader.rate();
        for done in 1..=PACKET_FRAMES {
            let frame = reader.frame()?;
            self.synthesis.frame(rate, &frame, &mut sound);
            take(rate, &sound[..rate.frame()]);
            self.packet_frames = done;
            if !frame.more {
                break;
            }
        }
        Ok(())
    }
}

/// Decodes a file: 16 bits, one channel, 24 kHz, handed to `take` packet by packet. Returns how many samples it has.
/// `take` may have had some of them where this is an error.
pub fn decode(input: impl Read, mut take: impl FnMut(&[i16]) -> io::Result<()>) -> Result<u64, Error> {
    let mut packets = Packets::open(input)?;
    let (mut decoder, mut resampler, mut sound) = (Decoder::new(), Resampler::new(), Vec::new());
    let mut samples = 0;
    while let Some(packet) = packets.next()? {
        let decoded = decoder.packet(packet, |rate, frame| resampler.frame(rate, frame, &mut sound));
        decoded.map_err(|damage| Error::Damaged { packet: packets.count(), damage })?;
        samples += sound.len() as u64;
        if samples > LONGEST * u64::from(OUTPUT_RATE) {
            return Err(Error::TooLong);
        }
        take(&sound)?;
        sound.clear();
    }
    if packets.count() == 0 {
        return Err(Error::Empty);
    }
    resampler.finish(&mut sound);
    take(&sound)?;
    Ok(samples + sound.len() as u64)
}
