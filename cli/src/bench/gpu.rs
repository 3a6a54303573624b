//! A case on one adapter, beside a plain copy kernel that moves as many bytes.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wgpu_dropout::gpu::{
    BackwardMask, BindDescriptor, Binding, KernelOptions, Kernels, Multiply, Operation, StoredMask,
};
use wgpu_dropout::half::{bf16, f16};
use wgpu_dropout::{DType, Dropout, MaskFormat, wgpu};

use super::check::{self, Number};
use super::report::{GpuNames, Row};
use super::sample::{Sample, in_turns};
use super::{Case, check_memory};
use crate::args::Op;

/// What a memory pass costs at best.
const COPY: &str = include_str!("copy.wgsl");

/// The shapes of the copy kernel that are tried; the fastest is the roof. Workgroup size, and whether an
/// invocation has four vectors or one.
const SHAPES: [(u32, bool); 4] = [(64, true), (64, false), (256, true), (256, false)];

/// How long a GPU is kept busy before a case is timed.
const WAKING: Duration = Duration::from_millis(500);

/// Bytes that are uploaded or downloaded at a time.
const TRANSFER: u64 = 64 << 20;

pub struct Gpu {
    info: wgpu::AdapterInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    copies: Vec<(wgpu::ComputePipeline, u64)>,
    timestamps: Option<Timestamps>,
    /// The first error that no scope caught.
    uncaught: Arc<Mutex<Option<String>>>,
}

struct Timestamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
    period_s: f64,
}

impl Timestamps {
    fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("bench::timestamps"),
                size: 16,
                usage: usage | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        Self {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("bench::timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            staging: buffer(wgpu::BufferUsages::MAP_READ),
            period_s: f64::from(queue.get_timestamp_period()) * 1e-9,
        }
    }
}

/// A part of the tensor that fits into buffers of the device.
struct Piece {
    first: u64,
    elements: u64,
    x: wgpu::Buffer,
    y: wgpu::Buffer,
    mask: wgpu::Buffer,
    /// The windows of the copy and their bytes.
    copies: Vec<(wgpu::BindGroup, u64)>,
}

impl Gpu {
    pub fn new(adapter: &wgpu::Adapter) -> Result<Self, Box<dyn Error>> {
        let info = adapter.get_info();
        let wanted = Kernels::optional_features() | wgpu::Features::TIMESTAMP_QUERY;
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("bench"),
            required_features: adapter.features() & wanted,
            required_limits: adapter.limits(),
            ..Default::default()
        }))
        .map_err(|error| format!("{}: {error}", info.name))?;
        let uncaught = Arc::new(Mutex::new(None));
        let sink = Arc::clone(&uncaught);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let mut first = sink.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| error.to_string());
        }));
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("copy"),
            source: wgpu::ShaderSource::Wgsl(COPY.into()),
        });
        let layout = copy_layout(&device);
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("copy"),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let largest = device.limits().max_compute_invocations_per_workgroup;
        let copies = SHAPES
            .into_iter()
            .filter(|(workgroup_size, _)| *workgroup_size <= largest)
            .map(|(workgroup_size, contiguous)| {
                let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some("copy"),
                    layout: Some(&pipeline_layout),
                    module: &module,
                    entry_point: Some("main"),
                    compilation_options: wgpu::PipelineCompilationOptions {
                        constants: &[
                            ("workgroup_size", workgroup_size.into()),
                            ("contiguous", f64::from(u8::from(contiguous))),
                        ],
                        ..Default::default()
                    },
                    cache: None,
                });
                (pipeline, u64::from(workgroup_size) * if contiguous { 64 } else { 16 })
            })
            .collect();
        let timestamps = device
            .features()
            .contains(wgpu::Features::TIMESTAMP_QUERY)
            .then(|| Timestamps::new(&device, &queue));
        let gpu = Self {
            info,
            device,
            queue,
            copies,
            timestamps,
            uncaught,
        };
        gpu.check()?;
        Ok(gpu)
    }

    pub fn name(&self) -> String {
        format!("{} ({})", self.info.name, self.info.backend)
    }

    pub fn driver(&self) -> String {
        format!("{} {}", self.info.driver, self.info.driver_info)
            .trim()
            .to_owned()
    }

    /// The first error since the last call.
    fn check(&self) -> Result<(), String> {
        let mut uncaught = self.uncaught.lock().unwrap_or_else(PoisonError::into_inner);
        uncaught.take().map_or(Ok(()), Err)
    }

    fn wait(&self) -> Result<(), Box<dyn Error>> {
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        Ok(self.check()?)
    }

    pub fn measure(&self, case: &Case) -> Result<Row, Box<dyn Error>> {
        let measured = match case.dtype {
            DType::F32 => self.measure_as::<f32>(case),
            DType::F16 => self.measure_as::<f16>(case),
            DType::Bf16 => self.measure_as::<bf16>(case),
        };
        // What one case leaves behind is not the next one's.
        let _ = self.wait();
        measured
    }

    fn measure_as<T: Number>(&self, case: &Case) -> Result<Row, Box<dyn Error>> {
        let dropout = case.dropout()?;
        if self.info.device_type == wgpu::DeviceType::Cpu {
            check_memory(case.buffer_bytes() + 2 * TRANSFER)?;
        }
        let pieces = self.pieces(case)?;
        if case.op != Op::Mask {
            self.upload::<T>(&pieces)?;
        }
        if case.op == Op::Backward && case.mask.is_some() {
            // What a forward pass would have stored.
            let kernels = Kernels::new(&self.device, &self.queue)?;
            let mask = Case { op: Op::Mask, ..*case };
            let bindings = Self::bind(&kernels, &mask, &pieces)?;
            self.timed(|pass| record(pass, &bindings, &pieces, &dropout))?;
        }

        // New kernels have no pipelines yet.
        let start = Instant::now();
        let kernels = Kernels::with_options(&self.device, &self.queue, &KernelOptions::default())?;
        let bindings = Self::bind(&kernels, case, &pieces)?;
        self.timed(|pass| record(pass, &bindings, &pieces, &dropout))?;
        let first_use = start.elapsed().as_secs_f64();

        self.wake(|pass| record(pass, &bindings, &pieces, &dropout))?;
        let copy = self.fastest_copy(&pieces)?;
        let (roofs, cases) = in_turns(
            || self.timed_copy(&pieces, copy),
            || self.timed(|pass| record(pass, &bindings, &pieces, &dropout)),
        )?;
        // The roof wrote over the last result.
        self.timed(|pass| record(pass, &bindings, &pieces, &dropout))?;
        self.check_results::<T>(case, &dropout, &pieces)?;
        let names = GpuNames {
            adapter: self.name(),
            multiply: match kernels.multiply() {
                Multiply::Int64 => "64-bit integers",
                Multiply::Emulated => "16-bit halves",
            },
        };
        Ok(Row::new(case, Some(names), &roofs, &cases, first_use))
    }

    fn buffer(&self, bytes: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("bench"),
            size: bytes.next_multiple_of(16).max(16),
            usage,
            mapped_at_creation: false,
        })
    }

    /// Cuts the tensor into as few pieces as buffers allow.
    fn pieces(&self, case: &Case) -> Result<Vec<Piece>, Box<dyn Error>> {
        use wgpu::BufferUsages as Usage;
        let limits = self.device.limits();
        // A piece of the roof is longer than one of the tensor by half of the mask.
        let most = limits.max_buffer_size / (case.dtype.bytes() + 1) / 65_536 * 65_536;
        if most == 0 {
            let bytes = limits.max_buffer_size;
            return Err(format!("buffers of at most {bytes} bytes are too small; choose another adapter").into());
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let storage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
        let mut pieces = Vec::new();
        for n in 0..case.elements.div_ceil(most) {
            let first = n * most;
            let elements = most.min(case.elements - first);
            let part = Case { elements, ..*case };
            let roof_bytes = (part.bytes() / 2).next_multiple_of(16);
            let (x, y) = (
                self.buffer(part.tensor_bytes().max(roof_bytes), storage),
                self.buffer(part.tensor_bytes().max(roof_bytes), storage),
            );
            let window = (limits.max_storage_buffer_binding_size / 4096 * 4096).max(4096);
            let layout = copy_layout(&self.device);
            let copies = (0..roof_bytes.div_ceil(window))
                .map(|n| {
                    let offset = n * window;
                    let bytes = window.min(roof_bytes - offset);
                    let entry = |binding, buffer| wgpu::BindGroupEntry {
                        binding,
                        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                            buffer,
                            offset,
                            size: wgpu::BufferSize::new(bytes),
                        }),
                    };
                    let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                        label: Some("copy"),
                        layout: &layout,
                        entries: &[entry(0, &x), entry(1, &y)],
                    });
                    (bind_group, bytes)
                })
                .collect();
            pieces.push(Piece {
                first,
                elements,
                x,
                y,
                mask: self.buffer(part.mask_bytes(), storage),
                copies,
            });
        }
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(format!("out of device memory ({error}); try a smaller size").into());
        }
        self.check()?;
        Ok(pieces)
    }

    /// The input repeats, so one chunk on the host does.
    fn upload<T: Number>(&self, pieces: &[Piece]) -> Result<(), Box<dyn Error>> {
        let chunk = (pieces.iter().map(|piece| piece.elements).max().unwrap_or(0))
            .next_multiple_of(check::PERIOD)
            .min(TRANSFER / size_of::<T>() as u64);
        let mut host = vec![T::zeroed(); usize::try_from(chunk)?];
        check::fill(&mut host, 0);
        let bytes: &[u8] = bytemuck::cast_slice(&host);
        for piece in pieces {
            let end = piece.elements * size_of::<T>() as u64;
            for at in (0..end).step_by(bytes.len()) {
                // A whole word; the buffer is that long.
                let length = (end - at).min(bytes.len() as u64).next_multiple_of(4) as usize;
                self.queue.write_buffer(&piece.x, at, &bytes[..length]);
                self.queue.submit([]);
                self.wait()?;
            }
        }
        Ok(())
    }

    fn bind(kernels: &Kernels, case: &Case, pieces: &[Piece]) -> Result<Vec<Binding>, Box<dyn Error>> {
        let bind = |piece: &Piece| {
            let stored = |format| match format {
                MaskFormat::Bits => StoredMask::Bits(piece.mask.as_entire_buffer_binding()),
                MaskFormat::Bytes => StoredMask::Bytes(piece.mask.as_entire_buffer_binding()),
            };
            let (x, y) = (piece.x.as_entire_buffer_binding(), piece.y.as_entire_buffer_binding());
            let operation = match case.op {
                Op::Forward => Operation::Forward {
                    x,
                    y,
                    store: case.mask.map(stored),
                },
                Op::Backward => Operation::Backward {
                    dy: x,
                    dx: y,
                    mask: case
                        .mask
                        .map_or(BackwardMask::Drawn, |format| BackwardMask::Stored(stored(format))),
                },
                Op::Mask => Operation::Mask {
                    store: stored(case.mask.unwrap_or(MaskFormat::Bits)),
                },
            };
            Ok(kernels.bind(&BindDescriptor {
                label: Some("bench"),
                dtype: case.dtype,
                elements: piece.elements,
                map: None,
                seeds: None,
                operation,
            })?)
        };
        pieces.iter().map(bind).collect()
    }

    /// Keeps a GPU busy until its clocks are what they are under load: they are low after the processor has checked results.
    fn wake(
        &self,
        record: impl Fn(&mut wgpu::ComputePass<'_>) -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        if self.info.device_type == wgpu::DeviceType::Cpu {
            return Ok(());
        }
        let start = Instant::now();
        while start.elapsed() < WAKING {
            let mut encoder = self
                .device
                .create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("bench") });
            for _ in 0..16 {
                record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()))?;
            }
            self.queue.submit([encoder.finish()]);
            self.wait()?;
        }
        Ok(())
    }

    /// The number of the fastest shape of the copy for these buffers.
    fn fastest_copy(&self, pieces: &[Piece]) -> Result<usize, Box<dyn Error>> {
        let mut fastest = (f64::INFINITY, 0);
        for shape in 0..self.copies.len() {
            for _ in 0..4 {
                let sample = self.timed_copy(pieces, shape)?;
                let time = sample.gpu.unwrap_or(sample.wall);
                if time < fastest.0 {
                    fastest = (time, shape);
                }
            }
        }
        Ok(fastest.1)
    }

    fn timed_copy(&self, pieces: &[Piece], shape: usize) -> Result<Sample, Box<dyn Error>> {
        self.timed(|pass| {
            self.record_copy(pass, pieces, shape);
            Ok(())
        })
    }

    fn record_copy(&self, pass: &mut wgpu::ComputePass<'_>, pieces: &[Piece], shape: usize) {
        let (pipeline, bytes_a_workgroup) = &self.copies[shape];
        pass.set_pipeline(pipeline);
        for (bind_group, bytes) in pieces.iter().flat_map(|piece| &piece.copies) {
            let workgroups = bytes.div_ceil(*bytes_a_workgroup);
            let rows = workgroups.div_ceil(32_768);
            pass.set_bind_group(0, bind_group, &[]);
            pass.dispatch_workgroups(workgroups.div_ceil(rows) as u32, rows as u32, 1);
        }
    }

    /// Records one pass, submits it and waits.
    fn timed(
        &self,
        record: impl FnOnce(&mut wgpu::ComputePass<'_>) -> Result<(), Box<dyn Error>>,
    ) -> Result<Sample, Box<dyn Error>> {
        let start = Instant::now();
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("bench") });
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("bench"),
            timestamp_writes: self
                .timestamps
                .as_ref()
                .map(|timestamps| wgpu::ComputePassTimestampWrites {
                    query_set: &timestamps.queries,
                    beginning_of_pass_write_index: Some(0),
                    end_of_pass_write_index: Some(1),
                }),
        });
        record(&mut pass)?;
        drop(pass);
        if let Some(timestamps) = &self.timestamps {
            encoder.resolve_query_set(&timestamps.queries, 0..2, &timestamps.resolved, 0);
            encoder.copy_buffer_to_buffer(&timestamps.resolved, 0, &timestamps.staging, 0, 16);
        }
        self.queue.submit([encoder.finish()]);
        self.wait()?;
        let wall = start.elapsed().as_secs_f64();
        let mut gpu = None;
        if let Some(timestamps) = &self.timestamps {
            let ticks = self.read(&timestamps.staging)?;
            let tick = |n: usize| bytemuck::pod_read_unaligned::<u64>(&ticks[n * 8..n * 8 + 8]);
            gpu = Some(tick(1).saturating_sub(tick(0)) as f64 * timestamps.period_s);
        }
        Ok(Sample { wall, gpu })
    }

    /// What a mappable buffer holds.
    fn read(&self, staging: &wgpu::Buffer) -> Result<Vec<u8>, Box<dyn Error>> {
        staging.map_async(wgpu::MapMode::Read, .., |_| {});
        self.wait()?;
        let bytes = staging.get_mapped_range(..)?.to_vec();
        staging.unmap();
        Ok(bytes)
    }

    /// Hands over a buffer's first `bytes` bytes, some at a time, with the place of their first.
    fn download(
        &self,
        buffer: &wgpu::Buffer,
        bytes: u64,
        mut take: impl FnMut(u64, &[u8]) -> Result<(), String>,
    ) -> Result<(), Box<dyn Error>> {
        use wgpu::BufferUsages as Usage;
        let staging = self.buffer(TRANSFER.min(bytes), Usage::MAP_READ | Usage::COPY_DST);
        for at in (0..bytes).step_by(TRANSFER as usize) {
            let length = TRANSFER.min(bytes - at);
            let mut encoder = self
                .device
                .create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("bench") });
            encoder.copy_buffer_to_buffer(buffer, at, &staging, 0, length.next_multiple_of(4));
            self.queue.submit([encoder.finish()]);
            take(at, &self.read(&staging)?[..length as usize])?;
        }
        Ok(())
    }

    fn check_results<T: Number>(&self, case: &Case, dropout: &Dropout, pieces: &[Piece]) -> Result<(), Box<dyn Error>> {
        for piece in pieces {
            let part = Case {
                elements: piece.elements,
                ..*case
            };
            if case.op != Op::Mask {
                self.download(&piece.y, part.tensor_bytes(), |at, bytes| {
                    let y: Vec<T> = bytemuck::pod_collect_to_vec(bytes);
                    check::output(dropout, piece.first + at / size_of::<T>() as u64, &y)
                })?;
            }
            match case.mask {
                None => {}
                Some(MaskFormat::Bits) => self.download(&piece.mask, part.mask_bytes(), |at, bytes| {
                    let mask: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
                    let elements = (mask.len() as u64 * 32).min(piece.elements - at * 8);
                    check::bits(dropout, piece.first + at * 8, elements as usize, &mask)
                })?,
                Some(MaskFormat::Bytes) => self.download(&piece.mask, piece.elements, |at, bytes| {
                    check::bytes(dropout, piece.first + at, bytes)
                })?,
            }
        }
        Ok(())
    }
}

fn copy_layout(device: &wgpu::Device) -> wgpu::BindGroupLayout {
    let entry = |binding, read_only| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("copy"),
        entries: &[entry(0, true), entry(1, false)],
    })
}

fn record(
    pass: &mut wgpu::ComputePass<'_>,
    bindings: &[Binding],
    pieces: &[Piece],
    dropout: &Dropout,
) -> Result<(), Box<dyn Error>> {
    for (binding, piece) in bindings.iter().zip(pieces) {
        binding.record(pass, &dropout.with_element_offset(piece.first))?;
    }
    Ok(())
}
