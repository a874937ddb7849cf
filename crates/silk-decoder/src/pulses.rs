//! The excitation of a frame: pulses, told block by block. First how many a block has, then how they are split between its
//! halves, quarters and so on, then their lower bits, then their signs.

use super::Damage;
use super::range::RangeDecoder;
use super::tables::pulses::{LOW_BIT, PULSES, RATE_LEVEL, SHELL_0, SHELL_1, SHELL_2, SHELL_3, SIGN};

/// Samples in a block.
const BLOCK: usize = 16;
/// The symbol that says: one more bit to every pulse, and count again.
const SHIFT: usize = 19;
/// Rate levels that a frame can have.
const LEVELS: usize = 9;
/// How the splits of two, four, eight and sixteen samples are told.
const SPLITS: [&[u16]; 4] = [&SHELL_0, &SHELL_1, &SHELL_2, &SHELL_3];

/// Reads the pulses of a frame. `kind` is twice whether it is unvoiced, and one more where its offset is high.
pub fn read(range: &mut RangeDecoder, kind: usize, pulses: &mut [i32]) -> Result<(), Damage> {
    let level = range.symbol(&RATE_LEVEL[kind / 2])?;
    let blocks = pulses.len() / BLOCK;
    let mut counts = [(0, 0); super::FRAME_MAX / BLOCK];
    for (count, shifts) in &mut counts[..blocks] {
        *count = range.symbol(&PULSES[level])?;
        // Each of these takes some bits of the packet, which is short.
        while *count == SHIFT {
            *shifts += 1;
            *count = range.symbol(&PULSES[LEVELS])?;
        }
    }
    for (block, (count, _)) in pulses.chunks_exact_mut(BLOCK).zip(counts) {
        split(range, count, block)?;
    }
    for (block, (_, shifts)) in pulses.chunks_exact_mut(BLOCK).zip(counts) {
        for pulse in block {
            for _ in 0..shifts {
                // Bits above the 32nd fall away.
                *pulse = *pulse << 1 | i32::from(range.second(LOW_BIT[1])?);
            }
        }
    }
    let minus = SIGN[kind * LEVELS + level];
    for pulse in pulses {
        if *pulse > 0 && !range.second(minus)? {
            *pulse = -*pulse;
        }
    }
    Ok(())
}

/// Distributes the pulses of a block.
fn split(range: &mut RangeDecoder, count: usize, block: &mut [i32]) -> Result<(), Damage> {
    if block.len() == 1 {
        block[0] = count as i32;
        return Ok(());
    }
    let (first, second) = block.split_at_mut(block.len() / 2);
    let left = match count {
        0 => 0,
        _ => range.symbol(shares(first.len(), count))?,
    };
    split(range, left, first)?;
    split(range, count - left, second)
}

/// The probabilities of how many of `count` pulses are in the first half, whose length is `half`. The tables of all counts
/// stand one behind the other, each an entry longer than the one before.
fn shares(half: usize, count: usize) -> &'static [u16] {
    let start = (count - 1) * (count + 4) / 2;
    &SPLITS[half.ilog2() as usize][start..start + count + 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_that_can_come_up_has_its_table() {
        let mut most = SHIFT - 1;
        for half in [8, 4, 2, 1] {
            let mut next = 0;
            for count in 1..=most {
                let table = shares(half, count);
                assert_eq!((table[0], table[count + 1]), (0, 65_535), "{count} pulses in {}", 2 * half);
                for left in (0..=count).filter(|left| table[*left] < table[left + 1]) {
                    next = next.max(left).max(count - left);
                }
            }
            assert_eq!(SPLITS[half.ilog2() as usize].len(), (most * (most + 5)) / 2, "nothing is left over");
            most = next;
        }
    }
}
