//! A network trained with dropout in candle, stopped half-way and resumed: the same losses, bit for bit.
//!
//! `cargo run --package wgpu-dropout-candle --example train_candle`

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use std::error::Error;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Linear, Module as _, Optimizer as _, SGD, VarBuilder, VarMap, linear};
use wgpu_dropout_candle::Dropout;
use wgpu_dropout_candle::wgpu_dropout::{DropoutState, Philox4x32, rand_core::Rng as _};

const STEPS: usize = 1000;
const POINTS: usize = 400;
const HIDDEN: usize = 64;

struct Network {
    hidden: Linear,
    dropout: Dropout,
    output: Linear,
    weights: VarMap,
}

impl Network {
    fn new(dropout: Dropout) -> candle_core::Result<Self> {
        let weights = VarMap::new();
        let builder = VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu);
        Ok(Self {
            hidden: linear(2, HIDDEN, builder.pp("hidden"))?,
            dropout,
            output: linear(HIDDEN, 2, builder.pp("output"))?,
            weights,
        })
    }

    fn forward(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        let hidden = self.hidden.forward(x)?.tanh()?;
        self.output.forward(&self.dropout.forward(&hidden, train)?)
    }

    /// The losses of so many steps.
    fn train(&self, x: &Tensor, labels: &Tensor, steps: usize) -> candle_core::Result<Vec<f32>> {
        let mut optimizer = SGD::new(self.weights.all_vars(), 1.0)?;
        (0..steps)
            .map(|_| {
                let loss = candle_nn::loss::cross_entropy(&self.forward(x, true)?, labels)?;
                optimizer.backward_step(&loss)?;
                loss.to_scalar::<f32>()
            })
            .collect()
    }

    fn accuracy(&self, x: &Tensor, labels: &Tensor) -> candle_core::Result<f32> {
        let right = self.forward(x, false)?.argmax(1)?.eq(labels)?;
        right.to_dtype(DType::F32)?.mean_all()?.to_scalar()
    }
}

/// Points in a square, labelled by whether they lie in a circle.
fn data(seed: u64) -> candle_core::Result<(Tensor, Tensor)> {
    let mut rng = Philox4x32::new(seed, 0);
    let mut coordinate = || (f64::from(rng.next_u32()) / f64::from(u32::MAX)) as f32 * 2.0 - 1.0;
    let points: Vec<[f32; 2]> = (0..POINTS).map(|_| [coordinate(), coordinate()]).collect();
    let labels: Vec<u32> = points.iter().map(|[x, y]| u32::from(x.hypot(*y) < 0.75)).collect();
    Ok((
        Tensor::from_vec(points.concat(), (POINTS, 2), &Device::Cpu)?,
        Tensor::new(labels, &Device::Cpu)?,
    ))
}

fn copy_of(weights: &VarMap) -> candle_core::Result<Vec<(String, Tensor)>> {
    let weights = weights.data().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    weights
        .iter()
        .map(|(name, var)| Ok((name.clone(), var.copy()?)))
        .collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let (x, labels) = data(1)?;
    let (test_x, test_labels) = data(2)?;
    let network = Network::new(Dropout::new(0.14, 42)?)?;
    let first = network.train(&x, &labels, STEPS / 2)?;

    // A checkpoint: the weights, and of the dropout a seed and a count.
    let checkpoint: (Vec<_>, DropoutState) = (copy_of(&network.weights)?, network.dropout.state());
    let then = network.train(&x, &labels, STEPS / 2)?;

    let mut resumed = Network::new(Dropout::from_state(checkpoint.1))?;
    resumed
        .weights
        .set(checkpoint.0.iter().map(|(name, weight)| (name, weight)))?;
    let again = resumed.train(&x, &labels, STEPS / 2)?;
    if then
        .iter()
        .map(|loss| loss.to_bits())
        .ne(again.iter().map(|loss| loss.to_bits()))
    {
        return Err("the resumed run drew other masks".into());
    }

    let accuracy = network.accuracy(&test_x, &test_labels)?;
    println!(
        "loss: {:.4} at first, {:.4} at the checkpoint, {:.4} at the end",
        first[0],
        then[0],
        then[then.len() - 1]
    );
    println!(
        "resumed from the checkpoint: the same {} losses, bit for bit",
        again.len()
    );
    println!("test accuracy: {:.1} %", accuracy * 100.0);
    if accuracy < 0.8 {
        return Err("the network has not learned".into());
    }
    Ok(())
}
