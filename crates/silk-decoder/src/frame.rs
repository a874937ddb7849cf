//! What a packet says of a frame: everything that its sound is made of.

use super::fixed::{exp2_q7, mul_q16};
use super::nlsf::{self, Filter, Frequencies};
use super::range::RangeDecoder;
use super::tables::frame::{ACTIVITY, FOLLOWING, GAIN, GAIN_STEP, INTERPOLATION, RATE, SEED, TYPE, TYPE_AFTER};
use super::tables::pitch::{
    CONTOUR, CONTOUR_8, CONTOUR_STEPS, CONTOUR_STEPS_8, LAG_8, LAG_12, LAG_16, LAG_24, LTP_BOOK, LTP_CDF_0, LTP_CDF_1,
    LTP_CDF_2, LTP_SCALE, LTP_TAPS_0, LTP_TAPS_1, LTP_TAPS_2,
};
use super::tables::{Codebook, nlsf_narrow, nlsf_wide};
use super::{Damage, FRAME_MAX, Rate, SUBFRAMES, pulses};

/// Samples that the long-term predictor looks at, around one pitch lag before.
pub const TAPS: usize = 5;
/// The most a gain can go down from one subframe to the next.
const STEP_DOWN: i32 = 4;
/// By type and offset, Q10: what is added to every pulse, for none is exactly 0.
const OFFSETS: [i32; 4] = [32, 100, 100, 256];
/// Q14.
const LTP_SCALES: [i32; 3] = [15_565, 11_469, 8_192];

/// A frame: 20 ms of sound in four subframes.
pub struct Frame {
    /// Q16, of each subframe.
    pub gains: [i32; SUBFRAMES],
    /// The prediction filters of the first and of the second half.
    pub filters: [Filter; 2],
    /// Whether the two filters differ.
    pub interpolated: bool,
    /// The long-term predictor, where there is a voice.
    pub pitch: Option<Pitch>,
    /// What drives the filters, Q10; as long as the frame.
    pub excitation: [i32; FRAME_MAX],
    /// Whether the packet has another frame behind this one.
    pub more: bool,
}

/// How a frame follows from the sound before it.
pub struct Pitch {
    /// How far back the predictor looks, of each subframe, in samples.
    pub lags: [usize; SUBFRAMES],
    /// The weights there, Q14, of each subframe.
    pub taps: [[i16; TAPS]; SUBFRAMES],
    /// How much of what was before the frame counts, Q14.
    pub scale: i32,
}

/// What the frames of a packet know of the one before.
struct Before {
    /// Its type and offset.
    kind: usize,
    /// Where the gain is.
    gain: i32,
}

/// Reads the frames of packets. It knows what one packet has to know of the last.
#[derive(Default)]
pub struct FrameReader {
    /// The frequencies of the last frame, if its rate was the same.
    frequencies: Option<Frequencies>,
    rate: Option<Rate>,
}

/// Reads the frames of one packet.
pub struct PacketReader<'a> {
    memory: &'a mut FrameReader,
    range: RangeDecoder<'a>,
    rate: Rate,
    before: Option<Before>,
}

impl FrameReader {
    /// Begins a packet.
    pub fn packet<'a>(&'a mut self, packet: &'a [u8]) -> Result<PacketReader<'a>, Damage> {
        let mut range = RangeDecoder::new(packet)?;
        let rate = Rate::ALL[range.symbol(&RATE)?];
        if self.rate.replace(rate) != Some(rate) {
            self.frequencies = None;
        }
        Ok(PacketReader { memory: self, range, rate, before: None })
    }
}

impl PacketReader<'_> {
    /// The packet's sampling rate.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// The next frame.
    pub fn frame(&mut self) -> Result<Frame, Damage> {
        let range = &mut self.range;
        let kind = range.symbol(match &self.before {
            None => &TYPE,
            Some(before) => &TYPE_AFTER[before.kind],
        })?;
        let voiced = kind < 2;
        let (gains, gain) = read_gains(range, voiced, self.before.as_ref())?;

        let order = self.rate.order();
        let frequencies = nlsf::read(range, codebook(self.rate, voiced))?;
        let quarters = range.symbol(&INTERPOLATION)?;
        let last = self.memory.frequencies.replace(frequencies);
        let second = nlsf::filter(&frequencies, order);
        let (first, interpolated) = match last {
            Some(last) if quarters < 4 => {
                (nlsf::filter(&nlsf::between(&last, &frequencies, quarters as i32), order), true)
            }
            _ => (second, false),
        };

        let pitch = if voiced { Some(read_pitch(range, self.rate)?) } else { None };
        let seed = range.symbol(&SEED)?;
        let mut excitation = [0; FRAME_MAX];
        let inside = &mut excitation[..self.rate.frame()];
        pulses::read(range, kind, inside)?;
        drive(inside, seed as i32, OFFSETS[kind]);

        range.symbol(&ACTIVITY)?;
        let following = range.symbol(&FOLLOWING)?;
        // What else may follow repeats earlier packets, for those who lost one.
        let more = range.left()? > 0 && following == 1;
        self.before = Some(Before { kind, gain });
        Ok(Frame { gains, filters: [first, second], interpolated, pitch, excitation, more })
    }
}

/// Gains rise and fall in steps of 1.26 dB; a packet's first one is told in full.
fn read_gains(
    range: &mut RangeDecoder,
    voiced: bool,
    before: Option<&Before>,
) -> Result<([i32; SUBFRAMES], i32), Damage> {
    /// In steps of 1/128 of a doubling: the lowest gain, and (Q16) a step.
    const LOWEST: i32 = 6 * 128 / 6 + 16 * 128;
    const STEP: i32 = 65_536 * (80 * 128 / 6) / 63;
    let mut step = before.map(|before| before.gain);
    let mut gains = [0; SUBFRAMES];
    for gain in &mut gains {
        let now = match step {
            None => range.symbol(&GAIN[usize::from(!voiced)])? as i32,
            Some(last) => last + range.symbol(&GAIN_STEP)? as i32 - STEP_DOWN,
        };
        *gain = exp2_q7((mul_q16(STEP, now) + LOWEST).min(3967));
        step = Some(now);
    }
    Ok((gains, step.unwrap_or(0)))
}

fn codebook(rate: Rate, voiced: bool) -> &'static Codebook {
    match (rate, voiced) {
        (Rate::Khz8, true) => &nlsf_narrow::VOICED,
        (Rate::Khz8, false) => &nlsf_narrow::UNVOICED,
        (_, true) => &nlsf_wide::VOICED,
        (_, false) => &nlsf_wide::UNVOICED,
    }
}

fn read_pitch(range: &mut RangeDecoder, rate: Rate) -> Result<Pitch, Damage> {
    // From 2 ms up, sample by sample; a contour moves it by 9 samples at most, so it stays well above 0.
    let lag = 2 * rate.khz()
        + range.symbol(match rate {
            Rate::Khz8 => &LAG_8,
            Rate::Khz12 => &LAG_12,
            Rate::Khz16 => &LAG_16,
            Rate::Khz24 => &LAG_24,
        })?;
    let steps = match rate {
        Rate::Khz8 => {
            let contour = range.symbol(&CONTOUR_8)?;
            CONTOUR_STEPS_8.map(|subframe| subframe[contour])
        }
        _ => {
            let contour = range.symbol(&CONTOUR)?;
            CONTOUR_STEPS.map(|subframe| subframe[contour])
        }
    };
    let lags = steps.map(|step| lag.saturating_add_signed(isize::from(step)));
    let (cdf, book): (&[u16], &[[i16; TAPS]]) = match range.symbol(&LTP_BOOK)? {
        0 => (&LTP_CDF_0, &LTP_TAPS_0),
        1 => (&LTP_CDF_1, &LTP_TAPS_1),
        _ => (&LTP_CDF_2, &LTP_TAPS_2),
    };
    let mut taps = [[0; TAPS]; SUBFRAMES];
    for subframe in &mut taps {
        *subframe = book[range.symbol(cdf)?];
    }
    Ok(Pitch { lags, taps, scale: LTP_SCALES[range.symbol(&LTP_SCALE)?] })
}

/// Makes the excitation of the pulses: an offset is added to each, and the sign of both is turned by chance.
fn drive(pulses: &mut [i32], seed: i32, offset: i32) {
    let mut random = seed;
    for sample in pulses {
        let pulse = *sample;
        random = super::fixed::next_random(random);
        let driven = (pulse << 10).wrapping_add(offset);
        *sample = if random < 0 { driven.wrapping_neg() } else { driven };
        random = random.wrapping_add(pulse);
    }
}
