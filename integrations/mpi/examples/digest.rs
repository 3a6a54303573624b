//! Drops one tensor over all ranks, forward and backward, gathers both and prints their digests: the same for any number
//! of ranks, any grid, on GPUs and CPUs.
//!
//! `mpirun -n 4 target/debug/examples/digest --shape 37,20,46 --grid 2,1,2 --backend gpu`

#![allow(clippy::print_stdout, reason = "an example shows its results")]

mod common;

use std::error::Error;

use clap::{Parser, ValueEnum};
use common::{Value, digest};
use wgpu_dropout_mpi::mpi::traits::Communicator as _;
use wgpu_dropout_mpi::wgpu_dropout::gpu::KernelOptions;
use wgpu_dropout_mpi::wgpu_dropout::gpu::blocking::{self, Context};
use wgpu_dropout_mpi::wgpu_dropout::half::f16;
use wgpu_dropout_mpi::wgpu_dropout::{Dropout, cpu};
use wgpu_dropout_mpi::{Grid, gather, mpi};

#[derive(Clone, Copy, ValueEnum)]
enum Backend {
    /// The adapters of each rank's machine, dealt out to the ranks.
    Gpu,
    /// The CPU path.
    Cpu,
}

#[derive(Clone, Copy, ValueEnum)]
enum Type {
    F32,
    F16,
}

/// Dropout of one tensor over all ranks; the digests of the gathered results.
#[derive(Parser)]
struct Arguments {
    /// Lengths of the tensor's dimensions.
    #[arg(long, value_delimiter = ',')]
    shape: Vec<u64>,
    /// Parts that each dimension is cut into; together as many as there are ranks.
    #[arg(long, value_delimiter = ',')]
    grid: Vec<u64>,
    /// Drop probability.
    #[arg(long, default_value_t = 0.3)]
    p: f64,
    /// Seed.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// What drops.
    #[arg(long, value_enum, default_value = "cpu")]
    backend: Backend,
    /// Element type.
    #[arg(long, value_enum, default_value = "f32")]
    dtype: Type,
}

/// Forward and backward digest, on rank 0.
fn run<T: Value>(
    world: &mpi::topology::SimpleCommunicator,
    arguments: &Arguments,
) -> Result<Option<[String; 2]>, Box<dyn Error>> {
    let grid = Grid::new(&arguments.shape, &arguments.grid)?;
    let rank = world.rank().unsigned_abs();
    let shard = grid.shard(rank.into())?;
    let call = Dropout::new(arguments.p, arguments.seed)?;
    let draw = call.over(shard.map());

    // Of the whole tensor each rank makes what it holds; no mask and no seed is sent anywhere.
    let values = |salt| {
        shard
            .runs()
            .flatten()
            .map(|index| T::of(index, salt))
            .collect::<Vec<_>>()
    };
    let (x, dy) = (values(0), values(1));
    let (mut y, mut dx) = (x.clone(), dy.clone());
    match arguments.backend {
        Backend::Cpu => {
            cpu::forward(draw, &x, &mut y)?;
            cpu::backward(draw, &dy, &mut dx)?;
        }
        Backend::Gpu => {
            let adapters = blocking::adapters()?;
            let mine = rank as usize % adapters.len().max(1);
            let context = match adapters.get(mine) {
                Some(adapter) => Context::with_adapter(adapter, &KernelOptions::default())?,
                None => Context::new()?, // says what to install
            };
            println!(
                "rank {rank}: {} elements on {}",
                shard.elements(),
                context.adapter().name
            );
            context.forward(draw, &x, &mut y)?;
            context.backward(draw, &dy, &mut dx)?;
        }
    }
    let whole = gather(world, &grid, &y)?.zip(gather(world, &grid, &dx)?);
    Ok(whole.map(|(y, dx)| [digest(&y), digest(&dx)]))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let universe = mpi::initialize().ok_or("MPI is initialised already")?;
    let world = universe.world();
    let done = match arguments.dtype {
        Type::F32 => run::<f32>(&world, &arguments),
        Type::F16 => run::<f16>(&world, &arguments),
    };
    match done {
        Ok(Some([forward, backward])) => {
            println!("forward  {forward}");
            println!("backward {backward}");
        }
        Ok(None) => {}
        Err(error) => {
            // The others would wait for this rank.
            println!("rank {}: {error}", world.rank());
            world.abort(1);
        }
    }
    Ok(())
}
