#![doc = include_str!("../README.md")]

mod collect;
mod grid;

pub use collect::{GatherError, gather, sum_in_order};
pub use grid::{Grid, GridError, Shard};
pub use mpi;
pub use wgpu_dropout;
