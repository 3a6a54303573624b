//! Elements that do not lie one after the other in the stream (contract section 8): which way they are decided; row by row, and each
//! for itself. The blocks of many are drawn at a time, wherever they are.

use core::marker::PhantomData;
use core::ops::Range;

use super::columns::{DecideColumns, DrawFewColumns, KeepAhead};
use super::decide::{Decide, Decision};
use super::draw::{Run, in_order};
use super::job::{TASK, TILE};
use super::outputs::Keep;
use super::pieces::{Fetch, NothingAhead};
use super::short_runs::DrawShortRuns;
use super::words::{BATCH, BATCH_WORDS, Blocks, Compute, Instructions, Sequence, Words};
use crate::index_map::{self, Dimension};
use crate::{Dropout, IndexMap, RandomBits};

/// From this length on a run is worth the words that are drawn at a time.
const LONG_RUN: u64 = 32;

/// Elements of columns that are decided before they are applied, where that is enough rows.
const PIECE: usize = 32_768;
/// Rows of a piece at least, so that blocks reach into few; but a piece has no more elements than [`MAX_PIECE`].
const MIN_ROWS: usize = 16;
const MAX_PIECE: usize = 1 << 20;

/// How the elements of a map are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Rows are long runs of the stream.
    Runs,
    /// Rows are short ones: parts of a tensor, cut along its last dimension.
    ShortRuns,
    /// Rows share a decision each.
    Shared,
    /// Columns are runs of the stream: dimensions stored in another order.
    Columns,
    /// The same where columns are few and long.
    FewColumns,
    /// Anything else: strides that no dimension undoes.
    Scattered,
}

impl Way {
    pub(super) fn of(map: &IndexMap) -> Self {
        let mut dimensions = map.merged().iter().rev();
        let Some(inner) = dimensions.next() else {
            return Self::Scattered;
        };
        let is_long = |dimension: &Dimension| dimension.length >= LONG_RUN;
        let rows = dimensions.next().filter(|rows| rows.stride == 1);
        match (inner.stride, rows) {
            (0, _) => Self::Shared,
            (1, _) if is_long(inner) => Self::Runs,
            (1, _) => Self::ShortRuns,
            (_, Some(_)) if is_long(inner) => Self::Columns,
            (_, Some(rows)) if is_long(rows) => Self::FewColumns,
            _ => Self::Scattered,
        }
    }
}

/// Elements decided before they are applied, a multiple of every mask word: of short rows many, for each piece costs some; of columns
/// as many rows as blocks reach down, so that one is drawn once.
pub(super) fn piece(map: &IndexMap) -> usize {
    let columns = at_most(row_of(map).length, MAX_PIECE);
    match Way::of(map) {
        Way::Runs | Way::Shared => TILE,
        Way::Scattered => 8 * TILE,
        // Rows that are walked along at a time, some times.
        Way::ShortRuns => 8 * TILE / (BATCH * columns) * BATCH * columns,
        // As many parts as are walked down at a time, far down.
        Way::FewColumns => BATCH / columns * columns * TILE / 2,
        Way::Columns => {
            let rows = (PIECE / columns).max(MIN_ROWS);
            // As many as make whole words of a mask.
            let rows = if columns.is_multiple_of(2) {
                rows / 16 * 16
            } else {
                rows.next_multiple_of(32)
            };
            (rows * columns).min(MAX_PIECE)
        }
    }
}

/// Whether rows are so long that it pays to make each by itself: of those that share decisions, as measured, see BENCHMARKS.md.
pub(super) fn has_long_rows(map: &IndexMap) -> bool {
    row_of(map).length >= 2 * LONG_RUN || Way::of(map) == Way::Runs
}

/// Elements of one parallel task, a multiple of the piece.
pub(super) fn task(map: &IndexMap) -> usize {
    TASK.next_multiple_of(piece(map))
}

pub(super) fn row_of(map: &IndexMap) -> Dimension {
    map.merged()
        .last()
        .copied()
        .unwrap_or(Dimension { length: 1, stride: 0 })
}

pub(super) fn at_most(length: u64, most: usize) -> usize {
    usize::try_from(length).map_or(most, |length| length.min(most))
}

/// `len` elements of a map, from local index `first` on.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) dropout: &'a Dropout,
    pub(super) map: &'a IndexMap,
    pub(super) first: u64,
    pub(super) len: usize,
}

/// Decides those whose rows are runs of the stream, not short ones, or share a decision each.
pub(super) struct DecideRows<'a, D> {
    pub(super) part: Part<'a>,
    pub(super) decide: &'a mut D,
}

impl<D: Decide> Compute for DecideRows<'_, D> {
    #[inline(always)]
    fn compute(self, instructions: impl Instructions) {
        let Self { part, decide } = self;
        let Part {
            dropout,
            map,
            first,
            len,
        } = part;
        let row = row_of(map);
        if row.stride == 0 {
            let mut rows = [0u8; TILE];
            let mut at = 0;
            while at < len {
                let mut left = left_of_row(map, first + at as u64);
                let count = rows_of(left, row.length, len - at).min(TILE);
                let rows = &mut rows[..count];
                decide_shared(dropout, map, first + at as u64, rows, instructions);
                for &keep in &*rows {
                    let end = at + at_most(left, len - at);
                    decide.decide_all(instructions, at..end, keep != 0);
                    (at, left) = (end, row.length);
                }
            }
            return;
        }
        let random_bits = dropout.probability.random_bits();
        let mut runs = map.runs(first);
        // Worth a loop of its own.
        if row.length >= 4 * BATCH as u64 * u64::from(random_bits.lanes()) {
            let mut at = 0;
            while at < len {
                let (index, left) = runs.next_run();
                let range = at..at + at_most(left, len - at);
                at = range.end;
                let start = dropout.with_element_offset(dropout.element_offset + index);
                instructions.apart(Run {
                    dropout: &start,
                    first: 0,
                    range,
                    decide: &mut *decide,
                });
            }
            return;
        }
        match random_bits {
            RandomBits::B32 => decide_rows::<u32>(dropout, runs, len, instructions, decide),
            RandomBits::B16 => decide_rows::<u16>(dropout, runs, len, instructions, decide),
            RandomBits::B8 => decide_rows::<u8>(dropout, runs, len, instructions, decide),
        }
    }
}

/// Elements from one on in its row.
#[inline(always)]
pub(super) fn left_of_row(map: &IndexMap, i: u64) -> u64 {
    map.coordinates(i)
        .next()
        .map_or(1, |(row, coordinate)| row.length - coordinate)
}

/// Rows of so many elements, of which the first has so many left.
#[inline(always)]
fn rows_of(left: u64, length: u64, elements: usize) -> usize {
    1 + (elements as u64).saturating_sub(left).div_ceil(length) as usize
}

/// The decisions of rows that share one each, from the one of element `i` on.
#[inline(always)]
fn decide_shared(dropout: &Dropout, map: &IndexMap, i: u64, rows: &mut [u8], instructions: impl Instructions) {
    let (mut runs, dimension) = map.runs_of_rows(i);
    if dimension.stride != 1 || dimension.length < LONG_RUN {
        return instructions.apart(DrawEach {
            dropout,
            runs,
            stride: dimension.stride,
            keep: rows,
            ahead: &mut NothingAhead,
        });
    }
    let mut at = 0;
    while at < rows.len() {
        let (index, left) = runs.next_run();
        let end = at + at_most(left, rows.len() - at);
        let start = dropout.with_element_offset(dropout.element_offset + index);
        let keep = &mut rows[at..end];
        instructions.apart(Run {
            dropout: &start,
            first: 0,
            range: 0..keep.len(),
            decide: &mut Keep { keep },
        });
        at = end;
    }
}

/// Rows so short that the blocks of several are drawn at a time.
#[inline(always)]
fn decide_rows<L: Decision>(
    dropout: &Dropout,
    runs: index_map::Runs<'_>,
    len: usize,
    instructions: impl Instructions,
    decide: &mut impl Decide,
) {
    let limit = limit_of(dropout);
    let mut rows = Rows::<L>::new(dropout, runs, len);
    let mut at = 0;
    let words = &mut Words([0; _]);
    while let Some(parts) = rows.draw(instructions, words) {
        let Words(words) = &in_order::<L, _>(&words.0);
        let lanes: &[L] = bytemuck::cast_slice(words);
        for part in parts {
            decide.decide(instructions, at, &lanes[part.lanes()], limit);
            at += part.lanes().len();
        }
    }
}

/// Rows of a map that are runs of the stream, as they are drawn: many blocks at a time.
struct Rows<'a, L> {
    sequence: Sequence,
    offset: u64,
    runs: index_map::Runs<'a>,
    /// Elements in no batch yet.
    to_come: usize,
    /// What is left of the row that the batch before ended in, where it begins.
    left: usize,
    block: u64,
    skipped: usize,
    /// What is drawn next, and what was drawn, in turns: numbers that were stored one by one a moment ago are slow to load side by
    /// side.
    batches: [Batch; 2],
    next: usize,
    lanes: PhantomData<L>,
}

/// Block numbers that are stored at once; what comes behind the last of a row is overwritten or not drawn.
const AT_ONCE: usize = 8;

/// Blocks drawn at a time.
struct Batch {
    numbers: [u64; BATCH + AT_ONCE],
    parts: [Place; BATCH],
    count: usize,
}

/// Where a row, or what is left of it, lies in the drawn lanes.
#[derive(Clone, Copy)]
struct Place {
    start: u16,
    len: u16,
}

impl Place {
    #[inline(always)]
    fn lanes(self) -> Range<usize> {
        let start = usize::from(self.start);
        start..start + usize::from(self.len)
    }
}

impl<'a, L: Decision> Rows<'a, L> {
    const LANES: usize = 16 / size_of::<L>();

    #[inline(always)]
    fn new(dropout: &Dropout, runs: index_map::Runs<'a>, len: usize) -> Self {
        const NONE: Batch = Batch {
            numbers: [0; _],
            parts: [Place { start: 0, len: 0 }; _],
            count: 0,
        };
        let mut rows = Self {
            sequence: Sequence::of(dropout),
            offset: dropout.element_offset,
            runs,
            to_come: len,
            left: 0,
            block: 0,
            skipped: 0,
            batches: [NONE; 2],
            next: 0,
            lanes: PhantomData,
        };
        rows.plan();
        rows
    }

    /// Draws a batch: the words of its blocks, and the parts of their lanes that decide elements.
    #[inline(always)]
    fn draw(&mut self, instructions: impl Instructions, words: &mut Words<BATCH_WORDS>) -> Option<&[Place]> {
        let drawn = self.next;
        if self.batches[drawn].count == 0 {
            return None;
        }
        self.next = 1 - drawn;
        instructions.apart(DrawBatch {
            rows: self,
            drawn,
            words,
        });
        let batch = &self.batches[drawn];
        Some(&batch.parts[..batch.count])
    }

    /// As many rows as the next batch has place for; none at the end.
    #[inline(always)]
    fn plan(&mut self) {
        let batch = &mut self.batches[self.next];
        // As variables, for compilers don't know that what is stored in the batch is none of these.
        let (mut left, mut block, mut skipped, mut to_come) = (self.left, self.block, self.skipped, self.to_come);
        let (mut used, mut count) = (0, 0);
        while used < BATCH && to_come > 0 {
            if left == 0 {
                let (index, length) = self.runs.next_run();
                let g = self.offset.wrapping_add(index);
                block = g / Self::LANES as u64;
                skipped = (g % Self::LANES as u64) as usize;
                left = at_most(length, to_come);
            }
            let most = (BATCH - used) * Self::LANES - skipped;
            let len = left.min(most);
            let blocks = (skipped + len).div_ceil(Self::LANES);
            for first in (0..blocks).step_by(AT_ONCE) {
                let numbers = &mut batch.numbers[used + first..][..AT_ONCE];
                for (number, n) in numbers.iter_mut().zip(first as u64..) {
                    *number = block.wrapping_add(n);
                }
            }
            batch.parts[count] = Place {
                start: (used * Self::LANES + skipped) as u16,
                len: len as u16,
            };
            count += 1;
            used += blocks;
            to_come -= len;
            left -= len;
            block = block.wrapping_add(blocks as u64);
            skipped = 0;
        }
        batch.count = count;
        (self.left, self.block, self.skipped, self.to_come) = (left, block, skipped, to_come);
    }
}

/// The words of one batch, and the plan of the next: one function, whatever is decided.
struct DrawBatch<'r, 'a, L> {
    rows: &'r mut Rows<'a, L>,
    drawn: usize,
    words: &'r mut Words<BATCH_WORDS>,
}

impl<L: Decision> Compute for DrawBatch<'_, '_, L> {
    #[inline(always)]
    fn compute(self, instructions: impl Instructions) {
        let Self { rows, drawn, words } = self;
        rows.plan();
        if let Some(numbers) = rows.batches[drawn].numbers.first_chunk() {
            instructions.words_of(&rows.sequence, numbers, &mut words.0);
        }
    }
}

/// Elements that are fetched at a time: in small helpings, for memory takes only so many orders at a time.
pub(super) const FETCHED: usize = 128;

/// Decides elements that have no neighbours in the stream: a block for each.
struct DrawEach<'a> {
    dropout: &'a Dropout,
    runs: index_map::Runs<'a>,
    /// Of elements in a run, which has but one where this is 0.
    stride: u64,
    keep: &'a mut [u8],
    ahead: &'a mut dyn Fetch,
}

impl Compute for DrawEach<'_> {
    #[inline(always)]
    fn compute(self, instructions: impl Instructions) {
        self.draw(instructions);
    }
}

impl DrawEach<'_> {
    #[inline(always)]
    fn draw<I: Instructions>(mut self, instructions: I) {
        let random_bits = self.dropout.probability.random_bits();
        let (bits, lanes) = (random_bits.bits(), random_bits.lanes());
        let (sequence, limit) = (Sequence::of(self.dropout), limit_of(self.dropout));
        let (mut walk, mut words) = (I::Walk::default(), Blocks::default());
        let (mut index, mut left) = (0, 0);
        for keep in self.keep.chunks_mut(BATCH) {
            self.ahead.fetch_next(keep.len());
            let (mut numbers, mut places) = ([0; BATCH], [0; BATCH]);
            for (number, place) in numbers.iter_mut().zip(&mut places).take(keep.len()) {
                if left == 0 {
                    (index, left) = self.runs.next_run();
                }
                let g = self.dropout.element_offset.wrapping_add(index);
                *number = g >> lanes.trailing_zeros();
                *place = (g as u32 & (lanes - 1)) * bits;
                index = index.wrapping_add(self.stride);
                left -= 1;
            }
            instructions.walk(&sequence, &numbers, 1, &mut walk);
            instructions.step(&sequence, &mut walk, &mut words);
            for (k, (keep, bit)) in keep.iter_mut().zip(places).enumerate() {
                let word = words.0[bit as usize / 32][k] >> (bit % 32);
                *keep = u8::from(word & (u32::MAX >> (32 - bits)) <= limit);
            }
        }
    }
}

/// Decides the elements from local index `first` on.
pub(super) struct DrawMapped<'a> {
    pub(super) dropout: &'a Dropout,
    pub(super) map: &'a IndexMap,
    pub(super) first: u64,
    pub(super) keep: &'a mut [u8],
    /// Compiled once for all types of elements.
    pub(super) ahead: &'a mut dyn Fetch,
}

impl Compute for DrawMapped<'_> {
    #[inline(always)]
    fn compute(self, instructions: impl Instructions) {
        let Self {
            dropout,
            map,
            first,
            keep,
            ahead,
        } = self;
        let part = Part {
            dropout,
            map,
            first,
            len: keep.len(),
        };
        match Way::of(map) {
            Way::Runs | Way::Shared => instructions.apart(DecideRows {
                part,
                decide: &mut Keep { keep },
            }),
            Way::Columns => instructions.apart(DecideColumns {
                part,
                decide: &mut KeepAhead::new(keep, ahead),
            }),
            Way::FewColumns => instructions.apart(DrawFewColumns { part, keep, ahead }),
            Way::ShortRuns => instructions.apart(DrawShortRuns { part, keep, ahead }),
            Way::Scattered => instructions.apart(DrawEach {
                dropout,
                runs: map.runs(first),
                stride: row_of(map).stride,
                keep,
                ahead,
            }),
        }
    }
}

/// An element is kept whose integer is at most this, by a probability that leaves something to decide.
#[inline(always)]
pub(super) fn limit_of(dropout: &Dropout) -> u32 {
    (dropout.probability.threshold() - 1) as u32
}
