//! Dropout inside a kernel of one's own: the mask's WGSL functions pasted into a softmax over rows, as in attention.
//!
//! One pass over memory; the mask is the library's, so the backward pass may be the library's too. Run with
//! `cargo run --example fuse_into_your_kernel`.

#![allow(clippy::print_stdout, reason = "an example")]

use std::error::Error;

use wgpu::util::DeviceExt as _;
use wgpu_dropout::gpu::{Multiply, mask_parameters, mask_wgsl};
use wgpu_dropout::{Dropout, reference};

const ROWS: usize = 1000;
/// A multiple of the 16 elements that are decided at a time.
const COLUMNS: usize = 80;

/// One row an invocation; what of it is the library's comes from `keep_tile` and `params`.
const SOFTMAX: &str = "
const COLUMNS = 80u;

@group(0) @binding(0) var<storage, read_write> scores: array<vec4<f32>>;

fn put(cell: u32, keep: vec4<bool>, largest: f32, factor: f32) {
    let weights = exp(scores[cell] - vec4<f32>(largest)) * factor;
    scores[cell] = select(vec4<f32>(0.0), weights, keep);
}

@compute @workgroup_size(64)
fn softmax_and_drop(@builtin(global_invocation_id) id: vec3<u32>) {
    let first = id.x * COLUMNS / 4u;
    if id.x * COLUMNS >= params.elements { return; }
    var largest = scores[first];
    for (var i = 1u; i < COLUMNS / 4u; i++) { largest = max(largest, scores[first + i]); }
    let peak = max(max(largest.x, largest.y), max(largest.z, largest.w));
    var sums = vec4<f32>(0.0);
    for (var i = 0u; i < COLUMNS / 4u; i++) { sums += exp(scores[first + i] - vec4<f32>(peak)); }
    let factor = bitcast<f32>(params.scale) / (sums.x + sums.y + sums.z + sums.w);
    for (var i = 0u; i < COLUMNS / 16u; i++) {
        let keep = keep_tile(id.x * COLUMNS / 16u + i);
        put(first + 4u * i, keep.a, peak, factor);
        put(first + 4u * i + 1u, keep.b, peak, factor);
        put(first + 4u * i + 2u, keep.c, peak, factor);
        put(first + 4u * i + 3u, keep.d, peak, factor);
    }
}";

fn main() -> Result<(), Box<dyn Error>> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))?;

    let dropout = Dropout::new(0.2, 42)?
        .with_subsequence(3)
        .with_element_offset(1_000_003);
    let text = mask_wgsl(dropout.probability.random_bits(), Multiply::Emulated) + SOFTMAX;
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("softmax"),
        source: wgpu::ShaderSource::Wgsl(text.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("softmax"),
        layout: None,
        module: &module,
        entry_point: Some("softmax_and_drop"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });

    let scores: Vec<f32> = (0..ROWS * COLUMNS).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
    let buffer = |contents: &[u8], usage| {
        device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("softmax"),
            contents,
            usage,
        })
    };
    let weights = buffer(
        bytemuck::cast_slice(&scores),
        wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
    );
    let parameters = mask_parameters(&dropout, (ROWS * COLUMNS) as u32)?;
    let parameters = buffer(&parameters, wgpu::BufferUsages::UNIFORM);
    let staging = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("softmax"),
        size: weights.size(),
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let group = |index, buffer: &wgpu::Buffer| {
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("softmax"),
            layout: &pipeline.get_bind_group_layout(index),
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: buffer.as_entire_binding(),
            }],
        })
    };
    let groups = [group(0, &weights), group(1, &parameters)];
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &groups[0], &[]);
        pass.set_bind_group(1, &groups[1], &[]);
        pass.dispatch_workgroups(ROWS.div_ceil(64) as u32, 1, 1);
    }
    encoder.copy_buffer_to_buffer(&weights, 0, &staging, 0, staging.size());
    queue.submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |_| {});
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let weights: Vec<f32> = bytemuck::pod_collect_to_vec(&staging.get_mapped_range(..)?);

    // The mask is the library's, bit for bit; the softmax is the host's but for the rounding of exp.
    let mut mask = vec![0; weights.len()];
    reference::byte_mask(&dropout, &mut mask)?;
    let scale = dropout.probability.training_scale(dropout.scale_mode);
    let mut farthest = 0.0f32;
    for (row, (scores, weights)) in scores.chunks(COLUMNS).zip(weights.chunks(COLUMNS)).enumerate() {
        let sum: f32 = scores.iter().map(|score| score.exp()).sum();
        for (column, (score, weight)) in scores.iter().zip(weights).enumerate() {
            let is_kept = mask[row * COLUMNS + column] == 1;
            if is_kept != (weight.to_bits() != 0) {
                return Err(format!("row {row}, column {column}: not the library's mask").into());
            }
            let expected = if is_kept { score.exp() / sum * scale } else { 0.0 };
            farthest = farthest.max((weight - expected).abs() / (score.exp() / sum));
        }
    }
    if farthest > 1e-4 {
        return Err(format!("a weight is off by {farthest:e} of its size").into());
    }
    let kept: u32 = mask.iter().map(|&keep| u32::from(keep)).sum();
    println!(
        "{kept} of {} weights kept, exactly where the library keeps them; weights within {farthest:.0e} of the host's",
        mask.len()
    );
    Ok(())
}
