//! The kernels of one device: which variants it gets, and its pipelines, built on first use.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::bias_gradient::BuiltStages;
use super::device_call::DevicePipelines;
use super::params::PARAMS_BYTES;
use super::plan::PlanLimits;
use super::scope::ErrorScopes;
use super::slots::{self, ParameterSlots};
use super::variant::{Access, MAP, Multiply, ParameterPath, ROW, TileSize, Variant};
use super::{DeviceError, KernelsError};

/// Choices that [`Kernels`] otherwise make by the device's features and limits.
///
/// Results are the same bits whatever the choice.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue) = device();
/// use wgpu_dropout::gpu::{KernelOptions, Kernels, Multiply};
///
/// // As in a browser, in workgroups of 256.
/// let options = KernelOptions { multiply: Some(Multiply::Emulated), workgroup_size: 256, ..Default::default() };
/// let kernels = Kernels::with_options(&device, &queue, &options)?;
/// assert_eq!(kernels.multiply(), Multiply::Emulated);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelOptions {
    /// The wide multiply; 64-bit integers where the device has them if `None`.
    pub multiply: Option<Multiply>,
    /// The way of the parameters; immediates where the device has them if `None`.
    pub parameters: Option<ParameterPath>,
    /// What an invocation has of a tensor; 16 elements on processors that wgpu knows to be no GPU, 16 bytes on all others if
    /// `None`. A bit mask is stored by 16 bytes only where the workgroup is a multiple of 8 invocations.
    pub tile: Option<TileSize>,
    /// Invocations of a workgroup.
    pub workgroup_size: u32,
    /// Bytes of a window at most, below the device's own limit.
    pub max_binding_bytes: u64,
    /// Dispatches that may be recorded and not yet done on the GPU, where parameters go through a
    /// uniform buffer.
    pub parameter_slots: u32,
    /// Where the driver keeps compiled pipelines from run to run, if the caller wants that: made by
    /// [`wgpu::Device::create_pipeline_cache`] on the same device, loaded and saved by the caller.
    pub pipeline_cache: Option<wgpu::PipelineCache>,
}

impl Default for KernelOptions {
    fn default() -> Self {
        Self {
            multiply: None,
            parameters: None,
            tile: None,
            workgroup_size: 64,
            max_binding_bytes: u64::MAX,
            parameter_slots: 1024,
            pipeline_cache: None,
        }
    }
}

/// Dropout kernels for one device.
///
/// Cheap to clone and shared between threads; every clone uses the same pipelines. Builds a pipeline
/// when it is first recorded. Never submits, waits, maps or logs.
///
/// # Limits
///
/// Any device with compute shaders and 3 storage buffers a stage will do; index maps and seeds take one more, a fused
/// forward up to two, and [`bind`](Self::bind) says so where they are missing. Request
/// [`optional_features`](Self::optional_features) and the adapter's own
/// `max_storage_buffer_binding_size` and `max_buffer_size` for speed and long tensors.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::gpu::{BindDescriptor, Kernels, Operation};
/// use wgpu_dropout::{DType, Dropout};
///
/// # let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
/// // Once: the kernels of your device.
/// let kernels = Kernels::new(&device, &queue)?;
///
/// // Once a tensor: your buffers.
/// # let buffer = || device.create_buffer(&wgpu::BufferDescriptor { label: None, size: 4096,
/// #     usage: wgpu::BufferUsages::STORAGE, mapped_at_creation: false });
/// let (x, y) = (buffer(), buffer());
/// let forward = kernels.bind(&BindDescriptor {
///     label: Some("layer 1"),
///     dtype: DType::F32,
///     elements: 1024,
///     map: None,
///     seeds: None,
///     operation: Operation::Forward {
///         x: x.as_entire_buffer_binding(),
///         y: y.as_entire_buffer_binding(),
///         store: None,
///     },
/// })?;
///
/// // Every step: your encoder or pass, your submit.
/// let mut encoder = device.create_command_encoder(&Default::default());
/// for step in 0..3 {
///     forward.encode(&mut encoder, &Dropout::new(0.1, 42)?.with_subsequence(step))?;
/// }
/// queue.submit([encoder.finish()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Kernels {
    pub(crate) inner: Arc<Inner>,
    pub(crate) tile: TileSize,
}

pub(crate) struct Inner {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) multiply: Multiply,
    pub(crate) parameters: ParameterPath,
    pub(crate) limits: PlanLimits,
    pub(crate) slots: Option<ParameterSlots>,
    pub(crate) slots_layout: wgpu::BindGroupLayout,
    /// Bound where a variant has a binding and the operation has not.
    pub(crate) nothing: OnceLock<[wgpu::Buffer; 2]>,
    /// Built when a call first has its parameters on the device.
    pub(crate) device_pipelines: OnceLock<DevicePipelines>,
    pub(crate) bias_gradients: BuiltStages,
    pub(crate) pipeline_cache: Option<wgpu::PipelineCache>,
    /// What a driver makes of a text, to see that the self-test sees it.
    #[cfg(test)]
    pub(crate) rewrite: Option<fn(String) -> String>,
    pipelines: RwLock<HashMap<Variant, wgpu::ComputePipeline>>,
}

impl core::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Kernels")
            .field("multiply", &self.inner.multiply)
            .field("parameters", &self.inner.parameters)
            .field("tile", &self.tile)
            .field("limits", &self.inner.limits)
            .finish_non_exhaustive()
    }
}

fn require(name: &'static str, needed: u64, actual: u64) -> Result<(), KernelsError> {
    if actual < needed {
        return Err(KernelsError::Limit { name, needed, actual });
    }
    Ok(())
}

impl Kernels {
    /// Features worth requesting where the adapter has them; none is needed.
    ///
    /// `SHADER_INT64` for the wide multiply, `IMMEDIATES` (with
    /// [`IMMEDIATE_BYTES`](Self::IMMEDIATE_BYTES)) for the parameters.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let adapter = adapter()?;
    /// use wgpu_dropout::gpu::Kernels;
    ///
    /// let wanted = adapter.features() & Kernels::optional_features();
    /// let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
    ///     required_features: wanted,
    ///     required_limits: adapter.limits(),
    ///     ..Default::default()
    /// }))?;
    /// let kernels = Kernels::new(&device, &queue)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn optional_features() -> wgpu::Features {
        wgpu::Features::SHADER_INT64 | wgpu::Features::IMMEDIATES
    }

    /// What to request as `max_immediate_size`, in bytes: 64, which every implementation of immediates
    /// grants.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::gpu::Kernels;
    ///
    /// let limits = wgpu::Limits { max_immediate_size: Kernels::IMMEDIATE_BYTES, ..Default::default() };
    /// # assert_eq!(limits.max_immediate_size, 64);
    /// ```
    pub const IMMEDIATE_BYTES: u32 = PARAMS_BYTES;

    /// The kernels of a device, with the choices that its features and limits suggest.
    ///
    /// # Errors
    ///
    /// [`KernelsError`] where the device lacks a limit.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue) = device();
    /// use wgpu_dropout::gpu::Kernels;
    ///
    /// let kernels = Kernels::new(&device, &queue)?;
    /// let for_another_thread = kernels.clone();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Result<Self, KernelsError> {
        Self::with_options(device, queue, &KernelOptions::default())
    }

    /// The kernels of a device, with choices of the caller's.
    ///
    /// # Errors
    ///
    /// [`KernelsError`] where the device lacks a limit or a feature that an option needs, or an option
    /// is out of range.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue) = device();
    /// use wgpu_dropout::gpu::{KernelOptions, Kernels, KernelsError, Multiply};
    ///
    /// let options = KernelOptions { multiply: Some(Multiply::Int64), ..Default::default() };
    /// let kernels = Kernels::with_options(&device, &queue, &options);
    /// // A device that was requested without it.
    /// assert!(matches!(kernels, Err(KernelsError::Feature { feature: "SHADER_INT64", .. })));
    /// ```
    pub fn with_options(
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        options: &KernelOptions,
    ) -> Result<Self, KernelsError> {
        let limits = device.limits();
        require(
            "max_storage_buffers_per_shader_stage",
            3,
            limits.max_storage_buffers_per_shader_stage.into(),
        )?;
        require(
            "max_compute_workgroups_per_dimension",
            1,
            limits.max_compute_workgroups_per_dimension.into(),
        )?;
        require(
            "max_compute_workgroup_size_x",
            1,
            limits.max_compute_workgroup_size_x.into(),
        )?;
        let largest = limits
            .max_compute_workgroup_size_x
            .min(limits.max_compute_invocations_per_workgroup);
        in_range("workgroup_size", options.workgroup_size, largest)?;

        let features = device.features();
        let multiply = match options.multiply {
            None if has_int64(features) => Multiply::Int64,
            None => Multiply::Emulated,
            Some(Multiply::Int64) if !has_int64(features) => {
                return Err(KernelsError::Feature {
                    option: "Multiply::Int64",
                    feature: "SHADER_INT64",
                });
            }
            Some(multiply) => multiply,
        };
        let parameters = match options.parameters {
            None if has_immediates(features, &limits) => ParameterPath::Immediates,
            None => ParameterPath::Uniform,
            Some(ParameterPath::Immediates) if !has_immediates(features, &limits) => {
                return Err(KernelsError::Feature {
                    option: "ParameterPath::Immediates",
                    feature: "IMMEDIATES (with max_immediate_size of at least 64)",
                });
            }
            Some(parameters) => parameters,
        };

        require(
            "max_dynamic_uniform_buffers_per_pipeline_layout",
            1,
            limits.max_dynamic_uniform_buffers_per_pipeline_layout.into(),
        )?;
        let scopes = ErrorScopes::push(device);
        let slots_layout = slots::layout(device);
        let slots = match parameters {
            ParameterPath::Immediates => None,
            ParameterPath::Uniform => {
                in_range("parameter_slots", options.parameter_slots, 1 << 20)?;
                Some(ParameterSlots::new(device, &slots_layout, options.parameter_slots))
            }
        };
        scopes.pop()?;
        Ok(Self {
            tile: options.tile.unwrap_or_else(|| best_tile(device)),
            inner: Arc::new(Inner {
                device: device.clone(),
                queue: queue.clone(),
                multiply,
                parameters,
                limits: PlanLimits {
                    max_binding_bytes: limits.max_storage_buffer_binding_size.min(options.max_binding_bytes),
                    offset_alignment: limits.min_storage_buffer_offset_alignment.into(),
                    max_workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
                    workgroup_size: options.workgroup_size,
                },
                slots,
                slots_layout,
                nothing: OnceLock::new(),
                device_pipelines: OnceLock::new(),
                bias_gradients: BuiltStages::default(),
                pipeline_cache: options.pipeline_cache.clone(),
                #[cfg(test)]
                rewrite: None,
                pipelines: RwLock::default(),
            }),
        })
    }

    /// The device that the kernels were made for.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// assert_eq!(kernels.device(), &device);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// Its queue.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// let encoder = kernels.device().create_command_encoder(&Default::default());
    /// kernels.queue().submit([encoder.finish()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// The wide multiply in use.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// use wgpu_dropout::gpu::Multiply;
    ///
    /// // A device without features gets what every device can.
    /// assert_eq!(kernels.multiply(), Multiply::Emulated);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn multiply(&self) -> Multiply {
        self.inner.multiply
    }

    /// The way of the parameters in use.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// use wgpu_dropout::gpu::ParameterPath;
    ///
    /// assert_eq!(kernels.parameters(), ParameterPath::Uniform);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn parameters(&self) -> ParameterPath {
        self.inner.parameters
    }

    /// What an invocation has of a tensor.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue) = device();
    /// use wgpu_dropout::gpu::variant::TileSize;
    /// use wgpu_dropout::gpu::{KernelOptions, Kernels};
    ///
    /// let options = KernelOptions { tile: Some(TileSize::Elements16), ..Default::default() };
    /// assert_eq!(Kernels::with_options(&device, &queue, &options)?.tile(), TileSize::Elements16);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn tile(&self) -> TileSize {
        self.tile
    }

    /// The same kernels, and the same pipelines where they serve both, with tiles of another size.
    pub(crate) fn with_tile(&self, tile: TileSize) -> Self {
        Self { tile, ..self.clone() }
    }

    /// The variants whose pipelines are built by now, in no order.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// # let buffer = |size| storage(&device, size);
    /// # let forward = bound_forward(&kernels)?;
    /// use wgpu_dropout::Dropout;
    ///
    /// forward.prepare(&Dropout::new(0.1, 42)?)?;
    /// println!("{}", kernels.built()[0]); // its name, as in the device's own tools
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn built(&self) -> Vec<Variant> {
        let known = self.inner.pipelines.read().unwrap_or_else(PoisonError::into_inner);
        known.keys().copied().collect()
    }

    /// What windows and dispatches are cut by.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// let limits = kernels.limits();
    /// println!("windows of {} bytes, workgroups of {}", limits.max_binding_bytes, limits.workgroup_size);
    /// # assert_eq!(limits.workgroup_size, 64);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn limits(&self) -> PlanLimits {
        self.inner.limits
    }
}

fn in_range(name: &'static str, actual: u32, most: u32) -> Result<(), KernelsError> {
    if (1..=most).contains(&actual) {
        return Ok(());
    }
    Err(KernelsError::Option {
        name,
        actual: actual.into(),
        least: 1,
        most: most.into(),
    })
}

/// The tile that is faster: measured on an H100, and on processors that run a kernel's invocations in vectors of their own
/// (BENCHMARKS.md).
fn best_tile(device: &wgpu::Device) -> TileSize {
    match device.adapter_info().device_type {
        wgpu::DeviceType::Cpu => TileSize::Elements16,
        _ => TileSize::Bytes16,
    }
}

pub(crate) fn has_int64(features: wgpu::Features) -> bool {
    features.contains(wgpu::Features::SHADER_INT64)
}

pub(crate) fn has_immediates(features: wgpu::Features, limits: &wgpu::Limits) -> bool {
    features.contains(wgpu::Features::IMMEDIATES) && limits.max_immediate_size >= PARAMS_BYTES
}

impl Inner {
    /// The layout of a variant's group 0.
    pub(crate) fn bind_group_layout(&self, variant: &Variant) -> wgpu::BindGroupLayout {
        let buffer = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let mut entries: Vec<_> = variant
            .bindings()
            .into_iter()
            .map(|binding| {
                let read_only = binding.access == Access::Read;
                buffer(binding.index, wgpu::BufferBindingType::Storage { read_only })
            })
            .collect();
        if variant.has_map() {
            entries.push(buffer(MAP, wgpu::BufferBindingType::Uniform));
        }
        if variant.neighbours().is_some() {
            entries.push(buffer(ROW, wgpu::BufferBindingType::Uniform));
        }
        self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("wgpu_dropout::Binding"),
            entries: &entries,
        })
    }

    /// The pipeline of a variant, built when it is first asked for.
    pub(crate) fn pipeline(&self, variant: &Variant) -> Result<wgpu::ComputePipeline, DeviceError> {
        let known = self.pipelines.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = known.get(variant) {
            return Ok(pipeline.clone());
        }
        drop(known);
        let pipeline = self.build(variant)?;
        // Two threads may have built it; either will do.
        let mut known = self.pipelines.write().unwrap_or_else(PoisonError::into_inner);
        Ok(known.entry(*variant).or_insert(pipeline).clone())
    }

    /// A shader, and its label for what is made of it.
    ///
    /// wgpu hands the label to Microsoft's DXC as the name of a file, and one with `::` in it DXC does not read. Mended in wgpu after
    /// 30.0.2 (<https://github.com/gfx-rs/wgpu/pull/10134>).
    pub(super) fn shader(&self, name: &str, text: String) -> (String, wgpu::ShaderModule) {
        let label = format!("wgpu_dropout {name}");
        #[cfg(test)]
        let text = match self.rewrite {
            Some(rewrite) => rewrite(text),
            None => text,
        };
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(&label),
            source: wgpu::ShaderSource::Wgsl(text.into()),
        });
        (label, module)
    }

    fn build(&self, variant: &Variant) -> Result<wgpu::ComputePipeline, DeviceError> {
        let scopes = ErrorScopes::push(&self.device);
        let (label, module) = self.shader(&variant.to_string(), variant.wgsl());
        let storage = self.bind_group_layout(variant);
        let layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&label),
            bind_group_layouts: &[Some(&storage), Some(&self.slots_layout)]
                [..=usize::from(variant.parameters == ParameterPath::Uniform)],
            immediate_size: match variant.parameters {
                ParameterPath::Immediates => PARAMS_BYTES,
                ParameterPath::Uniform => 0,
            },
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[("workgroup_size", f64::from(self.limits.workgroup_size))],
                // Every word of it is written before one is read.
                zero_initialize_workgroup_memory: false,
            },
            cache: self.pipeline_cache.as_ref(),
        });
        scopes.pop()?;
        Ok(pipeline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::bias_gradient::Stage;
    use crate::gpu::variant::Extent;
    use crate::gpu::{BindDescriptor, Operation, RecordError};
    use crate::{DType, Dropout};

    /// An error with its name, nothing recorded, and what does not need the pipeline goes on.
    #[test]
    fn a_driver_that_refuses_a_pipeline() {
        let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
        let mut kernels = Kernels::new(&device, &queue).expect("kernels");
        let inner = Arc::get_mut(&mut kernels.inner).expect("no clone");
        inner.rewrite = Some(|text| {
            let is_refused = text.contains("16 random bits");
            if is_refused {
                text.replace("fn main", "fn other")
            } else {
                text
            }
        });
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 4096,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let binding = kernels
            .bind(&BindDescriptor {
                label: None,
                dtype: DType::F32,
                elements: 1024,
                map: None,
                seeds: None,
                operation: Operation::Forward {
                    x: buffer.as_entire_buffer_binding(),
                    y: buffer.as_entire_buffer_binding(),
                    store: None,
                },
            })
            .expect("a binding");
        let refused = Dropout::new(0.5, 1).expect("a probability");
        let refused =
            refused.with_probability(crate::Probability::new(0.5, crate::RandomBits::B16).expect("a probability"));
        let taken = Dropout::new(0.5, 1).expect("a probability");
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for _ in 0..2 {
            let error = binding.encode(&mut encoder, &refused).expect_err("refused");
            assert!(
                matches!(error, RecordError::Device(DeviceError::Validation(_))),
                "{error:?}"
            );
            assert!(error.to_string().contains("drawn16"), "{error}");
            binding.encode(&mut encoder, &taken).expect("another pipeline");
        }
        queue.submit([encoder.finish()]);
        assert_eq!(kernels.built().len(), 1);
    }

    /// Of each shader that there is, as wgpu says it when it refuses the shader.
    #[test]
    fn labels_are_names_that_dxc_reads() {
        let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
        let mut kernels = Kernels::new(&device, &queue).expect("kernels");
        let inner = Arc::get_mut(&mut kernels.inner).expect("no clone");
        inner.rewrite = Some(|_| "no WGSL".to_owned());
        let gradient = |stage| inner.stage(stage, DType::F32, Extent::Tail).map(drop);
        let refused = Variant::all()
            .map(|variant| inner.build(&variant).map(drop))
            .chain([gradient(Stage::Partial), gradient(Stage::Total)])
            .chain([inner.device_pipelines().map(drop)]);
        let mut labels = 0;
        for error in refused.map(|refused| refused.expect_err("refused").to_string()) {
            let label = error.split("label = '").nth(1).and_then(|rest| rest.split('\'').next());
            let label = label.expect(&error);
            assert!(label.starts_with("wgpu_dropout") && !label.contains(':'), "{label}");
            labels += 1;
        }
        assert!(labels > 5000, "{labels}");
    }
}
