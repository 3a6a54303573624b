//! A network trained by any number of ranks that share each batch: the same losses, bit for bit.
//!
//! `mpirun -n 4 target/debug/examples/data_parallel`; with `--all-reduce` gradients are summed by MPI, in an order that
//! depends on the number of ranks, and the losses agree but for rounding.
//!
//! The batch is eight parts, whoever works on them. Dropout belongs to the whole batch: part k of a step draws what the
//! whole draws there, on whichever rank it is, and no rank has a generator of its own.

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use std::error::Error;

use wgpu_dropout_mpi::mpi::collective::SystemOperation;
use wgpu_dropout_mpi::mpi::traits::{Communicator as _, CommunicatorCollectives as _};
use wgpu_dropout_mpi::wgpu_dropout::rand_core::Rng as _;
use wgpu_dropout_mpi::wgpu_dropout::{Dropout, Philox4x32, cpu};
use wgpu_dropout_mpi::{Grid, mpi, sum_in_order};

const STEPS: u64 = 200;
const PARTS: usize = 8;
const BATCH: usize = 256;
const HIDDEN: usize = 32;
const RATE: f32 = 0.5;
const SEED: u64 = 42;

/// Weights of both layers, in one vector as gradients are: of x0, x1 and 1 for each hidden unit, then of each hidden
/// unit and 1.
const WEIGHTS: usize = 3 * HIDDEN + HIDDEN + 1;

struct Part {
    points: Vec<[f32; 2]>,
    labels: Vec<f32>,
    dropout: wgpu_dropout_mpi::Shard,
}

/// Points in a square, labelled by whether they lie in a circle: the whole batch, of which a rank takes its parts.
fn parts() -> Result<Vec<Part>, Box<dyn Error>> {
    let mut rng = Philox4x32::new(1, 0);
    let mut coordinate = || (f64::from(rng.next_u32()) / f64::from(u32::MAX)) as f32 * 2.0 - 1.0;
    let points: Vec<[f32; 2]> = (0..BATCH).map(|_| [coordinate(), coordinate()]).collect();
    // The hidden activations of the whole batch, cut along its rows.
    let grid = Grid::new(&[BATCH as u64, HIDDEN as u64], &[PARTS as u64, 1])?;
    (0u64..)
        .zip(points.chunks(BATCH / PARTS))
        .map(|(part, points)| {
            Ok(Part {
                points: points.to_vec(),
                labels: points
                    .iter()
                    .map(|[x, y]| if x.hypot(*y) < 0.75 { 1.0 } else { 0.0 })
                    .collect(),
                dropout: grid.shard(part)?,
            })
        })
        .collect()
}

/// Gradient of the part's share of the loss, and behind it that share itself.
fn gradient(weights: &[f32], part: &Part, call: &Dropout) -> Result<Vec<f32>, Box<dyn Error>> {
    let (first, second) = weights.split_at(3 * HIDDEN);
    let mut hidden: Vec<f32> = part
        .points
        .iter()
        .flat_map(|[x, y]| {
            first
                .chunks_exact(3)
                .map(move |w| (w[0] * x + w[1] * y + w[2]).max(0.0))
        })
        .collect();
    let active: Vec<bool> = hidden.iter().map(|&h| h > 0.0).collect();
    let draw = call.over(part.dropout.map());
    cpu::forward_in_place(draw, &mut hidden)?;

    let mut gradient = vec![0.0; WEIGHTS + 1];
    let mut back = vec![0.0; hidden.len()];
    for (n, (hidden, back)) in hidden
        .chunks_exact(HIDDEN)
        .zip(back.chunks_exact_mut(HIDDEN))
        .enumerate()
    {
        let logit = hidden.iter().zip(second).map(|(h, w)| h * w).sum::<f32>() + second[HIDDEN];
        let label = part.labels[n];
        // Log loss of a logistic unit, and its derivative by the logit.
        gradient[WEIGHTS] += (logit.max(0.0) - logit * label + (-logit.abs()).exp().ln_1p()) / BATCH as f32;
        let by_logit = (1.0 / (1.0 + (-logit).exp()) - label) / BATCH as f32;
        for (unit, back) in back.iter_mut().enumerate() {
            gradient[3 * HIDDEN + unit] += by_logit * hidden[unit];
            *back = by_logit * second[unit];
        }
        gradient[WEIGHTS - 1] += by_logit;
    }
    cpu::backward_in_place(draw, &mut back)?;
    for (n, [x, y]) in part.points.iter().enumerate() {
        for unit in 0..HIDDEN {
            let here = n * HIDDEN + unit;
            if active[here] {
                gradient[3 * unit] += back[here] * x;
                gradient[3 * unit + 1] += back[here] * y;
                gradient[3 * unit + 2] += back[here];
            }
        }
    }
    Ok(gradient)
}

fn main() -> Result<(), Box<dyn Error>> {
    let all_reduce = std::env::args().any(|argument| argument == "--all-reduce");
    let universe = mpi::initialize().ok_or("MPI is initialised already")?;
    let world = universe.world();
    let (rank, ranks) = (world.rank() as usize, world.size() as usize);
    if !PARTS.is_multiple_of(ranks) {
        return Err(format!("{ranks} ranks do not share {PARTS} parts evenly; run 1, 2, 4 or 8").into());
    }
    let parts = parts()?;
    let mine = &parts[rank * PARTS / ranks..(rank + 1) * PARTS / ranks];

    // Every rank starts with the same weights, drawn, not sent.
    let mut rng = Philox4x32::new(2, 0);
    let mut weights: Vec<f32> = (0..WEIGHTS)
        .map(|_| (f64::from(rng.next_u32()) / f64::from(u32::MAX)) as f32 - 0.5)
        .collect();
    for step in 0..STEPS {
        // A step is a subsequence.
        let call = Dropout::new(0.14, SEED)?.with_subsequence(step);
        let mut gradients = Vec::new();
        for part in mine {
            gradients.extend(gradient(&weights, part, &call)?);
        }
        let gradient = if all_reduce {
            let mut own = vec![0.0; WEIGHTS + 1];
            for gradient in gradients.chunks_exact(WEIGHTS + 1) {
                own.iter_mut().zip(gradient).for_each(|(own, term)| *own += term);
            }
            let mut sum = own.clone();
            world.all_reduce_into(&own[..], &mut sum[..], SystemOperation::sum());
            sum
        } else {
            sum_in_order(&world, &gradients, WEIGHTS + 1)?
        };
        for (weight, gradient) in weights.iter_mut().zip(&gradient) {
            *weight -= RATE * gradient;
        }
        if rank == 0 {
            let loss = gradient[WEIGHTS];
            println!("step {step}: loss {loss:.6} ({:08x})", loss.to_bits());
        }
    }
    Ok(())
}
