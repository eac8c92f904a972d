//! Chance, decided by the seed.

/// A generator of choices: SplitMix64, whose whole state is one number, so that neighbouring seeds have nothing in common.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `sides`; 0 when there are none.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % sides.max(1)
    }

    /// From `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + (self.next() >> 33) % (most - least + 1)
    }

    pub(crate) fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }

    /// Those of the items that one in so many throws leaves out.
    pub(crate) fn without_one_in<T: Clone>(&mut self, sides: usize, items: &[T]) -> Vec<T> {
        items.iter().filter(|_| !self.one_in(sides)).cloned().collect()
    }

    /// Some of the items, at least one if there is one, in their order.
    pub(crate) fn some<T: Clone>(&mut self, items: &[T]) -> Vec<T> {
        let some = self.without_one_in(2, items);
        if some.is_empty() { items.get(self.roll(items.len())).cloned().into_iter().collect() } else { some }
    }
}
