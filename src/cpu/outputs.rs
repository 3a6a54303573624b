//! What decisions become: results, beside their input, in place or past the caches, and masks.

use core::hint::black_box;
use core::ops::Range;

use super::decide::{Decide, Decision};
use super::words::{Instructions, READ, WRITE};
use crate::Element;

/// Whether of so many elements enough are left behind those that are made thirty-two at a time. Where the input stays, and the output
/// does not go past the caches, they are made with the last thirty-two, some of which are made twice. That costs f32 more than eight
/// one by one where the caches do not hold the output.
#[inline(always)]
fn has_left<T>(len: usize) -> bool {
    len > 32 && len % 32 > if size_of::<T>() > 2 { 8 } else { 0 }
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
    debug_assert!(L::SCALED_BY_0 || scale != 0.0, "drawn");
    if L::SCALED_BY_0 && scale == 0.0 {
        return apply_each(x, y, decisions, limit, scale);
    }
    let (chunks, rest) = decisions.as_chunks();
    match x {
        Some(x) => {
            let ((x_chunks, x_rest), (y_chunks, y_rest)) = (x.as_chunks(), y.as_chunks_mut());
            for ((y, decisions), x) in y_chunks.iter_mut().zip(chunks).zip(x_chunks) {
                let kept = L::kept_32(decisions, limit, instructions);
                store::<T, PAST>(instructions, T::dropped_32(*x, kept, scale, instructions), y);
            }
            if PAST || !has_left::<T>(x.len()) {
                apply_each(Some(x_rest), y_rest, rest, limit, scale);
            } else if let (Some(x), Some(y), Some(decisions)) =
                (x.last_chunk(), y.last_chunk_mut(), decisions.last_chunk())
            {
                let kept = L::kept_32(decisions, limit, instructions);
                *y = T::dropped_32(*x, kept, scale, instructions);
            }
        }
        None => {
            let (y_chunks, y_rest) = y.as_chunks_mut();
            for (y, decisions) in y_chunks.iter_mut().zip(chunks) {
                *y = T::dropped_32(*y, L::kept_32(decisions, limit, instructions), scale, instructions);
            }
            apply_each(None, y_rest, rest, limit, scale);
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
    let (y_whole, y_rest) = y.split_at_mut(whole);
    let (x_whole, x_rest) = x.map(|x| x.split_at(whole)).unzip();
    let chunks = y_whole.as_chunks_mut().0;
    match x_whole {
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
    if let Some(x) = x
        && !PAST
        && scale != 0.0
        && has_left::<T>(x.len())
    {
        if let (Some(x), Some(y)) = (x.last_chunk(), y.last_chunk_mut()) {
            *y = T::dropped_32(*x, all, scale, instructions);
        }
        return;
    }
    for (i, y) in y_rest.iter_mut().enumerate() {
        *y = x_rest.map_or(*y, |x| x[i]).scaled(scale);
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
    /// Starts to fetch what elements `[at, at + len)` are made of, as far as they exist.
    fn fetch(&self, instructions: impl Instructions, at: usize, len: usize);
    /// The same of 32 elements, whether they exist or not.
    fn fetch_32(&self, instructions: impl Instructions, at: usize);
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

    #[inline(always)]
    fn fetch_32(&self, instructions: impl Instructions, at: usize) {
        instructions.fetch_32(self.of, at);
    }

    #[inline(always)]
    fn fetch(&self, instructions: impl Instructions, at: usize, len: usize) {
        instructions.fetch::<READ, _>(self.of, at, len);
    }
}

/// Stores what is made.
pub(super) struct Made<'a, T, M> {
    pub(super) make: M,
    pub(super) y: &'a mut [T],
}

impl<T: Element, M: Make<T>> Decide for Made<'_, T, M> {
    const TWICE: bool = true;

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

    #[inline(always)]
    fn fetch_32(&mut self, instructions: impl Instructions, at: usize) {
        self.make.fetch_32(instructions, at);
        instructions.fetch_32(self.y, at);
    }
}

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;

/// Elements before the first that begins a cache line.
pub(super) fn before_line<T>(elements: &[T]) -> usize {
    elements.as_ptr().align_offset(LINE).min(elements.len())
}

/// [`Made`], past the caches: from the registers, in pieces that begin at a cache line. What is not a whole piece, as ever.
pub(super) struct Streamed<'a, T, M> {
    made: Made<'a, T, M>,
    /// So many elements ahead what they are made of is fetched, unless 0.
    ahead: usize,
}

impl<'a, T, M> Streamed<'a, T, M> {
    #[inline(always)]
    pub(super) fn new(instructions: impl Instructions, made: Made<'a, T, M>) -> Self {
        let ahead = instructions.bytes_ahead() / size_of::<T>();
        Self { made, ahead }
    }
}

impl<T: Element, M: Make<T>> Decide for Streamed<'_, T, M> {
    #[inline(always)]
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        self.made.decide(instructions, at, lanes, limit);
    }

    #[inline(always)]
    fn decide_all(&mut self, instructions: impl Instructions, range: Range<usize>, keep: bool) {
        let line = range.end.min(range.start + self.before_line(range.start));
        self.made.decide_all(instructions, range.start..line, keep);
        let Made { make, y } = &mut self.made;
        make.make_alike::<true>(instructions, line, keep, &mut y[line..range.end]);
    }

    const AT_LINES: bool = true;

    #[inline(always)]
    fn before_line(&self, at: usize) -> usize {
        before_line(&self.made.y[at..])
    }

    #[inline(always)]
    fn decide_piece<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        // A long loop of known length would be written out, and what fetches ahead goes by loads that come again: 1.25 times as long.
        let lanes = if lanes.len() * size_of::<T>() > 8 * LINE {
            &lanes[..black_box(lanes.len())]
        } else {
            lanes
        };
        let Made { make, y } = &mut self.made;
        if self.ahead > 0 {
            make.fetch(instructions, at + self.ahead, lanes.len());
        }
        make.make::<L, true>(instructions, at, lanes, limit, &mut y[at..at + lanes.len()]);
    }
}

pub(super) struct InPlace<'a, T> {
    y: &'a mut [T],
    scale: f32,
    /// So many elements ahead they are fetched, unless 0.
    ahead: usize,
}

impl<'a, T> InPlace<'a, T> {
    #[inline(always)]
    pub(super) fn new(instructions: impl Instructions, y: &'a mut [T], scale: f32, is_long: bool) -> Self {
        let ahead = if is_long {
            instructions.bytes_ahead() / size_of::<T>()
        } else {
            0
        };
        Self { y, scale, ahead }
    }
}

impl<T: Element> Decide for InPlace<'_, T> {
    #[inline(always)]
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        if self.ahead > 0 {
            instructions.fetch::<WRITE, _>(self.y, at + self.ahead, lanes.len());
        }
        let y = &mut self.y[at..at + lanes.len()];
        apply::<T, L, false>(instructions, None, y, lanes, limit, self.scale);
    }

    #[inline(always)]
    fn decide_all(&mut self, instructions: impl Instructions, range: Range<usize>, keep: bool) {
        apply_all::<T, false>(instructions, None, &mut self.y[range], keep, self.scale);
    }

    #[inline(always)]
    fn fetch_32(&mut self, instructions: impl Instructions, at: usize) {
        instructions.fetch_32(self.y, at);
    }
}

/// Decisions as bytes, 1 = kept.
pub(super) struct Keep<'a> {
    pub(super) keep: &'a mut [u8],
}

impl Decide for Keep<'_> {
    #[inline(always)]
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        let keep = &mut self.keep[at..at + lanes.len()];
        let (chunks, rest) = keep.as_chunks_mut();
        let (lanes_chunks, lanes_rest) = lanes.as_chunks();
        for (keep, lanes) in chunks.iter_mut().zip(lanes_chunks) {
            *keep = instructions.bytes(L::kept_32(lanes, limit, instructions));
        }
        if rest.is_empty() {
            return;
        }
        // What is left, with some that are decided again; or all, where they are few.
        if let (Some(keep), Some(lanes)) = (keep.last_chunk_mut(), lanes.last_chunk()) {
            *keep = instructions.bytes(L::kept_32(lanes, limit, instructions));
            return;
        }
        for (keep, lane) in keep.iter_mut().zip(lanes_rest) {
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
