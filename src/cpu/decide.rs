//! Keep decisions along the stream, and what is done with them piece by piece.

use core::marker::PhantomData;
use core::ops::Range;

use super::job::{NothingAhead, TILE};
use super::mapped::draw_mapped;
use super::words::{BATCH, BEFORE, Compute, Instructions, Sequence, TakeWords, WORDS, Words};
use crate::draw::Seeds;
use crate::{Draw, Dropout, Element, RandomBits, philox};

/// Bits of a mask from the one of element `at` on as its bytes.
#[inline(always)]
fn unpack_bits(instructions: impl Instructions, bits: &[u32], at: usize, keep: &mut [u8]) {
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
    #[inline(always)]
    fn is_kept(self, _limit: u32) -> bool {
        self.0 != 0
    }

    #[inline(always)]
    fn kept_32<I: Instructions>(these: &[Self; 32], _limit: u32, instructions: I) -> I::Kept {
        instructions.not_0(bytemuck::cast_ref(these))
    }
}

/// y = K(x) where kept, else +0; in place where there is no x. All are equally long.
#[inline(always)]
fn apply<T: Element, L: Decision, const PAST: bool>(
    instructions: impl Instructions,
    x: Option<&[T]>,
    y: &mut [T],
    decisions: &[L],
    limit: u32,
    scale: f32,
) {
    // A scale of 0 makes NaNs of infinities, which the others never do.
    if scale == 0.0 {
        return apply_each(x, y, decisions, limit, scale);
    }
    let (decisions, decisions_rest) = decisions.as_chunks();
    match x {
        Some(x) => {
            let ((x, x_rest), (y, y_rest)) = (x.as_chunks(), y.as_chunks_mut());
            for ((y, decisions), x) in y.iter_mut().zip(decisions).zip(x) {
                let kept = L::kept_32(decisions, limit, instructions);
                store::<T, PAST>(instructions, T::dropped_32(*x, kept, scale, instructions), y);
            }
            apply_each(Some(x_rest), y_rest, decisions_rest, limit, scale);
        }
        None => {
            let (y, y_rest) = y.as_chunks_mut();
            for (y, decisions) in y.iter_mut().zip(decisions) {
                *y = T::dropped_32(*y, L::kept_32(decisions, limit, instructions), scale, instructions);
            }
            apply_each(None, y_rest, decisions_rest, limit, scale);
        }
    }
}

/// With `PAST` past the caches, to where a cache line begins.
#[inline(always)]
pub(super) fn store<T: Element, const PAST: bool>(instructions: impl Instructions, from: [T; 32], to: &mut [T; 32]) {
    if PAST {
        instructions.stream_lines(bytemuck::bytes_of(&from), bytemuck::bytes_of_mut(to));
    } else {
        *to = from;
    }
}

/// [`apply`] one by one.
#[inline(always)]
fn apply_each<T: Element, L: Decision>(x: Option<&[T]>, y: &mut [T], decisions: &[L], limit: u32, scale: f32) {
    for (i, (y, decision)) in y.iter_mut().zip(decisions).enumerate() {
        let x = x.map_or(*y, |x| x[i]);
        *y = if decision.is_kept(limit) {
            x.scaled(scale)
        } else {
            T::zeroed()
        };
    }
}

/// [`apply`] where all are decided alike.
#[inline(always)]
fn apply_all<T: Element, const PAST: bool>(
    instructions: impl Instructions,
    x: Option<&[T]>,
    y: &mut [T],
    keep: bool,
    scale: f32,
) {
    if !keep {
        y.fill(T::zeroed());
        return;
    }
    let all = instructions.of_bits(u32::MAX);
    let whole = if scale == 0.0 { 0 } else { y.len() / 32 * 32 };
    let (y, y_rest) = y.split_at_mut(whole);
    let (x, x_rest) = x.map(|x| x.split_at(whole)).unzip();
    let chunks = y.as_chunks_mut().0;
    match x {
        Some(x) => {
            for (y, x) in chunks.iter_mut().zip(x.as_chunks().0) {
                store::<T, PAST>(instructions, T::dropped_32(*x, all, scale, instructions), y);
            }
        }
        None => {
            for y in chunks {
                *y = T::dropped_32(*y, all, scale, instructions);
            }
        }
    }
    for (i, y) in y_rest.iter_mut().enumerate() {
        *y = x_rest.map_or(*y, |x| x[i]).scaled(scale);
    }
}

/// What is done with decisions, piece by piece.
pub(super) trait Decide {
    /// Elements `[at, at + lanes.len())` of the run.
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32);
    /// All of a range, alike.
    fn decide_all(&mut self, instructions: impl Instructions, range: Range<usize>, keep: bool);

    /// Whether pieces have to begin at a cache line.
    const AT_LINES: bool = false;
    /// Elements from `at` on before the first cache line, where pieces have to begin at one.
    #[inline(always)]
    fn before_line(&self, _at: usize) -> usize {
        0
    }
    /// [`decide`](Self::decide) for as many elements as the words drawn at a time decide, where such pieces may begin.
    #[inline(always)]
    fn decide_piece<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        self.decide(instructions, at, lanes, limit);
    }
}

/// What dropout makes of a source, an input or one with its neighbours.
pub(super) struct Dropped<S> {
    pub(super) of: S,
    pub(super) scale: f32,
}

/// Makes it.
pub(super) trait Make<T> {
    /// Elements `[at, at + lanes.len())`; with `PAST`, whole thirty-twos go past the caches to `y`, which begins a cache line.
    fn make<L: Decision, const PAST: bool>(
        &self,
        instructions: impl Instructions,
        at: usize,
        lanes: &[L],
        limit: u32,
        y: &mut [T],
    );
    /// Elements `[at, at + y.len())`, all decided alike; the same of `PAST`.
    fn make_alike<const PAST: bool>(&self, instructions: impl Instructions, at: usize, keep: bool, y: &mut [T]);
}

impl<T: Element> Make<T> for Dropped<&[T]> {
    #[inline(always)]
    fn make<L: Decision, const PAST: bool>(
        &self,
        instructions: impl Instructions,
        at: usize,
        lanes: &[L],
        limit: u32,
        y: &mut [T],
    ) {
        apply::<T, L, PAST>(
            instructions,
            Some(&self.of[at..at + y.len()]),
            y,
            lanes,
            limit,
            self.scale,
        );
    }

    #[inline(always)]
    fn make_alike<const PAST: bool>(&self, instructions: impl Instructions, at: usize, keep: bool, y: &mut [T]) {
        apply_all::<T, PAST>(instructions, Some(&self.of[at..at + y.len()]), y, keep, self.scale);
    }
}

/// Stores what is made.
pub(super) struct Made<'a, T, M> {
    pub(super) make: M,
    pub(super) y: &'a mut [T],
}

impl<T: Element, M: Make<T>> Decide for Made<'_, T, M> {
    #[inline(always)]
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        let y = &mut self.y[at..at + lanes.len()];
        self.make.make::<L, false>(instructions, at, lanes, limit, y);
    }

    #[inline(always)]
    fn decide_all(&mut self, instructions: impl Instructions, range: Range<usize>, keep: bool) {
        let y = &mut self.y[range.clone()];
        self.make.make_alike::<false>(instructions, range.start, keep, y);
    }
}

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;

/// Elements before the first that begins a cache line.
pub(super) fn before_line<T>(elements: &[T]) -> usize {
    elements.as_ptr().align_offset(LINE).min(elements.len())
}

/// [`Made`], past the caches: from the registers, in pieces that begin at a cache line.
pub(super) struct Streamed<'a, T, M> {
    pub(super) make: M,
    pub(super) y: &'a mut [T],
}

impl<T: Element, M: Make<T>> Decide for Streamed<'_, T, M> {
    /// What is not a whole piece, as ever.
    #[inline(always)]
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        let y = &mut self.y[at..at + lanes.len()];
        self.make.make::<L, false>(instructions, at, lanes, limit, y);
    }

    #[inline(always)]
    fn decide_all(&mut self, instructions: impl Instructions, range: Range<usize>, keep: bool) {
        let (at, y) = (range.start, &mut self.y[range]);
        let (head, y) = y.split_at_mut(before_line(y));
        self.make.make_alike::<false>(instructions, at, keep, head);
        self.make.make_alike::<true>(instructions, at + head.len(), keep, y);
    }

    const AT_LINES: bool = true;

    #[inline(always)]
    fn before_line(&self, at: usize) -> usize {
        before_line(&self.y[at..])
    }

    #[inline(always)]
    fn decide_piece<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        let y = &mut self.y[at..at + lanes.len()];
        self.make.make::<L, true>(instructions, at, lanes, limit, y);
    }
}

/// [`Made`], past the caches wherever pieces begin: by way of a buffer, of which whole lines are stored. A line that two stores
/// share, of which one goes past the caches, takes ten times as long.
pub(super) struct Buffered<'a, T, M> {
    make: M,
    y: &'a mut [T],
    /// The end of its first line is what is left of the line before.
    buffer: Buffer<T>,
    left: usize,
    /// What lies in the output's first line before the output is somebody else's: so many elements of what is left.
    foreign: usize,
}

/// As many elements as are decided at a time, behind a line.
#[repr(align(64))]
struct Buffer<T>([T; LINE + KEEP]);

impl<'a, T: Element, M: Make<T>> Buffered<'a, T, M> {
    const A_LINE: usize = LINE / size_of::<T>();

    #[inline(always)]
    pub(super) fn new(make: M, y: &'a mut [T]) -> Self {
        let foreign = y.as_ptr().addr() % LINE / size_of::<T>();
        Self {
            make,
            y,
            buffer: Buffer([T::zeroed(); _]),
            left: foreign,
            foreign,
        }
    }

    /// Stores the whole lines of what is left and of elements `[at, at + len)`, which lie behind it.
    #[inline(always)]
    fn store_lines(&mut self, instructions: impl Instructions, mut at: usize, len: usize) {
        let filled = &self.buffer.0[Self::A_LINE - self.left..Self::A_LINE + len];
        let mut lines = &filled[..filled.len() / Self::A_LINE * Self::A_LINE];
        let left = filled.len() - lines.len();
        if self.foreign == 0 {
            at -= self.left;
        } else if let Some((first, rest)) = lines.split_at_checked(Self::A_LINE) {
            // As ever, for whoever has the rest of the line.
            let ours = &first[self.foreign..];
            at -= self.left - self.foreign;
            self.y[at..at + ours.len()].copy_from_slice(ours);
            at += ours.len();
            lines = rest;
            self.foreign = 0;
        }
        let y = &mut self.y[at..at + lines.len()];
        instructions.stream_lines(bytemuck::cast_slice(lines), bytemuck::cast_slice_mut(y));
        self.buffer.0.copy_within(len..len + Self::A_LINE, 0);
        self.left = left;
    }

    /// Stores what is left, after the last elements.
    #[inline(always)]
    pub(super) fn finish(self) {
        let left = &self.buffer.0[..Self::A_LINE][Self::A_LINE - self.left + self.foreign..];
        let end = self.y.len();
        self.y[end - left.len()..].copy_from_slice(left);
    }
}

impl<T: Element, M: Make<T>> Decide for Buffered<'_, T, M> {
    #[inline(always)]
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        let buffer = &mut self.buffer.0[Self::A_LINE..][..lanes.len()];
        self.make.make::<L, false>(instructions, at, lanes, limit, buffer);
        self.store_lines(instructions, at, lanes.len());
    }

    #[inline(always)]
    fn decide_all(&mut self, instructions: impl Instructions, range: Range<usize>, keep: bool) {
        for at in range.clone().step_by(KEEP) {
            let len = KEEP.min(range.end - at);
            let buffer = &mut self.buffer.0[Self::A_LINE..][..len];
            self.make.make_alike::<false>(instructions, at, keep, buffer);
            self.store_lines(instructions, at, len);
        }
    }
}

pub(super) struct InPlace<'a, T> {
    pub(super) y: &'a mut [T],
    pub(super) scale: f32,
}

impl<T: Element> Decide for InPlace<'_, T> {
    #[inline(always)]
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        let y = &mut self.y[at..at + lanes.len()];
        apply::<T, L, false>(instructions, None, y, lanes, limit, self.scale);
    }

    #[inline(always)]
    fn decide_all(&mut self, instructions: impl Instructions, range: Range<usize>, keep: bool) {
        apply_all::<T, false>(instructions, None, &mut self.y[range], keep, self.scale);
    }
}

/// Decisions as bytes, 1 = kept.
pub(super) struct Keep<'a> {
    pub(super) keep: &'a mut [u8],
}

impl Decide for Keep<'_> {
    #[inline(always)]
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        let (chunks, rest) = self.keep[at..at + lanes.len()].as_chunks_mut();
        let (lanes, lanes_rest) = lanes.as_chunks();
        for (keep, lanes) in chunks.iter_mut().zip(lanes) {
            *keep = instructions.bytes(L::kept_32(lanes, limit, instructions));
        }
        for (keep, lane) in rest.iter_mut().zip(lanes_rest) {
            *keep = u8::from(lane.is_kept(limit));
        }
    }

    #[inline(always)]
    fn decide_all(&mut self, _instructions: impl Instructions, range: Range<usize>, keep: bool) {
        self.keep[range].fill(u8::from(keep));
    }
}

/// Decisions as bits, of elements that come one after the other.
pub(super) struct KeepBits<'a> {
    pub(super) bits: &'a mut [u32],
}

impl KeepBits<'_> {
    /// Those of up to 32 elements; bits that belong to none are 0.
    #[inline(always)]
    fn put(&mut self, at: usize, kept: u32) {
        let (word, bit) = (at / 32, at % 32);
        if bit == 0 {
            self.bits[word] = kept;
            return;
        }
        self.bits[word] |= kept << bit;
        if let Some(next) = self.bits.get_mut(word + 1) {
            *next = kept >> (32 - bit);
        }
    }
}

impl Decide for KeepBits<'_> {
    #[inline(always)]
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, mut at: usize, lanes: &[L], limit: u32) {
        let (lanes, lanes_rest) = lanes.as_chunks();
        for lanes in lanes {
            self.put(at, instructions.bits(L::kept_32(lanes, limit, instructions)));
            at += lanes.len();
        }
        if !lanes_rest.is_empty() {
            let mut kept = 0;
            for (bit, lane) in lanes_rest.iter().enumerate() {
                kept |= u32::from(lane.is_kept(limit)) << bit;
            }
            self.put(at, kept);
        }
    }

    #[inline(always)]
    fn decide_all(&mut self, _instructions: impl Instructions, range: Range<usize>, keep: bool) {
        let mut at = range.start;
        while at < range.end {
            let len = (32 - at % 32).min(range.end - at);
            self.put(at, if keep { u32::MAX >> (32 - len) } else { 0 });
            at += len;
        }
    }
}

/// Decisions that are not stored.
pub(super) struct Nowhere;

impl Decide for Nowhere {
    #[inline(always)]
    fn decide<L: Decision>(&mut self, _instructions: impl Instructions, _at: usize, _lanes: &[L], _limit: u32) {}

    #[inline(always)]
    fn decide_all(&mut self, _instructions: impl Instructions, _range: Range<usize>, _keep: bool) {}
}

/// One and the other, which takes pieces wherever they begin.
pub(super) struct Both<A, B>(pub(super) A, pub(super) B);

impl<A: Decide, B: Decide> Decide for Both<A, B> {
    #[inline(always)]
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        self.0.decide(instructions, at, lanes, limit);
        self.1.decide(instructions, at, lanes, limit);
    }

    #[inline(always)]
    fn decide_all(&mut self, instructions: impl Instructions, range: Range<usize>, keep: bool) {
        self.0.decide_all(instructions, range.clone(), keep);
        self.1.decide_all(instructions, range, keep);
    }

    const AT_LINES: bool = A::AT_LINES;

    #[inline(always)]
    fn before_line(&self, at: usize) -> usize {
        self.0.before_line(at)
    }

    #[inline(always)]
    fn decide_piece<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        self.0.decide_piece(instructions, at, lanes, limit);
        self.1.decide_piece(instructions, at, lanes, limit);
    }
}

/// Decides elements of a run, the first of which is `first` elements behind the call's first.
#[inline(always)]
pub(super) fn draw(
    dropout: &Dropout,
    first: u64,
    run: Range<usize>,
    instructions: impl Instructions,
    decide: &mut impl Decide,
) {
    let probability = &dropout.probability;
    if probability.keeps_none() || probability.keeps_all() {
        decide.decide_all(instructions, run, probability.keeps_all());
        return;
    }
    // At least 1 and below 2^b here.
    let limit = (probability.threshold() - 1) as u32;
    match probability.random_bits() {
        RandomBits::B32 => draw_lanes::<u32, _>(dropout, first, run, instructions, decide, limit),
        RandomBits::B16 => draw_lanes::<u16, _>(dropout, first, run, instructions, decide, limit),
        RandomBits::B8 => draw_lanes::<u8, _>(dropout, first, run, instructions, decide, limit),
    }
}

/// [`draw`].
pub(super) struct Run<'a, D> {
    pub(super) dropout: &'a Dropout,
    pub(super) first: u64,
    pub(super) range: Range<usize>,
    pub(super) decide: &'a mut D,
}

impl<D: Decide> Compute for Run<'_, D> {
    #[inline(always)]
    fn compute(self, instructions: impl Instructions) {
        draw(self.dropout, self.first, self.range, instructions, self.decide);
    }
}

/// Decides the elements from local index `first` on, stretch by stretch of those that share a seed.
pub(super) struct Seeded<'a> {
    pub(super) call: Draw<'a>,
    pub(super) seeds: Seeds<'a>,
    pub(super) first: u64,
    pub(super) keep: &'a mut [u8],
}

impl Compute for Seeded<'_> {
    #[inline(always)]
    fn compute(self, instructions: impl Instructions) {
        let Self {
            call,
            seeds,
            first,
            keep,
        } = self;
        let mut at = 0;
        while at < keep.len() {
            let i = first + at as u64;
            let (seed, left) = seeds.of(i);
            let end = at.saturating_add(left as usize).min(keep.len());
            let keep = &mut keep[at..end];
            let dropout = call.dropout.with_seed(seed);
            match call.map {
                Some(map) => draw_mapped(&dropout, map, i, keep, instructions, &mut NothingAhead),
                None => draw(&dropout, i, 0..keep.len(), instructions, &mut Keep { keep }),
            }
            at = end;
        }
    }
}

/// Decisions that need not be drawn.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    Bits(&'a [u32]),
    Bytes(&'a [u8]),
    /// All are kept.
    All,
}

impl Given<'_> {
    /// Decides elements `[0, len)`.
    #[inline(always)]
    pub(super) fn decide(self, len: usize, instructions: impl Instructions, decide: &mut impl Decide) {
        if let Self::All = self {
            return decide.decide_all(instructions, 0..len, true);
        }
        let mut tile = [0; TILE];
        let mut at = 0;
        // Before the first piece what has to be.
        let mut end = decide.before_line(0);
        while at < len {
            let decisions: &[KeepByte] = match self {
                Self::Bits(bits) => {
                    let tile = &mut tile[..end - at];
                    unpack_bits(instructions, bits, at, tile);
                    bytemuck::cast_slice(tile)
                }
                Self::Bytes(bytes) => bytemuck::cast_slice(&bytes[at..end]),
                Self::All => &[],
            };
            if decisions.len() == TILE {
                decide.decide_piece(instructions, at, decisions, 0);
            } else {
                decide.decide(instructions, at, decisions, 0);
            }
            (at, end) = (end, len.min(end + TILE));
        }
    }
}

#[inline(always)]
fn draw_lanes<L: Decision, D: Decide>(
    dropout: &Dropout,
    first: u64,
    mut run: Range<usize>,
    instructions: impl Instructions,
    decide: &mut D,
    limit: u32,
) {
    let lanes_a_block = 16 / size_of::<L>();
    let lanes_a_piece = BATCH * lanes_a_block;
    let sequence = Sequence::of(dropout);
    let g = dropout.element_offset + first;
    let mut block = g / lanes_a_block as u64;
    // Lanes of that block that belong to elements before.
    let mut skipped = (g % lanes_a_block as u64) as usize;
    // Elements to be decided before whole pieces are.
    let mut before = if D::AT_LINES {
        decide.before_line(run.start)
    } else if skipped > 0 {
        lanes_a_piece - skipped
    } else {
        0
    };
    loop {
        // Not in the loop of pieces, which a call would make slower, however seldom it is come to.
        while before > 0 && !run.is_empty() {
            let len = before.min(run.len()).min(lanes_a_piece - skipped);
            let mut keep = [0; KEEP];
            let keep = &mut keep[..len];
            instructions.apart(DrawBytes {
                sequence: &sequence,
                block,
                skipped,
                limit,
                keep: &mut *keep,
                lanes: PhantomData::<L>,
            });
            instructions.apart(DecideBytes {
                at: run.start,
                keep: bytemuck::cast_slice(keep),
                decide: &mut *decide,
            });
            run.start += len;
            before -= len;
            skipped += len;
            block = block.wrapping_add((skipped / lanes_a_block) as u64);
            skipped %= lanes_a_block;
        }
        if run.is_empty() {
            return;
        }
        let mut take = TakeLanes {
            at: run.start,
            limit,
            instructions,
            decide: &mut *decide,
            from_before: 0,
            before: [0; _],
            lanes: PhantomData::<L>,
        };
        let mut next = block;
        if D::AT_LINES && skipped > 0 {
            take.from_before = 16 - skipped * size_of::<L>();
            let [.., last] = take.before.as_chunks_mut().0 else {
                return;
            };
            *last = philox::block(sequence.seed, sequence.subsequence, block);
            next = block.wrapping_add(1);
        }
        let drawn = instructions.words(&sequence, next, run.len() / lanes_a_piece, &mut take);
        run.start = take.at;
        block = block.wrapping_add((drawn * BATCH) as u64);
        // What is left of the run, or a piece within which block numbers carry.
        before = lanes_a_piece;
    }
}

/// Words as the lanes that decide the elements of a run.
struct TakeLanes<'d, D, I, L> {
    at: usize,
    limit: u32,
    instructions: I,
    decide: &'d mut D,
    /// Bytes at the end of the words before that are yet to decide; always 0 where pieces need not begin at a line.
    from_before: usize,
    before: [u32; BEFORE],
    lanes: PhantomData<L>,
}

impl<D: Decide, I: Instructions, L: Decision> TakeWords for TakeLanes<'_, D, I, L> {
    #[inline(always)]
    fn take(&mut self, words: &[u32; WORDS]) {
        let mut words = Words(*words);
        if D::AT_LINES && self.from_before > 0 {
            words.0 = self.instructions.moved(&mut self.before, &words.0, self.from_before);
        }
        let words = in_order::<L>(&words.0);
        let lanes: &[L] = bytemuck::cast_slice(&words.0);
        let at = self.at;
        self.at += lanes.len();
        self.decide.decide_piece(self.instructions, at, lanes, self.limit);
    }
}

/// Little-endian, where lanes are parts of words.
#[inline(always)]
pub(super) fn in_order<L>(words: &[u32; WORDS]) -> Words {
    if cfg!(target_endian = "big") && size_of::<L>() < 4 {
        Words(words.map(u32::to_le))
    } else {
        Words(*words)
    }
}

/// As many decisions as [`WORDS`] words are at most.
const KEEP: usize = WORDS * 4;

/// Part of a piece's decisions as bytes.
struct DrawBytes<'a, L> {
    sequence: &'a Sequence,
    block: u64,
    /// Lanes of that block that decide nothing.
    skipped: usize,
    limit: u32,
    keep: &'a mut [u8],
    lanes: PhantomData<L>,
}

impl<L: Decision> Compute for DrawBytes<'_, L> {
    #[inline(always)]
    fn compute(self, instructions: impl Instructions) {
        let mut numbers = [self.block; BATCH];
        for (number, i) in numbers.iter_mut().zip(0..) {
            *number = number.wrapping_add(i);
        }
        let mut words = Words([0; WORDS]);
        instructions.words_of(self.sequence, &numbers, &mut words.0);
        let words = in_order::<L>(&words.0);
        let lanes: &[L] = bytemuck::cast_slice(&words.0);
        let lanes = &lanes[self.skipped..][..self.keep.len()];
        Keep { keep: self.keep }.decide(instructions, 0, lanes, self.limit);
    }
}

/// [`Decide::decide`] where it is come to seldom: one function for all widths of random bits.
struct DecideBytes<'a, D> {
    at: usize,
    keep: &'a [KeepByte],
    decide: &'a mut D,
}

impl<D: Decide> Compute for DecideBytes<'_, D> {
    #[inline(always)]
    fn compute(self, instructions: impl Instructions) {
        self.decide.decide(instructions, self.at, self.keep, 0);
    }
}
