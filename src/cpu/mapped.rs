//! Elements that do not lie one after the other in the stream (contract section 8): run by run, by columns, or each for
//! itself. The blocks of many are drawn at a time, wherever they are.

use core::marker::PhantomData;
use core::ops::Range;

use super::decide::{Decide, Decision};
use super::draw::{Run, in_order};
use super::job::{TASK, TILE};
use super::outputs::Keep;
use super::pieces::{Fetch, NothingAhead};
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
    /// Rows share a decision each.
    Shared,
    /// Columns are runs of the stream: dimensions stored in another order.
    Columns,
    /// Anything else: short runs, or strides that no dimension undoes.
    Scattered,
}

impl Way {
    pub(super) fn of(map: &IndexMap) -> Self {
        let mut dimensions = map.merged().iter().rev();
        let Some(inner) = dimensions.next() else {
            return Self::Scattered;
        };
        let is_long = |dimension: &Dimension| dimension.length >= LONG_RUN;
        let has_columns = |rows: &Dimension| rows.stride == 1 && (is_long(inner) || is_long(rows));
        match inner.stride {
            0 => Self::Shared,
            1 if is_long(inner) => Self::Runs,
            2.. if dimensions.next().is_some_and(has_columns) => Self::Columns,
            _ => Self::Scattered,
        }
    }
}

/// Elements decided before they are applied: of columns as many rows as blocks reach down, so that one is drawn once; of short rows
/// many, for each piece costs some. A multiple of every mask word.
pub(super) fn piece(map: &IndexMap) -> usize {
    match Way::of(map) {
        Way::Columns => {}
        Way::Scattered => return 8 * TILE,
        Way::Runs | Way::Shared => return TILE,
    }
    let columns = at_most(row_of(map).length, MAX_PIECE);
    let rows = (PIECE / columns).max(MIN_ROWS);
    // As many as make whole words of a mask.
    let rows = if columns % 2 == 0 {
        rows / 16 * 16
    } else {
        rows.next_multiple_of(32)
    };
    (rows * columns).min(MAX_PIECE)
}

/// Whether rows are so long that it pays to make each by itself: of those that share decisions, as measured, see BENCHMARKS.md.
pub(super) fn has_long_rows(map: &IndexMap) -> bool {
    row_of(map).length >= 2 * LONG_RUN || Way::of(map) == Way::Runs
}

/// Elements of one parallel task, a multiple of the piece.
pub(super) fn task(map: &IndexMap) -> usize {
    let piece = piece(map);
    (TASK / piece).max(1) * piece
}

fn row_of(map: &IndexMap) -> Dimension {
    map.merged()
        .last()
        .copied()
        .unwrap_or(Dimension { length: 1, stride: 0 })
}

fn at_most(length: u64, most: usize) -> usize {
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
fn left_of_row(map: &IndexMap, i: u64) -> u64 {
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
    let (runs, stride) = map.runs_of_rows(i);
    instructions.apart(DrawRuns {
        dropout,
        runs,
        stride,
        keep: rows,
        ahead: &mut NothingAhead,
    });
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
    let limit = Lanes::of(dropout).limit;
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
const FETCHED: usize = 128;

/// Decides the elements of runs, many at a time: short ones, or such that are no neighbours in the stream.
struct DrawRuns<'a> {
    dropout: &'a Dropout,
    runs: index_map::Runs<'a>,
    /// Of neighbours in a run, which has but one where this is 0.
    stride: u64,
    keep: &'a mut [u8],
    ahead: &'a mut dyn Fetch,
}

impl Compute for DrawRuns<'_> {
    #[inline(always)]
    fn compute(self, instructions: impl Instructions) {
        if self.stride != 1 {
            return self.draw_each(instructions);
        }
        match self.dropout.probability.random_bits() {
            RandomBits::B32 => self.draw_rows::<u32>(instructions),
            RandomBits::B16 => self.draw_rows::<u16>(instructions),
            RandomBits::B8 => self.draw_rows::<u8>(instructions),
        }
    }
}

impl DrawRuns<'_> {
    #[inline(always)]
    fn draw_rows<L: Decision>(self, instructions: impl Instructions) {
        // Of a batch, and what is copied along.
        const MOST: usize = 16 * BATCH + AT_A_TIME;
        const AT_A_TIME: usize = 32;
        let limit = Lanes::of(self.dropout).limit;
        let mut rows = Rows::<L>::new(self.dropout, self.runs, self.keep.len());
        let mut drawn = [0u8; MOST];
        let (mut at, mut fetched) = (0, 0);
        let words = &mut Words([0; _]);
        while let Some(parts) = rows.draw(instructions, words) {
            let Words(words) = &in_order::<L, _>(&words.0);
            let lanes: &[L] = bytemuck::cast_slice(words);
            Keep {
                keep: &mut drawn[..lanes.len()],
            }
            .decide(instructions, 0, lanes, limit);
            for part in parts {
                let end = at + part.lanes().len();
                let mut start = part.lanes().start;
                if end - fetched >= FETCHED {
                    self.ahead.fetch_next(end - fetched);
                    fetched = end;
                }
                while at < end {
                    // What is too much is overwritten by what comes next. No plain copy, for which compilers would call a function.
                    if let (Some(keep), Some(from)) = (self.keep[at..].first_chunk_mut(), drawn[start..].first_chunk())
                    {
                        *keep = instructions.bytes(instructions.not_0(from));
                    } else {
                        let from = drawn[start..].iter();
                        self.keep[at..end]
                            .iter_mut()
                            .zip(from)
                            .for_each(|(keep, from)| *keep = *from);
                    }
                    at += AT_A_TIME;
                    start += AT_A_TIME;
                }
                at = end;
            }
        }
    }

    /// A block for each.
    #[inline(always)]
    fn draw_each(mut self, instructions: impl Instructions) {
        let (sequence, lanes) = (Sequence::of(self.dropout), Lanes::of(self.dropout));
        let (mut index, mut left) = (0, 0);
        for keep in self.keep.chunks_mut(BATCH) {
            self.ahead.fetch_next(keep.len());
            let mut places = [(0, 0); BATCH];
            for place in &mut places[..keep.len()] {
                if left == 0 {
                    (index, left) = self.runs.next_run();
                }
                *place = lanes.place(self.dropout.element_offset.wrapping_add(index));
                index = index.wrapping_add(self.stride);
                left -= 1;
            }
            let words = blocks(&sequence, &places.map(|(block, _)| block), instructions);
            for (k, (keep, (_, lane))) in keep.iter_mut().zip(places).enumerate() {
                *keep = u8::from(lanes.is_kept(&words, k, lane));
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
            Way::Columns => draw_columns(dropout, map, first, keep, instructions, ahead),
            Way::Scattered => instructions.apart(DrawRuns {
                dropout,
                runs: map.runs(first),
                stride: row_of(map).stride,
                keep,
                ahead,
            }),
        }
    }
}

#[inline(always)]
fn blocks(sequence: &Sequence, numbers: &[u64; BATCH], instructions: impl Instructions) -> Blocks {
    let mut words = [[0; BATCH]; 4];
    instructions.blocks(sequence, numbers, &mut words);
    words
}

/// How the integers of elements lie in a block.
#[derive(Clone, Copy)]
struct Lanes {
    /// Random bits of an element.
    bits: u32,
    /// Elements of a block.
    count: u64,
    /// An element is kept whose integer is at most this.
    limit: u32,
}

impl Lanes {
    /// Of a probability that leaves something to decide.
    #[inline(always)]
    fn of(dropout: &Dropout) -> Self {
        let random_bits = dropout.probability.random_bits();
        Self {
            bits: random_bits.bits(),
            count: random_bits.lanes().into(),
            limit: (dropout.probability.threshold() - 1) as u32,
        }
    }

    /// Block and lane of a stream element.
    #[inline(always)]
    fn place(self, g: u64) -> (u64, usize) {
        (g / self.count, (g % self.count) as usize)
    }

    #[inline(always)]
    fn is_kept_word(self, word: u32, shift: u32) -> bool {
        (word >> shift) & (u32::MAX >> (32 - self.bits)) <= self.limit
    }

    /// The decision of a lane of the block in column k.
    #[inline(always)]
    fn is_kept(self, words: &Blocks, k: usize, lane: usize) -> bool {
        let bit = lane as u32 * self.bits;
        self.is_kept_word(words[bit as usize / 32][k], bit % 32)
    }

    /// The decisions of a lane of all blocks. A loop, for closures are not compiled for the caller's instructions.
    #[inline(always)]
    fn all_kept(self, words: &Blocks, lane: usize) -> [u8; BATCH] {
        let bit = lane as u32 * self.bits;
        let mut decisions = [0; BATCH];
        for (decision, &word) in decisions.iter_mut().zip(&words[bit as usize / 32]) {
            *decision = u8::from(self.is_kept_word(word, bit % 32));
        }
        decisions
    }
}

/// Row by row in storage, but drawn down the columns.
#[inline(always)]
fn draw_columns(
    dropout: &Dropout,
    map: &IndexMap,
    first: u64,
    keep: &mut [u8],
    instructions: impl Instructions,
    ahead: &mut dyn Fetch,
) {
    let row = row_of(map);
    let mut at = 0;
    while at < keep.len() {
        let i = first + at as u64;
        let mut coordinates = map.coordinates(i);
        let (column, rows_left) = match (coordinates.next(), coordinates.next()) {
            (Some((_, column)), Some((rows, at))) => (column, rows.length - at),
            _ => return, // not reached: there are rows and columns
        };
        let left = keep.len() - at;
        let columns = at_most(row.length - column, left);
        // Whole rows where they are all there; else what is left of one.
        let rows = if column == 0 {
            at_most(rows_left, (left / columns).max(1))
        } else {
            1
        };
        let panel = Panel {
            keep: &mut keep[at..at + rows * columns],
            columns,
            stride: row.stride,
        };
        let start = dropout.with_element_offset(dropout.element_offset + map.index(i));
        if columns < LONG_RUN as usize && rows > 1 {
            panel.draw_narrow(&start, instructions, ahead);
        } else {
            panel.draw(&start, instructions, ahead);
        }
        at += rows * columns;
    }
}

/// Rows that neighbours in the stream stand in, below each other.
struct Panel<'a> {
    keep: &'a mut [u8],
    columns: usize,
    /// Distance of columns in the stream.
    stride: u64,
}

impl Panel<'_> {
    /// Many columns: as many side by side as blocks are drawn at a time, and down.
    #[inline(always)]
    fn draw(self, start: &Dropout, instructions: impl Instructions, ahead: &mut dyn Fetch) {
        // A multiple of every block.
        const ROWS: usize = 64;
        const MAX_LANES: usize = 16;
        let (sequence, lanes) = (Sequence::of(start), Lanes::of(start));
        let count = lanes.count as usize;
        let rows = self.keep.len() / self.columns;
        // Whether all columns start at the same lane of their blocks.
        let is_even = self.stride.is_multiple_of(lanes.count);
        let mut decisions = [[0u8; BATCH]; ROWS + MAX_LANES];
        for left in (0..self.columns).step_by(BATCH) {
            let right = self.columns.min(left + BATCH);
            // Of a whole batch, columns or not: loops of a length that compilers know.
            let distance = (left as u64).wrapping_mul(self.stride);
            let mut g = start.element_offset.wrapping_add(distance);
            let mut numbers = [0; BATCH];
            for number in &mut numbers {
                *number = g;
                g = g.wrapping_add(self.stride);
            }
            let mut first_lanes = [0u8; BATCH];
            for (lane, number) in first_lanes.iter_mut().zip(&mut numbers) {
                *lane = (*number & (lanes.count - 1)) as u8;
                *number >>= lanes.count.trailing_zeros();
            }
            let lane = usize::from(first_lanes[0]);
            let first_row = if is_even { lane } else { 0 };
            for top in (0..rows).step_by(ROWS) {
                let height = ROWS.min(rows - top);
                let drawn = (height + if is_even { lane } else { count - 1 }).div_ceil(count) * count;
                for decisions in decisions[..drawn].chunks_exact_mut(count) {
                    let words = blocks(&sequence, &numbers, instructions);
                    // Before what takes a while: numbers stored a moment ago are slow to load.
                    for block in &mut numbers {
                        *block = block.wrapping_add(1);
                    }
                    for (lane, decisions) in decisions.iter_mut().enumerate() {
                        if lane % (FETCHED / BATCH) == 0 {
                            ahead.fetch_next(FETCHED);
                        }
                        *decisions = lanes.all_kept(&words, lane);
                    }
                }
                if drawn > height && top + height < rows {
                    // The last block reaches into the rows below.
                    for block in &mut numbers {
                        *block = block.wrapping_sub(((drawn - height) / count) as u64);
                    }
                }
                if !is_even {
                    raise(&mut decisions[..drawn], &first_lanes, count);
                }
                for (decisions, row) in decisions[first_row..].iter().zip(top..top + height) {
                    let row = &mut self.keep[row * self.columns..][left..right];
                    match row.first_chunk_mut::<BATCH>() {
                        Some(row) => *row = *decisions,
                        None => row.copy_from_slice(&decisions[..row.len()]),
                    }
                }
            }
        }
    }

    /// Few columns: each a run of the stream.
    #[inline(always)]
    fn draw_narrow(self, start: &Dropout, instructions: impl Instructions, ahead: &mut dyn Fetch) {
        let mut column = [0u8; TILE];
        for (panel, first_row) in self.keep.chunks_mut(TILE * self.columns).zip((0u64..).step_by(TILE)) {
            let column = &mut column[..panel.len() / self.columns];
            for n in 0..self.columns {
                ahead.fetch_next(column.len());
                let distance = (n as u64).wrapping_mul(self.stride).wrapping_add(first_row);
                let top = start.with_element_offset(start.element_offset.wrapping_add(distance));
                instructions.apart(Run {
                    dropout: &top,
                    first: 0,
                    range: 0..column.len(),
                    decide: &mut Keep { keep: column },
                });
                for (row, &keep) in panel.chunks_exact_mut(self.columns).zip(&*column) {
                    row[n] = keep;
                }
            }
        }
    }
}

/// Moves each column up by its own distance, below `most`, a power of two: by 1, by 2, by 4, ... where the distance has that.
#[inline(always)]
fn raise(rows: &mut [[u8; BATCH]], distances: &[u8; BATCH], most: usize) {
    let mut step = 1;
    while step < most {
        let mut moves = [0u8; BATCH];
        for (moves, &distance) in moves.iter_mut().zip(distances) {
            *moves = if usize::from(distance) & step == 0 { 0 } else { 0xff };
        }
        for row in step..rows.len() {
            let below = rows[row];
            for ((above, below), moves) in rows[row - step].iter_mut().zip(below).zip(moves) {
                *above = (below & moves) | (*above & !moves);
            }
        }
        step *= 2;
    }
}
