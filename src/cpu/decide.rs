//! Keep decisions, and what takes them.

use core::ops::Range;

use super::job::TILE;
use super::words::{BATCH_WORDS, Instructions};

/// As many decisions as the words of a batch are at most.
pub(super) const KEEP: usize = BATCH_WORDS * 4;

/// Bits of a mask from the one of element `at` on as its bytes.
#[inline(always)]
pub(super) fn unpack_bits(instructions: impl Instructions, bits: &[u32], at: usize, keep: &mut [u8]) {
    let (bits, shift) = (&bits[at / 32..], at % 32);
    // Words of which the last may have no next.
    let whole = bits.len() - 1;
    let (chunks, rest) = keep.as_chunks_mut();
    let these = |i: usize| {
        let next = if i < whole { bits[i + 1] } else { 0 };
        instructions.bytes(instructions.of_bits(((u64::from(next) << 32 | u64::from(bits[i])) >> shift) as u32))
    };
    for (i, keep) in chunks.iter_mut().enumerate() {
        *keep = these(i);
    }
    if !rest.is_empty() {
        rest.copy_from_slice(&these(chunks.len())[..rest.len()]);
    }
}

/// Bytes of a mask as its bits; bits of the last word that belong to no element are 0.
#[inline(always)]
pub(super) fn pack_bits(instructions: impl Instructions, keep: &[u8], bits: &mut [u32]) {
    let (chunks, rest) = keep.as_chunks();
    for (bits, keep) in bits.iter_mut().zip(chunks) {
        *bits = instructions.bits(instructions.not_0(keep));
    }
    if !rest.is_empty() {
        let mut keep = [0; 32];
        keep[..rest.len()].copy_from_slice(rest);
        bits[chunks.len()] = instructions.bits(instructions.not_0(&keep));
    }
}

/// What decides about an element: its random bits as they lie in the words of the stream, little-endian, which
/// keep it where the integer is at most the limit; or a byte of a mask.
pub(super) trait Decision: bytemuck::Pod {
    /// Whether what it decides may have a scale of 0: no probability that anything is drawn for has.
    const SCALED_BY_0: bool = false;

    fn is_kept(self, limit: u32) -> bool;

    /// Thirty-two at once.
    fn kept_32<I: Instructions>(these: &[Self; 32], limit: u32, instructions: I) -> I::Kept;
}

impl Decision for u32 {
    #[inline(always)]
    fn is_kept(self, limit: u32) -> bool {
        self <= limit
    }

    #[inline(always)]
    fn kept_32<I: Instructions>(these: &[Self; 32], limit: u32, instructions: I) -> I::Kept {
        instructions.at_most_u32(these, limit)
    }
}

impl Decision for u16 {
    #[inline(always)]
    fn is_kept(self, limit: u32) -> bool {
        Self::from_le(self) <= limit as Self
    }

    #[inline(always)]
    fn kept_32<I: Instructions>(these: &[Self; 32], limit: u32, instructions: I) -> I::Kept {
        instructions.at_most_u16(these, limit as Self)
    }
}

impl Decision for u8 {
    #[inline(always)]
    fn is_kept(self, limit: u32) -> bool {
        self <= limit as Self
    }

    #[inline(always)]
    fn kept_32<I: Instructions>(these: &[Self; 32], limit: u32, instructions: I) -> I::Kept {
        instructions.at_most_u8(these, limit as Self)
    }
}

/// A byte of a mask: kept where it is not 0.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub(super) struct KeepByte(u8);

impl KeepByte {
    /// As many as a tile has.
    pub(super) const fn alike(keep: bool) -> &'static [Self; TILE] {
        if keep { &[Self(1); TILE] } else { &[Self(0); TILE] }
    }
}

impl Decision for KeepByte {
    const SCALED_BY_0: bool = true;

    #[inline(always)]
    fn is_kept(self, _limit: u32) -> bool {
        self.0 != 0
    }

    #[inline(always)]
    fn kept_32<I: Instructions>(these: &[Self; 32], _limit: u32, instructions: I) -> I::Kept {
        instructions.not_0(bytemuck::cast_ref(these))
    }
}

/// What is done with decisions, piece by piece.
pub(super) trait Decide {
    /// Elements `[at, at + lanes.len())` of the run.
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32);
    /// All of a range, alike.
    fn decide_all(&mut self, instructions: impl Instructions, range: Range<usize>, keep: bool);

    /// Whether elements may be decided twice.
    const TWICE: bool = false;
    /// Starts to fetch what 32 elements from `at` on are made of and where they go, whether they exist or not.
    #[inline(always)]
    fn fetch_32(&mut self, _instructions: impl Instructions, _at: usize) {}

    /// Whether pieces have to begin at a cache line.
    const AT_LINES: bool = false;
    /// Elements from `at` on before the first cache line, where pieces have to begin at one.
    #[inline(always)]
    fn before_line(&self, _at: usize) -> usize {
        0
    }
    /// [`decide`](Self::decide) for a piece, such as the words drawn at a time decide, where pieces may begin.
    #[inline(always)]
    fn decide_piece<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        self.decide(instructions, at, lanes, limit);
    }
}
