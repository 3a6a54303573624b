//! wgpu's noop device, which checks as any other, and tensors on it.

use wgpu::{BufferBinding, BufferUsages};
use wgpu_dropout::DType;
use wgpu_dropout::gpu::{
    BiasGradient, BiasGradientDescriptor, BindDescriptor, BindError, Binding, KernelOptions, Kernels, KernelsError,
    Operation, RowBias, Seeds,
};

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

/// Bias and residual over 2048 f32 at most; the output in memory of its own, or somewhere in the residual.
pub fn fused(kernels: &Kernels, elements: u64, columns: u64, y_in_residual: Option<u64>) -> Result<Binding, BindError> {
    let [x, bias, residual, y] = &[(); 4].map(|()| storage(kernels, 8192));
    let operation = Operation::ForwardFused {
        x: at(x, 0),
        bias: Some(RowBias {
            values: at(bias, 0),
            columns,
        }),
        residual: Some(at(residual, 0)),
        y: y_in_residual.map_or(at(y, 0), |offset| at(residual, offset)),
    };
    bind(kernels, DType::F32, elements, operation)
}

pub fn bias_gradient(
    kernels: &Kernels,
    elements: u64,
    columns: u64,
    dx: BufferBinding<'_>,
    dbias: BufferBinding<'_>,
) -> Result<BiasGradient, BindError> {
    kernels.bind_bias_gradient(&BiasGradientDescriptor {
        label: None,
        dtype: DType::F32,
        elements,
        columns,
        dx,
        dbias,
    })
}

/// 2048 elements, and 32 seeds.
pub fn seeded(kernels: &Kernels, elements_per_seed: u64, first_element: u64) -> Result<Binding, BindError> {
    let (x, values) = (storage(kernels, 8192), storage(kernels, 256));
    kernels.bind(&BindDescriptor {
        label: None,
        dtype: DType::F32,
        elements: 2048,
        map: None,
        seeds: Some(Seeds {
            values: at(&values, 0),
            elements_per_seed,
            first_element,
        }),
        operation: forward(at(&x, 0), at(&x, 0)),
    })
}
