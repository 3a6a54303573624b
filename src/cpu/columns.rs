//! Elements whose columns are runs of the stream: dimensions stored in another order.

use core::ops::Range;

use super::decide::{Decide, Decision};
use super::mapped::{FETCHED, Part, at_most, left_of_row, row_of};
use super::outputs::Keep;
use super::pieces::Fetch;
use super::walks::{TakeStep, Walks};
use super::words::{BATCH, Compute, Instructions};
use crate::IndexMap;

/// Rows that are walked down in one go: few, so that what comes next beside them can be fetched meanwhile and is in the cache yet.
const ROWS: usize = 32;
/// Blocks at least that are walked through in one go, where some are drawn twice for it.
const BLOCKS: usize = 4;

/// Decides those whose columns are runs of the stream, and not few.
pub(super) struct DecideColumns<'a, D> {
    pub(super) part: Part<'a>,
    pub(super) decide: &'a mut D,
}

impl<D: Decide> Compute for DecideColumns<'_, D> {
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
        let lanes = dropout.probability.random_bits().lanes();
        let most = if row.stride.is_multiple_of(lanes.into()) {
            ROWS
        } else {
            ROWS.max(BLOCKS * lanes as usize)
        };
        let mut walks = Walks::of(dropout, instructions);
        let mut at = 0;
        while at < len {
            let i = first + at as u64;
            let (columns, rows) = next_rows(map, i, len - at);
            let mut start = dropout.element_offset.wrapping_add(map.index(i));
            let mut rows_left = rows;
            while rows_left > 0 {
                let rows = if rows_left < 2 * most { rows_left } else { most };
                let panel = Panel {
                    at,
                    columns,
                    rows,
                    start,
                    stride: row.stride,
                };
                panel.draw(&mut walks, &mut *decide);
                at += rows * columns;
                start = start.wrapping_add(rows as u64);
                rows_left -= rows;
            }
        }
    }
}

/// Rows below each other, or a part of one.
struct Panel {
    at: usize,
    columns: usize,
    rows: usize,
    /// The first element in the stream, and the distance of columns there.
    start: u64,
    stride: u64,
}

impl Panel {
    #[inline(always)]
    fn draw<D: Decide, I: Instructions>(&self, walks: &mut Walks<I>, decide: &mut D) {
        let &Self {
            at,
            columns,
            rows,
            start,
            stride,
        } = self;
        for column in (0..columns).step_by(BATCH) {
            let width = BATCH.min(columns - column);
            // The last may overlap the one before it.
            let again = if D::TWICE { column.min(BATCH - width) } else { 0 };
            let (column, width) = (column - again, width + again);
            let mut down = Down {
                decide: &mut *decide,
                at: at + column,
                columns,
                width,
                ahead: if column + width < columns {
                    BATCH
                } else {
                    rows * columns - column
                },
            };
            let first = start.wrapping_add(stride.wrapping_mul(column as u64));
            walks.go(&starts(first, stride), rows, &mut down);
        }
    }
}

/// Columns and rows of what comes next, from element `i` on: whole rows where they are all there, else what is left of one.
#[inline(always)]
fn next_rows(map: &IndexMap, i: u64, len: usize) -> (usize, usize) {
    let columns = at_most(left_of_row(map, i), len);
    if columns as u64 != row_of(map).length {
        return (columns, 1);
    }
    let rows = map
        .coordinates(i)
        .nth(1)
        .map_or(1, |(rows, coordinate)| rows.length - coordinate);
    (columns, at_most(rows, len / columns))
}

#[inline(always)]
fn starts(first: u64, stride: u64) -> [u64; BATCH] {
    let mut starts = [0; BATCH];
    for (start, i) in starts.iter_mut().zip(0..) {
        *start = first.wrapping_add(stride.wrapping_mul(i));
    }
    starts
}

/// Walks down columns side by side, of which so many exist.
struct Down<'a, D> {
    decide: &'a mut D,
    /// Of the next row.
    at: usize,
    columns: usize,
    width: usize,
    /// How far away is what comes next.
    ahead: usize,
}

impl<D: Decide, I: Instructions> TakeStep<I> for Down<'_, D> {
    #[inline(always)]
    fn take(&mut self, instructions: I, _step: usize, words: &[u32; BATCH], limit: u32) {
        let at = self.at;
        self.at += self.columns;
        if self.width == BATCH {
            self.decide.fetch_32(instructions, at + self.ahead);
            self.decide.decide(instructions, at, words, limit);
        } else {
            instructions.apart(DecideFew {
                at,
                words: *words,
                count: self.width,
                limit,
                decide: &mut *self.decide,
            });
        }
    }
}

/// [`Decide::decide`] where it is come to seldom.
struct DecideFew<'a, D> {
    at: usize,
    /// No reference, for which all would go through memory.
    words: [u32; BATCH],
    count: usize,
    limit: u32,
    decide: &'a mut D,
}

impl<D: Decide> Compute for DecideFew<'_, D> {
    #[inline(always)]
    fn compute(self, instructions: impl Instructions) {
        self.decide
            .decide(instructions, self.at, &self.words[..self.count], self.limit);
    }
}

/// Decisions as bytes, while what comes next is fetched.
pub(super) struct KeepAhead<'a> {
    keep: Keep<'a>,
    ahead: &'a mut dyn Fetch,
    /// Elements that were asked for and not yet ordered.
    wanted: usize,
}

impl<'a> KeepAhead<'a> {
    pub(super) fn new(keep: &'a mut [u8], ahead: &'a mut dyn Fetch) -> Self {
        Self {
            keep: Keep { keep },
            ahead,
            wanted: 0,
        }
    }
}

impl Decide for KeepAhead<'_> {
    const TWICE: bool = true;

    #[inline(always)]
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        self.keep.decide(instructions, at, lanes, limit);
    }

    #[inline(always)]
    fn decide_all(&mut self, instructions: impl Instructions, range: Range<usize>, keep: bool) {
        self.keep.decide_all(instructions, range, keep);
    }

    #[inline(always)]
    fn fetch_32(&mut self, _instructions: impl Instructions, _at: usize) {
        self.wanted += BATCH;
        if self.wanted == FETCHED {
            self.ahead.fetch_next(self.wanted);
            self.wanted = 0;
        }
    }
}

/// Decides those whose columns are runs of the stream, and few: parts of each are walked down side by side.
pub(super) struct DrawFewColumns<'a> {
    pub(super) part: Part<'a>,
    pub(super) keep: &'a mut [u8],
    pub(super) ahead: &'a mut dyn Fetch,
}

impl Compute for DrawFewColumns<'_> {
    #[inline(always)]
    fn compute(self, instructions: impl Instructions) {
        let Self { part, keep, ahead } = self;
        let Part {
            dropout,
            map,
            first,
            len,
        } = part;
        let row = row_of(map);
        let mut walks = Walks::of(dropout, instructions);
        let mut at = 0;
        while at < len {
            let i = first + at as u64;
            let (columns, rows) = next_rows(map, i, len - at);
            let parts = (BATCH / columns).min(rows);
            let rows = rows / parts;
            let first = dropout.element_offset.wrapping_add(map.index(i));
            let mut starts = [first; BATCH];
            for (part, starts) in starts.chunks_exact_mut(columns).take(parts).enumerate() {
                for (column, start) in (0u64..).zip(starts) {
                    let distance = row.stride.wrapping_mul(column);
                    *start = first.wrapping_add(distance).wrapping_add((part * rows) as u64);
                }
            }
            let end = at + parts * rows * columns;
            let mut down = DownParts {
                keep: &mut keep[at..end],
                columns,
                rows,
                ahead: &mut *ahead,
            };
            walks.go(&starts, rows, &mut down);
            at = end;
        }
    }
}

/// Walks down parts of columns, which have so many rows each.
struct DownParts<'a> {
    keep: &'a mut [u8],
    columns: usize,
    rows: usize,
    ahead: &'a mut dyn Fetch,
}

impl<I: Instructions> TakeStep<I> for DownParts<'_> {
    #[inline(always)]
    fn take(&mut self, instructions: I, step: usize, words: &[u32; BATCH], limit: u32) {
        let (columns, in_part) = (self.columns, self.rows * self.columns);
        if step % (FETCHED / BATCH) == 0 {
            self.ahead.fetch_next(FETCHED);
        }
        let mut bits = instructions.bits(instructions.at_most_u32(words, limit));
        let at = step * columns;
        for part in self.keep.chunks_exact_mut(in_part) {
            if columns <= 8 {
                put(&mut part[at..], columns, bytes_of(bits as u8));
            } else {
                put(&mut part[at..], columns, instructions.bytes(instructions.of_bits(bits)));
            }
            bits >>= columns;
        }
    }
}

/// All where there is place for them, else so many: what is too much is overwritten by what comes next.
#[inline(always)]
pub(super) fn put<const N: usize>(to: &mut [u8], count: usize, bytes: [u8; N]) {
    match to.first_chunk_mut() {
        Some(to) => *to = bytes,
        None => to[..count].copy_from_slice(&bytes[..count]),
    }
}

/// A byte for each bit.
#[inline(always)]
fn bytes_of(bits: u8) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // Each in a byte of its own where it stands, then as the highest or not at all.
    let apart = (u64::from(bits) * EACH) & 0x8040_2010_0804_0201;
    ((apart + 0x7f * EACH) >> 7 & EACH).to_le_bytes()
}
