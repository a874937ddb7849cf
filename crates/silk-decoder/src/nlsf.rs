//! Line spectral frequencies: what a packet says of the spectrum, and the filter that is made of it.
//!
//! Frequencies are normalized: 32,768 is half the sampling rate. They rise, with a least distance between them; such a
//! list always gives a filter that does not run away, but for the rounding, which is mended here.

use super::Damage;
use super::fixed::{inverse, mul_q16, mul_q32, round_shift};
use super::range::RangeDecoder;
use super::tables::Codebook;
use super::tables::frame::COSINE;

/// Coefficients of the longest filter.
pub const ORDER: usize = 16;
/// The end of the frequencies.
const HALF_RATE: i32 = 1 << 15;

/// A frame's frequencies; behind the order of the filter they are 0.
pub type Frequencies = [i32; ORDER];
/// A prediction filter, Q12, the coefficient of the newest sample first; behind its order it is 0.
pub type Filter = [i16; ORDER];

/// Reads the frequencies of a frame.
pub fn read(range: &mut RangeDecoder, book: &Codebook) -> Result<Frequencies, Damage> {
    let mut frequencies = [0; ORDER];
    for stage in book.stages {
        let entry = range.symbol(stage.cdf)?;
        let vector = &stage.vectors[entry * book.order..][..book.order];
        frequencies.iter_mut().zip(vector).for_each(|(sum, step)| *sum += i32::from(*step));
    }
    spread(&mut frequencies[..book.order], book.distances);
    Ok(frequencies)
}

/// Moves frequencies apart that are too near to each other or to an end: the nearest first, both by the same.
fn spread(frequencies: &mut [i32], distances: &[i32]) {
    let last = frequencies.len();
    let gap = |f: &[i32], i: usize| {
        let below = if i == 0 { 0 } else { f[i - 1] };
        let above = if i == last { HALF_RATE } else { f[i] };
        above - below - distances[i]
    };
    for _ in 0..20 {
        // The first of the smallest.
        let Some(worst) = (0..=last).min_by_key(|i| gap(frequencies, *i)) else { return };
        let distance = distances[worst];
        if gap(frequencies, worst) >= 0 {
            return;
        }
        if worst == 0 {
            frequencies[0] = distance;
        } else if worst == last {
            frequencies[last - 1] = HALF_RATE - distance;
        } else {
            let lowest = distances[..worst].iter().sum::<i32>() + (distance >> 1);
            let highest = HALF_RATE - distances[worst + 1..].iter().sum::<i32>() - (distance - (distance >> 1));
            let sum = frequencies[worst - 1] + frequencies[worst];
            let centre = ((sum >> 1) + (sum & 1)).clamp(lowest, highest);
            frequencies[worst - 1] = centre - (distance >> 1);
            frequencies[worst] = frequencies[worst - 1] + distance;
        }
    }
    // They push each other to and fro: put them in order, then keep the distances upwards and downwards.
    frequencies.sort_unstable();
    let mut floor = 0;
    for (frequency, distance) in frequencies.iter_mut().zip(distances) {
        *frequency = (*frequency).max(floor + distance);
        floor = *frequency;
    }
    let mut ceiling = HALF_RATE;
    for (frequency, distance) in frequencies.iter_mut().zip(&distances[1..]).rev() {
        *frequency = (*frequency).min(ceiling - distance);
        ceiling = *frequency;
    }
}

/// `quarters` of the way from the frequencies of one frame to those of the next.
pub fn between(from: &Frequencies, to: &Frequencies, quarters: i32) -> Frequencies {
    std::array::from_fn(|i| from[i] + ((quarters * (to[i] - from[i])) >> 2))
}

/// The prediction filter with these frequencies.
pub fn filter(frequencies: &Frequencies, order: usize) -> Filter {
    let mut cosines = [0; ORDER];
    for (cosine, frequency) in cosines.iter_mut().zip(&frequencies[..order]) {
        // 128 steps to half the rate, straight lines between them.
        let (step, part) = ((frequency >> 8).clamp(0, 127) as usize, frequency & 255);
        let (here, next) = (i32::from(COSINE[step]), i32::from(COSINE[step + 1]));
        *cosine = (here << 8) + (next - here) * part;
    }
    let half = order / 2;
    let (even, odd) = (polynomial(&cosines, half), polynomial(&cosines[1..], half));
    let mut wide = [0; ORDER];
    for i in 0..half {
        let (p, q) = (even[i + 1].wrapping_add(even[i]), odd[i + 1].wrapping_sub(odd[i]));
        wide[i] = -round_shift(p.wrapping_add(q), 9);
        wide[order - 1 - i] = round_shift(q.wrapping_sub(p), 9);
    }
    let mut filter = fit(&mut wide[..order]);
    for i in 0..20 {
        if is_stable(&filter[..order]) {
            return filter;
        }
        narrow(&mut filter[..order], 65_536 - (10 + i) * i);
    }
    [0; ORDER]
}

/// The product of `1 - 2 cos(w) z + z^2` over every second cosine, Q20; the upper half mirrors the lower.
fn polynomial(cosines: &[i32], half: usize) -> [i32; ORDER / 2 + 1] {
    let times = |a: i32, b: i32| {
        let product = i64::from(a) * i64::from(b);
        (((product >> 19) + 1) >> 1) as i32
    };
    let mut out = [0; ORDER / 2 + 1];
    out[0] = 1 << 20;
    out[1] = -cosines[0];
    for k in 1..half {
        let cosine = cosines[2 * k];
        out[k + 1] = (out[k - 1] << 1).wrapping_sub(times(cosine, out[k]));
        for n in (2..=k).rev() {
            out[n] = out[n].wrapping_add(out[n - 2]).wrapping_sub(times(cosine, out[n - 1]));
        }
        out[1] = out[1].wrapping_sub(cosine);
    }
    out
}

/// Makes coefficients fit 16 bits, by pulling the poles inwards.
fn fit(wide: &mut [i32]) -> Filter {
    for _ in 0..10 {
        let mut largest = (0, 0);
        for (i, coefficient) in wide.iter().enumerate() {
            // The first of the largest.
            largest =
                if coefficient.saturating_abs() > largest.0 { (coefficient.saturating_abs(), i) } else { largest };
        }
        let (size, at) = (largest.0.min(98_369), largest.1 as i32);
        if size <= i32::from(i16::MAX) {
            break;
        }
        let chirp = 65_470 - ((65_470 >> 2) * (size - i32::from(i16::MAX))) / ((size * (at + 1)) >> 2);
        let mut power = chirp;
        for coefficient in wide.iter_mut() {
            *coefficient = mul_q16(*coefficient, power);
            power = mul_q16(chirp, power);
        }
    }
    let mut filter = [0; ORDER];
    filter.iter_mut().zip(wide).for_each(|(narrow, wide)| *narrow = super::fixed::sample(*wide));
    filter
}

/// Pulls the poles of a filter inwards: coefficient `n` is multiplied by the `n`th power of `chirp`, Q16.
pub fn narrow(filter: &mut [i16], chirp: i32) {
    let rounded = |a: i32, b: i32| round_shift(a.wrapping_mul(b), 16);
    let mut power = chirp;
    for coefficient in filter {
        *coefficient = rounded(power, i32::from(*coefficient)) as i16;
        power += rounded(power, chirp - 65_536);
    }
}

/// Whether a filter dies away: all its reflection coefficients, found from the last down, are below one.
fn is_stable(filter: &[i16]) -> bool {
    /// 0.99975 in Q16.
    const LIMIT: u32 = 65_520;
    let mut a = [0; ORDER];
    a.iter_mut().zip(filter).for_each(|(wide, narrow)| *wide = i32::from(*narrow) << 4);
    for k in (1..filter.len()).rev() {
        if a[k].unsigned_abs() > LIMIT {
            return false;
        }
        let reflection = -(a[k] << 15);
        let rest = (i32::MAX >> 1) - mul_q32(reflection, reflection);
        let gain = inverse(rest, 46);
        let room = gain.leading_zeros().clamp(1, 16) - 1;
        let gain = gain << room;
        let before = a;
        for n in 0..k {
            let moved = before[n].wrapping_sub(mul_q32(before[k - 1 - n], reflection) << 1);
            a[n] = mul_q32(moved, gain) << (16 - room);
        }
    }
    a[0].unsigned_abs() <= LIMIT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::{nlsf_narrow, nlsf_wide};

    #[test]
    fn frequencies_are_spread_whatever_they_were() {
        let mut seed = 1;
        for book in [&nlsf_narrow::VOICED, &nlsf_wide::UNVOICED] {
            for _ in 0..2000 {
                let mut frequencies = [0; ORDER];
                for frequency in &mut frequencies[..book.order] {
                    seed = super::super::fixed::next_random(seed);
                    *frequency = seed >> 15;
                }
                let before = frequencies;
                let inside = &mut frequencies[..book.order];
                spread(inside, book.distances);
                let bounds: Vec<i32> = [&[0][..], &*inside, &[HALF_RATE]].concat();
                let kept = bounds.windows(2).zip(book.distances).all(|(pair, least)| pair[1] - pair[0] >= *least);
                assert!(kept, "{before:?} became {inside:?}");
                let made = filter(&frequencies, book.order);
                assert!(is_stable(&made[..book.order]), "{frequencies:?} make {made:?}");
            }
        }
    }
}
