//! Errors of the GPU path, one enum an operation.

use thiserror::Error;

use super::plan::PlanError;
use crate::OffsetOverflow;

/// What a device reported through an error scope.
///
/// In a browser errors arrive later than the call that caused them, through
/// `Device::on_uncaptured_error`; on every native backend they come back as this.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue, kernels) = kernels()?;
/// # let buffer = |size| storage(&device, size);
/// # let forward = bound_forward(&kernels)?;
/// use wgpu_dropout::Dropout;
/// use wgpu_dropout::gpu::{DeviceError, RecordError};
///
/// match forward.prepare(&Dropout::new(0.1, 42)?) {
///     Ok(()) => {}
///     Err(RecordError::Device(DeviceError::OutOfMemory(_))) => { /* free something, and again */ }
///     Err(error) => return Err(error.into()),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// An allocation failed; the device lives on.
    #[error("the device is out of memory ({0}); free buffers or work in smaller pieces")]
    OutOfMemory(String),
    /// A call was invalid.
    #[error("the device refused the call: {0}")]
    Validation(String),
    /// The driver failed, for instance to compile a shader.
    #[error("the driver failed: {0}; run `wgpu-dropout verify` and update the driver")]
    Internal(String),
    /// The device is lost: destroyed, reset or unplugged.
    #[error("the device is lost ({0}); create a new device")]
    Lost(String),
}

impl From<wgpu::Error> for DeviceError {
    fn from(error: wgpu::Error) -> Self {
        match error {
            wgpu::Error::OutOfMemory { source } => Self::OutOfMemory(source.to_string()),
            wgpu::Error::Validation { description, .. } => Self::Validation(description),
            wgpu::Error::Internal { description, .. } => Self::Internal(description),
        }
    }
}

/// [`Kernels`](super::Kernels) can't be built for a device.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue) = device();
/// use wgpu_dropout::gpu::{KernelOptions, Kernels};
///
/// let options = KernelOptions { workgroup_size: 0, ..Default::default() };
/// let error = Kernels::with_options(&device, &queue, &options).unwrap_err();
/// assert_eq!(error.to_string(), "workgroup_size is 0; it must lie in [1, 256]");
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelsError {
    /// A limit of the device is too low.
    #[error("the device has {name} = {actual}, the kernels need {needed}; request the device with that limit")]
    Limit {
        /// Field of [`wgpu::Limits`].
        name: &'static str,
        /// The least that will do.
        needed: u64,
        /// What the device was requested with.
        actual: u64,
    },
    /// An option asks for what the device has not.
    #[error(
        "{option} needs {feature}, which the device was not requested with; request it or leave the option to None"
    )]
    Feature {
        /// The option.
        option: &'static str,
        /// The feature's name.
        feature: &'static str,
    },
    /// An option is out of range.
    #[error("{name} is {actual}; it must lie in [{least}, {most}]")]
    Option {
        /// The option.
        name: &'static str,
        /// Its value.
        actual: u64,
        /// Its least value.
        least: u64,
        /// Its greatest value on this device.
        most: u64,
    },
    /// The device reported an error.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Buffers can't be bound.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue, kernels) = kernels()?;
/// use wgpu_dropout::DType;
/// use wgpu_dropout::gpu::{BindDescriptor, Operation};
///
/// # let buffer = |size| storage(&device, size);
/// let x = buffer(4096);
/// let error = kernels.bind(&BindDescriptor {
///     label: None,
///     dtype: DType::F32,
///     elements: 2048,
///     map: None,
///     seeds: None,
///     operation: Operation::Inference { x: x.as_entire_buffer_binding(), y: x.as_entire_buffer_binding() },
/// }).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "x needs 8192 bytes (whole 4-byte words) from offset 0, but only 4096 are there; \
///      pass a larger buffer or fewer elements"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindError {
    /// A buffer ends before the tensor does.
    #[error(
        "{name} needs {needed} bytes (whole 4-byte words) from offset {offset}, but only {available} are there; \
         pass a larger buffer or fewer elements"
    )]
    TooSmall {
        /// The binding at fault.
        name: &'static str,
        /// Bytes needed from the offset on.
        needed: u64,
        /// Where the binding starts.
        offset: u64,
        /// Bytes there.
        available: u64,
    },
    /// A binding starts where the device can't bind.
    #[error(
        "{name} starts at byte {offset}, but bindings of this device start at multiples of {alignment}; \
         move the tensor or copy it to an aligned place"
    )]
    Misaligned {
        /// The binding at fault.
        name: &'static str,
        /// Where it starts.
        offset: u64,
        /// The device's `min_storage_buffer_offset_alignment`.
        alignment: u64,
    },
    /// A buffer was created without STORAGE.
    #[error("{name}'s buffer has usages {usage:?}; create it with BufferUsages::STORAGE too")]
    MissingUsage {
        /// The binding at fault.
        name: &'static str,
        /// The usages it has.
        usage: wgpu::BufferUsages,
    },
    /// Two ranges of one buffer overlap where they may not.
    #[error(
        "{first} (bytes {first_start}..{first_end}) and {second} (bytes {second_start}..{second_end}) overlap in one \
         buffer; give each a range of its own, or, to work in place, an input and its output the very same one"
    )]
    Overlap {
        /// One of them.
        first: &'static str,
        /// Its start.
        first_start: u64,
        /// Its end.
        first_end: u64,
        /// The other.
        second: &'static str,
        /// Its start.
        second_start: u64,
        /// Its end.
        second_end: u64,
    },
    /// The tensor is not the one that the index map describes.
    #[error("{elements} elements, but the index map has {expected}; give the tensor that the map describes")]
    Map {
        /// Elements of the tensor.
        elements: u64,
        /// Elements of the map.
        expected: u64,
    },
    /// The tensor is not whole rows of the bias.
    #[error("{elements} elements are no whole rows of {columns} columns; give whole rows, or a bias of a row's length")]
    Rows {
        /// Elements of the tensor.
        elements: u64,
        /// Elements of the bias.
        columns: u64,
    },
    /// A bias does not fit into one binding.
    #[error(
        "a row of {columns} columns takes {bytes} bytes, but a binding at most {max_binding_bytes}; \
         request the device with a larger max_storage_buffer_binding_size"
    )]
    LongRow {
        /// Elements of the bias.
        columns: u64,
        /// Its bytes.
        bytes: u64,
        /// The limit.
        max_binding_bytes: u64,
    },
    /// A seed stands for no elements.
    #[error("a seed for each 0 elements; give the elements of a row or sample as elements_per_seed")]
    SeedOfNothing,
    /// The seeds do not fit into one binding.
    #[error("{seeds} seeds take 8 bytes each, but a binding at most {max_binding_bytes}; bind the tensor in parts")]
    ManySeeds {
        /// Seeds that the tensor needs.
        seeds: u64,
        /// The limit.
        max_binding_bytes: u64,
    },
    /// The operation binds more buffers than the device allows.
    #[error(
        "the operation binds {needed} storage buffers, the device allows {actual}; \
         request it with a larger max_storage_buffers_per_shader_stage"
    )]
    StorageBuffers {
        /// Buffers of the operation.
        needed: u32,
        /// The device's `max_storage_buffers_per_shader_stage`.
        actual: u32,
    },
    /// The tensor's size in bytes does not fit in u64.
    #[error("{elements} elements of {dtype} are more bytes than u64 holds; split the tensor")]
    TooLong {
        /// Elements.
        elements: u64,
        /// Their type.
        dtype: crate::DType,
    },
    /// The device's limits admit no window.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device reported an error.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// A call can't be recorded; nothing was.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue, kernels) = kernels()?;
/// # let buffer = |size| storage(&device, size);
/// # let forward = bound_forward(&kernels)?;
/// use wgpu_dropout::Dropout;
/// use wgpu_dropout::gpu::RecordError;
///
/// let mut encoder = device.create_command_encoder(&Default::default());
/// let late = Dropout::new(0.1, 42)?.with_element_offset(u64::MAX);
/// assert!(matches!(forward.encode(&mut encoder, &late), Err(RecordError::Offset(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// The elements run past global index 2^64.
    #[error(transparent)]
    Offset(#[from] OffsetOverflow),
    /// Not every sample has a subsequence of its own.
    #[error("{samples} samples from subsequence {subsequence} on pass 2^64; start lower or use another seed")]
    Subsequence {
        /// That of the first sample.
        subsequence: u64,
        /// Samples of the recording.
        samples: u64,
    },
    /// Every parameter slot is held by a recording that has not finished on the GPU.
    #[error(
        "{needed} parameter slots are needed and {free} of {slots} are free; submit and poll what is recorded, \
         raise KernelOptions::parameter_slots, or request the device with Features::IMMEDIATES"
    )]
    Slots {
        /// Dispatches of this recording.
        needed: usize,
        /// Slots free.
        free: usize,
        /// Slots there are.
        slots: usize,
    },
    /// A pipeline could not be built.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// A call can't be put on the device.
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
/// let late = Dropout::new(0.1, 42)?.with_element_offset(u64::MAX);
/// let descriptor = DeviceCallDescriptor {
///     label: None,
///     dropout: &late,
///     state: state.as_entire_buffer_binding(),
///     length: None,
/// };
/// let error = forward.on_device(&descriptor).unwrap_err();
/// assert!(error.to_string().contains("passes 2^64"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceCallError {
    /// The buffer of the state or of the length can't be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The call itself can't be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl From<DeviceError> for DeviceCallError {
    fn from(error: DeviceError) -> Self {
        Self::Record(error.into())
    }
}

/// An operation run to its end failed.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let gpu = context()?;
/// use wgpu_dropout::gpu::RunError;
/// use wgpu_dropout::{Dropout, SliceError};
///
/// let refused = gpu.forward(&Dropout::new(0.1, 42)?, &[1.0f32; 4], &mut [0.0; 3]);
/// assert!(matches!(refused, Err(RunError::Slice(SliceError::Length { name: "y", expected: 4, actual: 3, .. }))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// Slices disagree in length, or the elements pass 2^64.
    #[error(transparent)]
    Slice(#[from] crate::SliceError),
    /// The kernels can't be built.
    #[error(transparent)]
    Kernels(#[from] KernelsError),
    /// The buffers can't be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The call can't be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The device reported an error.
    #[error(transparent)]
    Device(#[from] DeviceError),
}
