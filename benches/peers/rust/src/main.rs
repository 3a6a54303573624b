//! Dropout of this crate, candle and Burn: prints one line a measurement, its fields apart by tabs.
//!
//! Usage: peers ELEMENTS,... P,... [cpu|gpu]
//!
//! Times are medians of wall time from the call to the result in memory. `output` says whether the result is
//! written into memory that was there before ("reused"), over the input ("in place"), or into memory that
//! is allocated in the call ("fresh"; Burn's GPU backend takes it from its pool). Each result's share of
//! kept elements is checked first; ours are checked bit for bit.

use std::error::Error;
use std::time::{Duration, Instant};

use burn::nn::DropoutConfig;
use burn::tensor::{Device, DeviceKind, Tensor, TensorData};
use rayon::prelude::*;
use wgpu_dropout::gpu::blocking::Context;
use wgpu_dropout::gpu::{BackwardMask, BindDescriptor, Operation};
use wgpu_dropout::wgpu;
use wgpu_dropout::{DType, Dropout, cpu, reference};

type Failure = Box<dyn Error>;

/// Calls on a GPU before one wait, as in a training step, where waiting for each is no part of the time.
const IN_A_ROW: u32 = 16;

fn in_a_row() -> String {
    format!("forward, {IN_A_ROW} a wait")
}

struct Bench<'a> {
    peer: &'a str,
    version: &'a str,
    device: &'a str,
    elements: usize,
    p: f64,
}

impl Bench<'_> {
    fn report(&self, op: &str, output: &str, run: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
        self.report_calls(op, output, 1, run)
    }

    /// The time of one of so many calls.
    fn report_calls(
        &self,
        op: &str,
        output: &str,
        calls: u32,
        run: impl FnMut() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Self {
            peer,
            version,
            device,
            elements,
            p,
        } = self;
        let median = median(run)? / f64::from(calls);
        println!("{peer}\t{version}\t{device}\t{op}\t{output}\t{elements}\t{p}\t{median}");
        Ok(())
    }

    /// A peer that drops nothing, or everything, is not timed.
    fn check_share(&self, kept: usize) -> Result<(), Failure> {
        let (n, p) = (self.elements as f64, self.p);
        if (kept as f64 - n * (1.0 - p)).abs() > 10.0 * (n * p * (1.0 - p)).sqrt() + 1.0 {
            return Err(format!("{} kept {kept} of {n} at p {p}", self.peer).into());
        }
        Ok(())
    }
}

/// Runs for a while, at least five times after half a second that does not count: a GPU's clocks are low until it has work.
fn median(mut run: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let start = Instant::now();
    for n in 0.. {
        run()?;
        if n > 0 && start.elapsed() > Duration::from_millis(500) {
            break;
        }
    }
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < 5 || (start.elapsed() < Duration::from_secs(4) && times.len() < 51) {
        let begin = Instant::now();
        run()?;
        times.push(begin.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn scale_only(x: &[f32], y: &mut [f32]) {
    const TASK: usize = 1 << 16;
    x.par_chunks(TASK).zip(y.par_chunks_mut(TASK)).for_each(|(x, y)| {
        for (y, x) in y.iter_mut().zip(x) {
            *y = x * 1.1;
        }
    });
}

fn ours_on_cpu(elements: usize, p: f64) -> Result<(), Failure> {
    let bench = Bench {
        peer: "wgpu-dropout",
        version: "0.1.0",
        device: "CPU",
        elements,
        p,
    };
    let dropout = Dropout::new(p, 42)?;
    let x: Vec<f32> = (0..elements).map(|i| (i % 1000) as f32 + 0.5).collect();
    let (mut y, mut expected) = (vec![7.0f32; elements], vec![7.0f32; elements]);
    reference::forward(&dropout, &x, &mut expected)?;
    cpu::forward(&dropout, &x, &mut y)?;
    if y != expected || cpu::forward_to_vec(&dropout, &x)? != expected {
        return Err("a wrong result can't post a time".into());
    }
    Bench {
        peer: "y = x * s",
        version: "",
        ..bench
    }
    .report("forward", "reused", || {
        scale_only(&x, &mut y);
        Ok(())
    })?;
    bench.report("forward", "reused", || Ok(cpu::forward(&dropout, &x, &mut y)?))?;
    bench.report("forward", "fresh", || {
        cpu::forward_to_vec(&dropout, &x)?;
        Ok(())
    })?;
    bench.report("forward + backward", "reused", || {
        cpu::forward(&dropout, &x, &mut y)?;
        Ok(cpu::backward(&dropout, &x, &mut y)?)
    })?;
    bench.report("forward + backward", "fresh", || {
        let y = cpu::forward_to_vec(&dropout, &x)?;
        let dx = cpu::backward_to_vec(&dropout, &x)?;
        std::hint::black_box((y, dx));
        Ok(())
    })?;
    bench.report("forward", "in place", || Ok(cpu::forward_in_place(&dropout, &mut y)?))?;
    Bench {
        peer: "y = x * s, again",
        version: "",
        ..bench
    }
    .report("forward", "reused", || {
        scale_only(&x, &mut y);
        Ok(())
    })
}

fn ours_on_gpu(elements: usize, p: f64) -> Result<(), Failure> {
    let context = Context::new()?;
    let device = context.adapter().name.clone();
    let bench = Bench {
        peer: "wgpu-dropout",
        version: "0.1.0",
        device: &device,
        elements,
        p,
    };
    let kernels = context.kernels();
    let dropout = Dropout::new(p, 42)?;
    let x: Vec<f32> = (0..elements).map(|i| (i % 1000) as f32 + 0.5).collect();
    let (mut y, mut expected) = (vec![0.0f32; elements], vec![0.0f32; elements]);
    cpu::forward(&dropout, &x, &mut expected)?;
    context.forward(&dropout, &x, &mut y)?;
    if y != expected {
        return Err("a wrong result can't post a time".into());
    }
    let buffer = || {
        kernels.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: elements as u64 * 4,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    };
    let (input, output, gradient) = (buffer(), buffer(), buffer());
    for values in [&input, &gradient] {
        for (n, chunk) in x.chunks(1 << 22).enumerate() {
            kernels
                .queue()
                .write_buffer(values, (n << 24) as u64, bytemuck::cast_slice(chunk));
            kernels.queue().submit([]);
        }
    }
    let descriptor = |operation| BindDescriptor {
        label: None,
        dtype: DType::F32,
        elements: elements as u64,
        map: None,
        seeds: None,
        operation,
    };
    let forward = kernels.bind(&descriptor(Operation::Forward {
        x: input.as_entire_buffer_binding(),
        y: output.as_entire_buffer_binding(),
        store: None,
    }))?;
    let backward = kernels.bind(&descriptor(Operation::Backward {
        dy: gradient.as_entire_buffer_binding(),
        dx: output.as_entire_buffer_binding(),
        mask: BackwardMask::Drawn,
    }))?;
    let run = |calls: u32, both: bool| {
        let mut encoder = kernels
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for _ in 0..calls {
            forward.encode(&mut encoder, &dropout)?;
            if both {
                backward.encode(&mut encoder, &dropout)?;
            }
        }
        kernels.queue().submit([encoder.finish()]);
        kernels.device().poll(wgpu::PollType::wait_indefinitely())?;
        Ok(())
    };
    bench.report("forward", "reused", || run(1, false))?;
    bench.report("forward + backward", "reused", || run(1, true))?;
    bench.report_calls(&in_a_row(), "reused", IN_A_ROW, || run(IN_A_ROW, false))
}

fn candle(elements: usize, p: f64) -> Result<(), Failure> {
    let bench = Bench {
        peer: "candle",
        version: "0.11.1",
        device: "CPU",
        elements,
        p,
    };
    let x = candle_core::Tensor::ones(elements, candle_core::DType::F32, &candle_core::Device::Cpu)?;
    let y = candle_nn::ops::dropout(&x, p as f32)?.to_vec1::<f32>()?;
    bench.check_share(y.iter().filter(|&&y| y != 0.0).count())?;
    bench.report("forward", "fresh", || {
        candle_nn::ops::dropout(&x, p as f32)?;
        Ok(())
    })?;
    let leaf = candle_core::Var::from_tensor(&x)?;
    bench.report("forward + backward", "fresh", || {
        candle_nn::ops::dropout(leaf.as_tensor(), p as f32)?.backward()?;
        Ok(())
    })
}

fn burn(device: Device, name: &str, elements: usize, p: f64) -> Result<(), Failure> {
    let output = if name == "CPU" { "fresh" } else { "pooled" };
    let bench = Bench {
        peer: "Burn",
        version: "0.22.1",
        device: name,
        elements,
        p,
    };
    let device = device.autodiff();
    let dropout = DropoutConfig::new(p).init();
    let x = Tensor::<1>::from_data(TensorData::new(vec![1.5f32; elements], [elements]), &device);
    let sync = || device.sync().map_err(|error| format!("{error:?}"));
    let y: Vec<f32> = dropout
        .forward(x.clone())
        .into_data()
        .try_to_vec()
        .map_err(|error| format!("{error:?}"))?;
    bench.check_share(y.iter().filter(|&&y| y != 0.0).count())?;
    let roof = Bench {
        peer: "Burn's multiply",
        ..bench
    };
    roof.report("forward", output, || {
        let _y = x.clone() * 1.1;
        Ok(sync()?)
    })?;
    bench.report("forward", output, || {
        let _y = dropout.forward(x.clone());
        Ok(sync()?)
    })?;
    if name != "CPU" {
        bench.report_calls(&in_a_row(), output, IN_A_ROW, || {
            // All are kept until they are there, so that none is left out.
            let _ys: Vec<_> = (0..IN_A_ROW).map(|_| dropout.forward(x.clone())).collect();
            Ok(sync()?)
        })?;
    }
    let leaf = x.require_grad();
    bench.report("forward + backward", output, || {
        let gradients = dropout.forward(leaf.clone()).backward();
        let _dx = leaf.grad(&gradients);
        Ok(sync()?)
    })
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [sizes, ps, devices @ ..] = &arguments[..] else {
        return Err("usage: peers ELEMENTS,... P,... [cpu|gpu]".into());
    };
    let times = |device: &str| devices.iter().all(|chosen| chosen == device);
    let adapter = Context::new().map(|context| context.adapter().name.clone());
    for elements in sizes.split(',') {
        let elements: usize = elements.parse()?;
        for p in ps.split(',') {
            let p: f64 = p.parse()?;
            if times("cpu") {
                ours_on_cpu(elements, p)?;
                candle(elements, p)?;
                burn(Device::flex(), "CPU", elements, p)?;
            }
            match &adapter {
                _ if !times("gpu") => {}
                Ok(name) => {
                    ours_on_gpu(elements, p)?;
                    burn(Device::wgpu(DeviceKind::DefaultDevice), name, elements, p)?;
                }
                Err(error) => eprintln!("peers: no GPU: {error}"),
            }
        }
    }
    Ok(())
}
