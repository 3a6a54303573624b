//! Our layer beside `burn::nn::Dropout`, on the same device of Burn's: alone, and in a small network, with what the
//! network takes without dropout beside both.
//!
//! `cargo bench --package wgpu-dropout-burn`; with `--features flex` on Burn's CPU backend as well, and
//! with `--no-default-features` there alone; without Burn's kernel
//! fusion by `--no-default-features --features wgpu`; other sizes by `WGPU_DROPOUT_LOG2=20,24`.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails loudly")]

use std::time::Duration;

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};

const P: f64 = 0.1;
const NONE: &str = "no dropout";

fn devices() -> Vec<(&'static str, Device)> {
    vec![
        #[cfg(feature = "wgpu")]
        ("wgpu", Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "flex")]
        ("CPU", Device::flex()),
    ]
}

/// That a dropout drops as many as it shall; ours is held to the reference by the tests.
fn check(y: Tensor<2>) {
    let y = y.into_data().try_to_vec::<f32>().unwrap();
    let dropped = y.iter().filter(|&&y| y == 0.0).count() as f64 / y.len() as f64;
    assert!((dropped - P).abs() < 0.01, "{dropped} dropped");
}

fn dropouts(c: &mut Criterion) {
    let sizes = std::env::var("WGPU_DROPOUT_LOG2").unwrap_or_else(|_| "24".to_owned());
    for log2 in sizes.split(',').map(|log2| log2.parse::<u32>().unwrap()) {
        for (name, device) in devices() {
            let device = device.autodiff();
            let columns = 1usize << (log2 / 2);
            let rows = (1usize << log2) / columns;
            let mut group = c.benchmark_group(format!("{name}, f32, 2^{log2} elements"));
            group
                .sample_size(10)
                .warm_up_time(Duration::from_secs(1))
                .measurement_time(Duration::from_secs(5));
            let x = Tensor::<2>::ones([rows, columns], &device);
            let leaf = x.clone().require_grad();
            // Few rows, so that the product is not all there is to time.
            let before = Tensor::<2>::random([8, rows], Distribution::Default, &device);
            let ours = wgpu_dropout_burn::DropoutConfig::new(P).init();
            let burns = burn::nn::DropoutConfig::new(P).init();
            check(ours.forward(x.clone()));
            check(burns.forward(x.clone()));
            let layers: [(&str, &dyn Fn(Tensor<2>) -> Tensor<2>); 3] = [
                ("wgpu-dropout", &|x| ours.forward(x)),
                ("burn::nn", &|x| burns.forward(x)),
                (NONE, &|x| x),
            ];
            for (layer, forward) in layers {
                let backward = |y: Tensor<2>| {
                    let dx = leaf.grad(&y.backward()).unwrap();
                    device.sync().unwrap();
                    dx
                };
                if layer != NONE {
                    // No leaf: a graph that no backward pass consumes would grow.
                    group.bench_function(format!("{layer} forward"), |b| {
                        b.iter(|| {
                            let y = forward(x.clone());
                            device.sync().unwrap();
                            y
                        });
                    });
                    group.bench_function(format!("{layer} forward and backward"), |b| {
                        b.iter(|| {
                            // y is what a network goes on with: dropped, fusion might leave it out.
                            let y = forward(leaf.clone());
                            (y.clone(), backward(y))
                        });
                    });
                }
                group.bench_function(format!("{layer} in a network"), |b| {
                    b.iter(|| backward(before.clone().matmul(forward(leaf.clone() * 1.5)).sin()));
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, dropouts);
criterion_main!(benches);
