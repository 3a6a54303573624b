//! What ranks do tell each other: results. Masks never.

use mpi::traits::{CommunicatorCollectives, Destination as _, Source as _};
use thiserror::Error;
use wgpu_dropout::Element;

use crate::{Grid, GridError};

/// Bytes of a message: MPI counts in i32.
const MESSAGE_BYTES: usize = 1 << 28;

/// A tensor can't be gathered.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum GatherError {
    /// The grid is not the communicator's.
    #[error("a grid for {ranks} ranks and a communicator of {processes}; run as many processes as there are parts")]
    Processes {
        /// Ranks of the grid.
        ranks: u64,
        /// Processes of the communicator.
        processes: u64,
    },
    /// The slice is not this rank's shard.
    #[error("{actual} elements where the shard has {expected}")]
    Length {
        /// Elements of the shard.
        expected: u64,
        /// Elements given.
        actual: u64,
    },
    /// More than MPI counts.
    #[error("{elements} elements on all ranks together, and MPI counts to 2^31 - 1; sum parts of the vectors")]
    TooLong {
        /// Elements of all ranks.
        elements: u64,
    },
    /// The grid has no such shard.
    #[error(transparent)]
    Grid(#[from] GridError),
}

/// The whole tensor, row-major, on rank 0 of a grid over all processes of a communicator; `None` on the others.
///
/// Collective: every process calls it, with its own shard. Tensors of any length.
///
/// # Errors
///
/// [`GatherError`] where the grid is for another number of processes or the slice is not the rank's shard. The other
/// processes then wait for this one in vain, so check before that all have what they should.
pub fn gather<T: Element>(
    communicator: &impl CommunicatorCollectives,
    grid: &Grid,
    shard: &[T],
) -> Result<Option<Vec<T>>, GatherError> {
    let processes = communicator.size().unsigned_abs().into();
    if grid.ranks() != processes {
        return Err(GatherError::Processes {
            ranks: grid.ranks(),
            processes,
        });
    }
    let rank = communicator.rank().unsigned_abs().into();
    let expected = grid.shard(rank)?.elements();
    let actual = shard.len() as u64;
    if actual != expected {
        return Err(GatherError::Length { expected, actual });
    }
    if rank > 0 {
        let root = communicator.process_at_rank(0);
        for message in bytemuck::cast_slice::<T, u8>(shard).chunks(MESSAGE_BYTES) {
            root.send(message);
        }
        return Ok(None);
    }
    let mut whole = vec![T::zeroed(); grid.elements() as usize];
    let mut received = Vec::new();
    for rank in 0..grid.ranks() {
        let part = grid.shard(rank)?;
        let mut rest = if rank == 0 {
            shard
        } else {
            received.resize(part.elements() as usize, T::zeroed());
            let process = communicator.process_at_rank(rank as i32);
            for message in bytemuck::cast_slice_mut::<T, u8>(&mut received).chunks_mut(MESSAGE_BYTES) {
                process.receive_into(message);
            }
            &received[..]
        };
        for run in part.runs() {
            let run = &mut whole[run.start as usize..run.end as usize];
            let (here, behind) = rest.split_at(run.len());
            run.copy_from_slice(here);
            rest = behind;
        }
    }
    Ok(Some(whole))
}

/// The sum of vectors that lie on the ranks, several on each, in the order of ranks and on each rank in order: the same
/// bits on every rank, and for any number of ranks among which the same vectors are dealt out in order.
///
/// An all-reduce adds in an order that depends on the number of ranks. This gathers the vectors instead and adds them
/// one after the other: as many times the memory and the traffic as there are vectors.
///
/// `vectors` are this rank's, one behind the other, each of `length` elements; every rank has as many.
///
/// Collective.
///
/// # Errors
///
/// [`GatherError::TooLong`], on every rank, where all vectors together have more elements than MPI counts.
pub fn sum_in_order(
    communicator: &impl CommunicatorCollectives,
    vectors: &[f32],
    length: usize,
) -> Result<Vec<f32>, GatherError> {
    let elements = vectors.len() as u64 * u64::from(communicator.size().unsigned_abs());
    if i32::try_from(elements).is_err() {
        return Err(GatherError::TooLong { elements });
    }
    let mut all = vec![0.0; elements as usize];
    communicator.all_gather_into(vectors, &mut all[..]);
    let mut sum = vec![0.0; length];
    for vector in all.chunks_exact(length.max(1)) {
        for (sum, term) in sum.iter_mut().zip(vector) {
            *sum += term;
        }
    }
    Ok(sum)
}
