//! The sound of frames: an excitation through the long-term predictor (pitch) and the short-term one (the voice's
//! spectrum), times a gain, through a high-pass filter.

use super::fixed::{divide, inverse, mul_q16, round_shift, sample};
use super::frame::{Frame, Pitch, TAPS};
use super::nlsf::{Filter, ORDER, narrow};
use super::{FRAME_MAX, Rate, SUBFRAMES};

/// Samples of the longest subframe.
const SUBFRAME_MAX: usize = FRAME_MAX / SUBFRAMES;
const ONE_Q16: i32 = 1 << 16;
/// 0.99 in Q16.
const FADE: i32 = 64_880;

/// Makes sound of frames, at their own rate.
pub struct Synthesis {
    rate: Rate,
    /// The last frame, and behind it the one that is being made; before the high-pass filter.
    speech: [i16; 2 * FRAME_MAX],
    /// The last outputs of the short-term predictor, Q14 over the gain; the newest last.
    short_term: [i32; ORDER],
    /// The last gain, upside down, Q16.
    inverse_gain: i32,
    high_pass: [i32; 2],
    /// The last filter and gain, for what has to follow them where a packet is missing.
    last: Option<(Filter, i32)>,
}

impl Synthesis {
    /// Before the first frame.
    pub fn new() -> Synthesis {
        Synthesis {
            rate: Rate::Khz24,
            speech: [0; 2 * FRAME_MAX],
            short_term: [0; ORDER],
            inverse_gain: ONE_Q16,
            high_pass: [0; 2],
            last: None,
        }
    }

    /// Makes the sound of a frame.
    pub fn frame(&mut self, rate: Rate, frame: &Frame, out: &mut [i16]) {
        if rate != self.rate {
            self.rate = rate;
            self.speech = [0; 2 * FRAME_MAX];
            self.short_term = [0; ORDER];
        }
        let (length, step, order) = (rate.frame(), rate.subframe(), rate.order());
        // What is left of the sound without its spectrum, Q16 over the gain: what the pitch is predicted from. Only a
        // voiced frame needs it, and makes it anew from the speech.
        let mut residual = [0; 2 * FRAME_MAX];
        let mut driven = frame.excitation;
        for k in 0..SUBFRAMES {
            let filter = &frame.filters[k / 2];
            let now = length + k * step;
            let inverse_gain = inverse(frame.gains[k].max(1), 32).min(i32::from(i16::MAX));
            let change = match inverse_gain == self.inverse_gain {
                true => ONE_Q16,
                false => divide(inverse_gain, self.inverse_gain, 16),
            };
            self.inverse_gain = inverse_gain;
            let excitation = &mut driven[k * step..][..step];
            if let Some(pitch) = &frame.pitch {
                let known = &mut residual[now - pitch.lags[k] - TAPS / 2..now];
                if k == 0 || (k == 2 && frame.interpolated) {
                    let scale = match k {
                        0 => mul_q16(inverse_gain << 16, pitch.scale) << 2,
                        _ => inverse_gain << 16,
                    };
                    whiten(&self.speech[..now], &filter[..order], scale, known);
                } else if change != ONE_Q16 {
                    known.iter_mut().for_each(|value| *value = mul_q16(change, *value));
                }
                predict_pitch(pitch, k, now, excitation, &mut residual);
            }
            self.short_term.iter_mut().for_each(|value| *value = mul_q16(change, *value));
            let speech = &mut self.speech[now..now + step];
            predict(&mut self.short_term, &filter[..order], excitation, frame.gains[k], speech);
        }
        self.last = Some((frame.filters[1], frame.gains[SUBFRAMES - 1]));
        self.finish(out);
    }

    /// Makes the sound of a frame that is missing, at the rate of the last one: the voice dies away within it, as if its
    /// excitation had ended, and then there is silence.
    pub fn missing(&mut self, out: &mut [i16]) -> Rate {
        let (length, step, order) = (self.rate.frame(), self.rate.subframe(), self.rate.order());
        match self.last.take() {
            Some((mut filter, gain)) => {
                narrow(&mut filter[..order], FADE);
                for k in 0..SUBFRAMES {
                    let speech = &mut self.speech[length + k * step..][..step];
                    predict(&mut self.short_term, &filter[..order], &[0; SUBFRAME_MAX][..step], gain, speech);
                }
                let speech = self.speech[length..2 * length].iter_mut();
                speech.zip((0..length as i32).rev()).for_each(|(sample, left)| {
                    *sample = (i32::from(*sample) * left / length as i32) as i16;
                });
                self.short_term = [0; ORDER];
            }
            None => self.speech[length..2 * length].fill(0),
        }
        self.finish(out);
        self.rate
    }

    /// Hands out the frame that was made, without the rumble below a voice, and makes room for the next.
    fn finish(&mut self, out: &mut [i16]) {
        let length = self.rate.frame();
        self.speech.copy_within(length..2 * length, 0);
        // Q13; the zeros are the same at all rates.
        let (zeros, poles) = ([8000, -16_000, 8000], self.rate.high_pass());
        let [mut first, mut second] = self.high_pass;
        for (out, input) in out.iter_mut().zip(&self.speech[..length]) {
            let input = i32::from(*input);
            let filtered = first.wrapping_add(input * zeros[0]);
            let fed_back = poles.map(|pole| mul_q16(filtered, -pole) << 3);
            first = second.wrapping_add(input * zeros[1]).wrapping_add(fed_back[0]);
            second = fed_back[1].wrapping_add(input * zeros[2]);
            *out = sample(round_shift(filtered, 13) + 1);
        }
        self.high_pass = [first, second];
    }
}

/// Takes the spectrum out of the newest samples of `speech`, as many as `out` has, and scales what is left.
fn whiten(speech: &[i16], filter: &[i16], scale: i32, out: &mut [i32]) {
    let start = speech.len() - out.len();
    for (out, at) in out.iter_mut().zip(start..) {
        // The longest lags of 12 kHz reach a few samples further back than is kept: there it is silent.
        let before = speech[..at].iter().rev().copied().chain(std::iter::repeat(0));
        let predicted = weigh(filter, before);
        let left = (i32::from(speech[at]) << 12).wrapping_sub(predicted);
        *out = mul_q16(scale, i32::from(sample(round_shift(left, 12))));
    }
}

/// The sum of 16-bit samples, each times its coefficient.
fn weigh(filter: &[i16], samples: impl Iterator<Item = i16>) -> i32 {
    let products = filter.iter().zip(samples).map(|(a, b)| i32::from(*a) * i32::from(b));
    products.fold(0, i32::wrapping_add)
}

/// Adds to the excitation of subframe `k` what the pitch predicts, and notes the sum in `residual`, where the subframe
/// begins at `now`.
fn predict_pitch(pitch: &Pitch, k: usize, now: usize, excitation: &mut [i32], residual: &mut [i32]) {
    let taps = pitch.taps[k].map(i32::from);
    // The newest sample that is looked at; it lies before the one that is made, as lags are longer than two samples.
    let newest = now + TAPS / 2 - pitch.lags[k];
    for (i, value) in excitation.iter_mut().enumerate() {
        let around = &residual[newest + i + 1 - TAPS..=newest + i];
        let predicted = around.iter().rev().zip(taps).map(|(value, tap)| mul_q16(*value, tap));
        *value = value.wrapping_add(round_shift(predicted.fold(0, i32::wrapping_add), 4));
        residual[now + i] = *value << 6;
    }
}

/// Runs the short-term predictor over a subframe and applies the gain.
fn predict(state: &mut [i32; ORDER], filter: &[i16], excitation: &[i32], gain: i32, speech: &mut [i16]) {
    let mut values = [0; ORDER + SUBFRAME_MAX];
    values[..ORDER].copy_from_slice(state);
    for (i, (driven, speech)) in excitation.iter().zip(speech).enumerate() {
        let before = values[i..i + ORDER].iter().rev();
        let predicted = before.zip(filter).map(|(value, a)| mul_q16(*value, i32::from(*a)));
        let value = driven.wrapping_add(predicted.fold(0, i32::wrapping_add));
        values[ORDER + i] = value << 4;
        *speech = sample(round_shift(mul_q16(value, gain), 10));
    }
    state.copy_from_slice(&values[excitation.len()..][..ORDER]);
}
