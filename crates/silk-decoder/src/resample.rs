//! From the rate of a packet to 24 kHz: every sample is put where it sounds, as a short bell that ends at half its rate
//! (a windowed sinc), and overlapping bells add up. So nothing is delayed, a change of rate needs no care, and 24 kHz
//! passes as it is.

use std::f32::consts::PI;

use super::{FRAME_MAX, Rate};

/// Samples on each side that a bell reaches over, at the rate of the packet. Images are 70 dB down with it.
const REACH: usize = 32;
/// Where the band ends, of half the rate.
const BAND: f32 = 0.91;
/// Output samples that the widest bell, that of 8 kHz, reaches beyond its frame.
const MARGIN: usize = 3 * REACH;

/// Makes 24 kHz of frames of any rate.
pub struct Resampler {
    rate: Rate,
    /// One side of the bell, in steps of half an output sample: 48 kHz has a place for every sample of every rate.
    bell: Vec<f32>,
    /// A margin before the frame, the frame, a margin behind it.
    sums: [f32; FRAME_MAX + 2 * MARGIN],
    /// Whether the margin is the one before the first frame, where nothing sounds.
    first: bool,
}

impl Resampler {
    /// Before the first frame.
    pub fn new() -> Resampler {
        Resampler { rate: Rate::Khz24, bell: vec![1.0], sums: [0.0; FRAME_MAX + 2 * MARGIN], first: true }
    }

    /// Takes a frame and gives as much as is final, in `out`.
    pub fn frame(&mut self, rate: Rate, frame: &[i16], out: &mut Vec<i16>) {
        if rate != self.rate {
            (self.rate, self.bell) = (rate, bell(rate));
        }
        let (step, reach) = (48 / rate.khz(), self.bell.len() - 1);
        for (i, sample) in frame.iter().enumerate() {
            let at = 2 * MARGIN + i * step;
            let sample = f32::from(*sample);
            for output in (at - reach).div_ceil(2)..=(at + reach) / 2 {
                self.sums[output] += sample * self.bell[at.abs_diff(2 * output)];
            }
        }
        let ready = if std::mem::take(&mut self.first) { MARGIN } else { 0 };
        out.extend(self.sums[ready..FRAME_MAX].iter().map(|sum| nearest(*sum)));
        self.sums.copy_within(FRAME_MAX.., 0);
        self.sums[2 * MARGIN..].fill(0.0);
    }

    /// Gives what is left behind the last frame.
    pub fn finish(self, out: &mut Vec<i16>) {
        if !self.first {
            out.extend(self.sums[..MARGIN].iter().map(|sum| nearest(*sum)));
        }
    }
}

fn nearest(sum: f32) -> i16 {
    // The conversion stops at the ends of the range.
    sum.round() as i16
}

/// The right side of the bell of a rate.
fn bell(rate: Rate) -> Vec<f32> {
    if rate == Rate::Khz24 {
        return vec![1.0];
    }
    let step = (48 / rate.khz()) as f32;
    let reach = REACH as f32 * step;
    let value = |at: f32| {
        let x = BAND * PI * at / step;
        let sinc = if at == 0.0 { 1.0 } else { x.sin() / x };
        // Blackman's window.
        let window = 0.42 + 0.5 * (PI * at / reach).cos() + 0.08 * (2.0 * PI * at / reach).cos();
        BAND * sinc * window
    };
    (0..=reach as usize).map(|at| value(at as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone that goes on through frames of these rates.
    fn tone(rates: &[Rate], hertz: f32) -> Vec<i16> {
        let (mut resampler, mut out) = (Resampler::new(), Vec::new());
        for (n, rate) in rates.iter().enumerate() {
            let start = n as f32 * 0.02;
            let at = |i: usize| start + i as f32 / (rate.khz() as f32 * 1000.0);
            let frame: Vec<i16> =
                (0..rate.frame()).map(|i| ((2.0 * PI * hertz * at(i)).sin() * 10_000.0).round() as i16).collect();
            resampler.frame(*rate, &frame, &mut out);
        }
        resampler.finish(&mut out);
        out
    }

    /// The largest difference from the tone itself, but for the ends.
    fn error(out: &[i16], hertz: f32) -> f32 {
        let differences = out.iter().enumerate().map(|(i, sample)| {
            let exact = (2.0 * PI * hertz * i as f32 / 24_000.0).sin() * 10_000.0;
            (f32::from(*sample) - exact).abs()
        });
        differences.skip(480).take(out.len() - 960).fold(0.0, f32::max)
    }

    #[test]
    fn a_tone_stays_where_and_what_it_is() {
        for rate in Rate::ALL {
            let hertz = 350.0 * rate.khz() as f32;
            let out = tone(&[rate; 10], hertz);
            assert_eq!(out.len(), 4800);
            // 1% of the tone: the edge of the band and the images together.
            assert!(error(&out, hertz) < 100.0, "{rate:?}: {}", error(&out, hertz));
        }
        assert!(error(&tone(&[Rate::Khz24; 4], 440.0), 440.0) < 1.0, "24 kHz passes as it is");
    }

    #[test]
    fn a_change_of_rate_is_not_heard() {
        use Rate::{Khz8, Khz12, Khz16, Khz24};
        let changing = [Khz24, Khz24, Khz16, Khz16, Khz12, Khz8, Khz8, Khz24, Khz12, Khz16, Khz8, Khz16, Khz16];
        let out = tone(&changing, 400.0);
        assert_eq!(out.len(), 480 * changing.len());
        // A click would be a jump by a good part of the tone's 10,000.
        assert!(error(&out, 400.0) < 500.0, "{}", error(&out, 400.0));
    }
}
