//! The kernels beside a plain copy kernel over the same buffers, on every adapter: what memory allows.
//!
//! `cargo bench --bench gpu`; other sizes by `WGPU_DROPOUT_LOG2=20,24`. The GPU's own time of a dispatch, recorded and
//! submitted anew each time; wall time from recording to done where an adapter has no timestamps, which the group's name
//! then says. Throughput counts the bytes read and written. Each result is checked against the CPU path before it is timed.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails loudly")]

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use wgpu_dropout::gpu::blocking;
use wgpu_dropout::gpu::{
    BackwardMask, BiasGradientDescriptor, BindDescriptor, Binding, KernelOptions, Kernels, Multiply, Operation,
    RowBias, StoredMask,
};
use wgpu_dropout::half::{bf16, f16};
use wgpu_dropout::{DType, Dropout, Element, IndexMap, MaskFormat, Neighbours, Probability, RandomBits, cpu};

/// Four contiguous vec4 an invocation, as the kernels have.
const COPY: &str = "
@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<u32>>;
override workgroup_size: u32 = 64u;
override vectors: u32 = 4u;
@compute @workgroup_size(workgroup_size)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
    let i = ((workgroup.y * workgroups.x + workgroup.x) * workgroup_size + local) * vectors;
    if vectors == 4u {
        let a = x[i]; let b = x[i + 1u]; let c = x[i + 2u]; let d = x[i + 3u];
        y[i] = a; y[i + 1u] = b; y[i + 2u] = c; y[i + 3u] = d;
    } else {
        y[i] = x[i];
    }
}";

/// The same with a second input, as a residual is.
const COPY_TWO: &str = "
@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> z: array<vec4<u32>>;
override workgroup_size: u32 = 64u;
override vectors: u32 = 4u;
@compute @workgroup_size(workgroup_size)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
    let i = ((workgroup.y * workgroups.x + workgroup.x) * workgroup_size + local) * vectors;
    if vectors == 4u {
        let a = x[i] ^ z[i]; let b = x[i + 1u] ^ z[i + 1u];
        let c = x[i + 2u] ^ z[i + 2u]; let d = x[i + 3u] ^ z[i + 3u];
        y[i] = a; y[i + 1u] = b; y[i + 2u] = c; y[i + 3u] = d;
    } else {
        y[i] = x[i] ^ z[i];
    }
}";

/// Shapes of the plain kernels, the best of which is the roof: workgroup size, vec4 an invocation.
const SHAPES: [(u32, u32); 4] = [(64, 1), (64, 4), (256, 1), (256, 4)];

/// A plain kernel over buffers of so many bytes.
struct Plain {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    workgroups: [u32; 2],
}

impl Plain {
    fn new(
        device: &wgpu::Device,
        text: &str,
        (workgroup_size, vectors): (u32, u32),
        buffers: &[&wgpu::Buffer],
        bytes: u64,
    ) -> Self {
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("copy"),
            source: wgpu::ShaderSource::Wgsl(text.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("copy"),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[("workgroup_size", workgroup_size.into()), ("vectors", vectors.into())],
                ..Default::default()
            },
            cache: None,
        });
        let entries: Vec<_> = buffers
            .iter()
            .zip(0..)
            .map(|(buffer, binding)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let workgroups = (bytes / 16 / u64::from(workgroup_size * vectors)) as u32;
        let rows = workgroups.div_ceil(32_768).next_power_of_two();
        Self {
            bind_group: device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.get_bind_group_layout(0),
                entries: &entries,
            }),
            pipeline,
            workgroups: [workgroups / rows, rows],
        }
    }

    fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        let [x, y] = self.workgroups;
        pass.dispatch_workgroups(x, y, 1);
    }
}

/// Records, submits and waits, so many times; by the GPU's own clock where it has one.
fn timed(kernels: &Kernels, times: u64, record: impl Fn(&mut wgpu::ComputePass<'_>)) -> Duration {
    let (device, queue) = (kernels.device(), kernels.queue());
    let has_clock = device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
    let ticks = has_clock.then(|| {
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: None,
            ty: wgpu::QueryType::Timestamp,
            count: 2,
        });
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 16,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        (queries, buffer)
    });
    let mut on_gpu = Duration::ZERO;
    let start = Instant::now();
    for _ in 0..times {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes: ticks.as_ref().map(|(queries, _)| wgpu::ComputePassTimestampWrites {
                query_set: queries,
                beginning_of_pass_write_index: Some(0),
                end_of_pass_write_index: Some(1),
            }),
        }));
        if let Some((queries, buffer)) = &ticks {
            encoder.resolve_query_set(queries, 0..2, buffer, 0);
        }
        queue.submit([encoder.finish()]);
        device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
        if let Some((_, buffer)) = &ticks {
            let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&read(kernels, buffer));
            let nanoseconds = (ticks[1] - ticks[0]) as f64 * f64::from(queue.get_timestamp_period());
            on_gpu += Duration::from_secs_f64(nanoseconds * 1e-9);
        }
    }
    if has_clock { on_gpu } else { start.elapsed() }
}

fn read(kernels: &Kernels, buffer: &wgpu::Buffer) -> Vec<u8> {
    let staging = kernels.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: buffer.size(),
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = kernels
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
    kernels.queue().submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
    kernels.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    staging.get_mapped_range(..).unwrap().to_vec()
}

/// The bit mask alone, and the backward pass that reads it.
fn masks<T: Element>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    kernels: &Kernels,
    x: &[T],
    (input, output): (&wgpu::Buffer, &wgpu::Buffer),
    multiply: Multiply,
) {
    let elements = x.len() as u64;
    let dropout = Dropout::new(0.1, 42).unwrap();
    let mask = kernels.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: MaskFormat::Bits.buffer_bytes(elements),
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let bits = || StoredMask::Bits(mask.as_entire_buffer_binding());
    let bind = |operation| {
        kernels
            .bind(&BindDescriptor {
                label: None,
                dtype: T::DTYPE,
                elements,
                map: None,
                seeds: None,
                operation,
            })
            .unwrap()
    };
    let draw = bind(Operation::Mask { store: bits() });
    let backward = bind(Operation::Backward {
        dy: input.as_entire_buffer_binding(),
        dx: output.as_entire_buffer_binding(),
        mask: BackwardMask::Stored(bits()),
    });
    let mut expected = vec![T::zeroed(); x.len()];
    cpu::backward(&dropout, x, &mut expected).unwrap();
    timed(kernels, 1, |pass| draw.record(pass, &dropout).unwrap());
    timed(kernels, 1, |pass| backward.record(pass, &dropout).unwrap());
    let same = read(kernels, output) == bytemuck::cast_slice::<T, u8>(&expected);
    assert!(same, "a wrong result can't post a time");
    for (name, binding) in [("bit mask", &draw), ("backward from bits", &backward)] {
        group.bench_function(format!("{name}, 32 bits, {multiply:?}"), |b| {
            b.iter_custom(|times| timed(kernels, times, |pass| binding.record(pass, &dropout).unwrap()));
        });
    }
}

fn call(random_bits: RandomBits) -> Dropout {
    let probability = Probability::new(0.1, random_bits).unwrap();
    Dropout::new(0.1, 42).unwrap().with_probability(probability)
}

/// Times a forward pass whose output is right.
fn forward<T: Element>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    kernels: &Kernels,
    binding: &Binding,
    dropout: &Dropout,
    (expected, output): (&[T], &wgpu::Buffer),
    name: String,
) {
    timed(kernels, 1, |pass| binding.record(pass, dropout).unwrap());
    let same = read(kernels, output).starts_with(bytemuck::cast_slice(expected));
    assert!(same, "a wrong result can't post a time");
    group.bench_function(name, |b| {
        b.iter_custom(|times| timed(kernels, times, |pass| binding.record(pass, dropout).unwrap()));
    });
}

/// The forward pass where decisions are shared or lie elsewhere in the stream.
fn maps<T: Element>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    kernels: &Kernels,
    x: &[T],
    (input, output): (&wgpu::Buffer, &wgpu::Buffer),
) {
    let n = x.len() as u64;
    let permuted = |shape: &[u64], order: &[usize]| IndexMap::plain(shape).unwrap().permuted(order);
    let maps = [
        ("channels of 64 x 64", IndexMap::channels(&[n / 4096, 64, 64])),
        ("channels of 8 x 8", IndexMap::channels(&[n / 8192, 128, 64])),
        ("drop path", IndexMap::drop_path(&[16, n / 16])),
        ("same over time", IndexMap::same_over(&[16, 64, n / 1024], 1)),
        ("a shard's rows of 1024", IndexMap::new(&[n / 1024, 1024], &[4096, 1])),
        ("a shard's rows of 100", IndexMap::new(&[n / 100, 100], &[400, 1])),
        ("channels last", permuted(&[4, 64, n / 256], &[0, 2, 1])),
        (
            "channels last, 49 pixels",
            permuted(&[n / (512 * 49), 512, 49], &[0, 2, 1]),
        ),
        ("a matrix by columns", permuted(&[4096, n / 4096], &[1, 0])),
    ];
    for (name, map) in maps {
        let map = map.unwrap();
        let x = &x[..map.elements() as usize];
        let binding = kernels
            .bind(&BindDescriptor {
                label: None,
                dtype: T::DTYPE,
                elements: map.elements(),
                map: Some(&map),
                seeds: None,
                operation: Operation::Forward {
                    x: input.as_entire_buffer_binding(),
                    y: output.as_entire_buffer_binding(),
                    store: None,
                },
            })
            .unwrap();
        for random_bits in RandomBits::ALL {
            let dropout = call(random_bits);
            let mut expected = vec![T::zeroed(); x.len()];
            cpu::forward(dropout.over(&map), x, &mut expected).unwrap();
            let name = format!("forward, {name}, {} bits", random_bits.bits());
            forward(group, kernels, &binding, &dropout, (&expected, output), name);
        }
    }
}

/// Bias and residual in the same pass, beside a plain kernel that moves the same bytes; the gradient of the bias beside a
/// copy of half of it.
fn neighbours<T: Element>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    kernels: &Kernels,
    x: &[T],
    (input, output): (&wgpu::Buffer, &wgpu::Buffer),
) {
    let device = kernels.device();
    let (elements, bytes) = (x.len() as u64, size_of_val(x) as u64);
    let columns = 1024.min(x.len());
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    let [bias, residual, dbias] = [columns, x.len(), columns].map(|length| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: (length * size_of::<T>()) as u64,
            usage,
            mapped_at_creation: false,
        })
    });
    kernels
        .queue()
        .write_buffer(&bias, 0, bytemuck::cast_slice(&x[..columns]));
    kernels.queue().write_buffer(&residual, 0, bytemuck::cast_slice(x));
    for (workgroup_size, vectors) in SHAPES {
        let shape = format!("workgroups of {workgroup_size}, {vectors} vec4");
        let plain = |text, buffers: &[&wgpu::Buffer], bytes| {
            Plain::new(device, text, (workgroup_size, vectors), buffers, bytes)
        };
        let two = plain(COPY_TWO, &[input, output, &residual], bytes);
        group.bench_function(format!("neighbours: two inputs, {shape}"), |b| {
            b.iter_custom(|times| timed(kernels, times, |pass| two.record(pass)));
        });
        let half = plain(COPY, &[input, output], bytes / 2);
        group.bench_function(format!("neighbours: copy of half, {shape}"), |b| {
            b.iter_custom(|times| timed(kernels, times, |pass| half.record(pass)));
        });
    }
    for (name, has_bias, has_residual) in [
        ("bias and residual", true, true),
        ("bias", true, false),
        ("residual", false, true),
    ] {
        let binding = kernels
            .bind(&BindDescriptor {
                label: None,
                dtype: T::DTYPE,
                elements,
                map: None,
                seeds: None,
                operation: Operation::ForwardFused {
                    x: input.as_entire_buffer_binding(),
                    bias: has_bias.then(|| RowBias {
                        values: bias.as_entire_buffer_binding(),
                        columns: columns as u64,
                    }),
                    residual: has_residual.then(|| residual.as_entire_buffer_binding()),
                    y: output.as_entire_buffer_binding(),
                },
            })
            .unwrap();
        for random_bits in RandomBits::ALL {
            let dropout = call(random_bits);
            let neighbours = Neighbours {
                bias: has_bias.then_some(&x[..columns]),
                residual: has_residual.then_some(x),
            };
            let mut expected = vec![T::zeroed(); x.len()];
            cpu::forward_fused(&dropout, x, neighbours, &mut expected).unwrap();
            let name = format!("neighbours: {name}, {} bits", random_bits.bits());
            forward(group, kernels, &binding, &dropout, (&expected, output), name);
        }
    }
    for columns in [columns, 64] {
        let gradient = kernels
            .bind_bias_gradient(&BiasGradientDescriptor {
                label: None,
                dtype: T::DTYPE,
                elements,
                columns: columns as u64,
                dx: input.as_entire_buffer_binding(),
                dbias: dbias.as_entire_buffer_binding(),
            })
            .unwrap();
        let mut expected = vec![T::zeroed(); columns];
        cpu::bias_gradient(x, &mut expected).unwrap();
        timed(kernels, 1, |pass| gradient.record(pass));
        let same = read(kernels, &dbias).starts_with(bytemuck::cast_slice::<T, u8>(&expected));
        assert!(same, "a wrong result can't post a time");
        group.bench_function(format!("neighbours: gradient of the bias, rows of {columns}"), |b| {
            b.iter_custom(|times| timed(kernels, times, |pass| gradient.record(pass)));
        });
    }
}

fn kernels_of<T: Element>(criterion: &mut Criterion, adapter: &wgpu::Adapter, log2: u32, from_f32: impl Fn(f32) -> T) {
    let ordinary = |i: u32| (i % 1000) as f32 + 0.5;
    // What a softmax over some 2048 leaves: as f16 two in five are subnormal.
    let weight = |i: u32| ((i.wrapping_mul(0x9e37_79b9) as f32 / 2.0f32.powi(32)) * 6.0 - 4.0).exp() / 3400.0;
    let x: &[T] = &(0..1 << log2).map(|i| from_f32(ordinary(i))).collect::<Vec<_>>();
    let weights: &[T] = &(0..1 << log2).map(|i| from_f32(weight(i))).collect::<Vec<_>>();
    let info = adapter.get_info();
    let has_clock = adapter.features().contains(wgpu::Features::TIMESTAMP_QUERY);
    let clock = if has_clock { "" } else { ", wall time" };
    let name = format!("{} ({}{clock}) {} 2^{log2}", info.name, info.backend, T::DTYPE);
    let mut group = criterion.benchmark_group(name);
    group
        .throughput(Throughput::Bytes(2 * size_of_val(x) as u64))
        .sample_size(15)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(500));
    let has_int64 = adapter.features().contains(wgpu::Features::SHADER_INT64);
    let multiplies = [Some(Multiply::Emulated), has_int64.then_some(Multiply::Int64)];
    for multiply in multiplies.into_iter().flatten() {
        let options = KernelOptions {
            multiply: Some(multiply),
            ..KernelOptions::default()
        };
        let wanted = Kernels::optional_features() | wgpu::Features::TIMESTAMP_QUERY;
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            required_features: adapter.features() & wanted,
            required_limits: adapter.limits(),
            ..Default::default()
        }))
        .unwrap();
        let kernels = &Kernels::with_options(&device, &queue, &options).unwrap();
        let buffer = |usage| {
            kernels.device().create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: size_of_val(x) as u64,
                usage: wgpu::BufferUsages::STORAGE | usage,
                mapped_at_creation: false,
            })
        };
        let (input, output) = (
            buffer(wgpu::BufferUsages::COPY_DST),
            buffer(wgpu::BufferUsages::COPY_SRC),
        );
        kernels.queue().write_buffer(&input, 0, bytemuck::cast_slice(x));
        if multiply == Multiply::Emulated {
            // The best of several shapes is the roof.
            for shape in SHAPES {
                let bytes = size_of_val(x) as u64;
                let copy = Plain::new(kernels.device(), COPY, shape, &[&input, &output], bytes);
                timed(kernels, 1, |pass| copy.record(pass));
                assert!(read(kernels, &output) == bytemuck::cast_slice::<T, u8>(x), "copy");
                let (workgroup_size, vectors) = shape;
                group.bench_function(format!("copy, workgroups of {workgroup_size}, {vectors} vec4"), |b| {
                    b.iter_custom(|times| timed(kernels, times, |pass| copy.record(pass)));
                });
            }
        }
        let binding = kernels
            .bind(&BindDescriptor {
                label: None,
                dtype: T::DTYPE,
                elements: x.len() as u64,
                map: None,
                seeds: None,
                operation: Operation::Forward {
                    x: input.as_entire_buffer_binding(),
                    y: output.as_entire_buffer_binding(),
                    store: None,
                },
            })
            .unwrap();
        for random_bits in RandomBits::ALL {
            let dropout = call(random_bits);
            let mut expected = vec![T::zeroed(); x.len()];
            cpu::forward(&dropout, x, &mut expected).unwrap();
            let name = format!("forward, {} bits, {multiply:?}", random_bits.bits());
            forward(&mut group, kernels, &binding, &dropout, (&expected, &output), name);
        }
        masks(&mut group, kernels, x, (&input, &output), multiply);
        // With the multiply that kernels choose.
        if has_int64 == (multiply == Multiply::Int64) {
            maps(&mut group, kernels, x, (&input, &output));
            neighbours(&mut group, kernels, x, (&input, &output));
            kernels.queue().write_buffer(&input, 0, bytemuck::cast_slice(weights));
            for random_bits in RandomBits::ALL {
                let dropout = call(random_bits);
                let mut expected = vec![T::zeroed(); weights.len()];
                cpu::forward(&dropout, weights, &mut expected).unwrap();
                let name = format!("forward of attention weights, {} bits", random_bits.bits());
                forward(&mut group, kernels, &binding, &dropout, (&expected, &output), name);
            }
        }
    }
    group.finish();
}

fn gpu_path(criterion: &mut Criterion) {
    let sizes = std::env::var("WGPU_DROPOUT_LOG2").unwrap_or_else(|_| "24".to_owned());
    for adapter in &blocking::adapters().unwrap() {
        for log2 in sizes.split(',').map(|log2| log2.parse::<u32>().unwrap()) {
            kernels_of(criterion, adapter, log2, |x| x);
            kernels_of(criterion, adapter, log2, bf16::from_f32);
            kernels_of(criterion, adapter, log2, f16::from_f32);
        }
    }
    assert_eq!(DType::ALL.len(), 3, "a new element type wants its benches");
}

criterion_group!(benches, gpu_path);
criterion_main!(benches);
