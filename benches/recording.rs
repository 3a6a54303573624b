//! What the host pays: recording a forward into an open pass beside the bare calls, and the first use of a
//! variant. On wgpu's noop device, which is all of wgpu's own work and no driver, and on every adapter, with its driver;
//! nothing is submitted.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails loudly")]

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use wgpu_dropout::gpu::blocking::{self, Context};
use wgpu_dropout::gpu::{BindDescriptor, Binding, KernelOptions, Kernels, Operation, ParameterPath};
use wgpu_dropout::{DType, Dropout};

/// Recordings a pass; few enough for the parameter slots.
const TIMES: u32 = 512;

fn bind(kernels: &Kernels) -> Binding {
    let buffer = || {
        kernels.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 1 << 20,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        })
    };
    let (x, y) = (buffer(), buffer());
    let operation = Operation::Forward {
        x: x.as_entire_buffer_binding(),
        y: y.as_entire_buffer_binding(),
        store: None,
    };
    kernels
        .bind(&BindDescriptor {
            label: None,
            dtype: DType::F32,
            elements: 1 << 18,
            map: None,
            seeds: None,
            operation,
        })
        .unwrap()
}

/// Time of one recording, of many in one pass: of the calls alone, or with the end of the pass, when wgpu
/// does what they asked for.
fn timed(
    device: &wgpu::Device,
    times: u64,
    with_end: bool,
    mut record: impl FnMut(&mut wgpu::ComputePass<'_>),
) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..times {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let start = Instant::now();
        for _ in 0..TIMES {
            record(&mut pass);
        }
        let calls = start.elapsed();
        drop(pass);
        drop(encoder.finish());
        total += if with_end { start.elapsed() } else { calls };
    }
    total / TIMES
}

fn scope(with_end: bool) -> &'static str {
    if with_end {
        "calls and end of pass"
    } else {
        "calls alone"
    }
}

fn devices() -> Vec<(String, wgpu::Device, wgpu::Queue)> {
    let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor {
        required_features: Kernels::optional_features(),
        required_limits: wgpu::Limits {
            max_immediate_size: Kernels::IMMEDIATE_BYTES,
            ..wgpu::Limits::default()
        },
        ..wgpu::DeviceDescriptor::default()
    });
    let mut devices = vec![("noop".to_owned(), device, queue)];
    for adapter in blocking::adapters().unwrap() {
        let context = Context::with_adapter(&adapter, &KernelOptions::default()).unwrap();
        let (info, kernels) = (context.adapter(), context.kernels());
        let name = format!("{} {}", info.name, info.backend);
        devices.push((name, kernels.device().clone(), kernels.queue().clone()));
    }
    devices
}

fn recording(criterion: &mut Criterion) {
    for (name, device, queue) in devices() {
        on(criterion, &name, &device, &queue);
    }
}

fn on(criterion: &mut Criterion, name: &str, device: &wgpu::Device, queue: &wgpu::Queue) {
    let has_immediates = Kernels::new(device, queue).unwrap().parameters() == ParameterPath::Immediates;
    let dropout = Dropout::new(0.1, 42).unwrap();
    let mut group = criterion.benchmark_group(format!("recording, {name}"));

    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl("@compute @workgroup_size(64) fn main() {}".into()),
    });
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: None,
        entries: &[0, 1].map(|binding| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage {
                    read_only: binding == 0,
                },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        }),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: Some(&device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: if has_immediates { Kernels::IMMEDIATE_BYTES } else { 0 },
        })),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let buffers = [(), ()].map(|()| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 1 << 20,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        })
    });
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &layout,
        entries: &[0, 1].map(|n| wgpu::BindGroupEntry {
            binding: n,
            resource: buffers[n as usize].as_entire_binding(),
        }),
    });
    for immediates in [false, true].into_iter().take(1 + usize::from(has_immediates)) {
        for with_end in [false, true] {
            let and = if immediates { ", set_immediates" } else { "" };
            let name = format!(
                "set_pipeline, set_bind_group{and}, dispatch_workgroups: {}",
                scope(with_end)
            );
            group.bench_function(name, |b| {
                b.iter_custom(|times| {
                    timed(device, times, with_end, |pass| {
                        pass.set_pipeline(&pipeline);
                        pass.set_bind_group(0, &bind_group, &[]);
                        if immediates {
                            pass.set_immediates(0, &[7; 64]);
                        }
                        pass.dispatch_workgroups(256, 1, 1);
                    })
                });
            });
        }
    }
    for parameters in [ParameterPath::Uniform, ParameterPath::Immediates]
        .into_iter()
        .take(1 + usize::from(has_immediates))
    {
        let options = KernelOptions {
            parameters: Some(parameters),
            ..KernelOptions::default()
        };
        let kernels = Kernels::with_options(device, queue, &options).unwrap();
        let binding = bind(&kernels);
        binding.prepare(&dropout).unwrap();
        for with_end in [false, true] {
            let name = format!("forward, {parameters:?}: {}", scope(with_end));
            group.bench_function(name, |b| {
                b.iter_custom(|times| timed(device, times, with_end, |pass| binding.record(pass, &dropout).unwrap()));
            });
        }
    }
    group.bench_function("first use: kernels, pipeline", |b| {
        b.iter(|| {
            let kernels = Kernels::new(device, queue).unwrap();
            bind(&kernels).prepare(&dropout).unwrap();
        });
    });
    group.finish();
}

criterion_group!(benches, recording);
criterion_main!(benches);
