//! The range decoder: a packet as one long number, from which symbols are taken by their probabilities.

use super::Damage;

/// What a packet must not be longer than, in bytes.
pub const LONGEST_PACKET: usize = 1024;
/// Bytes that are looked at before the first symbol.
const AHEAD: usize = 4;

/// Takes symbols from a packet.
pub struct RangeDecoder<'a> {
    packet: &'a [u8],
    /// How many bytes went behind the first four.
    shifted: usize,
    /// Where the packet's number stands within the range.
    base: u32,
    /// Below 65,536, never 0.
    range: u32,
}

impl<'a> RangeDecoder<'a> {
    /// At the beginning of a packet.
    pub fn new(packet: &'a [u8]) -> Result<RangeDecoder<'a>, Damage> {
        if packet.len() > LONGEST_PACKET {
            return Err(Damage::TooLong);
        }
        let mut decoder = RangeDecoder { packet, shifted: 0, base: 0, range: 0xffff };
        decoder.base = (0..AHEAD).fold(0, |base, at| base << 8 | decoder.byte(at));
        Ok(decoder)
    }

    /// The next symbol of those whose cumulative probabilities these are.
    pub fn symbol(&mut self, cdf: &[u16]) -> Result<usize, Damage> {
        let end = cdf.partition_point(|bound| self.range * u32::from(*bound) <= self.base);
        // 0 begins every table, so something is below; above the last there is no symbol.
        let (Some(symbol), Some(above)) = (end.checked_sub(1), cdf.get(end)) else {
            return Err(Damage::NoSymbol);
        };
        let below = u32::from(cdf[symbol]);
        self.base -= self.range * below;
        let wide = self.range * (u32::from(*above) - below);
        let spent = (wide.leading_zeros() / 8).min(2);
        self.range = wide >> (16 - 8 * spent);
        if (spent > 0 && self.base >> (32 - 8 * spent) != 0) || self.range == 0 {
            return Err(Damage::NoSymbol);
        }
        for _ in 0..spent {
            self.base = self.base << 8 | self.byte(AHEAD + self.shifted);
            self.shifted += 1;
        }
        Ok(symbol)
    }

    /// One of two: whether it is the second, whose probability begins at `bound`.
    pub fn second(&mut self, bound: u16) -> Result<bool, Damage> {
        Ok(self.symbol(&[0, bound, u16::MAX])? == 1)
    }

    /// How many bytes are left behind what was taken. Where none is, the last bits must be ones.
    pub fn left(&self) -> Result<usize, Damage> {
        // As many bits as tell the range from its neighbours.
        let bits = 8 * self.shifted + ((self.range - 1).leading_zeros() as usize) - 14;
        let left = self.packet.len().checked_sub(bits.div_ceil(8)).ok_or(Damage::TooShort)?;
        let padding = (1 << (bits.wrapping_neg() % 8)) - 1;
        match self.packet.last() {
            Some(last) if left == 0 && last & padding != padding => Err(Damage::Padding),
            _ => Ok(left),
        }
    }

    /// A byte of the packet; behind its end there are zeros.
    fn byte(&self, at: usize) -> u32 {
        self.packet.get(at).copied().unwrap_or(0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_taken_by_their_probabilities() {
        // A fair coin spends a bit a symbol: the packet's bits, from the highest.
        let mut decoder = RangeDecoder::new(&[0b1010_0110, 0xf0, 0xff]).unwrap();
        let tosses: Vec<bool> = (0..12).map(|_| decoder.second(32_768).unwrap()).collect();
        assert_eq!(tosses.iter().map(|b| u8::from(*b)).collect::<Vec<_>>(), [1, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1, 1]);
        assert_eq!(decoder.left(), Ok(1));
    }

    #[test]
    fn a_packet_that_ends_early_or_is_too_long_is_refused() {
        let mut decoder = RangeDecoder::new(&[0x12]).unwrap();
        (0..64).for_each(|_| {
            decoder.second(32_768).unwrap();
        });
        assert_eq!(decoder.left(), Err(Damage::TooShort));
        assert!(RangeDecoder::new(&[0; LONGEST_PACKET]).is_ok());
        assert!(matches!(RangeDecoder::new(&[0; LONGEST_PACKET + 1]), Err(Damage::TooLong)));
        // All ones lie above the last bound of a table.
        assert_eq!(RangeDecoder::new(&[0xff; 8]).unwrap().second(32_768), Err(Damage::NoSymbol));
    }
}
