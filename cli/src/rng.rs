//! `rng`: the random words that masks are drawn from, as bytes on standard output.

use std::error::Error;
use std::io::{self, Write};
use std::sync::mpsc;

use wgpu_dropout::gpu::blocking::{Context, ContextError};
use wgpu_dropout::gpu::{mask_parameters, mask_wgsl};
use wgpu_dropout::rand_core::Rng as _;
use wgpu_dropout::wgpu;
use wgpu_dropout::{Dropout, Philox4x32, RandomBits};

use crate::args::{Rng, WordsFrom};

/// Words of a piece.
const PIECE: u64 = 1 << 20;
/// Words of an invocation, and invocations of a workgroup; shader twins in rng.wgsl.
const TILE: u64 = 16;
const WORKGROUP: u64 = 64;

pub fn run(arguments: &Rng) -> Result<bool, Box<dyn Error>> {
    let gpu = match arguments.backend {
        WordsFrom::Cpu => None,
        WordsFrom::Gpu => Some(Gpu::new(&context(arguments)?)),
    };
    let call = Dropout::new(0.5, arguments.seed)?.with_subsequence(arguments.subsequence);
    // As many as there are where no number is given.
    let all = u128::from(u64::MAX) + 1 - u128::from(arguments.start);
    let mut left = arguments.words.map_or(all, u128::from);
    if left > all {
        return Err(format!(
            "{left} words from word {} on, but there are {all}; start earlier or ask for fewer",
            arguments.start
        )
        .into());
    }
    let mut start = arguments.start;
    let mut out = io::stdout().lock();
    while left > 0 {
        let words = left.min(PIECE.into()) as u64;
        let piece = match &gpu {
            Some(gpu) => gpu.words(&call.with_element_offset(start), words)?,
            None => of_host(arguments, start, words),
        };
        let bytes: Vec<u8> = piece.iter().flat_map(|word| word.to_le_bytes()).collect();
        match out.write_all(&bytes).and_then(|()| out.flush()) {
            // Who reads has enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(true),
            written => written?,
        }
        left -= u128::from(words);
        start = start.wrapping_add(words);
    }
    Ok(true)
}

fn context(arguments: &Rng) -> Result<Context, ContextError> {
    match &arguments.adapter {
        Some(name) => Context::with_adapter_name(name),
        None => Context::new(),
    }
}

fn of_host(arguments: &Rng, start: u64, words: u64) -> Vec<u32> {
    let mut generator = Philox4x32::new(arguments.seed, arguments.subsequence);
    generator.seek_word(start.into());
    (0..words).map(|_| generator.next_u32()).collect()
}

/// The kernels' own text, made to write down the words that it otherwise compares.
struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipeline: wgpu::ComputePipeline,
    groups: [wgpu::BindGroup; 2],
    words: wgpu::Buffer,
    parameters: wgpu::Buffer,
    staging: wgpu::Buffer,
}

impl Gpu {
    fn new(context: &Context) -> Self {
        let kernels = context.kernels();
        let (device, queue) = (kernels.device().clone(), kernels.queue().clone());
        let text = mask_wgsl(RandomBits::B32, kernels.multiply()) + include_str!("rng.wgsl");
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("wgpu-dropout rng"),
            source: wgpu::ShaderSource::Wgsl(text.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("wgpu-dropout rng"),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let buffer = |size, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("wgpu-dropout rng"),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let words = buffer(4 * PIECE, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
        let parameters = buffer(64, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST);
        let staging = buffer(4 * PIECE, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        let group = |index, buffer: &wgpu::Buffer| {
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("wgpu-dropout rng"),
                layout: &pipeline.get_bind_group_layout(index),
                entries: &[wgpu::BindGroupEntry {
                    binding: 0,
                    resource: buffer.as_entire_binding(),
                }],
            })
        };
        Self {
            groups: [group(0, &words), group(1, &parameters)],
            device,
            queue,
            pipeline,
            words,
            parameters,
            staging,
        }
    }

    /// The words of that many elements, from a call's offset on; a piece at most.
    fn words(&self, call: &Dropout, count: u64) -> Result<Vec<u32>, Box<dyn Error>> {
        let parameters = mask_parameters(call, count as u32)?;
        self.queue.write_buffer(&self.parameters, 0, &parameters);
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&self.pipeline);
        for (index, group) in (0..).zip(&self.groups) {
            pass.set_bind_group(index, group, &[]);
        }
        pass.dispatch_workgroups(count.div_ceil(TILE * WORKGROUP) as u32, 1, 1);
        drop(pass);
        encoder.copy_buffer_to_buffer(&self.words, 0, &self.staging, 0, 4 * count);
        self.queue.submit([encoder.finish()]);
        let (sender, mapped) = mpsc::channel();
        self.staging.map_async(wgpu::MapMode::Read, ..4 * count, move |result| {
            // The receiver waits below.
            let _ = sender.send(result);
        });
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        mapped.recv()??;
        let words = bytemuck::pod_collect_to_vec(&self.staging.get_mapped_range(..4 * count)?);
        self.staging.unmap();
        Ok(words)
    }
}
