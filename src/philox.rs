//! Philox4x32-10 (contract section 2), as a function of counter and key and as a random generator.
//!
//! Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011. Shader twin:
//! `shaders/philox.wgsl`.

use core::convert::Infallible;

use rand_core::{SeedableRng, TryRng, utils};

/// Multipliers of the round function, from the paper.
pub(crate) const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// Key increments (Weyl constants: golden ratio and sqrt(3) - 1), from the paper.
pub(crate) const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
pub(crate) const ROUNDS: usize = 10;

/// One Philox block: ten rounds over a counter of four words under a key of two.
///
/// # Examples
///
/// ```
/// // Random123's first known answer, at compile time.
/// const BLOCK: [u32; 4] = wgpu_dropout::philox4x32_10([0; 4], [0; 2]);
/// assert_eq!(BLOCK, [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
/// ```
#[inline(always)] // or loops over blocks are vectorised by chance only
#[must_use]
pub const fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let mut c = counter;
    let mut k = key;
    let mut n = 0;
    while n < ROUNDS {
        (c, k) = round(c, k);
        n += 1;
    }
    c
}

/// One round: the counter and the key that the next one has.
#[inline]
pub(crate) const fn round(c: [u32; 4], k: [u32; 2]) -> ([u32; 4], [u32; 2]) {
    let a = MULTIPLIERS[0] as u64 * c[0] as u64;
    let b = MULTIPLIERS[1] as u64 * c[2] as u64;
    (
        [
            (b >> 32) as u32 ^ c[1] ^ k[0],
            b as u32,
            (a >> 32) as u32 ^ c[3] ^ k[1],
            a as u32,
        ],
        [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])],
    )
}

/// The counter from which that many rounds under a key come to this one: a round is a bijection, since its multipliers are
/// odd.
#[cfg(feature = "gpu")]
pub(crate) fn unrounded(counter: [u32; 4], key: [u32; 2], rounds: usize) -> [u32; 4] {
    (0..rounds as u32).rev().fold(counter, |c, n| {
        let k = [0, 1].map(|word| key[word].wrapping_add(n.wrapping_mul(WEYL[word])));
        let [c0, c2] = [(0, c[3]), (1, c[1])].map(|(word, low)| low.wrapping_mul(inverse(MULTIPLIERS[word])));
        let high = |word: usize, by: u32| ((u64::from(MULTIPLIERS[word]) * u64::from(by)) >> 32) as u32;
        [c0, c[0] ^ high(1, c2) ^ k[0], c2, c[2] ^ high(0, c0) ^ k[1]]
    })
}

/// The inverse of an odd number modulo 2^32: each step of Newton's doubles the low bits that are right, 3 at first.
#[cfg(feature = "gpu")]
const fn inverse(odd: u32) -> u32 {
    let mut inverse = odd;
    let mut bits = 3;
    while bits < 32 {
        inverse = inverse.wrapping_mul(2u32.wrapping_sub(odd.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
}

/// Block `block` of a seed's subsequence: key = seed, counter = (block, subsequence), low words first.
#[inline(always)]
pub(crate) const fn block(seed: u64, subsequence: u64, block: u64) -> [u32; 4] {
    philox4x32_10(
        [
            block as u32,
            (block >> 32) as u32,
            subsequence as u32,
            (subsequence >> 32) as u32,
        ],
        [seed as u32, (seed >> 32) as u32],
    )
}

/// Philox4x32-10 as a seekable generator: the stream that the masks are drawn from, and a normal
/// generator for the `rand` crate.
///
/// Word `w` of the stream is word `w % 4` of block `w / 4`; with 32 random bits it is the integer of
/// the element with global index `w`, and cuRAND's `w`-th output after
/// `curand_init(seed, subsequence, 0)`. A subsequence has 2^66 words; past the last one the stream
/// starts over.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::Philox4x32;
/// use wgpu_dropout::rand_core::Rng;
///
/// let mut words = Philox4x32::new(42, 1);
/// words.seek_word(4);
/// assert_eq!(words.next_u32(), 0x20ff_9139);
/// assert_eq!(words.word_position(), 5);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Philox4x32 {
    seed: u64,
    subsequence: u64,
    /// The block that the next word comes from.
    block: u64,
    /// The lane of the next word in it.
    lane: u8,
    /// Words of that block; valid where `lane` is not 0.
    words: [u32; 4],
}

impl Philox4x32 {
    /// The generator at word 0 of a seed's subsequence.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::Philox4x32;
    ///
    /// let words = Philox4x32::new(42, 1);
    /// assert_eq!((words.seed(), words.subsequence(), words.word_position()), (42, 1, 0));
    /// ```
    #[must_use]
    pub const fn new(seed: u64, subsequence: u64) -> Self {
        Self {
            seed,
            subsequence,
            block: 0,
            lane: 0,
            words: [0; 4],
        }
    }

    /// The seed: Philox's key.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::Philox4x32;
    ///
    /// assert_eq!(Philox4x32::new(42, 1).seed(), 42);
    /// ```
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The subsequence: the upper half of Philox's counter.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::Philox4x32;
    ///
    /// assert_eq!(Philox4x32::new(42, 1).subsequence(), 1);
    /// ```
    #[must_use]
    pub const fn subsequence(&self) -> u64 {
        self.subsequence
    }

    /// Index of the next word, in words from the start of the subsequence.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::Philox4x32;
    /// use wgpu_dropout::rand_core::Rng as _;
    ///
    /// let mut words = Philox4x32::new(42, 1);
    /// words.next_u64();
    /// assert_eq!(words.word_position(), 2);
    /// ```
    #[must_use]
    pub const fn word_position(&self) -> u128 {
        self.block as u128 * 4 + self.lane as u128
    }

    /// Makes word `word` the next one; taken modulo the 2^66 words of a subsequence.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::Philox4x32;
    /// use wgpu_dropout::rand_core::Rng as _;
    ///
    /// let (mut from_start, mut sought) = (Philox4x32::new(42, 1), Philox4x32::new(42, 1));
    /// for _ in 0..1001 {
    ///     from_start.next_u32();
    /// }
    /// sought.seek_word(1001);
    /// assert_eq!(sought.next_u32(), from_start.next_u32());
    /// ```
    pub const fn seek_word(&mut self, word: u128) {
        self.block = (word / 4) as u64;
        self.lane = (word % 4) as u8;
        self.words = block(self.seed, self.subsequence, self.block);
    }

    fn next_word(&mut self) -> u32 {
        if self.lane == 0 {
            self.words = block(self.seed, self.subsequence, self.block);
        }
        let word = self.words[usize::from(self.lane)];
        self.lane = (self.lane + 1) % 4;
        if self.lane == 0 {
            self.block = self.block.wrapping_add(1);
        }
        word
    }
}

impl TryRng for Philox4x32 {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next_word())
    }

    /// Two words, the first one low.
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        utils::next_u64_via_u32(self)
    }

    /// Words in little-endian order; a last part of a word uses up the word.
    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        utils::fill_bytes_via_next_word(dst, || Ok(self.next_word()))
    }
}

impl SeedableRng for Philox4x32 {
    /// Seed and subsequence, each little-endian.
    type Seed = [u8; 16];

    fn from_seed(seed: [u8; 16]) -> Self {
        let [seed, subsequence] = utils::read_words(&seed);
        Self::new(seed, subsequence)
    }

    /// Subsequence 0 of the seed as it is, unmixed: the stream of a [`Dropout`](crate::Dropout) with
    /// that seed.
    fn seed_from_u64(seed: u64) -> Self {
        Self::new(seed, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng;

    #[cfg(feature = "gpu")]
    #[test]
    fn rounds_can_be_undone() {
        let mut words = Philox4x32::new(1, 2);
        for _ in 0..1000 {
            let counter: [u32; 4] = core::array::from_fn(|_| words.next_u32());
            let key: [u32; 2] = core::array::from_fn(|_| words.next_u32());
            let (mut c, mut k) = (counter, key);
            for rounds in 0..=ROUNDS {
                assert_eq!(unrounded(c, key, rounds), counter);
                (c, k) = round(c, k);
            }
            assert_eq!(unrounded(philox4x32_10(counter, key), key, ROUNDS), counter);
        }
    }

    #[test]
    fn seek_equals_draw_at_every_lane_and_across_carries() {
        for start in [0u128, 1, 2, 3, 4, 5, 7, (1 << 34) - 3, (1 << 66) - 9] {
            let mut walked = Philox4x32::new(7, u64::MAX);
            walked.seek_word(start);
            for n in 0..12u128 {
                let mut sought = Philox4x32::new(7, u64::MAX);
                sought.seek_word(start + n);
                assert_eq!(sought.word_position(), walked.word_position(), "word {start} + {n}");
                assert_eq!(sought.next_u32(), walked.next_u32(), "word {start} + {n}");
            }
        }
    }

    #[test]
    fn the_stream_wraps_after_its_last_word() {
        let mut words = Philox4x32::new(1, 2);
        words.seek_word((1 << 66) - 1);
        assert_eq!(words.word_position(), (1 << 66) - 1);
        words.next_u32();
        assert_eq!(words.word_position(), 0);
        assert_eq!(words.next_u32(), Philox4x32::new(1, 2).next_u32());
    }

    #[test]
    fn value_stability() {
        let mut rng = Philox4x32::seed_from_u64(0x1234_5678_9abc_def0);
        rng.seek_word(0xffff_ffff * 4);
        let words: Vec<u32> = (0..8).map(|_| rng.next_u32()).collect();
        assert_eq!(
            words,
            [
                0x9b6a_0c32,
                0x93de_441a,
                0x08a5_fbbe,
                0xb129_02fc,
                0xab48_06df,
                0x6e81_35ce,
                0xbbca_5391,
                0xf378_70f0
            ]
        );
    }

    #[test]
    fn u64_and_bytes_follow_the_words() {
        let seed = [3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
        let mut words = Philox4x32::from_seed(seed);
        assert_eq!((words.seed(), words.subsequence()), (3, 2));
        let (a, b, c) = (words.next_u32(), words.next_u32(), words.next_u32());
        let mut other = Philox4x32::new(3, 2);
        assert_eq!(other.next_u64(), u64::from(a) | u64::from(b) << 32);
        let mut bytes = [0; 3];
        other.fill_bytes(&mut bytes);
        assert_eq!(bytes, c.to_le_bytes()[..3]);
        assert_eq!(other.word_position(), 3);
    }

    /// Inverse of a multiplier modulo 2^32, by Newton's iteration.
    fn inverse(m: u32) -> u32 {
        (0..5).fold(m, |x, _| x.wrapping_mul(2u32.wrapping_sub(m.wrapping_mul(x))))
    }

    #[test]
    fn a_block_is_a_bijection_of_its_counter() {
        let inverses = MULTIPLIERS.map(inverse);
        assert_eq!(inverses, [0x991a_7cdb, 0x6d7c_ae67]);
        for counter in [[0; 4], [u32::MAX; 4], [1, 2, 3, 4], [0x8000_0000, 0, 0xffff, 0x1_0000]] {
            let key = [0xdead_beef, 0x0123_4567];
            let mut c = philox4x32_10(counter, key);
            for round in (0..ROUNDS as u32).rev() {
                let k = [0, 1].map(|i| key[i].wrapping_add(WEYL[i].wrapping_mul(round)));
                let x = c[3].wrapping_mul(inverses[0]);
                let z = c[1].wrapping_mul(inverses[1]);
                let high = |m: u32, v: u32| ((u64::from(m) * u64::from(v)) >> 32) as u32;
                c = [
                    x,
                    c[0] ^ k[0] ^ high(MULTIPLIERS[1], z),
                    z,
                    c[2] ^ k[1] ^ high(MULTIPLIERS[0], x),
                ];
            }
            assert_eq!(c, counter);
        }
    }
}
