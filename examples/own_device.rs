//! Dropout in a wgpu program of one's own: its device, its encoder, dropout between two of its passes.
//!
//! The program squares a tensor, drops, and adds one. Nothing in the library submits or waits: the program
//! does, once, at its end. Run with `cargo run --example own_device`.

#![allow(clippy::print_stdout, reason = "an example")]

use std::error::Error;

use wgpu_dropout::gpu::{BindDescriptor, Kernels, Operation};
use wgpu_dropout::{DType, Dropout, cpu};

const ELEMENTS: usize = 100_003;
const STEPS: u64 = 3;

/// The program's own kernels.
const SHADER: &str = "
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(64)
fn square(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&x) { x[id.x] = x[id.x] * x[id.x]; }
}
@compute @workgroup_size(64)
fn add_one(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&x) { x[id.x] = x[id.x] + 1.0; }
}";

fn main() -> Result<(), Box<dyn Error>> {
    // The program as it was: an adapter, a device with what it needs, its pipelines and its buffer.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        label: Some("own"),
        // All that is new here: features that make the kernels faster, where there are any. None is needed.
        required_features: adapter.features() & Kernels::optional_features(),
        required_limits: wgpu::Limits {
            max_immediate_size: adapter.limits().max_immediate_size.min(Kernels::IMMEDIATE_BYTES),
            ..wgpu::Limits::default()
        },
        ..wgpu::DeviceDescriptor::default()
    }))?;
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("own"),
        source: wgpu::ShaderSource::Wgsl(SHADER.into()),
    });
    let pipeline = |entry_point| {
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry_point),
            layout: None,
            module: &module,
            entry_point: Some(entry_point),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        })
    };
    let (square, add_one) = (pipeline("square"), pipeline("add_one"));
    let bytes = ELEMENTS as u64 * 4;
    let buffer = |usage| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("own"),
            size: bytes,
            usage: usage | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    };
    let tensor = buffer(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
    let staging = buffer(wgpu::BufferUsages::MAP_READ);
    let bind_groups = [&square, &add_one].map(|pipeline| {
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("own"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: tensor.as_entire_binding(),
            }],
        })
    });

    // Once: the kernels of this device, and the operation on this buffer, in place.
    let kernels = Kernels::new(&device, &queue)?;
    let dropout = kernels.bind(&BindDescriptor {
        label: Some("dropout"),
        dtype: DType::F32,
        elements: ELEMENTS as u64,
        map: None,
        seeds: None,
        operation: Operation::Forward {
            x: tensor.as_entire_buffer_binding(),
            y: tensor.as_entire_buffer_binding(),
            store: None,
        },
    })?;

    let x: Vec<f32> = (0..ELEMENTS).map(|i| (i % 100) as f32 * 0.01).collect();
    queue.write_buffer(&tensor, 0, bytemuck::cast_slice(&x));
    let workgroups = (ELEMENTS as u32).div_ceil(64);
    let call = Dropout::new(0.25, 42)?;
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("own") });
    for step in 0..STEPS {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("own"),
            timestamp_writes: None,
        });
        pass.set_pipeline(&square);
        pass.set_bind_group(0, &bind_groups[0], &[]);
        pass.dispatch_workgroups(workgroups, 1, 1);
        // In the program's own pass, in a row with its own dispatches.
        dropout.record(&mut pass, &call.with_subsequence(step))?;
        pass.set_pipeline(&add_one);
        pass.set_bind_group(0, &bind_groups[1], &[]);
        pass.dispatch_workgroups(workgroups, 1, 1);
    }
    encoder.copy_buffer_to_buffer(&tensor, 0, &staging, 0, bytes);
    queue.submit([encoder.finish()]);

    // The program's own wait, to show what came out.
    staging.map_async(wgpu::MapMode::Read, .., |_| {});
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let actual: Vec<f32> = bytemuck::pod_collect_to_vec(&staging.get_mapped_range(..)?);

    let mut expected = x;
    for step in 0..STEPS {
        for x in &mut expected {
            *x *= *x;
        }
        cpu::forward_in_place(&call.with_subsequence(step), &mut expected)?;
        for x in &mut expected {
            *x += 1.0;
        }
    }
    if actual != expected {
        return Err("the GPU came to another result than the CPU".into());
    }
    let dropped = actual.iter().filter(|&&x| x.to_bits() == 1.0f32.to_bits()).count();
    println!(
        "{} on {}: {STEPS} steps of square, dropout, add one over {ELEMENTS} elements, one submit; \
         {dropped} dropped in the last step, the rest as the CPU has it",
        adapter.get_info().backend,
        adapter.get_info().name,
    );
    Ok(())
}
