//! Chance that can be repeated.

use std::time::SystemTime;

/// Small, and the same for the same seed (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From the seed in `STAMPMILL_SEED`, else from the time; the seed is said, so that a failure can be repeated.
    #[must_use]
    pub fn seeded() -> Self {
        let given = std::env::var("STAMPMILL_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seed = given.unwrap_or(u64::from(now.subsec_nanos()));
        println!("STAMPMILL_SEED={seed}");
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `most`; 0 when that is 0.
    pub fn below(&mut self, most: u64) -> u64 {
        self.draw().checked_rem(most).unwrap_or(0)
    }

    /// Whether something happens that does so in this many of a hundred cases.
    pub fn percent(&mut self, cases: u64) -> bool {
        self.below(100) < cases
    }

    /// Another source of numbers, which goes on by itself.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.draw())
    }
}
