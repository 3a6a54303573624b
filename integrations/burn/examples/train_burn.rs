//! A network trained with the layer on Burn's GPU device, twice from the same seeds: the same losses, bit for bit.
//!
//! `cargo run --package wgpu-dropout-burn --example train_burn`

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use std::error::Error;

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, DeviceKind, Int, Tensor, TensorData};
use burn_optim::{AdamConfig, GradientsParams};
use wgpu_dropout_burn::wgpu_dropout::Philox4x32;
use wgpu_dropout_burn::wgpu_dropout::rand_core::Rng as _;
use wgpu_dropout_burn::{Dropout, DropoutConfig};

const STEPS: usize = 150;
const POINTS: usize = 512;
const HIDDEN: usize = 64;

#[derive(Module, Debug)]
struct Network {
    first: Linear,
    dropout: Dropout,
    second: Linear,
}

impl Network {
    fn new(device: &Device) -> Self {
        Self {
            first: LinearConfig::new(2, HIDDEN).init(device),
            dropout: DropoutConfig::new(0.14).with_seed(Some(42)).init(),
            second: LinearConfig::new(HIDDEN, 2).init(device),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let hidden = relu(self.first.forward(x));
        self.second.forward(self.dropout.forward(hidden))
    }
}

/// Points in a square, labelled by whether they lie in a circle.
fn data(seed: u64, device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
    let mut rng = Philox4x32::new(seed, 0);
    let mut coordinate = || (f64::from(rng.next_u32()) / f64::from(u32::MAX)) as f32 * 2.0 - 1.0;
    let points: Vec<f32> = (0..2 * POINTS).map(|_| coordinate()).collect();
    let labels: Vec<i32> = points
        .chunks(2)
        .map(|point| i32::from(point[0].hypot(point[1]) < 0.75))
        .collect();
    (
        Tensor::from_data(TensorData::new(points, [POINTS, 2]), device),
        Tensor::from_data(TensorData::new(labels, [POINTS]), device),
    )
}

fn accuracy(network: &Network, x: Tensor<2>, labels: Tensor<1, Int>) -> Result<f32, Box<dyn Error>> {
    let guesses: Tensor<1, Int> = network.forward(x).argmax(1).squeeze_dim(1);
    let right = guesses.equal(labels).float().mean().into_data().try_to_vec::<f32>();
    Ok(right.map_err(|error| format!("{error:?}"))?[0])
}

/// The losses of a training run, and the network.
fn train(device: &Device) -> Result<(Vec<f32>, Network), Box<dyn Error>> {
    device.seed(1);
    let (x, labels) = data(1, device);
    let mut network = Network::new(device);
    let mut optimizer = AdamConfig::new().init();
    let loss_of = CrossEntropyLossConfig::new().init(device);
    let mut losses = Vec::new();
    for _ in 0..STEPS {
        let loss = loss_of.forward(network.forward(x.clone()), labels.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(0.02, network, gradients);
        losses.push(loss.inner());
    }
    // Nothing is read back before the end.
    let losses = Tensor::cat(losses, 0).into_data().try_to_vec::<f32>();
    Ok((losses.map_err(|error| format!("{error:?}"))?, network))
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::wgpu(DeviceKind::DefaultDevice).autodiff();
    let (losses, network) = train(&device)?;
    let (again, _) = train(&device)?;
    if losses
        .iter()
        .map(|loss| loss.to_bits())
        .ne(again.iter().map(|loss| loss.to_bits()))
    {
        return Err("the second run drew other masks".into());
    }

    // Without autodiff the layer passes its input through.
    let (x, labels) = data(2, &device.clone().inner());
    let accuracy = accuracy(&network.valid(), x, labels)?;
    println!("loss: {:.4} at first, {:.4} at the end", losses[0], losses[STEPS - 1]);
    println!("trained again from the same seeds: the same {STEPS} losses, bit for bit");
    println!("test accuracy: {:.1} %", accuracy * 100.0);
    if accuracy < 0.9 {
        return Err("the network has not learned".into());
    }
    Ok(())
}
