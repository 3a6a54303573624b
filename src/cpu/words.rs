//! Random words in bulk, portable: the shape that every instruction set's version has.

use crate::philox::block;

/// Words drawn at a time. Few, so that the processor fetches the next elements while it still computes.
pub(super) const WORDS: usize = 128;

/// Those words, aligned to a cache line: a wide load or store across two of them costs twice.
#[repr(align(64))]
pub(super) struct Words(pub(super) [u32; WORDS]);

/// The words of blocks `first`, `first + 1`, ...; block numbers wrap at 2^64.
#[inline(always)]
pub(super) fn words(seed: u64, subsequence: u64, first: u64, out: &mut [u32; WORDS]) {
    for (out, i) in out.chunks_exact_mut(4).zip(0..) {
        out.copy_from_slice(&block(seed, subsequence, first.wrapping_add(i)));
    }
}
