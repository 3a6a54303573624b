//! Where the elements of a tensor lie in the random stream: broadcast masks, shards, other memory layouts.
//!
//! One mechanism (contract section 8): a mask stride for each dimension.

use core::ops::Range;

use thiserror::Error;

/// Maps the elements of a tensor, in storage order, to elements of the random stream (contract section 8).
///
/// The element at local index `(i0, ..., ik)` of a tensor of shape `(n0, ..., nk)`, stored row-major, takes
/// the decision of stream element `element_offset + i0 m0 + ... + ik mk`. A stride of 0 shares one decision
/// along its dimension. Dimensions that lie one after the other in the stream, too, are merged, so that a map
/// costs only what it needs.
///
/// Passed along with a [`Dropout`](crate::Dropout) by [`Dropout::over`](crate::Dropout::over).
///
/// # Examples
///
/// Whole feature maps are dropped, the shard of a tensor draws what the whole would have drawn there, and
/// another memory layout keeps the mask on the logical element:
///
/// ```
/// use wgpu_dropout::{Dropout, IndexMap, cpu};
///
/// let dropout = Dropout::new(0.5, 42)?;
/// let shape = [2, 3, 4, 4];
/// let x = [1.0f32; 2 * 3 * 4 * 4];
/// let mut y = [0.0; 96];
/// cpu::forward(dropout.over(&IndexMap::channels(&shape)?), &x, &mut y)?;
/// assert!(y.chunks(16).all(|map| map.iter().all(|&y| y == map[0])));
///
/// // Rows 1 and 2, columns 2 to 4 of a tensor of 4 by 6.
/// let whole = IndexMap::plain(&[4, 6])?;
/// let mut all = [0.0; 24];
/// cpu::forward(dropout.over(&whole), &[1.0f32; 24], &mut all)?;
/// let mut shard = [0.0; 6];
/// cpu::forward(dropout.over(&whole.shard(&[1..3, 2..5])?), &[1.0f32; 6], &mut shard)?;
/// assert_eq!(shard[..3], all[8..11]);
/// assert_eq!(shard[3..], all[14..17]);
///
/// // The same tensor stored column by column.
/// let mut columns = [0.0; 24];
/// cpu::forward(dropout.over(&whole.permuted(&[1, 0])?), &[1.0f32; 24], &mut columns)?;
/// assert_eq!(columns[4 * 5 + 3], all[6 * 3 + 5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexMap {
    /// Stream index of the first element, relative to the call's `element_offset`.
    offset: u64,
    /// Local index at which the elements start: 0 but for a window.
    start: u64,
    dimensions: Vec<Dimension>,
    /// The same with neighbours joined where they can be, and without those of length 1; outermost first.
    merged: Vec<Dimension>,
    elements: u64,
}

/// A dimension of an [`IndexMap`].
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dimension, IndexMap};
///
/// let map = IndexMap::noise_shape(&[8, 3], &[8, 1])?;
/// assert_eq!(map.dimensions(), [Dimension { length: 8, stride: 1 }, Dimension { length: 3, stride: 0 }]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimension {
    /// How many.
    pub length: u64,
    /// Distance of neighbours in the stream; 0 where they share a decision.
    pub stride: u64,
}

/// Not a map.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::IndexMap;
///
/// let error = IndexMap::noise_shape(&[8, 3], &[8, 2]).unwrap_err();
/// assert_eq!(error.to_string(), "noise shape has 2 in dimension 1, where the shape has 3; use 3 or 1");
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexMapError {
    /// Two lists that belong together differ in length.
    #[error("{name} has {actual} entries, but the shape has {dimensions} dimensions; give one for each")]
    Rank {
        /// The list at fault.
        name: &'static str,
        /// Its length.
        actual: usize,
        /// Dimensions of the shape.
        dimensions: usize,
    },
    /// More elements, or an index further out, than 64 bits can count.
    #[error("the shape {shape:?} with mask strides {strides:?} passes 2^64; use smaller lengths or strides")]
    Overflow {
        /// The lengths.
        shape: Vec<u64>,
        /// The strides.
        strides: Vec<u64>,
    },
    /// A noise shape that does not broadcast.
    #[error("noise shape has {noise} in dimension {dimension}, where the shape has {length}; use {length} or 1")]
    NoiseShape {
        /// Which dimension.
        dimension: usize,
        /// What the noise shape has there.
        noise: u64,
        /// What the shape has there.
        length: u64,
    },
    /// A dimension that the shape has not.
    #[error(
        "dimension {dimension} is asked for, but the shape has {dimensions}, counted from 0; give a shape that has it"
    )]
    Dimension {
        /// Which.
        dimension: usize,
        /// How many there are.
        dimensions: usize,
    },
    /// A shard that reaches out of the tensor.
    #[error("{start}..{end} in dimension {dimension} is no range of its {length} entries; stay within 0..{length}")]
    Shard {
        /// Which dimension.
        dimension: usize,
        /// First entry.
        start: u64,
        /// One past the last entry.
        end: u64,
        /// Entries of the dimension.
        length: u64,
    },
    /// A window that reaches out of the tensor.
    #[error(
        "a window of {elements} elements from element {first} on passes the end of a tensor of {available}; end it there"
    )]
    Window {
        /// First element.
        first: u64,
        /// Elements of the window.
        elements: u64,
        /// Elements of the tensor.
        available: u64,
    },
    /// An order that leaves a dimension out or names one twice.
    #[error("{order:?} is no order of the dimensions 0 to {last}; name each once")]
    Order {
        /// The order given.
        order: Vec<usize>,
        /// The last dimension.
        last: usize,
    },
}

impl IndexMap {
    /// A tensor of that shape with those mask strides.
    ///
    /// # Errors
    ///
    /// [`IndexMapError`] where the lists differ in length, or elements or indices pass 2^64.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Dropout, IndexMap, reference};
    ///
    /// // A matrix of 2 by 3 whose element (i, j) takes the decision of stream element 10 i + j.
    /// let (call, map) = (Dropout::new(0.5, 42)?, IndexMap::new(&[2, 3], &[10, 1])?);
    /// assert_eq!(reference::keeps(call.over(&map), 4), reference::keeps(&call, 11));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(shape: &[u64], mask_strides: &[u64]) -> Result<Self, IndexMapError> {
        check_rank("mask_strides", mask_strides.len(), shape)?;
        let dimensions = shape.iter().zip(mask_strides);
        Self::of(
            0,
            dimensions
                .map(|(&length, &stride)| Dimension { length, stride })
                .collect(),
        )
    }

    fn of(offset: u64, dimensions: Vec<Dimension>) -> Result<Self, IndexMapError> {
        let overflow = || IndexMapError::Overflow {
            shape: dimensions.iter().map(|dimension| dimension.length).collect(),
            strides: dimensions.iter().map(|dimension| dimension.stride).collect(),
        };
        let elements = dimensions
            .iter()
            .try_fold(1u64, |product, dimension| product.checked_mul(dimension.length));
        // A length of 0 makes the tensor empty, however long the others are.
        let is_empty = dimensions.iter().any(|dimension| dimension.length == 0);
        let elements = if is_empty { 0 } else { elements.ok_or_else(overflow)? };
        if !is_empty {
            dimensions
                .iter()
                .try_fold(offset, |last, dimension| {
                    last.checked_add((dimension.length - 1).checked_mul(dimension.stride)?)
                })
                .ok_or_else(overflow)?;
        }
        let mut merged: Vec<Dimension> = Vec::new();
        for &inner in dimensions.iter().filter(|dimension| dimension.length != 1) {
            match merged.last_mut() {
                // One step outside is as far as all of the inside.
                Some(outer) if inner.length.checked_mul(inner.stride) == Some(outer.stride) => {
                    *outer = Dimension {
                        length: outer.length.saturating_mul(inner.length),
                        stride: inner.stride,
                    };
                }
                _ => merged.push(inner),
            }
        }
        Ok(Self {
            offset,
            start: 0,
            dimensions,
            merged,
            elements,
        })
    }

    /// Every element has a decision of its own, in row-major order: what a call without a map does.
    ///
    /// # Errors
    ///
    /// [`IndexMapError::Overflow`].
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::IndexMap;
    ///
    /// let map = IndexMap::plain(&[2, 3, 4])?;
    /// assert_eq!(map.elements(), 24);
    /// assert_eq!(map.merged().len(), 1); // as one run of the stream
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn plain(shape: &[u64]) -> Result<Self, IndexMapError> {
        Self::noise_shape(shape, shape)
    }

    /// The mask has its own shape, which is broadcast: each length is the tensor's or 1 (Keras' `noise_shape`).
    ///
    /// # Errors
    ///
    /// [`IndexMapError`] where the noise shape does not broadcast to the shape, or elements pass 2^64.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Dropout, IndexMap, cpu};
    ///
    /// // One decision for each sample and feature, shared by the steps between them.
    /// let map = IndexMap::noise_shape(&[2, 5, 3], &[2, 1, 3])?;
    /// let y = cpu::forward_to_vec(Dropout::new(0.5, 42)?.over(&map), &[1.0f32; 30])?;
    /// assert!(y.chunks(15).all(|sample| sample.chunks(3).all(|step| step == &sample[..3])));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn noise_shape(shape: &[u64], noise_shape: &[u64]) -> Result<Self, IndexMapError> {
        check_rank("noise_shape", noise_shape.len(), shape)?;
        let mut strides = vec![0; shape.len()];
        let mut stride = Some(1u64);
        for (dimension, (&length, &noise)) in shape.iter().zip(noise_shape).enumerate().rev() {
            if noise == length {
                // A stride that passes 2^64 is an error only where it is used.
                strides[dimension] = if length == 1 { 0 } else { stride.unwrap_or(u64::MAX) };
                stride = stride.and_then(|stride| stride.checked_mul(length));
            } else if noise != 1 {
                return Err(IndexMapError::NoiseShape {
                    dimension,
                    noise,
                    length,
                });
            }
        }
        Self::new(shape, &strides)
    }

    /// Whole channels are dropped: one decision for each sample and channel of `(samples, channels, ...)`,
    /// shared over what follows (Dropout1d, Dropout2d and Dropout3d of feature maps).
    ///
    /// # Errors
    ///
    /// [`IndexMapError::Dimension`] for less than two dimensions; [`IndexMapError::Overflow`].
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::IndexMap;
    ///
    /// // Dropout2d of 8 samples with 64 channels.
    /// assert_eq!(IndexMap::channels(&[8, 64, 32, 32])?, IndexMap::noise_shape(&[8, 64, 32, 32], &[8, 64, 1, 1])?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn channels(shape: &[u64]) -> Result<Self, IndexMapError> {
        Self::shared_from(shape, 2)
    }

    /// Whole samples are dropped: one decision for each entry of dimension 0 (drop path, stochastic depth).
    ///
    /// # Errors
    ///
    /// [`IndexMapError::Dimension`] for no dimension at all; [`IndexMapError::Overflow`].
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::IndexMap;
    ///
    /// assert_eq!(IndexMap::drop_path(&[8, 197, 768])?, IndexMap::noise_shape(&[8, 197, 768], &[8, 1, 1])?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drop_path(shape: &[u64]) -> Result<Self, IndexMapError> {
        Self::shared_from(shape, 1)
    }

    /// One decision for each entry of the dimensions before `first`.
    fn shared_from(shape: &[u64], first: usize) -> Result<Self, IndexMapError> {
        if shape.len() < first {
            return Err(IndexMapError::Dimension {
                dimension: first - 1,
                dimensions: shape.len(),
            });
        }
        let mut noise = vec![1; shape.len()];
        noise[..first].copy_from_slice(&shape[..first]);
        Self::noise_shape(shape, &noise)
    }

    /// The same mask along one dimension, say over time (variational dropout of recurrent nets).
    ///
    /// # Errors
    ///
    /// [`IndexMapError::Dimension`] where the shape has no such dimension; [`IndexMapError::Overflow`].
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::IndexMap;
    ///
    /// // 20 steps of 8 sequences with 256 features.
    /// assert_eq!(IndexMap::same_over(&[20, 8, 256], 0)?, IndexMap::noise_shape(&[20, 8, 256], &[1, 8, 256])?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn same_over(shape: &[u64], dimension: usize) -> Result<Self, IndexMapError> {
        let mut noise = shape.to_vec();
        *noise.get_mut(dimension).ok_or(IndexMapError::Dimension {
            dimension,
            dimensions: shape.len(),
        })? = 1;
        Self::noise_shape(shape, &noise)
    }

    /// The part of this tensor in those ranges, one for each dimension, stored on its own: it draws what the
    /// whole draws there.
    ///
    /// # Errors
    ///
    /// [`IndexMapError`] where there is not one range inside the tensor for each dimension.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Dropout, IndexMap, reference};
    ///
    /// let (call, whole) = (Dropout::new(0.5, 42)?, IndexMap::plain(&[4, 6])?);
    /// let right_half = whole.shard(&[0..4, 3..6])?;
    /// // Its element (1, 0) is the whole tensor's (1, 3).
    /// assert_eq!(reference::keeps(call.over(&right_half), 3), reference::keeps(call.over(&whole), 9));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shard(&self, ranges: &[Range<u64>]) -> Result<Self, IndexMapError> {
        check_rank("ranges", ranges.len(), &self.dimensions)?;
        let mut offset = self.offset;
        let mut dimensions = self.dimensions.clone();
        for (n, (dimension, range)) in dimensions.iter_mut().zip(ranges).enumerate() {
            let length = dimension.length;
            if range.start > range.end || range.end > length {
                return Err(IndexMapError::Shard {
                    dimension: n,
                    start: range.start,
                    end: range.end,
                    length,
                });
            }
            dimension.length = range.end - range.start;
            // The corner lies inside unless the shard is empty, when it does not matter.
            offset = offset.wrapping_add(range.start.wrapping_mul(dimension.stride));
        }
        Self::of(offset, dimensions)
    }

    /// The same tensor stored with its dimensions in another order, outermost first: `[0, 2, 3, 1]` takes
    /// `(samples, channels, height, width)` to `(samples, height, width, channels)`.
    ///
    /// # Errors
    ///
    /// [`IndexMapError::Order`] where the order does not name each dimension once.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Dropout, IndexMap, reference};
    ///
    /// let (call, rows) = (Dropout::new(0.5, 42)?, IndexMap::plain(&[4, 6])?);
    /// let columns = rows.permuted(&[1, 0])?;
    /// // Element (2, 5) in either order of storage.
    /// assert_eq!(reference::keeps(call.over(&columns), 5 * 4 + 2), reference::keeps(call.over(&rows), 2 * 6 + 5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn permuted(&self, order: &[usize]) -> Result<Self, IndexMapError> {
        let mut named = vec![false; self.dimensions.len()];
        let is_order = order.len() == named.len()
            && order
                .iter()
                .all(|&n| named.get_mut(n).is_some_and(|named| !core::mem::replace(named, true)));
        if !is_order {
            return Err(IndexMapError::Order {
                order: order.to_vec(),
                last: self.dimensions.len().saturating_sub(1),
            });
        }
        Self::of(self.offset, order.iter().map(|&n| self.dimensions[n]).collect())
    }

    /// Elements `[first, first + elements)` of this tensor in storage order: a page of it, or what one of several
    /// buffers holds.
    ///
    /// Take it last: a shard or another order of the result is one of the whole tensor.
    ///
    /// # Errors
    ///
    /// [`IndexMapError::Window`] where the tensor has not so many.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Dropout, IndexMap, reference};
    ///
    /// let (call, whole) = (Dropout::new(0.5, 42)?, IndexMap::channels(&[8, 64, 100])?);
    /// let page = whole.window(7000, 1000)?;
    /// assert_eq!(reference::keeps(call.over(&page), 5), reference::keeps(call.over(&whole), 7005));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn window(&self, first: u64, elements: u64) -> Result<Self, IndexMapError> {
        if first.checked_add(elements).is_none_or(|end| end > self.elements) {
            return Err(IndexMapError::Window {
                first,
                elements,
                available: self.elements,
            });
        }
        Ok(self.part(first, elements))
    }

    /// A window inside the tensor.
    pub(crate) fn part(&self, first: u64, elements: u64) -> Self {
        Self {
            start: self.start + first,
            elements,
            ..self.clone()
        }
    }

    /// Elements of the tensor.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::IndexMap;
    ///
    /// assert_eq!(IndexMap::new(&[4, 6], &[0, 1])?.elements(), 24);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.elements
    }

    /// Stream index of the first element, relative to the call's `element_offset`; 0 where there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::IndexMap;
    ///
    /// let shard = IndexMap::plain(&[4, 6])?.shard(&[1..3, 2..5])?;
    /// assert_eq!(shard.offset(), 8); // of element (1, 2)
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn offset(&self) -> u64 {
        if self.elements == 0 { 0 } else { self.index(0) }
    }

    /// The dimensions as they were given, outermost first.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::IndexMap;
    ///
    /// let strides: Vec<u64> = IndexMap::plain(&[2, 3, 4])?.dimensions().iter().map(|d| d.stride).collect();
    /// assert_eq!(strides, [12, 4, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    /// The fewest dimensions that say the same, outermost first: what kernels work with.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Dimension, IndexMap};
    ///
    /// let map = IndexMap::channels(&[8, 64, 32, 32])?;
    /// assert_eq!(map.merged(), [Dimension { length: 512, stride: 1 }, Dimension { length: 1024, stride: 0 }]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn merged(&self) -> &[Dimension] {
        &self.merged
    }

    /// Stream index of local element `i`, which exists, relative to the call's `element_offset`.
    pub(crate) fn index(&self, i: u64) -> u64 {
        self.coordinates(i).fold(self.offset, |index, (dimension, coordinate)| {
            index + coordinate * dimension.stride
        })
    }

    /// The merged dimensions, innermost first, each with the coordinate of local element `i`.
    pub(crate) fn coordinates(&self, i: u64) -> impl Iterator<Item = (Dimension, u64)> {
        self.merged.iter().rev().scan(self.start + i, |rest, &dimension| {
            let coordinate = *rest % dimension.length;
            *rest /= dimension.length;
            Some((dimension, coordinate))
        })
    }

    /// Where the elements follow each other in the stream, as they do without a map.
    pub(crate) fn is_contiguous(&self) -> bool {
        matches!(self.merged[..], [] | [Dimension { stride: 1, .. }])
    }

    /// The runs of the innermost dimension, from local element `i` on.
    pub(crate) fn runs(&self, i: u64) -> Runs<'_> {
        Runs {
            merged: &self.merged,
            at: self.coordinates(i).map(|(_, coordinate)| coordinate).collect(),
            index: self.index(i),
        }
    }

    /// The map of rows, as their first elements have it: its runs from the row of local element `i` on, and their dimension.
    pub(crate) fn runs_of_rows(&self, i: u64) -> (Runs<'_>, Dimension) {
        let rows = self.merged.split_last().map_or(&[][..], |(_, rows)| rows);
        let runs = Runs {
            merged: rows,
            at: self.coordinates(i).skip(1).map(|(_, coordinate)| coordinate).collect(),
            index: self.index(i),
        };
        (runs, rows.last().copied().unwrap_or(Dimension { length: 1, stride: 0 }))
    }

    /// The greatest stream index of the tensor (the whole one, of a window) that has elements, relative to the
    /// call's `element_offset`.
    pub(crate) fn last(&self) -> u64 {
        let last = |dimension: &Dimension| (dimension.length - 1) * dimension.stride;
        self.offset + self.merged.iter().map(last).sum::<u64>()
    }
}

/// Goes through a map run by run, in storage order, and begins anew after the last one.
#[derive(Debug)]
pub(crate) struct Runs<'a> {
    merged: &'a [Dimension],
    /// Coordinates of the next run's first element, innermost first.
    at: Vec<u64>,
    index: u64,
}

impl Runs<'_> {
    /// Stream index of the next run's first element, and how long the run is.
    pub(crate) fn next_run(&mut self) -> (u64, u64) {
        let first = self.index;
        let mut places = self.merged.iter().rev().zip(&mut self.at);
        let Some((inner, coordinate)) = places.next() else {
            return (first, 1);
        };
        let length = inner.length - *coordinate;
        // Back to the start of the row, and a step in the next dimension out. What passes 2^64 comes back.
        self.index = self.index.wrapping_sub(coordinate.wrapping_mul(inner.stride));
        *coordinate = 0;
        for (dimension, coordinate) in places {
            *coordinate += 1;
            self.index = self.index.wrapping_add(dimension.stride);
            if *coordinate < dimension.length {
                break;
            }
            self.index = self.index.wrapping_sub(coordinate.wrapping_mul(dimension.stride));
            *coordinate = 0;
        }
        (first, length)
    }
}

fn check_rank<T>(name: &'static str, actual: usize, shape: &[T]) -> Result<(), IndexMapError> {
    if actual == shape.len() {
        return Ok(());
    }
    Err(IndexMapError::Rank {
        name,
        actual,
        dimensions: shape.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dropout;

    fn merged(map: &IndexMap) -> Vec<(u64, u64)> {
        map.merged().iter().map(|d| (d.length, d.stride)).collect()
    }

    #[test]
    fn constructors_have_their_strides() {
        let strides = |map: &IndexMap| map.dimensions().iter().map(|d| d.stride).collect::<Vec<_>>();
        let shape = [2, 3, 4, 5];
        assert_eq!(strides(&IndexMap::plain(&shape).unwrap()), [60, 20, 5, 1]);
        assert_eq!(strides(&IndexMap::channels(&shape).unwrap()), [3, 1, 0, 0]);
        assert_eq!(strides(&IndexMap::drop_path(&shape).unwrap()), [1, 0, 0, 0]);
        // No more dimensions than they name.
        assert_eq!(strides(&IndexMap::channels(&[2, 3]).unwrap()), [3, 1]);
        assert_eq!(strides(&IndexMap::drop_path(&[2]).unwrap()), [1]);
        assert_eq!(strides(&IndexMap::same_over(&shape, 1).unwrap()), [20, 0, 5, 1]);
        assert_eq!(
            strides(&IndexMap::noise_shape(&shape, &[1, 3, 1, 5]).unwrap()),
            [0, 5, 0, 1]
        );
        let channels_last = IndexMap::plain(&shape).unwrap().permuted(&[0, 2, 3, 1]).unwrap();
        assert_eq!(strides(&channels_last), [60, 5, 1, 20]);
        let shard = IndexMap::plain(&shape)
            .unwrap()
            .shard(&[1..2, 0..3, 1..3, 2..5])
            .unwrap();
        assert_eq!((shard.offset(), shard.elements()), (60 + 5 + 2, 18));
    }

    #[test]
    fn dimensions_that_can_be_merged_are() {
        let shape = [2, 3, 4, 5];
        assert_eq!(merged(&IndexMap::plain(&shape).unwrap()), [(120, 1)]);
        assert_eq!(merged(&IndexMap::channels(&shape).unwrap()), [(6, 1), (20, 0)]);
        assert_eq!(merged(&IndexMap::drop_path(&[6, 1, 10]).unwrap()), [(6, 1), (10, 0)]);
        assert_eq!(
            merged(&IndexMap::same_over(&shape, 1).unwrap()),
            [(2, 20), (3, 0), (20, 1)]
        );
        assert_eq!(merged(&IndexMap::plain(&[1, 1]).unwrap()), []);
        let rows = IndexMap::plain(&[9, 32]).unwrap().shard(&[3..6, 0..32]).unwrap();
        assert_eq!(merged(&rows), [(96, 1)]);
        // Which of them the plain kernels draw.
        assert!(rows.is_contiguous() && IndexMap::plain(&[1, 1]).unwrap().is_contiguous());
        assert!(!IndexMap::channels(&shape).unwrap().is_contiguous());
        assert!(!IndexMap::new(&[4], &[2]).unwrap().is_contiguous());
    }

    #[test]
    fn indices_are_those_of_the_formula() {
        let map = IndexMap::new(&[3, 4, 2, 5], &[7, 0, 1000, 3]).unwrap();
        let mut i = 0;
        for a in 0..3 {
            for _ in 0..4 {
                for c in 0..2 {
                    for d in 0..5 {
                        assert_eq!(map.index(i), a * 7 + c * 1000 + d * 3);
                        i += 1;
                    }
                }
            }
        }
        assert_eq!(map.last(), 2 * 7 + 1000 + 4 * 3);
    }

    #[test]
    fn runs_follow_each_other() {
        let maps = [
            IndexMap::new(&[3, 4, 2, 5], &[7, 0, 1000, 3]).unwrap(),
            IndexMap::new(&[2, 3], &[1 << 63, 7]).unwrap(),
            IndexMap::new(&[6, 2], &[0, 1]).unwrap(),
            IndexMap::new(&[5], &[1]).unwrap(),
            IndexMap::new(&[1, 1], &[9, 9]).unwrap(),
        ];
        for map in &maps {
            let stride = map.merged().last().map_or(0, |inner| inner.stride);
            for first in 0..map.elements() {
                let (mut runs, mut i) = (map.runs(first), first);
                while i < map.elements() {
                    let (index, length) = runs.next_run();
                    for n in 0..length {
                        assert_eq!(index + n * stride, map.index(i + n), "{map:?} from {first}");
                    }
                    i += length;
                }
                assert_eq!(i, map.elements());
            }
        }
    }

    #[test]
    fn windows_are_parts_in_storage_order() {
        let map = IndexMap::new(&[3, 4, 2, 5], &[7, 0, 1000, 3]).unwrap();
        let window = map.window(17, 50).unwrap();
        assert_eq!((window.elements(), window.offset()), (50, map.index(17)));
        for i in 0..50 {
            assert_eq!(window.index(i), map.index(17 + i));
        }
        assert_eq!(window.window(9, 41).unwrap(), map.window(26, 41).unwrap());
        assert!(window.window(10, 41).is_err());
    }

    #[test]
    fn what_is_no_map_is_an_error() {
        let plain = IndexMap::plain(&[4, 6]).unwrap();
        let messages = [
            IndexMap::new(&[2, 3], &[1]).unwrap_err(),
            IndexMap::new(&[1 << 33, 1 << 33], &[0, 0]).unwrap_err(),
            IndexMap::new(&[3], &[1 << 63]).unwrap_err(),
            IndexMap::noise_shape(&[2, 3], &[2, 2]).unwrap_err(),
            IndexMap::channels(&[2]).unwrap_err(),
            IndexMap::same_over(&[2, 3], 2).unwrap_err(),
            plain.shard(&[0..5, 0..6]).unwrap_err(),
            plain.shard(&[]).unwrap_err(),
            plain.permuted(&[0, 0]).unwrap_err(),
            plain.window(20, 5).unwrap_err(),
        ]
        .map(|error| error.to_string());
        assert_eq!(
            messages,
            [
                "mask_strides has 1 entries, but the shape has 2 dimensions; give one for each",
                "the shape [8589934592, 8589934592] with mask strides [0, 0] passes 2^64; use smaller lengths or strides",
                "the shape [3] with mask strides [9223372036854775808] passes 2^64; use smaller lengths or strides",
                "noise shape has 2 in dimension 1, where the shape has 3; use 3 or 1",
                "dimension 1 is asked for, but the shape has 1, counted from 0; give a shape that has it",
                "dimension 2 is asked for, but the shape has 2, counted from 0; give a shape that has it",
                "0..5 in dimension 0 is no range of its 4 entries; stay within 0..4",
                "ranges has 0 entries, but the shape has 2 dimensions; give one for each",
                "[0, 0] is no order of the dimensions 0 to 1; name each once",
                "a window of 5 elements from element 20 on passes the end of a tensor of 24; end it there",
            ]
        );
        // Nothing is in an empty tensor, so nothing overflows.
        let empty = IndexMap::new(&[0, u64::MAX, u64::MAX], &[u64::MAX; 3]).unwrap();
        assert_eq!(empty.elements(), 0);
    }

    #[test]
    fn to_the_last_index() {
        let dropout = Dropout::new(0.5, 0).unwrap();
        let map = IndexMap::new(&[2, 2], &[u64::MAX - 1, 1]).unwrap();
        assert!(dropout.over(&map).check(4).is_ok());
        assert!(dropout.with_element_offset(1).over(&map).check(4).is_err());
        let map = IndexMap::new(&[2], &[7]).unwrap();
        assert!(dropout.with_element_offset(u64::MAX - 7).over(&map).check(2).is_ok());
        assert!(dropout.with_element_offset(u64::MAX - 6).over(&map).check(2).is_err());
        assert_eq!(
            dropout.over(&map).check(3).unwrap_err().to_string(),
            "3 elements, but the index map has 2; give the tensor that the map describes"
        );
    }
}
