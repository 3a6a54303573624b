//! Errors of the GPU path, one enum an operation.

use thiserror::Error;

use super::plan::PlanError;
use crate::OffsetOverflow;

/// What a device reported through an error scope.
///
/// In a browser errors arrive later than the call that caused them, through
/// `Device::on_uncaptured_error`; on every native backend they come back as this.
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
