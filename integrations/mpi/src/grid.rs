//! Which rank has which part of a tensor: arithmetic, no communication.

use core::ops::Range;

use thiserror::Error;
use wgpu_dropout::{IndexMap, IndexMapError};

/// A tensor cut along its dimensions, one part a rank.
///
/// Ranks are numbered as the parts are, the last dimension first. Where a length can't be cut evenly, parts differ by
/// one; where there are more parts than length, some are empty.
///
/// # Examples
///
/// ```
/// use wgpu_dropout_mpi::Grid;
///
/// // A matrix of 5 x 8 over 2 x 2 ranks.
/// let grid = Grid::new(&[5, 8], &[2, 2])?;
/// assert_eq!(grid.shard(1)?.ranges(), [0..2, 4..8]);
/// assert_eq!(grid.shard(2)?.ranges(), [2..5, 0..4]);
/// # Ok::<(), wgpu_dropout_mpi::GridError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    shape: Vec<u64>,
    parts: Vec<u64>,
    ranks: u64,
    whole: IndexMap,
}

/// A rank's part of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    ranges: Vec<Range<u64>>,
    strides: Vec<u64>,
    map: IndexMap,
}

/// A tensor can't be cut so.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum GridError {
    /// Not one number of parts for each dimension.
    #[error("{parts} numbers of parts for {dimensions} dimensions; give one each, 1 where a dimension is not cut")]
    Rank {
        /// Numbers of parts given.
        parts: usize,
        /// Dimensions of the tensor.
        dimensions: usize,
    },
    /// A dimension in no parts.
    #[error("dimension {dimension} is cut into 0 parts; 1 leaves it whole")]
    NoParts {
        /// Which one.
        dimension: usize,
    },
    /// More ranks than there are numbers.
    #[error("the parts of all dimensions are more than 2^64")]
    TooManyParts,
    /// There is no such rank.
    #[error("rank {rank} of a grid for {ranks}; run as many processes as there are parts")]
    NoSuchRank {
        /// The rank asked for.
        rank: u64,
        /// Ranks of the grid.
        ranks: u64,
    },
    /// The tensor has no index map.
    #[error(transparent)]
    Map(#[from] IndexMapError),
}

impl Grid {
    /// A row-major tensor of that shape, each dimension cut into so many parts.
    ///
    /// # Errors
    ///
    /// [`GridError`] where there is not one positive number of parts for each dimension, or the tensor passes 2^64
    /// elements.
    pub fn new(shape: &[u64], parts: &[u64]) -> Result<Self, GridError> {
        if parts.len() != shape.len() {
            return Err(GridError::Rank {
                parts: parts.len(),
                dimensions: shape.len(),
            });
        }
        if let Some(dimension) = parts.iter().position(|&parts| parts == 0) {
            return Err(GridError::NoParts { dimension });
        }
        let ranks = parts.iter().try_fold(1u64, |ranks, &parts| ranks.checked_mul(parts));
        Ok(Self {
            shape: shape.to_vec(),
            parts: parts.to_vec(),
            ranks: ranks.ok_or(GridError::TooManyParts)?,
            whole: IndexMap::plain(shape)?,
        })
    }

    /// Ranks that there are parts for.
    #[must_use]
    pub fn ranks(&self) -> u64 {
        self.ranks
    }

    /// Elements of the whole tensor.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.whole.elements()
    }

    /// A rank's part.
    ///
    /// # Errors
    ///
    /// [`GridError::NoSuchRank`] where the grid has not so many.
    pub fn shard(&self, rank: u64) -> Result<Shard, GridError> {
        if rank >= self.ranks {
            return Err(GridError::NoSuchRank {
                rank,
                ranks: self.ranks,
            });
        }
        let mut rest = rank;
        let mut ranges: Vec<_> = self
            .shape
            .iter()
            .zip(&self.parts)
            .rev()
            .map(|(&length, &parts)| {
                let part = rest % parts;
                rest /= parts;
                // Below the length, so it fits.
                let cut = |part: u64| (u128::from(part) * u128::from(length) / u128::from(parts)) as u64;
                cut(part)..cut(part + 1)
            })
            .collect();
        ranges.reverse();
        Ok(Shard {
            map: self.whole.shard(&ranges)?,
            strides: self
                .whole
                .dimensions()
                .iter()
                .map(|dimension| dimension.stride)
                .collect(),
            ranges,
        })
    }
}

impl Shard {
    /// Where it lies in the whole tensor: a range for each dimension.
    #[must_use]
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// What its dropout takes: `call.over(shard.map())` draws what the whole draws there.
    #[must_use]
    pub fn map(&self) -> &IndexMap {
        &self.map
    }

    /// Its elements.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.map.elements()
    }

    /// Its elements by their indices in the whole tensor, in order, as runs that lie together there.
    pub fn runs(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        // A tensor without dimensions has one element.
        let (run, outer) = match self.ranges.split_last() {
            Some((last, outer)) => (last.clone(), outer),
            None => (0..1, &[][..]),
        };
        let runs = if run.is_empty() {
            0
        } else {
            self.elements() / (run.end - run.start)
        };
        (0..runs).map(move |n| {
            let mut rest = n;
            let mut first = run.start;
            for (range, stride) in outer.iter().zip(&self.strides).rev() {
                let length = range.end - range.start;
                first += (range.start + rest % length) * stride;
                rest /= length;
            }
            first..first + (run.end - run.start)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_has_one_rank() {
        let cases: [(&[u64], &[u64]); 7] = [
            (&[7], &[3]),
            (&[2], &[5]),
            (&[5, 8], &[2, 2]),
            (&[5, 7, 3], &[4, 1, 2]),
            (&[5, 7, 3], &[1, 3, 3]),
            (&[], &[]),
            (&[4, 0, 3], &[2, 1, 1]),
        ];
        for (shape, parts) in cases {
            let grid = Grid::new(shape, parts).unwrap();
            let mut ranks_of = vec![0; grid.elements() as usize];
            for rank in 0..grid.ranks() {
                let shard = grid.shard(rank).unwrap();
                let mut elements = 0;
                for run in shard.runs() {
                    elements += run.end - run.start;
                    for index in run {
                        ranks_of[index as usize] += 1;
                    }
                }
                assert_eq!(elements, shard.elements());
            }
            assert!(ranks_of.iter().all(|&ranks| ranks == 1), "{shape:?} over {parts:?}");
        }
    }

    #[test]
    fn lengths_near_the_end_of_u64_are_cut_exactly() {
        let grid = Grid::new(&[u64::MAX], &[1 << 40]).unwrap();
        assert_eq!(grid.shard(0).unwrap().ranges()[0].start, 0);
        let last = grid.shard((1 << 40) - 1).unwrap();
        assert_eq!(last.ranges()[0].end, u64::MAX);
        assert_eq!(last.elements(), 1 << 24);
    }

    #[test]
    fn errors_name_the_numbers() {
        let error = |shape: &[u64], parts: &[u64]| Grid::new(shape, parts).unwrap_err().to_string();
        assert!(error(&[5, 8], &[2]).contains("1 numbers of parts for 2 dimensions"));
        assert!(error(&[5, 8], &[2, 0]).contains("dimension 1"));
        assert!(error(&[1, 1], &[u64::MAX, 2]).contains("2^64"));
        assert!(Grid::new(&[1 << 40, 1 << 40], &[1, 1]).is_err());
        let error = Grid::new(&[5, 8], &[2, 2]).unwrap().shard(4).unwrap_err();
        assert_eq!(error, GridError::NoSuchRank { rank: 4, ranks: 4 });
    }
}
