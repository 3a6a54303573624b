//! Calls whose seed, subsequence and length lie in buffers, for pipelines that never return to the host.
//!
//! A small shader copies them into the slots of a uniform buffer that the kernels read anyway, in the same pass
//! right before the dispatches: the kernels are the same, and so are the bits.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use wgpu::BufferBinding;

use super::binding::{Binding, BoundWindow, Range};
use super::form::with_extent;
use super::kernels::{Inner, Kernels};
use super::params::{PARAMS_BYTES, Params, halves};
use super::plan::Dispatch;
use super::scope::ErrorScopes;
use super::uniforms::filled;
use super::variant::{Extent, MaskSource, ParameterPath, ShaderFile, Stream, file, joined};
use super::{BindError, DeviceCallError, DeviceError, RecordError};
use crate::Dropout;

/// Bytes of a state in a buffer, see [`state_bytes`].
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue) = device();
/// use wgpu_dropout::gpu::STATE_BYTES;
///
/// let state = device.create_buffer(&wgpu::BufferDescriptor {
///     label: Some("seed and step"),
///     size: STATE_BYTES,
///     usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
///     mapped_at_creation: false,
/// });
/// ```
pub const STATE_BYTES: u64 = 16;

/// A state as it lies in a buffer: seed, then subsequence, each as two u32, the lower one first.
///
/// In the host's byte order, as WGSL reads it.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::gpu::state_bytes;
///
/// let words: [u32; 4] = bytemuck::cast(state_bytes(42, 7 << 32));
/// assert_eq!(words, [42, 0, 0, 7]);
/// ```
#[must_use]
pub fn state_bytes(seed: u64, subsequence: u64) -> [u8; STATE_BYTES as usize] {
    bytemuck::cast([halves(seed), halves(subsequence)])
}

/// Describes a [`DeviceCall`].
///
/// For use with [`Binding::on_device`].
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue, kernels) = kernels()?;
/// # let buffer = |size| storage(&device, size);
/// # let forward = bound_forward(&kernels)?;
/// use wgpu_dropout::Dropout;
/// use wgpu_dropout::gpu::{DeviceCallDescriptor, STATE_BYTES};
///
/// // As many elements as the GPU finds there are, at most those that are bound.
/// let (state, length) = (buffer(STATE_BYTES), buffer(4));
/// let call = forward.on_device(&DeviceCallDescriptor {
///     label: None,
///     dropout: &Dropout::new(0.1, 0)?.with_subsequence(2), // the third call of a step
///     state: state.as_entire_buffer_binding(),
///     length: Some(length.as_entire_buffer_binding()),
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DeviceCallDescriptor<'a> {
    /// Debug label.
    pub label: wgpu::Label<'a>,
    /// What the host knows: probability, mode and element offset. The seed is the state's, and so is the
    /// subsequence, to which this one's is added (modulo 2^64): the calls of one step are 0, 1, 2 and so on.
    pub dropout: &'a Dropout,
    /// 16 bytes of a `STORAGE` buffer, laid out as [`state_bytes`].
    pub state: BufferBinding<'a>,
    /// Where the length is known on the GPU only: 4 bytes of a `STORAGE` buffer, the elements as a u32. The call
    /// then works on so many elements of what is bound, at most all of it. Needs
    /// [`wgpu::DownlevelFlags::INDIRECT_EXECUTION`], which every WebGPU device has.
    pub length: Option<BufferBinding<'a>>,
}

/// A call whose seed, subsequence and perhaps length are read on the GPU when it runs.
///
/// What was recorded with it can be recorded again, word for word: without an [`Advance`] between it draws the same
/// masks (say, to compute activations again), with one it draws new ones.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::gpu::{AdvanceDescriptor, BindDescriptor, DeviceCallDescriptor, Kernels, Operation};
/// use wgpu_dropout::gpu::{STATE_BYTES, state_bytes};
/// use wgpu_dropout::{DType, Dropout};
///
/// # let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
/// # let kernels = Kernels::new(&device, &queue)?;
/// # let buffer = |size| device.create_buffer(&wgpu::BufferDescriptor { label: None, size,
/// #     usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST, mapped_at_creation: false });
/// let (x, state) = (buffer(4096), buffer(STATE_BYTES));
/// queue.write_buffer(&state, 0, &state_bytes(42, 0));
/// let binding = kernels.bind(&BindDescriptor {
///     label: None,
///     dtype: DType::F32,
///     elements: 1024,
///     map: None,
///     seeds: None,
///     operation: Operation::Forward {
///         x: x.as_entire_buffer_binding(),
///         y: x.as_entire_buffer_binding(),
///         store: None,
///     },
/// })?;
/// let forward = binding.on_device(&DeviceCallDescriptor {
///     label: None,
///     dropout: &Dropout::new(0.1, 0)?,
///     state: state.as_entire_buffer_binding(),
///     length: None,
/// })?;
/// let advance = kernels.bind_advance(&AdvanceDescriptor {
///     label: None,
///     state: state.as_entire_buffer_binding(),
///     by: 1,
/// })?;
///
/// // The same every step, with fresh masks.
/// let mut encoder = device.create_command_encoder(&Default::default());
/// for _step in 0..3 {
///     let mut pass = encoder.begin_compute_pass(&Default::default());
///     forward.record(&mut pass);
///     advance.record(&mut pass);
/// }
/// queue.submit([encoder.finish()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct DeviceCall {
    load: wgpu::ComputePipeline,
    load_bind_group: wgpu::BindGroup,
    slots: wgpu::Buffer,
    slots_bind_group: wgpu::BindGroup,
    dispatches: Vec<DeviceDispatch>,
}

#[derive(Clone)]
struct DeviceDispatch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    /// None where they are in the slot.
    workgroups: Option<[u32; 2]>,
}

impl core::fmt::Debug for DeviceCall {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("DeviceCall")
            .field("dispatches", &self.dispatches.len())
            .finish_non_exhaustive()
    }
}

/// Describes an [`Advance`].
///
/// For use with [`Kernels::bind_advance`].
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue, kernels) = kernels()?;
/// use wgpu_dropout::gpu::{AdvanceDescriptor, STATE_BYTES};
///
/// # let buffer = |size| storage(&device, size);
/// let state = buffer(STATE_BYTES);
/// let advance = kernels.bind_advance(&AdvanceDescriptor {
///     label: None,
///     state: state.as_entire_buffer_binding(),
///     by: 12, // a step of twelve layers
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AdvanceDescriptor<'a> {
    /// Debug label.
    pub label: wgpu::Label<'a>,
    /// The state, see [`DeviceCallDescriptor::state`].
    pub state: BufferBinding<'a>,
    /// By how many subsequences: as many as one step has calls.
    pub by: u64,
}

/// Moves a state on the GPU to later subsequences, modulo 2^64: what follows draws fresh masks.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue, kernels) = kernels()?;
/// # let advance = bound_advance(&kernels)?;
/// let mut encoder = device.create_command_encoder(&Default::default());
/// advance.record(&mut encoder.begin_compute_pass(&Default::default()));
/// queue.submit([encoder.finish()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Advance {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
}

/// A dispatch's parameters and what they are made from, as the shader reads them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Slot {
    params: Params,
    added: [u32; 2],
    window_first: [u32; 2],
    window_elements: u32,
    elements_per_invocation: u32,
    unit: u32,
    workgroup_size: u32,
    max_workgroups: u32,
    extent: u32,
    workgroups: [u32; 3],
    reserved: [u32; 35],
}

/// Bytes of [`Slot`]: the greatest alignment that a device asks of a uniform's offset.
const SLOT_BYTES: u64 = size_of::<Slot>() as u64;
const WORKGROUPS_OFFSET: u64 = core::mem::offset_of!(Slot, workgroups) as u64;

/// How a slot's length comes about; shader twins in load.wgsl.
const AS_PLANNED: u32 = 0;
const WHOLE: u32 = 1;
const TAIL: u32 = 2;
const ANY: u32 = 3;

/// Invocations of a workgroup of load.wgsl.
const LOAD_WORKGROUP: u64 = 64;

/// The shaders that stand beside the kernels.
pub(crate) struct DevicePipelines {
    load: wgpu::ComputePipeline,
    advance: wgpu::ComputePipeline,
}

/// The files of load.wgsl and advance.wgsl, in the order in which they are joined.
pub(crate) const LOAD: [ShaderFile; 2] = [file!("params/params.wgsl"), file!("device/load.wgsl")];
pub(crate) const ADVANCE: [ShaderFile; 1] = [file!("device/advance.wgsl")];

impl Inner {
    pub(super) fn device_pipelines(&self) -> Result<&DevicePipelines, DeviceError> {
        if let Some(known) = self.device_pipelines.get() {
            return Ok(known);
        }
        let scopes = ErrorScopes::push(&self.device);
        let build = |name, files: &[ShaderFile]| {
            let (label, module) = self.shader(name, joined(files));
            self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&label),
                layout: None,
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: self.pipeline_cache.as_ref(),
            })
        };
        let built = DevicePipelines {
            load: build("DeviceCall", &LOAD),
            advance: build("Advance", &ADVANCE),
        };
        scopes.pop()?;
        Ok(self.device_pipelines.get_or_init(|| built))
    }
}

fn entry(binding: u32, resource: BufferBinding<'_>) -> wgpu::BindGroupEntry<'_> {
    wgpu::BindGroupEntry {
        binding,
        resource: wgpu::BindingResource::Buffer(resource),
    }
}

/// The first bytes of a binding, checked.
fn first_bytes<'a>(
    inner: &Inner,
    name: &'static str,
    binding: &BufferBinding<'a>,
    bytes: u64,
) -> Result<BufferBinding<'a>, BindError> {
    Range::new(name, 0, binding, bytes, inner.limits.offset_alignment)?;
    Ok(BufferBinding {
        size: wgpu::BufferSize::new(bytes),
        ..binding.clone()
    })
}

impl Binding {
    /// Puts a call of the operation on the device: its seed, subsequence and, if wanted, length are read from
    /// buffers each time it runs. Same bits as a call from the host with the same numbers.
    ///
    /// # Errors
    ///
    /// [`DeviceCallError`] where a buffer is too small, misaligned or lacks `STORAGE`, the elements pass global index
    /// 2^64, or the device reports an error.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// # let buffer = |size| storage(&device, size);
    /// # let forward = bound_forward(&kernels)?;
    /// use wgpu_dropout::Dropout;
    /// use wgpu_dropout::gpu::{BindError, DeviceCallDescriptor, DeviceCallError};
    ///
    /// let short = buffer(8);
    /// let refused = forward.on_device(&DeviceCallDescriptor {
    ///     label: None,
    ///     dropout: &Dropout::new(0.1, 0)?,
    ///     state: short.as_entire_buffer_binding(),
    ///     length: None,
    /// });
    /// assert!(matches!(refused, Err(DeviceCallError::Bind(BindError::TooSmall { name: "state", .. }))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_device(&self, descriptor: &DeviceCallDescriptor<'_>) -> Result<DeviceCall, DeviceCallError> {
        let DeviceCallDescriptor {
            label,
            dropout,
            ref state,
            ref length,
        } = *descriptor;
        self.check_stream(dropout).map_err(DeviceCallError::Record)?;
        let inner = self.kernels();
        let state = first_bytes(inner, "state", state, STATE_BYTES)?;
        let length = length
            .as_ref()
            .map(|length| first_bytes(inner, "length", length, 4))
            .transpose()?;

        let planned = self.planned(dropout, length.is_some())?;
        let pipelines = inner.device_pipelines()?;
        let mut slots: Vec<Slot> = planned.iter().map(|(slot, _)| *slot).collect();
        // Where there is nothing to do, a slot that does nothing: buffers have at least one byte.
        if slots.is_empty() {
            slots.push(Slot::zeroed());
        }
        let scopes = ErrorScopes::push(&inner.device);
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::INDIRECT;
        let slots = filled(&inner.device, label, bytemuck::cast_slice(&slots), usage);
        let load_bind_group = inner.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label,
            layout: &pipelines.load.get_bind_group_layout(0),
            entries: &[
                entry(0, state.clone()),
                // Not read where there is none.
                entry(1, length.unwrap_or(state)),
                entry(2, slots.as_entire_buffer_binding()),
            ],
        });
        let slots_bind_group = inner.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label,
            layout: &inner.slots_layout,
            entries: &[entry(
                0,
                BufferBinding {
                    buffer: &slots,
                    offset: 0,
                    size: wgpu::BufferSize::new(PARAMS_BYTES.into()),
                },
            )],
        });
        scopes.pop()?;
        Ok(DeviceCall {
            load: pipelines.load.clone(),
            load_bind_group,
            slots,
            slots_bind_group,
            dispatches: planned.into_iter().map(|(_, dispatch)| dispatch).collect(),
        })
    }

    /// The dispatches of a call with their slots. Where the device knows the length, each window has both of them,
    /// and what a slot says of its extent is filled in there.
    fn planned(&self, dropout: &Dropout, is_indirect: bool) -> Result<Vec<(Slot, DeviceDispatch)>, RecordError> {
        let (mut variant, stream) = self.variant_for(dropout);
        variant.parameters = ParameterPath::Uniform;
        if let (MaskSource::Drawn(_, stream @ Stream::Columns), true) = (&mut variant.mask, is_indirect) {
            // The shader that counts workgroups counts tiles.
            *stream = Stream::Mapped;
        }
        let extents: &[Extent] = match variant.tensor.map(|tensor| tensor.extent) {
            Some(Extent::Whole) => &[Extent::Whole, Extent::Tail],
            Some(Extent::Tail) => &[Extent::Tail],
            None => &[Extent::Whole],
        };
        let pipelines = self.build(variant, |extent| {
            let mut planned = self.bound_dispatches().map(|(_, dispatch)| dispatch.extent);
            extents.contains(&extent) && (is_indirect || planned.any(|planned| planned == extent))
        })?;
        let planned = |bound: &BoundWindow, dispatch: Dispatch| {
            let slot = Slot {
                extent: match (is_indirect, extents, dispatch.extent) {
                    (false, ..) => AS_PLANNED,
                    (true, [_], _) => ANY,
                    (true, _, Extent::Whole) => WHOLE,
                    (true, _, Extent::Tail) => TAIL,
                },
                elements_per_invocation: with_extent(variant, dispatch.extent).elements_per_invocation() as u32,
                unit: variant.unit() as u32,
                ..self.slot(dropout, stream, bound, dispatch)
            };
            let dispatch = DeviceDispatch {
                pipeline: pipelines.of(dispatch.extent)?.clone(),
                bind_group: bound.bind_group.clone(),
                workgroups: (!is_indirect).then_some(dispatch.workgroups),
            };
            Some((slot, dispatch))
        };
        if !is_indirect {
            let dispatches = self.bound_dispatches();
            return Ok(dispatches
                .filter_map(|(bound, dispatch)| planned(bound, dispatch))
                .collect());
        }
        let of_window = |bound: &BoundWindow| {
            let whole = extents.iter().filter_map(|&extent| {
                let dispatch = Dispatch {
                    first_invocation: 0,
                    elements: bound.window.elements,
                    extent,
                    workgroups: [0; 2],
                };
                planned(bound, dispatch)
            });
            whole.collect::<Vec<_>>()
        };
        Ok(self.windows().iter().flat_map(of_window).collect())
    }

    fn slot(&self, dropout: &Dropout, stream: Stream, bound: &BoundWindow, dispatch: Dispatch) -> Slot {
        let limits = self.kernels().limits;
        let mut params = self.params(dropout);
        params.place(dropout, stream, bound.first, dispatch);
        Slot {
            params,
            added: halves(dropout.subsequence),
            window_first: halves(bound.window.first),
            window_elements: bound.window.elements,
            workgroup_size: limits.workgroup_size,
            max_workgroups: limits.max_workgroups_per_dimension,
            ..Slot::zeroed()
        }
    }
}

impl DeviceCall {
    /// Records the call into a pass of the caller's: reads the state (and the length), then does the work.
    ///
    /// Sets pipelines and bind groups 0 and 1, and leaves them set. Can't fail: all that can was done before.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// # let buffer = |size| storage(&device, size);
    /// # let forward = bound_forward(&kernels)?;
    /// use wgpu_dropout::Dropout;
    /// use wgpu_dropout::gpu::{DeviceCallDescriptor, STATE_BYTES};
    ///
    /// let state = buffer(STATE_BYTES);
    /// let call = forward.on_device(&DeviceCallDescriptor {
    ///     label: None,
    ///     dropout: &Dropout::new(0.1, 0)?,
    ///     state: state.as_entire_buffer_binding(),
    ///     length: None,
    /// })?;
    /// let mut encoder = device.create_command_encoder(&Default::default());
    /// call.record(&mut encoder.begin_compute_pass(&Default::default()));
    /// queue.submit([encoder.finish()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        if self.dispatches.is_empty() {
            return;
        }
        pass.set_pipeline(&self.load);
        pass.set_bind_group(0, &self.load_bind_group, &[]);
        let slots = self.dispatches.len() as u64;
        pass.dispatch_workgroups(slots.div_ceil(LOAD_WORKGROUP) as u32, 1, 1);
        for (dispatch, offset) in self.dispatches.iter().zip((0u64..).step_by(SLOT_BYTES as usize)) {
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bind_group, &[]);
            pass.set_bind_group(1, &self.slots_bind_group, &[offset as u32]);
            match dispatch.workgroups {
                Some([x, y]) => pass.dispatch_workgroups(x, y, 1),
                None => pass.dispatch_workgroups_indirect(&self.slots, offset + WORKGROUPS_OFFSET),
            }
        }
    }
}

impl Kernels {
    /// Binds a state to be moved on.
    ///
    /// # Errors
    ///
    /// [`BindError`] where the buffer is too small, misaligned or lacks `STORAGE`, or the device reports an error.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// use wgpu_dropout::gpu::{AdvanceDescriptor, BindError};
    ///
    /// # let buffer = |size| storage(&device, size);
    /// let short = buffer(8);
    /// let descriptor = AdvanceDescriptor { label: None, state: short.as_entire_buffer_binding(), by: 1 };
    /// let refused = kernels.bind_advance(&descriptor);
    /// assert!(matches!(refused, Err(BindError::TooSmall { name: "state", needed: 16, available: 8, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bind_advance(&self, descriptor: &AdvanceDescriptor<'_>) -> Result<Advance, BindError> {
        let AdvanceDescriptor { label, ref state, by } = *descriptor;
        let inner: &Arc<Inner> = &self.inner;
        let state = first_bytes(inner, "state", state, STATE_BYTES)?;
        let pipeline = inner.device_pipelines()?.advance.clone();
        let scopes = ErrorScopes::push(&inner.device);
        let [low, high] = halves(by);
        let by = filled(
            &inner.device,
            label,
            bytemuck::cast_slice(&[low, high, 0, 0]),
            wgpu::BufferUsages::UNIFORM,
        );
        let bind_group = inner.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[entry(0, state), entry(1, by.as_entire_buffer_binding())],
        });
        scopes.pop()?;
        Ok(Advance { pipeline, bind_group })
    }
}

impl Advance {
    /// Records it into a pass of the caller's. Sets the pipeline and bind group 0, and leaves them set.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// # let advance = bound_advance(&kernels)?;
    /// let mut encoder = device.create_command_encoder(&Default::default());
    /// let mut pass = encoder.begin_compute_pass(&Default::default());
    /// // After the last call of a step.
    /// advance.record(&mut pass);
    /// drop(pass);
    /// queue.submit([encoder.finish()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::layout;

    #[test]
    fn host_and_shader_layouts_agree() {
        let text: Vec<_> = LOAD.iter().map(|file| file.text).collect();
        let (shader, span) = layout::of_struct(&text.join("\n"), "Slot");
        let host = layout::host!(Slot: params added window_first window_elements elements_per_invocation unit workgroup_size
            max_workgroups extent workgroups reserved);
        assert_eq!(shader, host);
        assert_eq!((span as u64, SLOT_BYTES), (256, 256));
    }

    #[test]
    fn a_state_is_little_words_first() {
        let bytes = state_bytes(0x0000_0002_0000_0001, 0x0000_0004_0000_0003);
        assert_eq!(bytemuck::pod_collect_to_vec::<_, u32>(&bytes), [1, 2, 3, 4]);
    }
}
