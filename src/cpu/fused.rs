//! Bias, dropout and residual in one pass over memory, and the gradient of the bias (contract section 9).

use rayon::prelude::*;

use super::decide::{Decision, KeepByte};
use super::job::{Data, TASK, compute, training};
use super::outputs::{Dropped, Make, store};
use super::words::{Compute, Instructions, READ};
use crate::fused::{Neighbours, ROWS_OF_A_SUM, check_rows};
use crate::{Draw, Element, SliceError};

/// `y = residual + D(x + bias)`, see [`reference::forward_fused`](crate::reference::forward_fused).
///
/// The gradients are [`backward`](super::backward) for x, [`bias_gradient`] of that for the bias, and dy itself for
/// the residual.
///
/// # Errors
///
/// [`SliceError`] where lengths disagree, x is not whole rows of the bias, or the elements pass global index 2^64.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, Neighbours, cpu};
///
/// // Two rows of three. The bias is dropped and scaled with x, the residual is not.
/// let (x, residual) = ([1.0f32; 6], [10.0; 6]);
/// let neighbours = Neighbours { bias: Some(&[1.0, 2.0, 3.0]), residual: Some(&residual) };
/// let mut y = [0.0; 6];
/// cpu::forward_fused(&Dropout::new(0.5, 42)?, &x, neighbours, &mut y)?;
/// for (y, kept) in y.into_iter().zip([14.0, 16.0, 18.0, 14.0, 16.0, 18.0]) {
///     assert!(y == 10.0 || y == kept);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn forward_fused<'a, T: Element>(
    draw: impl Into<Draw<'a>>,
    x: &[T],
    neighbours: Neighbours<'_, T>,
    y: &mut [T],
) -> Result<(), SliceError> {
    let draw = draw.into();
    neighbours.check(draw, x.len(), y.len())?;
    training(draw, x.len(), Data::Fused(Fused::new(x, neighbours), y)).run();
    Ok(())
}

/// A part of the input with its neighbours.
#[derive(Clone, Copy)]
pub(super) struct Fused<'a, T> {
    x: &'a [T],
    bias: Option<Bias<'a, T>>,
    residual: Option<&'a [T]>,
    /// Of the part's first element.
    column: usize,
}

impl<'a, T: Element> Fused<'a, T> {
    pub(super) fn new(x: &'a [T], neighbours: Neighbours<'a, T>) -> Self {
        Self {
            x,
            bias: neighbours.bias.map(Bias::new),
            residual: neighbours.residual,
            column: 0,
        }
    }

    pub(super) fn split_at(self, middle: usize) -> (Self, Self) {
        let (x, x_rest) = self.x.split_at(middle);
        let (residual, residual_rest) = self.residual.map(|residual| residual.split_at(middle)).unzip();
        let part = Self { x, residual, ..self };
        let rest = Self {
            x: x_rest,
            residual: residual_rest,
            column: self.bias.map_or(0, |bias| (self.column + middle) % bias.row.len()),
            ..self
        };
        (part, rest)
    }

    #[inline(always)]
    pub(super) fn fetch(&self, instructions: impl Instructions, at: usize, len: usize) {
        instructions.fetch::<READ, _>(self.x, at, len);
        if let Some(residual) = self.residual {
            instructions.fetch::<READ, _>(residual, at, len);
        }
    }
}

/// A row of the bias, from which thirty-two elements can be had at any column.
#[derive(Clone, Copy)]
struct Bias<'a, T> {
    row: &'a [T],
    /// The last 31 elements, or all, and what follows them in the next rows.
    seam: [T; 62],
}

impl<'a, T: Element> Bias<'a, T> {
    fn new(row: &'a [T]) -> Self {
        let mut seam = [T::zeroed(); 62];
        let rows = row[Self::seam_column(row)..].iter().chain(row.iter().cycle());
        seam.iter_mut().zip(rows).for_each(|(seam, bias)| *seam = *bias);
        Self { row, seam }
    }

    /// Where the seam begins.
    #[inline(always)]
    fn seam_column(row: &[T]) -> usize {
        row.len().saturating_sub(31)
    }

    /// Those of a column of the row and of the 31 elements behind it, in this row and the next.
    #[inline(always)]
    fn thirty_two_at(&self, column: usize) -> [T; 32] {
        if let Some(bias) = self.row[column..].first_chunk() {
            return *bias;
        }
        let mut bias = [T::zeroed(); 32];
        bias.copy_from_slice(&self.seam[column - Self::seam_column(self.row)..][..32]);
        bias
    }
}

/// `y = residual + D(x + bias)`.
impl<T: Element> Make<T> for Dropped<&Fused<'_, T>> {
    #[inline(always)]
    fn make<L: Decision, const PAST: bool>(
        &self,
        instructions: impl Instructions,
        at: usize,
        lanes: &[L],
        limit: u32,
        y: &mut [T],
    ) {
        let Fused {
            x,
            ref bias,
            residual,
            column,
        } = *self.of;
        let range = at..at + lanes.len();
        let (x_chunks, x_rest) = x[range.clone()].as_chunks();
        let (y_chunks, y_rest) = y.as_chunks_mut();
        let (lanes_chunks, lanes_rest) = lanes.as_chunks();
        let (residual_chunks, residual_rest) = residual.map(|residual| residual[range].as_chunks()).unzip();
        let row = bias.as_ref().map_or(usize::MAX, |bias| bias.row.len());
        let mut column = (column + at) % row;
        for (i, ((x, y), lanes)) in x_chunks.iter().zip(y_chunks).zip(lanes_chunks).enumerate() {
            let mut sum = T::widened_32(*x, instructions);
            if let Some(bias) = bias {
                sum = instructions.sums(sum, T::widened_32(bias.thirty_two_at(column), instructions));
                column += 32;
                if column >= row {
                    column %= row;
                }
            }
            // Which NaN it makes of one does not matter: a sum is narrowed to the canonical one.
            let kept = L::kept_32(lanes, limit, instructions);
            let mut sum = instructions.dropped_f32(sum, kept, self.scale);
            if let Some(residual) = residual_chunks {
                sum = instructions.sums(sum, T::widened_32(residual[i], instructions));
            }
            store::<T, PAST>(instructions, T::narrowed_32(sum, instructions), y);
        }
        for (i, ((x, y), lane)) in x_rest.iter().zip(y_rest).zip(lanes_rest).enumerate() {
            let bias = bias.as_ref().map(|bias| bias.row[(column + i) % row].widened());
            let sum = bias.map_or(x.widened(), |bias| x.widened() + bias);
            let dropped = if lane.is_kept(limit) { sum * self.scale } else { 0.0 };
            let residual = residual_rest.map(|residual| residual[i].widened());
            *y = T::narrowed(residual.map_or(dropped, |residual| residual + dropped));
        }
    }

    #[inline(always)]
    fn make_alike<const PAST: bool>(&self, instructions: impl Instructions, at: usize, keep: bool, y: &mut [T]) {
        let alike = KeepByte::alike(keep);
        let mut at = at;
        for y in y.chunks_mut(alike.len()) {
            self.make::<KeepByte, PAST>(instructions, at, &alike[..y.len()], 0, y);
            at += y.len();
        }
    }

    #[inline(always)]
    fn fetch(&self, instructions: impl Instructions, at: usize, len: usize) {
        self.of.fetch(instructions, at, len);
    }

    #[inline(always)]
    fn fetch_32(&self, instructions: impl Instructions, at: usize) {
        instructions.fetch_32(self.of.x, at);
        if let Some(residual) = self.of.residual {
            instructions.fetch_32(residual, at);
        }
    }
}

/// The sum of dx over its rows, see [`reference::bias_gradient`](crate::reference::bias_gradient).
///
/// # Errors
///
/// [`SliceError::Rows`] where dx is not whole rows of `dbias`.
///
/// # Examples
///
/// ```
/// let mut dbias = [0.0f32; 3];
/// wgpu_dropout::cpu::bias_gradient(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut dbias)?;
/// assert_eq!(dbias, [5.0, 7.0, 9.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn bias_gradient<T: Element>(dx: &[T], dbias: &mut [T]) -> Result<(), SliceError> {
    let columns = dbias.len();
    check_rows(dx.len(), columns)?;
    if dx.is_empty() {
        dbias.fill(T::zeroed());
        return Ok(());
    }
    let mut sums = partial_sums(dx, columns);
    while sums.len() > columns {
        sums = partial_sums(&sums, columns);
    }
    dbias
        .iter_mut()
        .zip(sums)
        .for_each(|(dbias, sum)| *dbias = T::narrowed(sum));
    Ok(())
}

/// A row for each 64 rows, the last for what is left.
fn partial_sums<T: Element>(dx: &[T], columns: usize) -> Vec<f32> {
    let of_a_sum = ROWS_OF_A_SUM as usize * columns;
    let mut sums = vec![0.0f32; dx.len().div_ceil(of_a_sum) * columns];
    let sums_of_a_task = (TASK / of_a_sum).max(1);
    if dx.len() <= of_a_sum * sums_of_a_task {
        compute(PartialSums {
            dx,
            columns,
            sums: &mut sums,
        });
    } else {
        sums.par_chunks_mut(columns * sums_of_a_task)
            .zip(dx.par_chunks(of_a_sum * sums_of_a_task))
            .for_each(|(sums, dx)| compute(PartialSums { dx, columns, sums }));
    }
    sums
}

/// The sums of 64 rows each, one row after the other.
pub(super) struct PartialSums<'a, T> {
    pub(super) dx: &'a [T],
    pub(super) columns: usize,
    pub(super) sums: &'a mut [f32],
}

impl<T: Element> Compute for PartialSums<'_, T> {
    #[inline(always)]
    fn compute(self, instructions: impl Instructions) {
        let of_a_sum = ROWS_OF_A_SUM as usize * self.columns;
        for (sums, rows) in self.sums.chunks_exact_mut(self.columns).zip(self.dx.chunks(of_a_sum)) {
            let (first, rest) = rows.split_at(self.columns);
            sums.iter_mut().zip(first).for_each(|(sum, dx)| *sum = dx.widened());
            let (sums, sums_rest) = sums.as_chunks_mut();
            for row in rest.chunks_exact(self.columns) {
                let (row, row_rest) = row.as_chunks();
                for (sums, row) in sums.iter_mut().zip(row) {
                    *sums = instructions.sums(*sums, T::widened_32(*row, instructions));
                }
                for (sum, dx) in sums_rest.iter_mut().zip(row_rest) {
                    *sum += dx.widened();
                }
            }
        }
    }
}
