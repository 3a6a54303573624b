//! Decisions along the stream.

use core::marker::PhantomData;
use core::ops::Range;

use super::decide::{Decide, Decision, KEEP, KeepByte};
use super::mapped::DrawMapped;
use super::outputs::Keep;
use super::pieces::NothingAhead;
use super::words::{BATCH, BATCH_WORDS, BEFORE, Compute, Instructions, Sequence, TakeWords, WORDS, Words};
use crate::draw::Seeds;
use crate::{Draw, Dropout, RandomBits, philox};

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
                Some(map) => instructions.apart(DrawMapped {
                    dropout: &dropout,
                    map,
                    first: i,
                    keep,
                    ahead: &mut NothingAhead,
                }),
                None => draw(&dropout, i, 0..keep.len(), instructions, &mut Keep { keep }),
            }
            at = end;
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
    let lanes_a_piece = WORDS / 4 * lanes_a_block;
    let sequence = Sequence::of(dropout);
    let g = dropout.element_offset + first;
    let mut block = g / lanes_a_block as u64;
    // Lanes of that block that belong to elements before.
    let mut skipped = (g % lanes_a_block as u64) as usize;
    // Elements to be decided before whole pieces are: all, where they are no more than a batch decides.
    let mut before = if skipped + run.len() <= BATCH * lanes_a_block {
        run.len()
    } else if D::AT_LINES {
        decide.before_line(run.start)
    } else if skipped > 0 {
        lanes_a_piece - skipped
    } else {
        0
    };
    loop {
        // Not in the loop of pieces, which a call would make slower, however seldom it is come to.
        if before > 0 && !run.is_empty() {
            // Never more than a batch decides: all, a piece, or what is before a line.
            let len = before.min(run.len());
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
            let last = philox::block(sequence.seed, sequence.subsequence, block);
            take.before[BEFORE - last.len()..].copy_from_slice(&last);
            next = block.wrapping_add(1);
        }
        let drawn = instructions.words(&sequence, next, run.len() / lanes_a_piece, &mut take);
        run.start = take.at;
        block = block.wrapping_add((drawn * WORDS / 4) as u64);
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
        let words = in_order::<L, _>(&words.0);
        let lanes: &[L] = bytemuck::cast_slice(&words.0);
        let at = self.at;
        self.at += lanes.len();
        self.decide.decide_piece(self.instructions, at, lanes, self.limit);
    }
}

/// Little-endian, where lanes are parts of words.
#[inline(always)]
pub(super) fn in_order<L, const N: usize>(words: &[u32; N]) -> Words<N> {
    if cfg!(target_endian = "big") && size_of::<L>() < 4 {
        Words(words.map(u32::to_le))
    } else {
        Words(*words)
    }
}

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
        let mut words = Words([0; BATCH_WORDS]);
        instructions.words_of(self.sequence, &numbers, &mut words.0);
        let words = in_order::<L, _>(&words.0);
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
