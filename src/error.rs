//! What can be wrong with a call over slices.

use thiserror::Error;

use crate::OffsetOverflow;

/// A call over host slices that was refused before anything was written.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, cpu};
///
/// let mut y = [7.0; 3];
/// let error = cpu::forward(&Dropout::new(0.1, 42)?, &[1.0f32; 4], &mut y).unwrap_err();
/// assert_eq!(error.to_string(), "y has 3 elements, but 4 elements need exactly 4; resize it");
/// assert_eq!(y, [7.0; 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SliceError {
    /// Two slices that belong together differ in length.
    #[error("{name} has {actual} {unit}, but {elements} elements need exactly {expected}; resize it")]
    Length {
        /// The slice at fault.
        name: &'static str,
        /// What its length counts.
        unit: &'static str,
        /// Elements of the call: the length of the input.
        elements: u64,
        /// The length it must have.
        expected: u64,
        /// The length it has.
        actual: u64,
    },
    /// The elements run past global index 2^64.
    #[error(transparent)]
    Offset(#[from] OffsetOverflow),
    /// The tensor is not the one that the index map describes.
    #[error("{elements} elements, but the index map has {expected}; give the tensor that the map describes")]
    Map {
        /// Elements of the call.
        elements: u64,
        /// Elements of the map.
        expected: u64,
    },
    /// There is not one seed for each stretch of the tensor.
    #[error(
        "{elements} elements, but {seeds} seeds of {elements_per_seed} elements each; the two must \
         multiply to the tensor's elements"
    )]
    Seeds {
        /// Elements of the call.
        elements: u64,
        /// Seeds given.
        seeds: u64,
        /// Elements that share a seed.
        elements_per_seed: u64,
    },
    /// A tensor is not whole rows of a bias.
    #[error("{elements} elements are no whole rows of {columns}, the bias' length; give a bias as long as a row")]
    Rows {
        /// Elements of the tensor.
        elements: u64,
        /// Elements of the bias.
        columns: u64,
    },
    /// Memory for an output, or for a copy of a part of the input, could not be had.
    #[error("no memory for {elements} elements, {bytes} bytes; work in place or in smaller pieces")]
    OutOfMemory {
        /// Elements of the tensor or the part.
        elements: u64,
        /// Its bytes.
        bytes: u64,
    },
}

/// Checks that a slice that goes with `elements` elements has `expected` items.
pub(crate) const fn check_length(
    name: &'static str,
    unit: &'static str,
    elements: u64,
    expected: u64,
    actual: usize,
) -> Result<(), SliceError> {
    if actual as u64 == expected {
        return Ok(());
    }
    Err(SliceError::Length {
        name,
        unit,
        elements,
        expected,
        actual: actual as u64,
    })
}
