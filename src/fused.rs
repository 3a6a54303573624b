//! What stands beside dropout in a layer and is done in the same pass over memory (contract section 9).

use crate::error::check_length;
use crate::{Draw, SliceError};

/// The neighbours of a dropout: `y = residual + D(x + bias)`; what is `None` is left out.
///
/// # Shapes
///
/// `bias` has as many elements as a row, the innermost dimension of x; `residual` has x's shape.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, Neighbours, cpu};
///
/// let (x, residual, mut y) = ([1.0f32; 4], [10.0, 20.0, 30.0, 40.0], [0.0; 4]);
/// let neighbours = Neighbours { bias: None, residual: Some(&residual) };
/// cpu::forward_fused(&Dropout::new(1.0, 42)?, &x, neighbours, &mut y)?;
/// assert_eq!(y, residual); // everything else was dropped
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbours<'a, T> {
    /// Added to each row before the dropout.
    pub bias: Option<&'a [T]>,
    /// Added to what the dropout leaves.
    pub residual: Option<&'a [T]>,
}

impl<T> Neighbours<'_, T> {
    /// Checks the call and everybody's length.
    pub(crate) fn check(&self, draw: Draw<'_>, elements: usize, output: usize) -> Result<(), SliceError> {
        let elements_u64 = elements as u64;
        draw.check(elements_u64)?;
        check_length("y", "elements", elements_u64, elements_u64, output)?;
        if let Some(residual) = self.residual {
            check_length("residual", "elements", elements_u64, elements_u64, residual.len())?;
        }
        self.bias.map_or(Ok(()), |bias| check_rows(elements, bias.len()))
    }
}

/// Checks that so many elements are whole rows of so many columns.
pub(crate) const fn check_rows(elements: usize, columns: usize) -> Result<(), SliceError> {
    let is_whole = match columns {
        0 => elements == 0,
        _ => elements.is_multiple_of(columns),
    };
    if is_whole {
        return Ok(());
    }
    Err(SliceError::Rows {
        elements: elements as u64,
        columns: columns as u64,
    })
}

/// Rows that are summed one after the other into one of the bias gradient (contract section 9), and partial sums likewise.
pub(crate) const ROWS_OF_A_SUM: u64 = 64;
