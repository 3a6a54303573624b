//! Buffers bound to an operation, to be recorded as often as one likes.

use std::sync::{Arc, OnceLock};

use wgpu::BufferBinding;

use super::form::{
    Form, NeighboursLayout, Outline, SeedsLayout, bias_bytes, check_map, seeds_bytes, tensor_bytes, with_extent,
};
use super::kernels::{Inner, Kernels};
use super::params::{Params, Phase};
use super::plan::{Dispatch, Window};
use super::scope::ErrorScopes;
use super::slots::{HeldSlots, ParameterSlots};
use super::uniforms::{Uniforms, filled};
use super::variant::{
    Access, BIAS, Extent, Input, MAP, MASK_IN, MASK_OUT, NOTHING_BYTES, RESIDUAL, ROW, Residual, SEEDS, Stream,
    Variant, X, Y,
};
use super::{BindError, DeviceError, RecordError};
use crate::{DType, Dropout, IndexMap, MaskFormat, RandomBits};

/// A stored mask in a buffer.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue, kernels) = kernels()?;
/// use wgpu_dropout::gpu::{BindDescriptor, Operation, StoredMask};
/// use wgpu_dropout::{DType, MaskFormat};
///
/// # let buffer = |size| storage(&device, size);
/// let bits = buffer(MaskFormat::Bits.buffer_bytes(1000));
/// let mask = kernels.bind(&BindDescriptor {
///     label: None,
///     dtype: DType::F32, // of no tensor: any will do
///     elements: 1000,
///     map: None,
///     seeds: None,
///     operation: Operation::Mask { store: StoredMask::Bits(bits.as_entire_buffer_binding()) },
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub enum StoredMask<'a> {
    /// One bit an element, in `ceil(elements / 32)` u32 words.
    Bits(BufferBinding<'a>),
    /// One byte an element, in `ceil(elements / 4)` u32 words.
    Bytes(BufferBinding<'a>),
}

impl<'a> StoredMask<'a> {
    fn parts(&self) -> (MaskFormat, &BufferBinding<'a>) {
        match self {
            Self::Bits(binding) => (MaskFormat::Bits, binding),
            Self::Bytes(binding) => (MaskFormat::Bytes, binding),
        }
    }
}

/// Where the backward pass gets its mask; all give the same bits.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue, kernels) = kernels()?;
/// use wgpu_dropout::DType;
/// use wgpu_dropout::gpu::{BackwardMask, BindDescriptor, Operation, StoredMask};
///
/// # let buffer = |size| storage(&device, size);
/// let (gradient, bytes) = (buffer(4000), buffer(1000));
/// for mask in [BackwardMask::Drawn, BackwardMask::Stored(StoredMask::Bytes(bytes.as_entire_buffer_binding()))] {
///     let backward = kernels.bind(&BindDescriptor {
///         label: None,
///         dtype: DType::F32,
///         elements: 1000,
///         map: None,
///         seeds: None,
///         operation: Operation::Backward {
///             dy: gradient.as_entire_buffer_binding(),
///             dx: gradient.as_entire_buffer_binding(), // in place
///             mask,
///         },
///     })?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub enum BackwardMask<'a> {
    /// Drawn again: nothing was stored.
    Drawn,
    /// Read from what the forward pass stored.
    Stored(StoredMask<'a>),
}

/// A bias in a buffer, added to each row of a tensor.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue, kernels) = kernels()?;
/// use wgpu_dropout::DType;
/// use wgpu_dropout::gpu::{BindDescriptor, Operation, RowBias};
///
/// # let buffer = |size| storage(&device, size);
/// let (x, bias) = (buffer(32 * 768 * 4), buffer(768 * 4));
/// let forward = kernels.bind(&BindDescriptor {
///     label: None,
///     dtype: DType::F32,
///     elements: 32 * 768,
///     map: None,
///     seeds: None,
///     operation: Operation::ForwardFused {
///         x: x.as_entire_buffer_binding(),
///         bias: Some(RowBias { values: bias.as_entire_buffer_binding(), columns: 768 }),
///         residual: None,
///         y: x.as_entire_buffer_binding(),
///     },
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RowBias<'a> {
    /// Its elements, of the tensor's type.
    pub values: BufferBinding<'a>,
    /// How many: a row's length, the innermost dimension of the tensor. Rows of whole tiles are fastest: multiples of 4 f32 or of 8
    /// 16-bit elements on GPUs, of 16 elements on software adapters.
    pub columns: u64,
}

/// Seeds in a buffer, one for each stretch of a tensor.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue, kernels) = kernels()?;
/// use wgpu_dropout::DType;
/// use wgpu_dropout::gpu::{BindDescriptor, Operation, Seeds};
///
/// # let buffer = |size| storage(&device, size);
/// // A batch of 8 samples, each with a seed of its own.
/// let (x, seeds) = (buffer(8 * 1000 * 4), buffer(8 * 8));
/// let values: [u64; 8] = [11, 12, 13, 14, 15, 16, 17, 18];
/// queue.write_buffer(&seeds, 0, bytemuck::cast_slice(&values.map(|seed| [seed as u32, (seed >> 32) as u32])));
/// let forward = kernels.bind(&BindDescriptor {
///     label: None,
///     dtype: DType::F32,
///     elements: 8 * 1000,
///     map: None,
///     seeds: Some(Seeds { values: seeds.as_entire_buffer_binding(), elements_per_seed: 1000, first_element: 0 }),
///     operation: Operation::Forward {
///         x: x.as_entire_buffer_binding(),
///         y: x.as_entire_buffer_binding(),
///         store: None,
///     },
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Seeds<'a> {
    /// The seeds, each as two u32, the lower one first.
    pub values: BufferBinding<'a>,
    /// Elements that share a seed: a row's, or a sample's.
    pub elements_per_seed: u64,
    /// Elements of the seeds that lie before the tensor: 0 unless it is a part of a longer one.
    pub first_element: u64,
}

/// What to do with which buffers.
///
/// # Layout
///
/// Tensors are tightly packed from the binding's offset on: 4 bytes an f32, 2 bytes an f16 or bf16. The
/// buffer must reach to the end of the last u32 word; bytes of that word behind the last element are
/// left as they are. Every buffer needs [`wgpu::BufferUsages::STORAGE`]; every offset must be a multiple
/// of the device's `min_storage_buffer_offset_alignment`. A binding's `size`, where given, bounds what
/// is used. Input and output may be the very same range (in place) or lie apart in one buffer.
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
/// let (x, residual) = (buffer(4096), buffer(4096));
/// let operations = [
///     // To work in place, name one range twice.
///     Operation::Forward { x: x.as_entire_buffer_binding(), y: x.as_entire_buffer_binding(), store: None },
///     Operation::ForwardFused {
///         x: x.as_entire_buffer_binding(),
///         bias: None,
///         residual: Some(residual.as_entire_buffer_binding()),
///         y: residual.as_entire_buffer_binding(),
///     },
///     Operation::Inference { x: x.as_entire_buffer_binding(), y: x.as_entire_buffer_binding() },
/// ];
/// for operation in operations {
///     kernels.bind(&BindDescriptor {
///         label: None,
///         dtype: DType::F32,
///         elements: 1024,
///         map: None,
///         seeds: None,
///         operation,
///     })?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Operation<'a> {
    /// `y = K(x)` where kept, else +0.
    Forward {
        /// The input.
        x: BufferBinding<'a>,
        /// The output; the same range as `x` to work in place.
        y: BufferBinding<'a>,
        /// Where to store the mask, if anywhere.
        store: Option<StoredMask<'a>>,
    },
    /// `y = residual + D(x + bias)` in one pass over memory, see
    /// [`reference::forward_fused`](crate::reference::forward_fused); what is `None` is left out.
    ///
    /// The gradients: of x [`Backward`](Self::Backward) of dy; of the bias
    /// [`BiasGradient`](super::BiasGradient) of that; of the residual dy itself. Needs 4 storage buffers a stage.
    ForwardFused {
        /// The input.
        x: BufferBinding<'a>,
        /// Added before the dropout.
        bias: Option<RowBias<'a>>,
        /// Added after it; laid out as x.
        residual: Option<BufferBinding<'a>>,
        /// The output; the same range as `x` or as the residual to work in place.
        y: BufferBinding<'a>,
    },
    /// `dx = K(dy)` where kept, else +0.
    Backward {
        /// The gradient of the output.
        dy: BufferBinding<'a>,
        /// The gradient of the input; the same range as `dy` to work in place.
        dx: BufferBinding<'a>,
        /// The mask of the forward pass.
        mask: BackwardMask<'a>,
    },
    /// The mask alone.
    Mask {
        /// Where to store it.
        store: StoredMask<'a>,
    },
    /// Inference: `y = K(x)` of every element for classic dropout; for inverted dropout y is x, bit
    /// for bit (so a pipeline of inverted dropout can leave this out).
    Inference {
        /// The input.
        x: BufferBinding<'a>,
        /// The output; the same range as `x` to work in place.
        y: BufferBinding<'a>,
    },
}

/// Describes a [`Binding`].
///
/// For use with [`Kernels::bind`].
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue, kernels) = kernels()?;
/// use wgpu_dropout::gpu::{BindDescriptor, Operation};
/// use wgpu_dropout::{DType, IndexMap};
///
/// # let buffer = |size| storage(&device, size);
/// // Dropout2d of bf16 feature maps.
/// let shape = [8, 64, 32, 32];
/// let (map, x) = (IndexMap::channels(&shape)?, buffer(8 * 64 * 32 * 32 * 2));
/// let forward = kernels.bind(&BindDescriptor {
///     label: Some("block 3, channels"),
///     dtype: DType::Bf16,
///     elements: map.elements(),
///     map: Some(&map),
///     seeds: None,
///     operation: Operation::Forward {
///         x: x.as_entire_buffer_binding(),
///         y: x.as_entire_buffer_binding(),
///         store: None,
///     },
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BindDescriptor<'a> {
    /// Debug label of the bind groups.
    pub label: wgpu::Label<'a>,
    /// Element type of the tensors.
    pub dtype: DType,
    /// Elements of the tensors and of the mask; 0 is allowed and records nothing.
    pub elements: u64,
    /// Where they lie in the random stream; one after the other where there is no map. A stored mask that is
    /// read, and inference, have no use for it.
    pub map: Option<&'a IndexMap>,
    /// A seed for each row or sample, see [`Draw::with_seeds`](crate::Draw::with_seeds); the call's own for all where
    /// there are none. Whatever has no use for the map has none for them. With seeds, or a map that is not one run of
    /// the stream, the device has to grant one storage buffer a stage more than the operation has.
    pub seeds: Option<Seeds<'a>>,
    /// What to do with which buffers.
    pub operation: Operation<'a>,
}

/// An operation bound to buffers.
///
/// Holds one bind group a window. Recording takes `&self`, so that passes can be recorded in parallel.
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
/// assert_eq!((forward.elements(), forward.dispatches()), (1024, 1));
/// forward.prepare(&Dropout::new(0.1, 42)?)?; // builds the pipeline now instead of in the first step
///
/// let mut encoder = device.create_command_encoder(&Default::default());
/// let mut pass = encoder.begin_compute_pass(&Default::default());
/// for step in 0..3 {
///     forward.record(&mut pass, &Dropout::new(0.1, 42)?.with_subsequence(step))?;
/// }
/// drop(pass);
/// queue.submit([encoder.finish()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Binding {
    kernels: Arc<Inner>,
    outline: Outline,
    /// The pipelines used so far, one pair for each choice of random bits and stream: recording looks
    /// nothing up and locks nothing.
    pipelines: [OnceLock<Pipelines>; CHOICES],
    elements: u64,
    windows: Vec<BoundWindow>,
}

/// A window and what is bound for it.
#[derive(Clone)]
pub(crate) struct BoundWindow {
    pub(crate) window: Window,
    /// Stream index of its first element, relative to the call's offset.
    pub(crate) first: u64,
    pub(crate) bind_group: wgpu::BindGroup,
}

impl core::fmt::Debug for Binding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Binding")
            .field("variant", &self.outline.variant.to_string())
            .field("elements", &self.elements)
            .field("dispatches", &self.dispatches())
            .finish_non_exhaustive()
    }
}

/// A pipeline for whole tiles and one for the tail, where there are dispatches of each.
#[derive(Clone)]
pub(crate) struct Pipelines {
    whole: Option<wgpu::ComputePipeline>,
    tail: Option<wgpu::ComputePipeline>,
}

impl Pipelines {
    /// The one of an extent, if it was needed.
    pub(crate) fn of(&self, extent: Extent) -> Option<&wgpu::ComputePipeline> {
        match extent {
            Extent::Whole => self.whole.as_ref(),
            Extent::Tail => self.tail.as_ref(),
        }
    }
}

impl BoundWindow {
    fn dispatches(&self) -> impl Iterator<Item = Dispatch> {
        self.window.dispatches.into_iter().flatten()
    }
}

/// Random bits times streams: aligned or shifted, rows or another, since what map there is is known when binding.
const CHOICES: usize = 6;

/// The number of a choice of random bits and stream among the [`CHOICES`].
fn choice(random_bits: RandomBits, stream: Stream) -> usize {
    let number = match random_bits {
        RandomBits::B32 => 0,
        RandomBits::B16 => 2,
        RandomBits::B8 => 4,
    };
    number + usize::from(matches!(stream, Stream::Shifted | Stream::Rows))
}

/// A range of a buffer that an operation uses.
pub(crate) struct Range<'a> {
    name: &'static str,
    index: u32,
    buffer: &'a wgpu::Buffer,
    start: u64,
    end: u64,
}

impl<'a> Range<'a> {
    /// Checks size, alignment and usage.
    pub(crate) fn new(
        name: &'static str,
        index: u32,
        binding: &BufferBinding<'a>,
        needed: u64,
        alignment: u64,
    ) -> Result<Self, BindError> {
        let offset = binding.offset;
        let rest = binding.buffer.size().saturating_sub(offset);
        let available = binding.size.map_or(rest, |size| rest.min(size.get()));
        if available < needed {
            return Err(BindError::TooSmall {
                name,
                needed,
                offset,
                available,
            });
        }
        if !offset.is_multiple_of(alignment) {
            return Err(BindError::Misaligned {
                name,
                offset,
                alignment,
            });
        }
        if !binding.buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
            return Err(BindError::MissingUsage {
                name,
                usage: binding.buffer.usage(),
            });
        }
        Ok(Self {
            name,
            index,
            buffer: binding.buffer,
            start: offset,
            end: offset + needed,
        })
    }

    fn of_mask(index: u32, stored: &StoredMask<'a>, elements: u64, alignment: u64) -> Result<Self, BindError> {
        let (format, binding) = stored.parts();
        Self::new("mask", index, binding, format.buffer_bytes(elements), alignment)
    }

    /// All of it, as a binding.
    pub(crate) fn all(&self) -> BufferBinding<'a> {
        BufferBinding {
            buffer: self.buffer,
            offset: self.start,
            size: wgpu::BufferSize::new(self.end - self.start),
        }
    }

    fn same_buffer(&self, other: &Self) -> bool {
        self.buffer == other.buffer
    }

    pub(crate) fn check_apart(&self, other: &Self) -> Result<(), BindError> {
        if !self.same_buffer(other) || self.end <= other.start || other.end <= self.start {
            return Ok(());
        }
        Err(BindError::Overlap {
            first: self.name,
            first_start: self.start,
            first_end: self.end,
            second: other.name,
            second_start: other.start,
            second_end: other.end,
        })
    }
}

/// Read-only unless the dispatch writes elsewhere in the same buffer.
fn access_beside<'a>(read: &Range<'a>, written: &[&Range<'a>]) -> Access {
    if written.iter().any(|range| range.same_buffer(read)) {
        Access::ReadWrite
    } else {
        Access::Read
    }
}

/// An operation taken apart: phase and named bindings.
struct Parts<'d, 'a> {
    phase: Phase,
    input: Option<(&'static str, &'d BufferBinding<'a>)>,
    output: Option<(&'static str, &'d BufferBinding<'a>)>,
    mask_in: Option<&'d StoredMask<'a>>,
    mask_out: Option<&'d StoredMask<'a>>,
    neighbours: Option<(Option<&'d RowBias<'a>>, Option<&'d BufferBinding<'a>>)>,
}

impl<'d, 'a> Parts<'d, 'a> {
    fn of(operation: &'d Operation<'a>) -> Self {
        match operation {
            Operation::Forward { x, y, store } => Self {
                phase: Phase::Training,
                input: Some(("x", x)),
                output: Some(("y", y)),
                mask_in: None,
                mask_out: store.as_ref(),
                neighbours: None,
            },
            Operation::ForwardFused { x, bias, residual, y } => Self {
                phase: Phase::Training,
                input: Some(("x", x)),
                output: Some(("y", y)),
                mask_in: None,
                mask_out: None,
                neighbours: Some((bias.as_ref(), residual.as_ref())),
            },
            Operation::Backward { dy, dx, mask } => Self {
                phase: Phase::Training,
                input: Some(("dy", dy)),
                output: Some(("dx", dx)),
                mask_in: match mask {
                    BackwardMask::Drawn => None,
                    BackwardMask::Stored(stored) => Some(stored),
                },
                mask_out: None,
                neighbours: None,
            },
            Operation::Mask { store } => Self {
                phase: Phase::Training,
                input: None,
                output: None,
                mask_in: None,
                mask_out: Some(store),
                neighbours: None,
            },
            Operation::Inference { x, y } => Self {
                phase: Phase::Inference,
                input: Some(("x", x)),
                output: Some(("y", y)),
                mask_in: None,
                mask_out: None,
                neighbours: None,
            },
        }
    }
}

impl Inner {
    /// Buffers to be bound where there is nothing to bind.
    fn nothing(&self) -> Result<&[wgpu::Buffer; 2], DeviceError> {
        if let Some(nothing) = self.nothing.get() {
            return Ok(nothing);
        }
        let scopes = ErrorScopes::push(&self.device);
        let made = core::array::from_fn(|_| {
            filled(
                &self.device,
                Some("wgpu_dropout::nothing"),
                &[0; NOTHING_BYTES],
                wgpu::BufferUsages::STORAGE,
            )
        });
        // Kept only if they could be had.
        scopes.pop()?;
        Ok(self.nothing.get_or_init(|| made))
    }

    fn require_storage_buffers(&self, needed: u32) -> Result<(), BindError> {
        let actual = self.device.limits().max_storage_buffers_per_shader_stage;
        if actual < needed {
            return Err(BindError::StorageBuffers { needed, actual });
        }
        Ok(())
    }
}

impl Kernels {
    /// Binds buffers to an operation: checks everything about them and makes the bind groups.
    ///
    /// # Errors
    ///
    /// [`BindError`], with nothing created, where a buffer is too small, misaligned, lacks `STORAGE` or
    /// overlaps another, the map is another tensor's, or the device reports an error.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// use wgpu_dropout::DType;
    /// use wgpu_dropout::gpu::{BindDescriptor, BindError, Operation};
    ///
    /// # let buffer = |size| storage(&device, size);
    /// let (x, y) = (buffer(4096), buffer(4000));
    /// let refused = kernels.bind(&BindDescriptor {
    ///     label: None,
    ///     dtype: DType::F32,
    ///     elements: 1024,
    ///     map: None,
    ///     seeds: None,
    ///     operation: Operation::Forward {
    ///         x: x.as_entire_buffer_binding(),
    ///         y: y.as_entire_buffer_binding(),
    ///         store: None,
    ///     },
    /// });
    /// assert!(matches!(refused, Err(BindError::TooSmall { name: "y", needed: 4096, available: 4000, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bind(&self, descriptor: &BindDescriptor<'_>) -> Result<Binding, BindError> {
        let BindDescriptor {
            label,
            dtype,
            elements,
            map,
            ref seeds,
            ref operation,
        } = *descriptor;
        let inner = &self.inner;
        check_map(map, elements)?;
        let alignment = inner.limits.offset_alignment;
        let tensor_bytes = tensor_bytes(elements, dtype)?;

        let parts = Parts::of(operation);
        let tensor_range = |(name, binding), index| Range::new(name, index, binding, tensor_bytes, alignment);
        let input = parts.input.map(|part| tensor_range(part, X)).transpose()?;
        let output = parts.output.map(|part| tensor_range(part, Y)).transpose()?;
        let mask_in = parts
            .mask_in
            .map(|stored| Range::of_mask(MASK_IN, stored, elements, alignment))
            .transpose()?;
        let mask_out = parts
            .mask_out
            .map(|stored| Range::of_mask(MASK_OUT, stored, elements, alignment))
            .transpose()?;

        let (bias, residual) = parts.neighbours.unwrap_or_default();
        let columns = bias.map(|bias| bias.columns);
        let bias = bias
            .map(|bias| {
                let bytes = bias_bytes(bias.columns, elements, dtype, &inner.limits)?;
                Range::new("bias", BIAS, &bias.values, bytes, alignment)
            })
            .transpose()?;
        let residual = residual
            .map(|residual| tensor_range(("residual", residual), RESIDUAL))
            .transpose()?;

        // A mask that is read, and none at all, have no use for a map or for seeds.
        let is_drawn = parts.phase == Phase::Training && parts.mask_in.is_none();
        let seeds = seeds.as_ref().filter(|_| is_drawn && elements > 0);
        let layout_of = |seeds: &Seeds<'_>| SeedsLayout {
            elements_per_seed: seeds.elements_per_seed,
            first_element: seeds.first_element,
        };
        let seeds_range = seeds
            .map(|seeds| {
                let bytes = seeds_bytes(layout_of(seeds), elements, &inner.limits)?;
                Range::new("seeds", SEEDS, &seeds.values, bytes, alignment)
            })
            .transpose()?;

        // In place is the very same range; any other overlap with what is written would race.
        let is_output =
            |range: &Range<'_>| matches!(&output, Some(y) if range.same_buffer(y) && range.start == y.start);
        let in_place = input.as_ref().is_some_and(is_output);
        let residual_in_place = !in_place && residual.as_ref().is_some_and(is_output);
        let input = input.filter(|_| !in_place);
        let residual = residual.filter(|_| !residual_in_place);
        let ranges: Vec<&Range<'_>> = [&input, &output, &mask_in, &mask_out, &bias, &residual, &seeds_range]
            .into_iter()
            .flatten()
            .collect();
        for (i, range) in ranges.iter().enumerate() {
            for other in &ranges[..i] {
                other.check_apart(range)?;
            }
        }

        let written: Vec<&Range<'_>> = output.iter().chain(&mask_out).collect();
        let form = Form {
            dtype,
            elements,
            map,
            seeds: seeds.map(layout_of),
            phase: parts.phase,
            input: output.as_ref().map(|_| match &input {
                None => Input::InPlace,
                Some(_) if parts.neighbours.is_some() => Input::Apart(Access::ReadWrite),
                Some(range) => Input::Apart(access_beside(range, &written)),
            }),
            mask_in: parts
                .mask_in
                .zip(mask_in.as_ref())
                .map(|(stored, range)| (stored.parts().0, access_beside(range, &written))),
            mask_out: parts.mask_out.map(|stored| stored.parts().0),
            neighbours: parts.neighbours.map(|_| NeighboursLayout {
                columns,
                residual: match residual {
                    _ if residual_in_place => Residual::InPlace,
                    Some(_) => Residual::Apart,
                    None => Residual::Absent,
                },
            }),
            multiply: inner.multiply,
            parameters: inner.parameters,
            tile: self.tile,
            workgroup_size: inner.limits.workgroup_size,
        };
        let outline = form.outline();
        let variant = outline.variant;
        inner.require_storage_buffers(variant.bindings().len() as u32)?;
        let windows = form.windows(inner.limits)?;
        // What the variant binds and the operation has not.
        let mut missing = variant.bindings();
        missing.retain(|binding| !form.has(binding.index));
        let nothing = if missing.is_empty() { &[][..] } else { inner.nothing()? };
        let missing: Vec<_> = missing.iter().zip(nothing).collect();
        let scopes = ErrorScopes::push(&inner.device);
        let layout = inner.bind_group_layout(&variant);
        let maps = variant.has_map().then(|| {
            let uniforms = windows.iter().map(|window| form.map_uniform(window));
            Uniforms::new(&inner.device, label, uniforms)
        });
        let rows = variant.neighbours().map(|_| {
            let uniforms = windows.iter().map(|window| form.row(window));
            Uniforms::new(&inner.device, label, uniforms)
        });
        let windows = windows
            .into_iter()
            .zip(0..)
            .map(|(window, n)| {
                let entries: Vec<_> = ranges
                    .iter()
                    .map(|range| wgpu::BindGroupEntry {
                        binding: range.index,
                        resource: wgpu::BindingResource::Buffer(match range.index {
                            BIAS | SEEDS => range.all(),
                            index => BufferBinding {
                                buffer: range.buffer,
                                offset: range.start + form.bytes(index, window.first),
                                size: wgpu::BufferSize::new(form.bytes(index, window.elements.into())),
                            },
                        }),
                    })
                    .chain(missing.iter().map(|(binding, nothing)| wgpu::BindGroupEntry {
                        binding: binding.index,
                        resource: nothing.as_entire_binding(),
                    }))
                    .chain(rows.as_ref().map(|rows| wgpu::BindGroupEntry {
                        binding: ROW,
                        resource: wgpu::BindingResource::Buffer(rows.binding(n)),
                    }))
                    .chain(maps.as_ref().map(|maps| wgpu::BindGroupEntry {
                        binding: MAP,
                        resource: wgpu::BindingResource::Buffer(maps.binding(n)),
                    }))
                    .collect();
                let bind_group = inner.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label,
                    layout: &layout,
                    entries: &entries,
                });
                BoundWindow {
                    first: form.first(window.first),
                    window,
                    bind_group,
                }
            })
            .collect();
        scopes.pop()?;
        Ok(Binding {
            kernels: Arc::clone(inner),
            outline,
            pipelines: Default::default(),
            elements,
            windows,
        })
    }
}

impl Binding {
    /// Elements bound.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// # let buffer = |size| storage(&device, size);
    /// # let forward = bound_forward(&kernels)?;
    /// assert_eq!(forward.elements(), 1024);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.elements
    }

    /// Dispatches that a recording takes.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// # let buffer = |size| storage(&device, size);
    /// # let forward = bound_forward(&kernels)?;
    /// assert_eq!(forward.dispatches(), 1); // whole tiles, in one window
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn dispatches(&self) -> usize {
        self.bound_dispatches().count()
    }

    /// The dispatches, in order, each with its window.
    pub(crate) fn bound_dispatches(&self) -> impl Iterator<Item = (&BoundWindow, Dispatch)> {
        let of_window = |bound| BoundWindow::dispatches(bound).map(move |dispatch| (bound, dispatch));
        self.windows.iter().flat_map(of_window)
    }

    /// Records the operation into a pass of the caller's.
    ///
    /// Sets the pipeline, bind group 0, the immediates (or bind group 1) and dispatches; leaves those
    /// set. Records only: no submit, no wait, and with immediates no allocation of its own. The first
    /// recording of a variant builds its pipeline; a change of p, seed or subsequence builds nothing, nor
    /// does a change of the offset, but that offsets which are multiples of 16 have a (faster) pipeline of
    /// their own.
    ///
    /// # Stream
    ///
    /// Local element i is element `dropout.element_offset + i` of the subsequence, or the one that the index
    /// map says; the seed is the call's, or the one that the binding has for it. Stored masks are indexed by the local
    /// element.
    ///
    /// # Errors
    ///
    /// [`RecordError`], with nothing recorded, where the elements pass global index 2^64, a pipeline
    /// can't be built, or no parameter slot is free.
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
    /// let mut encoder = device.create_command_encoder(&Default::default());
    /// let mut pass = encoder.begin_compute_pass(&Default::default());
    /// // Your own dispatches go before and after it.
    /// forward.record(&mut pass, &Dropout::new(0.1, 42)?.with_subsequence(7))?;
    /// drop(pass);
    /// queue.submit([encoder.finish()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>, dropout: &Dropout) -> Result<(), RecordError> {
        self.check(dropout)?.record(pass);
        Ok(())
    }

    /// All of a recording that can fail; nothing is recorded yet.
    #[inline]
    pub(crate) fn check<'a>(&'a self, dropout: &'a Dropout) -> Result<Checked<'a>, RecordError> {
        self.check_stream(dropout)?;
        let (stream, pipelines) = self.pipelines(dropout)?;
        let held = match &self.kernels.slots {
            Some(slots) => Some((slots, slots.hold(self.dispatches())?)),
            None => None,
        };
        Ok(Checked {
            binding: self,
            dropout,
            stream,
            pipelines,
            held,
        })
    }

    /// [`record`](Self::record) in a compute pass of its own.
    ///
    /// # Errors
    ///
    /// Those of [`record`](Self::record).
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
    /// let mut encoder = device.create_command_encoder(&Default::default());
    /// forward.encode(&mut encoder, &Dropout::new(0.1, 42)?)?;
    /// queue.submit([encoder.finish()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder, dropout: &Dropout) -> Result<(), RecordError> {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("wgpu_dropout::Binding::encode"),
            timestamp_writes: None,
        });
        self.record(&mut pass, dropout)
    }

    /// Builds the pipelines that recording with `dropout` will take, so that the first recording does not
    /// wait for the driver.
    ///
    /// Any other `dropout` of as many random bits, with an offset that is a multiple of 16 as well (or is
    /// not, as this one), takes the same.
    ///
    /// # Errors
    ///
    /// [`RecordError::Device`] where a pipeline can't be built.
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
    /// assert_eq!(kernels.built().len(), 0);
    /// forward.prepare(&Dropout::new(0.1, 42)?)?;
    /// assert_eq!(kernels.built().len(), 1);
    /// // Another p, seed or subsequence needs no other pipeline.
    /// forward.prepare(&Dropout::new(0.5, 43)?.with_subsequence(9))?;
    /// assert_eq!(kernels.built().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prepare(&self, dropout: &Dropout) -> Result<(), RecordError> {
        self.pipelines(dropout).map(drop)
    }

    #[inline]
    fn pipelines(&self, dropout: &Dropout) -> Result<(Stream, &Pipelines), RecordError> {
        let (variant, stream) = self.variant_for(dropout);
        let known = &self.pipelines[choice(dropout.probability.random_bits(), stream)];
        if let Some(pipelines) = known.get() {
            return Ok((stream, pipelines));
        }
        let pipelines = self.build(variant, |extent| {
            self.bound_dispatches().any(|(_, dispatch)| dispatch.extent == extent)
        })?;
        // Two threads may have built them; either will do.
        Ok((stream, known.get_or_init(|| pipelines)))
    }

    /// The variant of whole tiles that a call takes, and how its stream lies.
    pub(crate) fn variant_for(&self, dropout: &Dropout) -> (Variant, Stream) {
        self.outline.variant_for(dropout)
    }

    /// The pipelines of a variant, for the extents that are needed.
    pub(crate) fn build(&self, variant: Variant, is_needed: impl Fn(Extent) -> bool) -> Result<Pipelines, RecordError> {
        let of = |extent| {
            let pipeline = || self.kernels.pipeline(&with_extent(variant, extent));
            is_needed(extent).then(pipeline).transpose()
        };
        Ok(Pipelines {
            whole: of(Extent::Whole)?,
            tail: of(Extent::Tail)?,
        })
    }

    /// What all dispatches of a call are told alike.
    pub(crate) fn params(&self, dropout: &Dropout) -> Params {
        self.outline.params(dropout)
    }

    /// Checks that every element of a call has its place in the stream.
    pub(crate) fn check_stream(&self, dropout: &Dropout) -> Result<(), RecordError> {
        Ok(self.outline.check(dropout)?)
    }

    pub(crate) fn windows(&self) -> &[BoundWindow] {
        &self.windows
    }

    pub(crate) fn kernels(&self) -> &Arc<Inner> {
        &self.kernels
    }
}

/// A recording that can't fail any more.
pub(crate) struct Checked<'a> {
    binding: &'a Binding,
    dropout: &'a Dropout,
    stream: Stream,
    pipelines: &'a Pipelines,
    held: Option<(&'a ParameterSlots, HeldSlots)>,
}

impl Checked<'_> {
    /// Records it.
    #[inline]
    pub(crate) fn record(self, pass: &mut wgpu::ComputePass<'_>) {
        let binding = self.binding;
        let mut params = binding.params(self.dropout);
        for (n, (bound, dispatch)) in binding.bound_dispatches().enumerate() {
            params.place(self.dropout, self.stream, bound.first, dispatch);
            let Some(pipeline) = self.pipelines.of(dispatch.extent) else {
                continue; // not reached: pipelines() has one for each extent in use
            };
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, &bound.bind_group, &[]);
            match &self.held {
                Some((slots, held)) => {
                    let offset = slots.write(&binding.kernels.queue, held, n, &params);
                    pass.set_bind_group(1, &slots.bind_group, &[offset]);
                }
                None => pass.set_immediates(0, bytemuck::bytes_of(&params)),
            }
            let [x, y] = dispatch.workgroups;
            pass.dispatch_workgroups(x, y, 1);
        }
        if let Some((_, held)) = self.held {
            // Dropped unrun where the recording is thrown away.
            pass.on_submitted_work_done(move || drop(held));
        }
    }
}
