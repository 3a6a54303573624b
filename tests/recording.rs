//! What a recording allocates, nothing beside wgpu itself, and what many leave behind: nothing.

#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

use wgpu_dropout::gpu::{BackwardMask, BindDescriptor, KernelOptions, Kernels, Operation, ParameterPath};
use wgpu_dropout::{DType, Dropout};

const TIMES: u64 = 100;

#[test]
fn recording_allocates_nothing() {
    let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor {
        required_features: Kernels::optional_features(),
        required_limits: wgpu::Limits {
            max_immediate_size: Kernels::IMMEDIATE_BYTES,
            ..wgpu::Limits::default()
        },
        ..wgpu::DeviceDescriptor::default()
    });
    let options = KernelOptions {
        parameters: Some(ParameterPath::Immediates),
        ..KernelOptions::default()
    };
    let kernels = Kernels::with_options(&device, &queue, &options).unwrap();
    let buffer = || {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 1 << 20,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        })
    };
    let (x, y) = (buffer(), buffer());
    let binding = kernels
        .bind(&BindDescriptor {
            label: None,
            dtype: DType::F32,
            elements: 1 << 18,
            map: None,
            seeds: None,
            operation: Operation::Forward {
                x: x.as_entire_buffer_binding(),
                y: y.as_entire_buffer_binding(),
                store: None,
            },
        })
        .unwrap();
    let dropout = Dropout::new(0.1, 42).unwrap();
    binding.prepare(&dropout).unwrap();

    // The bare calls, with a pipeline of the same text.
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(kernels.built()[0].wgsl().into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[
            wgpu::BindGroupEntry {
                binding: 0,
                resource: x.as_entire_binding(),
            },
            wgpu::BindGroupEntry {
                binding: 1,
                resource: y.as_entire_binding(),
            },
        ],
    });

    let allocations = |record: &dyn Fn(&mut wgpu::ComputePass<'_>)| {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let counted = allocation_counter::measure(|| (0..TIMES).for_each(|_| record(&mut pass)));
        counted.count_total
    };
    let bare = || {
        allocations(&|pass| {
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &bind_group, &[]);
            pass.set_immediates(0, &[0; 64]);
            pass.dispatch_workgroups(256, 1, 1);
        })
    };
    let ours = || allocations(&|pass| binding.record(pass, &dropout).unwrap());
    // Whatever is set up in the first pass of all.
    bare();
    ours();
    assert_eq!(ours(), bare());
    // The count counts: a label of its own for each recording would show.
    let with_a_string = allocations(&|pass| {
        std::hint::black_box(format!("{dropout:?}"));
        binding.record(pass, &dropout).unwrap();
    });
    assert!(with_a_string >= bare() + TIMES);
}

/// Bytes that some steps of a training loop leave allocated: forward and backward, with another subsequence each time.
fn left_by(steps: u64, parameters: ParameterPath) -> i64 {
    let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor {
        required_features: Kernels::optional_features(),
        required_limits: wgpu::Limits {
            max_immediate_size: Kernels::IMMEDIATE_BYTES,
            ..wgpu::Limits::default()
        },
        ..wgpu::DeviceDescriptor::default()
    });
    let options = KernelOptions {
        parameters: Some(parameters),
        ..KernelOptions::default()
    };
    let kernels = Kernels::with_options(&device, &queue, &options).unwrap();
    let buffer = || {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 1 << 20,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        })
    };
    let (x, y) = (buffer(), buffer());
    let bind = |operation| {
        let descriptor = BindDescriptor {
            label: None,
            dtype: DType::F32,
            elements: (1 << 18) - 3,
            map: None,
            seeds: None,
            operation,
        };
        kernels.bind(&descriptor).unwrap()
    };
    let forward = bind(Operation::Forward {
        x: x.as_entire_buffer_binding(),
        y: y.as_entire_buffer_binding(),
        store: None,
    });
    let backward = bind(Operation::Backward {
        dy: y.as_entire_buffer_binding(),
        dx: x.as_entire_buffer_binding(),
        mask: BackwardMask::Drawn,
    });
    let step = |step: u64| {
        let dropout = Dropout::new(0.1, 42).unwrap().with_subsequence(step);
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        forward.encode(&mut encoder, &dropout).unwrap();
        backward.encode(&mut encoder, &dropout).unwrap();
        queue.submit([encoder.finish()]);
        device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    };
    // What is set up once, and pools that grow to their size.
    (0..1000).for_each(step);
    allocation_counter::measure(|| (0..steps).for_each(step)).bytes_current
}

#[test]
fn ten_thousand_steps_leave_nothing_behind() {
    for parameters in [ParameterPath::Immediates, ParameterPath::Uniform] {
        let left = left_by(10_000, parameters);
        // Not a byte a step; wgpu's own lists double now and then.
        assert!(left < 10_000, "{parameters:?}: {left} bytes");
    }
}
