//! Random choices that can be played again: a failure prints its seed, `WEIXIN_TEST_SEED=<seed>` repeats it.

/// SplitMix64.
pub struct Random(u64);

impl Random {
    /// With the seed of the environment, else with a new one; prints it.
    pub fn seeded() -> Random {
        let seed = std::env::var("WEIXIN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(rand::random);
        println!("WEIXIN_TEST_SEED={seed}");
        Random(seed)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}
