//! wgpu's noop device, which checks as any other, and tensors on it.

use wgpu::{BufferBinding, BufferUsages};
use wgpu_dropout::DType;
use wgpu_dropout::gpu::{BindDescriptor, BindError, Binding, KernelOptions, Kernels, KernelsError, Operation};

pub fn noop_with(required_features: wgpu::Features, required_limits: wgpu::Limits) -> (wgpu::Device, wgpu::Queue) {
    wgpu::Device::noop(&wgpu::DeviceDescriptor {
        required_features,
        required_limits,
        ..Default::default()
    })
}

pub fn kernels_with(options: &KernelOptions, limits: wgpu::Limits) -> Result<Kernels, KernelsError> {
    let (device, queue) = noop_with(wgpu::Features::empty(), limits);
    Kernels::with_options(&device, &queue, options)
}

pub fn kernels() -> Kernels {
    kernels_with(&KernelOptions::default(), wgpu::Limits::default()).unwrap()
}

pub fn buffer(kernels: &Kernels, size: u64, usage: BufferUsages) -> wgpu::Buffer {
    kernels.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage,
        mapped_at_creation: false,
    })
}

pub fn storage(kernels: &Kernels, size: u64) -> wgpu::Buffer {
    buffer(kernels, size, BufferUsages::STORAGE)
}

pub fn at(buffer: &wgpu::Buffer, offset: u64) -> BufferBinding<'_> {
    BufferBinding {
        buffer,
        offset,
        size: None,
    }
}

pub fn forward<'a>(x: BufferBinding<'a>, y: BufferBinding<'a>) -> Operation<'a> {
    Operation::Forward { x, y, store: None }
}

pub fn bind(kernels: &Kernels, dtype: DType, elements: u64, operation: Operation<'_>) -> Result<Binding, BindError> {
    kernels.bind(&BindDescriptor {
        label: None,
        dtype,
        elements,
        map: None,
        seeds: None,
        operation,
    })
}
