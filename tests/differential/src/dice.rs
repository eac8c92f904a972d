//! Chance, decided by the seed.

/// A generator of choices: SplitMix64, whose whole state is one number.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `least` to `most`, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + (self.next() >> 33) % (most - least + 1)
    }

    /// True once in so many throws.
    pub fn one_in(&mut self, sides: u64) -> bool {
        self.between(1, sides) == 1
    }

    /// One of the items, of which there must be some.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let last = u64::try_from(from.len().saturating_sub(1)).unwrap_or(0);
        from[usize::try_from(self.between(0, last)).unwrap_or(0)].clone()
    }

    /// Each item with an even chance.
    pub fn some<T: Clone>(&mut self, from: &[T]) -> Vec<T> {
        from.iter().filter(|_| self.one_in(2)).cloned().collect()
    }
}
