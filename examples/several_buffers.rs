//! A tensor longer than a buffer may be: several buffers, several recordings, one mask.
//!
//! A buffer ends at 2 GiB on most adapters, so a tensor of 2^31 f32 elements lies in several. Each
//! buffer is recorded with the global index of its first element; together they hold exactly what the
//! whole tensor would. Run with `--elements N` for another length (in all).

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example")]

use wgpu_dropout::gpu::{BindDescriptor, Binding, Kernels, Operation, blocking};
use wgpu_dropout::{DType, Dropout, cpu};

/// Elements of a buffer; as many as `max_buffer_size` allows in earnest.
const BUFFER_ELEMENTS: usize = 1 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip_while(|word| word != "--elements").skip(1);
    let elements: usize = arguments.next().map_or(Ok((5 << 19) + 3), |number| number.parse())?;
    // Any device does; this one is borrowed from the convenience module.
    let context = blocking::Context::new()?;
    let kernels = context.kernels();
    let x: Vec<f32> = (0..elements).map(|i| i as f32).collect();

    // Once: upload and bind each part.
    let parts = x
        .chunks(BUFFER_ELEMENTS)
        .map(|part| Part::new(kernels, part))
        .collect::<Result<Vec<_>, _>>()?;

    // Every step: one pass, a recording a part, each with its own element_offset.
    let step = Dropout::new(0.1, 42)?.with_subsequence(7);
    let mut encoder = kernels
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let mut first = 0;
        for part in &parts {
            part.forward.record(&mut pass, &step.with_element_offset(first))?;
            first += part.forward.elements();
        }
    }
    kernels.queue().submit([encoder.finish()]);

    // Check: the CPU path over the whole tensor at once gives the same bits.
    let mut whole = vec![0.0; elements];
    cpu::forward(&step, &x, &mut whole)?;
    for (part, expected) in parts.iter().zip(whole.chunks(BUFFER_ELEMENTS)) {
        let actual = part.read(kernels)?;
        let same = actual.iter().zip(expected).all(|(a, e)| a.to_bits() == e.to_bits());
        assert!(same, "a part differs from the whole");
    }
    let kept = whole.iter().filter(|y| **y != 0.0).count();
    println!(
        "{elements} elements in {} buffers equal the whole tensor; {kept} are not zero",
        parts.len()
    );
    Ok(())
}

struct Part {
    y: wgpu::Buffer,
    forward: Binding,
}

impl Part {
    fn new(kernels: &Kernels, x: &[f32]) -> Result<Self, Box<dyn std::error::Error>> {
        use wgpu::util::DeviceExt as _;
        let input = kernels.device().create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("x"),
            contents: bytemuck::cast_slice(x),
            usage: wgpu::BufferUsages::STORAGE,
        });
        let y = kernels.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("y"),
            size: size_of_val(x) as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let forward = kernels.bind(&BindDescriptor {
            label: Some("part"),
            dtype: DType::F32,
            elements: x.len() as u64,
            map: None,
            seeds: None,
            operation: Operation::Forward {
                x: input.as_entire_buffer_binding(),
                y: y.as_entire_buffer_binding(),
                store: None,
            },
        })?;
        Ok(Self { y, forward })
    }

    fn read(&self, kernels: &Kernels) -> Result<Vec<f32>, Box<dyn std::error::Error>> {
        let staging = kernels.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("staging"),
            size: self.y.size(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = kernels
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&self.y, 0, &staging, 0, self.y.size());
        kernels.queue().submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
        kernels.device().poll(wgpu::PollType::wait_indefinitely())?;
        Ok(bytemuck::pod_collect_to_vec(&staging.get_mapped_range(..)?))
    }
}
