//! Elements whose rows are short runs of the stream.

use super::columns::put;
use super::draw::Run;
use super::mapped::{FETCHED, Part, at_most, left_of_row, row_of};
use super::outputs::Keep;
use super::pieces::Fetch;
use super::walks::{TakeStep, Walks};
use super::words::{BATCH, Compute, Instructions};
use crate::index_map::Dimension;

/// Decides those whose rows are runs of the stream, of no more than thirty-two elements: rows are walked along side by side.
pub(super) struct DrawShortRuns<'a> {
    pub(super) part: Part<'a>,
    pub(super) keep: &'a mut [u8],
    pub(super) ahead: &'a mut dyn Fetch,
}

impl Compute for DrawShortRuns<'_> {
    #[inline(always)]
    fn compute(self, instructions: impl Instructions) {
        let Self { part, mut keep, ahead } = self;
        let Part {
            dropout,
            map,
            mut first,
            ..
        } = part;
        let columns = at_most(row_of(map).length, BATCH);
        let draw_part = |first: u64, keep: &mut [u8]| {
            if !keep.is_empty() {
                let start = dropout.with_element_offset(dropout.element_offset + map.index(first));
                instructions.apart(Run {
                    dropout: &start,
                    first: 0,
                    range: 0..keep.len(),
                    decide: &mut Keep { keep },
                });
            }
        };
        let left = at_most(left_of_row(map, first), keep.len());
        if left < columns {
            let part;
            (part, keep) = keep.split_at_mut(left);
            draw_part(first, part);
            first += left as u64;
        }
        let (keep, part) = keep.split_at_mut(keep.len() / columns * columns);
        draw_part(first + keep.len() as u64, part);
        if keep.is_empty() {
            return;
        }
        let mut walks = Walks::of(dropout, instructions);
        let (mut runs, Dimension { stride, .. }) = map.runs_of_rows(first);
        let (mut next, mut left) = (0, 0);
        let mut starts = [0; BATCH];
        for keep in keep.chunks_mut(BATCH * columns) {
            let rows = keep.len() / columns;
            let mut row = 0;
            while row < rows {
                if left == 0 {
                    (next, left) = runs.next_run();
                    next = dropout.element_offset.wrapping_add(next);
                }
                let these = at_most(left, rows - row);
                for (i, start) in (0u64..).zip(&mut starts[row..row + these]) {
                    *start = next.wrapping_add(stride.wrapping_mul(i));
                }
                next = next.wrapping_add(stride.wrapping_mul(these as u64));
                left -= these as u64;
                row += these;
            }
            // Those that are too many walk along with the first.
            let first = starts[0];
            starts[rows..].fill(first);
            let mut along = Along {
                bits: Bits([0; BATCH]),
                ahead: &mut *ahead,
            };
            walks.go(&starts, columns, &mut along);
            along.bits.put(instructions, keep, columns);
        }
    }
}

/// Walks along rows.
struct Along<'a> {
    bits: Bits,
    ahead: &'a mut dyn Fetch,
}

impl<I: Instructions> TakeStep<I> for Along<'_> {
    #[inline(always)]
    fn take(&mut self, instructions: I, step: usize, words: &[u32; BATCH], limit: u32) {
        if step % (FETCHED / BATCH) == 0 {
            self.ahead.fetch_next(FETCHED);
        }
        self.bits.0[step] = instructions.bits(instructions.at_most_u32(words, limit));
    }
}

/// A word for each column, a bit in it for each row; aligned to a cache line.
#[repr(align(64))]
struct Bits([u32; BATCH]);

impl Bits {
    /// Row by row: bytes of which one bit is a row's decisions.
    #[inline(always)]
    fn put(&self, instructions: impl Instructions, keep: &mut [u8], columns: usize) {
        let mut at = 0;
        for byte in 0..4 {
            let mut bytes = [0; BATCH];
            for (bytes, bits) in bytes.iter_mut().zip(&self.0) {
                *bytes = (bits >> (8 * byte)) as u8;
            }
            for bit in 0..8 {
                if at >= keep.len() {
                    return;
                }
                let mut these = bytes;
                for this in &mut these {
                    *this &= 1 << bit;
                }
                let row = instructions.bytes(instructions.not_0(&these));
                put(&mut keep[at..], columns, row);
                at += columns;
            }
        }
    }
}
