//! Elements that do not lie one after the other in the stream (contract section 8): run by run, by columns, or each for
//! itself. The blocks of many are drawn at a time, wherever they are.

use super::decide::{Decide, Decision};
use super::draw::{Run, in_order};
use super::job::{Fetch, TASK, TILE};
use super::outputs::Keep;
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
            0 if is_long(inner) => Self::Shared,
            1 if is_long(inner) => Self::Runs,
            2.. if dimensions.next().is_some_and(has_columns) => Self::Columns,
            _ => Self::Scattered,
        }
    }
}

/// Elements decided before they are applied: of columns as many rows as blocks reach down, so that one is drawn once. A
/// multiple of every mask word.
pub(super) fn piece(map: &IndexMap) -> usize {
    if Way::of(map) != Way::Columns {
        return TILE;
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

/// Whether elements share decisions over rows so long that drawing them, and what is at either end of each, is next to nothing.
pub(super) fn shares_far(map: &IndexMap) -> bool {
    Way::of(map) == Way::Shared && row_of(map).length >= 16 * TILE as u64
}

/// Whether rows are runs of at least so many batches.
fn has_runs_of(batches: u64, map: &IndexMap, random_bits: RandomBits) -> bool {
    let row = row_of(map);
    row.stride == 1 && row.length >= batches * BATCH as u64 * u64::from(random_bits.lanes())
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

/// Decides `len` elements from local index `first` on, whose runs are long or share a decision each.
pub(super) struct Runs<'a, D> {
    pub(super) dropout: &'a Dropout,
    pub(super) map: &'a IndexMap,
    pub(super) first: u64,
    pub(super) len: usize,
    pub(super) decide: &'a mut D,
}

impl<D: Decide> Compute for Runs<'_, D> {
    #[inline(always)]
    fn compute(self, instructions: impl Instructions) {
        let Self {
            dropout,
            map,
            first,
            len,
            decide,
        } = self;
        if Lanes::all_alike(dropout).is_some() {
            return instructions.apart(Run {
                dropout,
                first: 0,
                range: 0..len,
                decide,
            });
        }
        let mut runs = map.runs(first);
        let mut at = 0;
        let row = row_of(map);
        let lanes = Lanes::of(dropout);
        if has_runs_of(4, map, dropout.probability.random_bits()) {
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
        if row.stride == 1 {
            match dropout.probability.random_bits() {
                RandomBits::B32 => decide_rows::<u32>(dropout, lanes.limit, runs, len, instructions, decide),
                RandomBits::B16 => decide_rows::<u16>(dropout, lanes.limit, runs, len, instructions, decide),
                RandomBits::B8 => decide_rows::<u8>(dropout, lanes.limit, runs, len, instructions, decide),
            }
            return;
        }
        let sequence = Sequence::of(dropout);
        while at < len {
            // As many runs as blocks are drawn at a time.
            let mut places = [(0, 0); BATCH];
            let mut ends = [len; BATCH];
            let mut end = at;
            for (place, run_end) in places.iter_mut().zip(&mut ends) {
                if end == len {
                    break;
                }
                let (index, left) = runs.next_run();
                *place = lanes.place(dropout.element_offset + index);
                end += at_most(left, len - end);
                *run_end = end;
            }
            let words = blocks(&sequence, &places.map(|(block, _)| block), instructions);
            for (k, (end, (_, lane))) in ends.into_iter().zip(places).enumerate() {
                decide.decide_all(instructions, at..end, lanes.is_kept(&words, k, lane));
                at = end;
            }
        }
    }
}

/// Rows so short that the blocks of several are drawn at a time.
#[inline(always)]
fn decide_rows<L: Decision>(
    dropout: &Dropout,
    limit: u32,
    runs: index_map::Runs<'_>,
    len: usize,
    instructions: impl Instructions,
    decide: &mut impl Decide,
) {
    let sequence = Sequence::of(dropout);
    let mut rows = Rows {
        offset: dropout.element_offset,
        lanes_a_block: 16 / size_of::<L>(),
        runs,
        to_come: len,
        block: 0,
        skipped: 0,
        left: 0,
    };
    let mut at = 0;
    let mut batches = [const { Batch::new() }; 2];
    let [batch, next] = &mut batches;
    let (mut batch, mut next) = (batch, next);
    rows.fill(batch);
    while batch.count > 0 {
        // One ahead: numbers that were stored one by one a moment ago are slow to load side by side.
        rows.fill(next);
        let Words(words) = &mut Words([0; BATCH_WORDS]);
        let Some(numbers) = batch.numbers.first_chunk() else {
            return; // not reached: there are more
        };
        instructions.words_of(&sequence, numbers, words);
        let Words(words) = &in_order::<L, _>(words);
        let lanes: &[L] = bytemuck::cast_slice(words);
        for &(start, part) in &batch.parts[..batch.count] {
            let (start, part) = (usize::from(start), usize::from(part));
            decide.decide(instructions, at, &lanes[start..start + part], limit);
            at += part;
        }
        (batch, next) = (next, batch);
    }
}

/// Rows that are yet to be drawn.
struct Rows<'a> {
    offset: u64,
    lanes_a_block: usize,
    runs: index_map::Runs<'a>,
    /// Elements in no batch yet.
    to_come: usize,
    /// What is left of the row that the batch before ended in, where it begins.
    block: u64,
    skipped: usize,
    left: usize,
}

/// Block numbers that are stored at once; what comes behind the last of a row is overwritten or not drawn.
const AT_ONCE: usize = 8;

/// Blocks drawn at a time.
struct Batch {
    numbers: [u64; BATCH + AT_ONCE],
    /// Where a row, or what is left of it, begins in the drawn lanes, and how long it is.
    parts: [(u16, u16); BATCH],
    count: usize,
}

impl Batch {
    const fn new() -> Self {
        Self {
            numbers: [0; _],
            parts: [(0, 0); _],
            count: 0,
        }
    }
}

impl Rows<'_> {
    /// As many rows as there is place for; none at the end.
    #[inline(always)]
    fn fill(&mut self, batch: &mut Batch) {
        batch.count = 0;
        let mut used = 0;
        while used < BATCH && self.to_come > 0 {
            if self.left == 0 {
                let (index, length) = self.runs.next_run();
                let g = self.offset.wrapping_add(index);
                self.block = g / self.lanes_a_block as u64;
                self.skipped = (g % self.lanes_a_block as u64) as usize;
                self.left = at_most(length, self.to_come);
            }
            let most = (BATCH - used) * self.lanes_a_block - self.skipped;
            let part = self.left.min(most);
            let blocks = (self.skipped + part).div_ceil(self.lanes_a_block);
            for first in (0..blocks).step_by(AT_ONCE) {
                let numbers = &mut batch.numbers[used + first..][..AT_ONCE];
                for (number, n) in numbers.iter_mut().zip(first as u64..) {
                    *number = self.block.wrapping_add(n);
                }
            }
            batch.parts[batch.count] = ((used * self.lanes_a_block + self.skipped) as u16, part as u16);
            batch.count += 1;
            used += blocks;
            self.to_come -= part;
            self.left -= part;
            self.block = self.block.wrapping_add(blocks as u64);
            self.skipped = 0;
        }
    }
}

/// Decides the elements from local index `first` on.
#[inline(always)]
pub(super) fn draw_mapped(
    dropout: &Dropout,
    map: &IndexMap,
    first: u64,
    keep: &mut [u8],
    instructions: impl Instructions,
    ahead: &mut impl Fetch,
) {
    match (Way::of(map), Lanes::all_alike(dropout)) {
        (_, Some(alike)) => keep.fill(u8::from(alike)),
        (Way::Runs | Way::Shared, None) => {
            let len = keep.len();
            let decide = &mut Keep { keep };
            instructions.apart(Runs {
                dropout,
                map,
                first,
                len,
                decide,
            });
        }
        (Way::Columns, None) => draw_columns(dropout, map, first, keep, instructions, ahead),
        (Way::Scattered, None) => draw_scattered(dropout, map, first, keep, instructions),
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
    /// Where the probability decides, not the stream.
    #[inline(always)]
    fn all_alike(dropout: &Dropout) -> Option<bool> {
        let probability = &dropout.probability;
        (probability.keeps_none() || probability.keeps_all()).then(|| probability.keeps_all())
    }

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
    ahead: &mut impl Fetch,
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
    fn draw(self, start: &Dropout, instructions: impl Instructions, ahead: &mut impl Fetch) {
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
                        if lane % 4 == 0 {
                            // In small helpings: memory takes only so many orders at a time.
                            ahead.fetch_next(4 * BATCH);
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
    fn draw_narrow(self, start: &Dropout, instructions: impl Instructions, ahead: &mut impl Fetch) {
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

/// Neighbours in storage that one block decides.
#[derive(Clone, Copy, Default)]
struct Stretch {
    block: u64,
    lane: usize,
    len: usize,
}

#[inline(always)]
fn draw_scattered(dropout: &Dropout, map: &IndexMap, first: u64, keep: &mut [u8], instructions: impl Instructions) {
    let (sequence, lanes) = (Sequence::of(dropout), Lanes::of(dropout));
    let stride = row_of(map).stride;
    let mut runs = map.runs(first);
    let (mut index, mut left) = runs.next_run();
    let (mut at, mut planned) = (0, 0);
    while at < keep.len() {
        let mut stretches = [Stretch::default(); BATCH];
        for stretch in &mut stretches {
            if planned == keep.len() {
                break;
            }
            let (block, lane) = lanes.place(dropout.element_offset.wrapping_add(index));
            let most = match stride {
                0 => left,
                1 => left.min(lanes.count - lane as u64),
                _ => 1,
            };
            let len = at_most(most, keep.len() - planned);
            *stretch = Stretch { block, lane, len };
            planned += len;
            left -= len as u64;
            if left == 0 {
                (index, left) = runs.next_run();
            } else {
                index = index.wrapping_add(stride.wrapping_mul(len as u64));
            }
        }
        let words = blocks(&sequence, &stretches.map(|stretch| stretch.block), instructions);
        for (k, stretch) in stretches.iter().enumerate() {
            let stretch_keep = &mut keep[at..at + stretch.len];
            if stride == 1 {
                for (keep, lane) in stretch_keep.iter_mut().zip(stretch.lane..) {
                    *keep = u8::from(lanes.is_kept(&words, k, lane));
                }
            } else {
                stretch_keep.fill(u8::from(lanes.is_kept(&words, k, stretch.lane)));
            }
            at += stretch.len;
        }
    }
}
