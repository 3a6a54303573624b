//! Our dropout beside `candle_nn::ops::dropout`, in turns: both allocate their output. What candle's own backward pass
//! takes without dropout stands beside both: it sums the gradient of a tensor that long into its variable.
//!
//! `cargo bench --package wgpu-dropout-candle`; other sizes by `WGPU_DROPOUT_LOG2=20,24`. Throughput counts the bytes
//! read and written by a pass.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails loudly")]

use std::time::Duration;

use candle_core::{DType, Device, Result, Tensor, Var};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wgpu_dropout_candle::dropout;

const P: f32 = 0.1;

fn ours(x: &Tensor) -> Result<Tensor> {
    dropout(x, P, 42)
}

fn candles(x: &Tensor) -> Result<Tensor> {
    candle_nn::ops::dropout(x, P)
}

fn none(x: &Tensor) -> Result<Tensor> {
    x.affine(1.0, 0.0)
}

fn backward(x: &Var, dropout: fn(&Tensor) -> Result<Tensor>) -> Tensor {
    let gradients = dropout(x).unwrap().backward().unwrap();
    gradients.get(x).unwrap().clone()
}

/// That a dropout drops as many as it shall; ours is held to the reference by the tests.
fn check(y: &Tensor) {
    let dropped = y.eq(&y.zeros_like().unwrap()).unwrap().to_dtype(DType::F32).unwrap();
    let share = dropped.mean_all().unwrap().to_scalar::<f32>().unwrap();
    assert!((share - P).abs() < 0.01, "{share} dropped");
}

fn dropouts(c: &mut Criterion) {
    let sizes = std::env::var("WGPU_DROPOUT_LOG2").unwrap_or_else(|_| "24".to_owned());
    for log2 in sizes.split(',').map(|log2| log2.parse::<u32>().unwrap()) {
        let elements = 1usize << log2;
        let x = Var::ones(elements, DType::F32, &Device::Cpu).unwrap();
        for (name, dropout) in [
            ("wgpu-dropout", ours as fn(&Tensor) -> Result<Tensor>),
            ("candle-nn", candles),
            ("a multiply by one", none),
        ] {
            let mut group = c.benchmark_group(format!("f32, 2^{log2} elements"));
            group
                .sample_size(10)
                .warm_up_time(Duration::from_secs(1))
                .measurement_time(Duration::from_secs(5))
                .throughput(Throughput::Bytes(8 * elements as u64));
            if name != "a multiply by one" {
                check(&dropout(&x).unwrap());
                check(&backward(&x, dropout));
            }
            let tensor = x.as_detached_tensor();
            group.bench_function(format!("{name} forward"), |b| b.iter(|| dropout(&tensor).unwrap()));
            group.bench_function(format!("{name} forward and backward"), |b| {
                b.iter(|| backward(&x, dropout));
            });
            group.finish();
        }
    }
}

criterion_group!(benches, dropouts);
criterion_main!(benches);
