// What examples of the API start from, on wgpu's noop device: included by them, hidden.

use std::error::Error;
use wgpu_dropout::gpu::blocking::Context;
use wgpu_dropout::gpu::plan::PlanLimits;
use wgpu_dropout::gpu::variant::{Access, Extent, Input, MaskSource, Stream, Tensor, TileSize};
use wgpu_dropout::gpu::{
    Advance, AdvanceDescriptor, BiasGradient, BiasGradientDescriptor, BindDescriptor, Binding, Kernels, Multiply,
    Operation, ParameterPath, RecipeDescriptor, RecipeOperation, STATE_BYTES, Samples, SamplesDescriptor, Variant,
};
use wgpu_dropout::{DType, RandomBits};

pub fn device() -> (wgpu::Device, wgpu::Queue) {
    wgpu::Device::noop(&wgpu::DeviceDescriptor::default())
}

pub fn kernels() -> Result<(wgpu::Device, wgpu::Queue, Kernels), Box<dyn Error>> {
    let (device, queue) = device();
    let kernels = Kernels::new(&device, &queue)?;
    Ok((device, queue, kernels))
}

pub fn storage(device: &wgpu::Device, size: u64) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

/// A forward of 1024 f32, in place.
pub fn bound_forward(kernels: &Kernels) -> Result<Binding, Box<dyn Error>> {
    let x = storage(kernels.device(), 4096);
    Ok(kernels.bind(&BindDescriptor {
        label: None,
        dtype: DType::F32,
        elements: 1024,
        map: None,
        seeds: None,
        operation: Operation::Forward {
            x: x.as_entire_buffer_binding(),
            y: x.as_entire_buffer_binding(),
            store: None,
        },
    })?)
}

/// Of 100 rows of 64 f32.
pub fn bound_bias_gradient(kernels: &Kernels) -> Result<BiasGradient, Box<dyn Error>> {
    let [dx, dbias] = [100 * 64 * 4, 64 * 4].map(|size| storage(kernels.device(), size));
    Ok(kernels.bind_bias_gradient(&BiasGradientDescriptor {
        label: None,
        dtype: DType::F32,
        elements: 100 * 64,
        columns: 64,
        dx: dx.as_entire_buffer_binding(),
        dbias: dbias.as_entire_buffer_binding(),
    })?)
}

pub fn bound_advance(kernels: &Kernels) -> Result<Advance, Box<dyn Error>> {
    let state = storage(kernels.device(), STATE_BYTES);
    Ok(kernels.bind_advance(&AdvanceDescriptor {
        label: None,
        state: state.as_entire_buffer_binding(),
        by: 1,
    })?)
}

/// Two of 1024 f32.
pub fn bound_samples(kernels: &Kernels) -> Result<Samples, Box<dyn Error>> {
    let [x, y, z] = [4096; 3].map(|size| storage(kernels.device(), size));
    Ok(kernels.bind_samples(&SamplesDescriptor {
        label: None,
        dtype: DType::F32,
        elements: 1024,
        map: None,
        x: x.as_entire_buffer_binding(),
        ys: &[y.as_entire_buffer_binding(), z.as_entire_buffer_binding()],
    })?)
}

pub fn adapter() -> Result<wgpu::Adapter, Box<dyn Error>> {
    let mut instance = wgpu::InstanceDescriptor::new_without_display_handle();
    instance.backends = wgpu::Backends::NOOP;
    instance.backend_options.noop.enable = true;
    // Its own pass what wgpu can lay out.
    instance.backend_options.noop.limits = Some(wgpu::Limits::default());
    let options = wgpu::RequestAdapterOptions::default();
    Ok(pollster::block_on(
        wgpu::Instance::new(instance).request_adapter(&options),
    )?)
}

pub fn context() -> Result<Context, Box<dyn Error>> {
    Ok(Context::with_adapter(&adapter()?, &Default::default())?)
}

pub const LIMITS: PlanLimits = PlanLimits {
    max_binding_bytes: 1 << 20,
    offset_alignment: 256,
    max_workgroups_per_dimension: 65_535,
    workgroup_size: 64,
};

/// The tensor of the plain forward of f32.
pub const TENSOR: Tensor = Tensor {
    dtype: DType::F32,
    input: Input::Apart(Access::Read),
    extent: Extent::Whole,
    neighbours: None,
};

pub const FORWARD: Variant = Variant {
    multiply: Multiply::Int64,
    parameters: ParameterPath::Immediates,
    mask: MaskSource::Drawn(RandomBits::B32, Stream::Aligned),
    tensor: Some(TENSOR),
    store: None,
    tile: TileSize::Elements16,
};

/// A plain forward of 1000 f32.
pub const RECIPE: RecipeDescriptor<'static> = RecipeDescriptor {
    dtype: DType::F32,
    elements: 1000,
    map: None,
    seeds: None,
    operation: RecipeOperation::Forward {
        input: Input::Apart(Access::Read),
        store: None,
    },
    multiply: Multiply::Emulated,
    tile: TileSize::Elements16,
    limits: LIMITS,
};
