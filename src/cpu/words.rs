//! What each instruction set does in its own way: random words in bulk; decisions, products, sums and conversions of 32 elements; fetching
//! ahead.

use half::{bf16, f16};

use super::scale::Scale;
use crate::Dropout;
use crate::philox::{ROUNDS, WEYL, block};

/// Words of a piece, drawn at a time along the stream: few, so that AVX-512 has three pieces on their way in registers, and so that
/// the processor fetches the next elements while it still computes.
pub(super) const WORDS: usize = 64;

/// Words, aligned to a cache line: a wide load or store across two of them costs twice.
#[repr(align(64))]
pub(super) struct Words<const N: usize>(pub(super) [u32; N]);

/// Blocks drawn at a time that may lie anywhere.
pub(super) const BATCH: usize = 32;

/// Their words.
pub(super) const BATCH_WORDS: usize = 4 * BATCH;

/// Words before those drawn that are kept, to move some on: as many as a register of AVX-512 has.
pub(super) const BEFORE: usize = 16;

/// Word w of block k is `[w][k]`: what decides neighbours of different blocks lies side by side; aligned to a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub struct Blocks(pub(super) [[u32; BATCH]; 4]);

/// What words are drawn from.
#[expect(
    missing_debug_implementations,
    reason = "public for the sake of a trait: nobody can name it"
)]
pub struct Sequence {
    pub(super) seed: u64,
    pub(super) subsequence: u64,
    /// The keys of the rounds, worked out once for all that is drawn; as wide as the lanes that words are computed in.
    pub(super) keys: [[u64; 2]; ROUNDS],
}

impl Sequence {
    #[inline(always)]
    pub(super) fn of(dropout: &Dropout) -> Self {
        Self::new(dropout.seed, dropout.subsequence)
    }

    #[inline(always)]
    pub(super) fn new(seed: u64, subsequence: u64) -> Self {
        let key = [seed as u32, (seed >> 32) as u32];
        let keys = core::array::from_fn(|round| {
            core::array::from_fn(|i| key[i].wrapping_add(WEYL[i].wrapping_mul(round as u32)).into())
        });
        Self {
            seed,
            subsequence,
            keys,
        }
    }
}

/// For [`Instructions::fetch`].
pub(super) const READ: bool = false;
/// For [`Instructions::fetch`].
pub(super) const WRITE: bool = true;

/// What one thread does, compiled for each instruction set.
pub trait Compute: Sized {
    /// Inlined into each version of the caller, so that its loops are vectorised for the instructions that the caller may
    /// use.
    fn compute(self, instructions: impl Instructions);
}

/// What words are drawn for.
pub trait TakeWords {
    /// The next piece.
    fn take(&mut self, words: &[u32; WORDS]);
}

/// An instruction set that the processor has.
pub trait Instructions: Copy {
    /// A function of its own, compiled for these instructions: what several call, or what would make a caller so long that
    /// compilers take minutes over it.
    fn apart(self, this: impl Compute);

    /// Draws the words of blocks `first`, `first + 1`, ..., so many at a time so often, in one loop with what is done with them,
    /// so that they need not go through memory. Returns how often: less where the lower words of block numbers overflow, and
    /// not once where they do within the first piece.
    fn words(self, sequence: &Sequence, first: u64, pieces: usize, take: &mut impl TakeWords) -> usize;

    /// So many bytes of the words before, less than a block, and then these words as far as there is place; what was moved out
    /// is the end of the words before from then on. As if each word lay in memory little-endian.
    #[inline(always)]
    fn moved(self, before: &mut [u32; BEFORE], these: &[u32; WORDS], from_before: usize) -> [u32; WORDS] {
        let mut all = [0; BEFORE + WORDS];
        all[..BEFORE].copy_from_slice(before);
        all[BEFORE..].copy_from_slice(these);
        before.copy_from_slice(&all[WORDS..]);
        let (at, bits) = (BEFORE - from_before / 4, from_before as u32 % 4 * 8);
        let mut moved = [0; WORDS];
        if bits == 0 {
            moved.copy_from_slice(&all[at..at + WORDS]);
        } else {
            let (below, above) = (&all[at - 1..][..WORDS], &all[at..][..WORDS]);
            for i in 0..WORDS {
                moved[i] = below[i] >> (32 - bits) | above[i] << bits;
            }
        }
        moved
    }

    /// The words of blocks anywhere, block by block.
    fn words_of(self, sequence: &Sequence, numbers: &[u64; BATCH], out: &mut [u32; BATCH_WORDS]);

    /// Blocks that are drawn one after the other, each from a number of its own on.
    type Walk: Default;

    /// From these numbers on, no more than so many of each.
    fn walk(self, sequence: &Sequence, numbers: &[u64; BATCH], blocks: usize, walk: &mut Self::Walk);

    /// The next of each, word by word.
    fn step(self, sequence: &Sequence, walk: &mut Self::Walk, out: &mut Blocks);

    /// Which of 32 elements are kept.
    type Kept: Copy;

    /// Those whose random bits are at most the limit.
    fn at_most_u32(self, these: &[u32; 32], limit: u32) -> Self::Kept;

    /// Those whose random bits, little-endian, are at most the limit.
    fn at_most_u16(self, these: &[u16; 32], limit: u16) -> Self::Kept;

    /// Those whose random bits are at most the limit.
    fn at_most_u8(self, these: &[u8; 32], limit: u8) -> Self::Kept;

    /// Those whose byte is not 0.
    fn not_0(self, these: &[u8; 32]) -> Self::Kept;

    /// Those whose bit is set.
    fn of_bits(self, bits: u32) -> Self::Kept;

    /// A bit for each, 1 = kept.
    fn bits(self, kept: Self::Kept) -> u32;

    /// A byte for each, 1 = kept.
    fn bytes(self, kept: Self::Kept) -> [u8; 32];

    /// K(x) where kept, else +0, for a scale other than 0.
    fn dropped_f32(self, x: [f32; 32], kept: Self::Kept, scale: f32) -> [f32; 32];

    /// K(x) where kept, else +0, for a scale other than 0.
    fn dropped_f16(self, x: [f16; 32], kept: Self::Kept, scale: f32) -> [f16; 32];

    /// K(x) where kept, else +0, for a scale other than 0.
    fn dropped_bf16(self, x: [bf16; 32], kept: Self::Kept, scale: f32) -> [bf16; 32];

    /// Each with its like; which NaN a sum becomes is open.
    fn sums(self, these: [f32; 32], those: [f32; 32]) -> [f32; 32];

    /// As f32, without loss; which NaN a NaN becomes is open.
    fn widened_f16(self, x: [f16; 32]) -> [f32; 32];

    /// As f32, without loss; which NaN a NaN becomes is open.
    fn widened_bf16(self, x: [bf16; 32]) -> [f32; 32];

    /// Any NaN becomes the canonical one.
    fn narrowed_f32(self, wide: [f32; 32]) -> [f32; 32];

    /// Rounded to nearest even; any NaN becomes the canonical one.
    fn narrowed_f16(self, wide: [f32; 32]) -> [f16; 32];

    /// Rounded to nearest even; any NaN becomes the canonical one.
    fn narrowed_bf16(self, wide: [f32; 32]) -> [bf16; 32];

    /// Starts to fetch `len` elements from `at` on, as far as they exist, to read or to write them.
    fn fetch<const WRITE: bool, T>(self, elements: &[T], at: usize, len: usize);

    /// The same of 32 elements, of which some or all may not exist.
    fn fetch_32<T>(self, elements: &[T], at: usize);

    /// So many bytes ahead of what is made of it a long input is to be fetched meanwhile; 0: not at all.
    fn bytes_ahead(self) -> usize;

    /// Whether results can be stored past the caches; for an instruction set that has no such stores, what would is not even
    /// compiled.
    const STREAMS: bool;

    /// Copies whole cache lines to memory past the caches, where it can; both are equally long. What doesn't begin at a line may
    /// be copied as ever. Others see it after [`streamed`](Self::streamed).
    fn stream_lines(self, from: &[u8], to: &mut [u8]);

    /// After the last [`stream_lines`](Self::stream_lines) of a run.
    fn streamed(self);
}

/// Plain Rust, for every processor.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Instructions for Portable {
    #[inline(never)]
    fn apart(self, this: impl Compute) {
        this.compute(self);
    }

    #[inline(always)]
    fn words(self, sequence: &Sequence, mut first: u64, pieces: usize, take: &mut impl TakeWords) -> usize {
        for _ in 0..pieces {
            // Written out: from a function that is given the numbers it took a tenth longer.
            let mut blocks = [[0; WORDS / 4]; 4];
            for i in 0..WORDS / 4 {
                let words = block(sequence.seed, sequence.subsequence, first.wrapping_add(i as u64));
                for (blocks, word) in blocks.iter_mut().zip(words) {
                    blocks[i] = word;
                }
            }
            let mut words = Words([0; WORDS]);
            put_in_order(&blocks, &mut words.0);
            take.take(&words.0);
            first = first.wrapping_add(WORDS as u64 / 4);
        }
        pieces
    }

    #[inline(always)]
    fn words_of(self, sequence: &Sequence, numbers: &[u64; BATCH], out: &mut [u32; BATCH_WORDS]) {
        put_in_order(&word_by_word(sequence, numbers), out);
    }

    type Walk = [u64; BATCH];

    #[inline(always)]
    fn walk(self, _sequence: &Sequence, numbers: &[u64; BATCH], _blocks: usize, walk: &mut [u64; BATCH]) {
        *walk = *numbers;
    }

    // By itself, where compilers know that what is stored is none of what is read.
    #[inline(never)]
    fn step(self, sequence: &Sequence, numbers: &mut [u64; BATCH], out: &mut Blocks) {
        out.0 = word_by_word(sequence, numbers);
        for number in numbers {
            *number = number.wrapping_add(1);
        }
    }

    type Kept = [bool; 32];

    #[inline(always)]
    fn at_most_u32(self, these: &[u32; 32], limit: u32) -> [bool; 32] {
        each(these, |it| it <= limit)
    }

    #[inline(always)]
    fn at_most_u16(self, these: &[u16; 32], limit: u16) -> [bool; 32] {
        each(these, |it| u16::from_le(it) <= limit)
    }

    #[inline(always)]
    fn at_most_u8(self, these: &[u8; 32], limit: u8) -> [bool; 32] {
        each(these, |it| it <= limit)
    }

    #[inline(always)]
    fn not_0(self, these: &[u8; 32]) -> [bool; 32] {
        each(these, |it| it != 0)
    }

    #[inline(always)]
    fn of_bits(self, bits: u32) -> [bool; 32] {
        core::array::from_fn(|i| bits >> i & 1 == 1)
    }

    #[inline(always)]
    fn bits(self, kept: [bool; 32]) -> u32 {
        let kept = kept.into_iter().enumerate();
        kept.fold(0, |bits, (i, kept)| bits | u32::from(kept) << i)
    }

    #[inline(always)]
    fn bytes(self, kept: [bool; 32]) -> [u8; 32] {
        each(&kept, u8::from)
    }

    #[inline(always)]
    fn dropped_f32(self, x: [f32; 32], kept: [bool; 32], scale: f32) -> [f32; 32] {
        dropped(x, kept, scale)
    }

    #[inline(always)]
    fn dropped_f16(self, x: [f16; 32], kept: [bool; 32], scale: f32) -> [f16; 32] {
        dropped(x, kept, scale)
    }

    #[inline(always)]
    fn dropped_bf16(self, x: [bf16; 32], kept: [bool; 32], scale: f32) -> [bf16; 32] {
        dropped(x, kept, scale)
    }

    #[inline(always)]
    fn sums(self, mut these: [f32; 32], those: [f32; 32]) -> [f32; 32] {
        for i in 0..32 {
            these[i] += those[i];
        }
        these
    }

    #[inline(always)]
    fn widened_f16(self, x: [f16; 32]) -> [f32; 32] {
        each(&x, Scale::widened)
    }

    #[inline(always)]
    fn widened_bf16(self, x: [bf16; 32]) -> [f32; 32] {
        each(&x, Scale::widened)
    }

    #[inline(always)]
    fn narrowed_f32(self, wide: [f32; 32]) -> [f32; 32] {
        each(&wide, Scale::narrowed)
    }

    #[inline(always)]
    fn narrowed_f16(self, wide: [f32; 32]) -> [f16; 32] {
        each(&wide, Scale::narrowed)
    }

    #[inline(always)]
    fn narrowed_bf16(self, wide: [f32; 32]) -> [bf16; 32] {
        each(&wide, Scale::narrowed)
    }

    #[inline(always)]
    fn fetch<const WRITE: bool, T>(self, _elements: &[T], _at: usize, _len: usize) {}

    #[inline(always)]
    fn fetch_32<T>(self, _elements: &[T], _at: usize) {}

    #[inline(always)]
    fn bytes_ahead(self) -> usize {
        0
    }

    const STREAMS: bool = false;

    #[inline(always)]
    fn stream_lines(self, from: &[u8], to: &mut [u8]) {
        to.copy_from_slice(from);
    }

    #[inline(always)]
    fn streamed(self) {}
}

/// A loop over blocks that compilers vectorise.
#[inline(always)]
fn word_by_word(sequence: &Sequence, numbers: &[u64; BATCH]) -> [[u32; BATCH]; 4] {
    let mut words = [[0; BATCH]; 4];
    for (i, &number) in numbers.iter().enumerate() {
        let block = block(sequence.seed, sequence.subsequence, number);
        for (words, word) in words.iter_mut().zip(block) {
            words[i] = word;
        }
    }
    words
}

/// What lies word by word block by block.
#[inline(always)]
fn put_in_order<const N: usize>([a, b, c, d]: &[[u32; N]; 4], out: &mut [u32]) {
    for (i, out) in out.chunks_exact_mut(4).enumerate() {
        out.copy_from_slice(&[a[i], b[i], c[i], d[i]]);
    }
}

#[inline(always)]
fn dropped<T: Scale + bytemuck::Zeroable>(x: [T; 32], kept: [bool; 32], scale: f32) -> [T; 32] {
    let mut y = [T::zeroed(); 32];
    for i in 0..32 {
        y[i] = if kept[i] { x[i].scaled(scale) } else { T::zeroed() };
    }
    y
}

/// As a loop, which compilers vectorise; a map of so many elements they do not.
#[inline(always)]
fn each<T: Copy, U: Copy + Default>(these: &[T; 32], of: impl Fn(T) -> U) -> [U; 32] {
    let mut all = [U::default(); 32];
    for i in 0..32 {
        all[i] = of(these[i]);
    }
    all
}
