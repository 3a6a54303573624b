//! Bias, dropout and residual in one pass over memory, and the gradient of the bias (contract section 9).

use rayon::prelude::*;

use super::job::{Data, training};
use super::words::{Instructions, READ};
use crate::fused::{Neighbours, check_rows, rows_of_a_partial_sum};
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
    /// The whole bias, and the residual of this part.
    neighbours: Neighbours<'a, T>,
    /// Of the part's first element.
    column: usize,
}

impl<'a, T: Element> Fused<'a, T> {
    pub(super) fn new(x: &'a [T], neighbours: Neighbours<'a, T>) -> Self {
        Self {
            x,
            neighbours,
            column: 0,
        }
    }

    pub(super) fn split_at(self, middle: usize) -> (Self, Self) {
        let Neighbours { bias, residual } = self.neighbours;
        let (x, x_rest) = self.x.split_at(middle);
        let (residual, residual_rest) = residual.map(|residual| residual.split_at(middle)).unzip();
        let part = Self {
            x,
            neighbours: Neighbours { bias, residual },
            column: self.column,
        };
        let rest = Self {
            x: x_rest,
            neighbours: Neighbours {
                bias,
                residual: residual_rest,
            },
            column: bias.map_or(0, |bias| (self.column + middle) % bias.len()),
        };
        (part, rest)
    }

    #[inline(always)]
    pub(super) fn fetch(&self, instructions: impl Instructions, at: usize, len: usize) {
        instructions.fetch::<READ, _>(self.x, at, len);
        if let Some(residual) = self.neighbours.residual {
            instructions.fetch::<READ, _>(residual, at, len);
        }
    }

    /// Elements `[at, at + y.len())`, row by row.
    #[inline(always)]
    pub(super) fn apply(&self, instructions: impl Instructions, at: usize, keep: &[u8], scale: f32, y: &mut [T]) {
        let x = &self.x[at..at + y.len()];
        let residual = self.neighbours.residual.map(|residual| &residual[at..at + y.len()]);
        let Some(bias) = self.neighbours.bias else {
            return apply_row(instructions, x, None, keep, scale, residual, y);
        };
        let mut column = (self.column + at) % bias.len();
        let mut start = 0;
        while start < y.len() {
            let end = y.len().min(start + bias.len() - column);
            let bias = &bias[column..column + end - start];
            let residual = residual.map(|residual| &residual[start..end]);
            let (x, keep) = (&x[start..end], &keep[start..end]);
            apply_row(instructions, x, Some(bias), keep, scale, residual, &mut y[start..end]);
            (start, column) = (end, 0);
        }
    }
}

/// Part of a row; all are equally long.
#[inline(always)]
fn apply_row<T: Element>(
    instructions: impl Instructions,
    x: &[T],
    bias: Option<&[T]>,
    keep: &[u8],
    scale: f32,
    residual: Option<&[T]>,
    y: &mut [T],
) {
    let whole = if T::CONVERTED_BY_32 { y.len() / 32 * 32 } else { 0 };
    for at in (0..whole).step_by(32) {
        let wide = |elements: &[T]| elements[at..].first_chunk().map(|x| T::widened_32(*x, instructions));
        let (Some(mut sum), Some(y)) = (wide(x), y[at..].first_chunk_mut()) else {
            return; // not reached: there are 32
        };
        if let Some(bias) = bias.and_then(wide) {
            sum.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += bias);
        }
        for (sum, &keep) in sum.iter_mut().zip(&keep[at..at + 32]) {
            *sum = dropped(*sum, keep, scale);
        }
        if let Some(residual) = residual.and_then(wide) {
            sum.iter_mut()
                .zip(residual)
                .for_each(|(sum, residual)| *sum += residual);
        }
        *y = T::narrowed_32(sum, instructions);
    }
    let (bias, residual) = (
        bias.map(|bias| &bias[whole..]),
        residual.map(|residual| &residual[whole..]),
    );
    apply_each(&x[whole..], bias, &keep[whole..], scale, residual, &mut y[whole..]);
}

#[inline(always)]
fn dropped(x: f32, keep: u8, scale: f32) -> f32 {
    if keep == 0 { 0.0 } else { x * scale }
}

/// One loop for each neighbourhood, for the compiler to vectorise.
#[inline(always)]
fn apply_each<T: Element>(x: &[T], bias: Option<&[T]>, keep: &[u8], scale: f32, residual: Option<&[T]>, y: &mut [T]) {
    let dropped = |x: f32, keep: u8| dropped(x, keep, scale);
    let each = x.iter().zip(keep).zip(y);
    match (bias, residual) {
        (None, None) => each.for_each(|((x, &keep), y)| *y = T::narrowed(dropped(x.widened(), keep))),
        (Some(bias), None) => each.zip(bias).for_each(|(((x, &keep), y), bias)| {
            *y = T::narrowed(dropped(x.widened() + bias.widened(), keep));
        }),
        (None, Some(residual)) => each.zip(residual).for_each(|(((x, &keep), y), residual)| {
            *y = T::narrowed(residual.widened() + dropped(x.widened(), keep));
        }),
        (Some(bias), Some(residual)) => each
            .zip(bias)
            .zip(residual)
            .for_each(|((((x, &keep), y), bias), residual)| {
                *y = T::narrowed(residual.widened() + dropped(x.widened() + bias.widened(), keep));
            }),
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
    let rows = rows_of_a_partial_sum((dx.len() / columns) as u64) as usize;
    let mut sums = vec![0.0f32; dx.len().div_ceil(rows * columns) * columns];
    sums.par_chunks_mut(columns)
        .zip(dx.par_chunks(rows * columns))
        .for_each(|(sums, dx)| {
            let (first, rest) = dx.split_at(columns);
            sums.iter_mut().zip(first).for_each(|(sum, dx)| *sum = dx.widened());
            for row in rest.chunks_exact(columns) {
                sums.iter_mut().zip(row).for_each(|(sum, dx)| *sum += dx.widened());
            }
        });
    let (sum, rest) = sums.split_at_mut(columns);
    for partial in rest.chunks_exact(columns) {
        sum.iter_mut().zip(partial).for_each(|(sum, partial)| *sum += partial);
    }
    dbias
        .iter_mut()
        .zip(sum)
        .for_each(|(dbias, sum)| *dbias = T::narrowed(*sum));
    Ok(())
}
