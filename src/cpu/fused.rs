//! Bias, dropout and residual in one pass over memory, and the gradient of the bias (contract section 9).

use rayon::prelude::*;

use super::{Data, Job, Sink, TASK, TILE, training};
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
pub fn forward_fused<'a, T: Element>(
    draw: impl Into<Draw<'a>>,
    x: &[T],
    neighbours: Neighbours<'_, T>,
    y: &mut [T],
) -> Result<(), SliceError> {
    let draw = draw.into();
    neighbours.check(draw, x.len(), y.len())?;
    let scale = training::<T>(draw, x.len(), Data::None).scale;
    // A tensor without a bias is one row.
    let columns = neighbours.bias.map_or(x.len(), <[T]>::len);
    let task = |(n, y): (usize, &mut [T])| {
        let mut keep = [0u8; TILE];
        for (y, at) in y.chunks_mut(TILE).zip((n * TASK..).step_by(TILE)) {
            let keep = &mut keep[..y.len()];
            Job {
                first: at,
                len: y.len(),
                sink: Sink::Bytes(keep),
                ..training::<T>(draw, x.len(), Data::None)
            }
            .run_here();
            let x = &x[at..at + y.len()];
            let residual = neighbours.residual.map(|residual| &residual[at..at + y.len()]);
            let mut start = 0;
            while start < y.len() {
                let column = (at + start) % columns;
                let end = y.len().min(start + columns - column);
                let bias = neighbours.bias.map(|bias| &bias[column..column + end - start]);
                let residual = residual.map(|residual| &residual[start..end]);
                apply_row(
                    &x[start..end],
                    bias,
                    &keep[start..end],
                    scale,
                    residual,
                    &mut y[start..end],
                );
                start = end;
            }
        }
    };
    if y.len() <= TASK {
        task((0, y));
    } else {
        y.par_chunks_mut(TASK).enumerate().for_each(task);
    }
    Ok(())
}

/// Part of a row; all are equally long. One loop for each neighbourhood, for the compiler to vectorise.
fn apply_row<T: Element>(x: &[T], bias: Option<&[T]>, keep: &[u8], scale: f32, residual: Option<&[T]>, y: &mut [T]) {
    let dropped = |x: f32, keep: u8| if keep == 0 { 0.0 } else { x * scale };
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
