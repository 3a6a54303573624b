//! A device of one's own and blocking calls over slices, for those who just want the result.
//!
//! This is a convenience, apart from the kernels: it owns a device, uploads, submits, waits and
//! downloads, under the same names as [`cpu`](crate::cpu) and [`reference`](crate::reference). A
//! pipeline that keeps its tensors on the GPU wants [`Kernels`] instead.
//!
//! # Examples
//!
//! ```no_run
//! use wgpu_dropout::{Dropout, gpu::blocking};
//!
//! let gpu = blocking::Context::new()?;
//! let x = vec![1.0f32; 1_000_000];
//! let mut y = vec![0.0; x.len()];
//! gpu.forward(&Dropout::new(0.1, 42)?, &x, &mut y)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::{Arc, OnceLock};

use thiserror::Error;

use super::run::{Job, Placement, Task, run, sum_rows};
use super::{DeviceError, KernelOptions, Kernels, KernelsError, RunError};
use crate::draw::Seeds;
use crate::element::bit_mask_words;
use crate::error::check_length;
use crate::fused::check_rows;
use crate::{Draw, Element, MaskFormat, Neighbours, SliceError};

/// Elements that are on the device at a time: what a call takes of device memory is bounded, and every
/// piece but the last is a whole number of Philox blocks and mask words.
const PIECE: usize = 1 << 24;

/// No device can be had.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::gpu::blocking::{Context, ContextError};
///
/// match Context::with_adapter_name("a GPU that is not there") {
///     Err(error @ (ContextError::NoAdapter { .. } | ContextError::NoBackend)) => println!("{error}"),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContextError {
    /// The build has no wgpu backend.
    #[error("this build has no wgpu backend; turn on the feature `backends`, or features of wgpu such as `vulkan`")]
    NoBackend,
    /// No adapter was found, or none whose name contains what was asked for.
    #[error("{}", no_adapter(.wanted.as_deref(), .found))]
    NoAdapter {
        /// What `WGPU_ADAPTER_NAME` or the caller asks for.
        wanted: Option<String>,
        /// Names of the adapters there are.
        found: Vec<String>,
    },
    /// The adapter gives no device.
    #[error("the adapter {adapter} gives no device: {reason}")]
    Device {
        /// The adapter's name.
        adapter: String,
        /// What it said.
        reason: String,
    },
    /// The kernels can't be built for the device.
    #[error(transparent)]
    Kernels(#[from] KernelsError),
}

fn no_adapter(wanted: Option<&str>, found: &[String]) -> String {
    match wanted {
        _ if found.is_empty() => "no GPU adapter found; install a Vulkan, Metal or DirectX 12 driver, \
             or on Debian and Ubuntu the software one: apt-get install mesa-vulkan-drivers libvulkan1"
            .to_owned(),
        Some(wanted) => format!("no adapter's name contains {wanted:?}; there are: {}", found.join(", ")),
        None => format!("no adapter can be used; there are: {}", found.join(", ")),
    }
}

fn instance() -> Result<wgpu::Instance, ContextError> {
    if wgpu::Instance::enabled_backend_features().is_empty() {
        return Err(ContextError::NoBackend);
    }
    Ok(wgpu::Instance::new(
        wgpu::InstanceDescriptor::new_without_display_handle_from_env(),
    ))
}

/// The adapters of this machine, of the backends that `WGPU_BACKEND` admits (all by default).
///
/// # Errors
///
/// [`ContextError::NoBackend`].
///
/// # Examples
///
/// ```
/// for adapter in wgpu_dropout::gpu::blocking::adapters()? {
///     println!("{}", adapter.get_info().name);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn adapters() -> Result<Vec<wgpu::Adapter>, ContextError> {
    let instance = instance()?;
    Ok(pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all())))
}

/// A device, its queue and its kernels.
///
/// # Examples
///
/// Forward and backward, the mask drawn again, or stored as bits or bytes:
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let gpu = context()?;
/// use wgpu_dropout::Dropout;
///
/// println!("on {}", gpu.adapter().name);
/// let call = Dropout::new(0.1, 42)?;
/// let (x, mut y, mut dx) = ([1.0f32; 1000], [0.0; 1000], [0.0; 1000]);
/// gpu.forward(&call, &x, &mut y)?;
/// gpu.backward(&call, &x, &mut dx)?;
///
/// let mut bits = [0u32; 32]; // bit_mask_words(1000)
/// gpu.forward_with_bit_mask(&call, &x, &mut y, &mut bits)?;
/// gpu.backward_from_bit_mask(&call, &x, &bits, &mut dx)?;
/// let mut bytes = [0u8; 1000];
/// gpu.forward_with_byte_mask(&call, &x, &mut y, &mut bytes)?;
/// gpu.backward_from_byte_mask(&call, &x, &bytes, &mut dx)?;
/// // The masks alone.
/// gpu.bit_mask(&call, 1000, &mut bits)?;
/// gpu.byte_mask(&call, &mut bytes)?;
/// gpu.inference(&call, &x, &mut y)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// On the tensor's own memory:
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let gpu = context()?;
/// # use wgpu_dropout::Dropout;
/// # let (call, mut x) = (Dropout::new(0.1, 42)?, [1.0f32; 1000]);
/// # let (bits, bytes) = ([0u32; 32], [0u8; 1000]);
/// gpu.forward_in_place(&call, &mut x)?;
/// gpu.backward_in_place(&call, &mut x)?;
/// gpu.backward_from_bit_mask_in_place(&call, &mut x, &bits)?;
/// gpu.backward_from_byte_mask_in_place(&call, &mut x, &bytes)?;
/// gpu.inference_in_place(&call, &mut x)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// With its neighbours, and the gradient of the bias:
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let gpu = context()?;
/// # use wgpu_dropout::{Dropout, Neighbours};
/// # let (call, x, mut y, mut dx) = (Dropout::new(0.1, 42)?, [1.0f32; 1000], [0.0; 1000], [0.0; 1000]);
/// let (bias, mut dbias) = ([0.5; 100], [0.0; 100]);
/// gpu.forward_fused(&call, &x, Neighbours { bias: Some(&bias), residual: Some(&x) }, &mut y)?;
/// gpu.backward(&call, &x, &mut dx)?;
/// gpu.bias_gradient(&dx, &mut dbias)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Kernels of the same device, for recordings of your own:
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let gpu = context()?;
/// let (device, queue) = (gpu.kernels().device(), gpu.kernels().queue());
/// # let _ = (device, queue);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Context {
    adapter: wgpu::AdapterInfo,
    kernels: Kernels,
    lost: Arc<OnceLock<String>>,
}

impl Context {
    /// The adapter that wgpu's environment variables choose: `WGPU_ADAPTER_NAME` (part of the name, any
    /// case), `WGPU_BACKEND`, `WGPU_POWER_PREF`; without them wgpu's default.
    ///
    /// # Errors
    ///
    /// [`ContextError`] where there is no such adapter or it gives no device.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use wgpu_dropout::gpu::blocking::Context;
    ///
    /// let gpu = Context::new()?; // WGPU_ADAPTER_NAME=nvidia WGPU_BACKEND=vulkan my-program
    /// println!("{:?}", gpu.adapter());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new() -> Result<Self, ContextError> {
        if let Ok(wanted) = std::env::var("WGPU_ADAPTER_NAME") {
            return Self::with_adapter_name(&wanted);
        }
        let instance = instance()?;
        let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::from_env().unwrap_or_default(),
            ..Default::default()
        }));
        match adapter {
            Ok(adapter) => Self::with_adapter(&adapter, &KernelOptions::default()),
            Err(_) => Err(ContextError::NoAdapter {
                wanted: None,
                found: names(&adapters()?),
            }),
        }
    }

    /// The first adapter whose name contains `wanted`, in any case.
    ///
    /// # Errors
    ///
    /// [`ContextError`] where there is no such adapter or it gives no device.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use wgpu_dropout::gpu::blocking::Context;
    ///
    /// let gpu = Context::with_adapter_name("llvmpipe")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_adapter_name(wanted: &str) -> Result<Self, ContextError> {
        let adapters = adapters()?;
        let wanted_lower = wanted.to_lowercase();
        match adapters
            .iter()
            .find(|a| a.get_info().name.to_lowercase().contains(&wanted_lower))
        {
            Some(adapter) => Self::with_adapter(adapter, &KernelOptions::default()),
            None => Err(ContextError::NoAdapter {
                wanted: Some(wanted.to_owned()),
                found: names(&adapters),
            }),
        }
    }

    /// A device of that adapter, with its own limits and the features that the kernels can use.
    ///
    /// # Errors
    ///
    /// [`ContextError`] where the adapter gives no device or the options don't fit it.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::gpu::KernelOptions;
    /// use wgpu_dropout::gpu::blocking::Context;
    ///
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let adapter = adapter()?;
    /// let options = KernelOptions { workgroup_size: 128, ..Default::default() };
    /// let gpu = Context::with_adapter(&adapter, &options)?;
    /// assert_eq!(gpu.kernels().limits().workgroup_size, 128);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_adapter(adapter: &wgpu::Adapter, options: &KernelOptions) -> Result<Self, ContextError> {
        let info = adapter.get_info();
        let mut wanted = Kernels::optional_features();
        if info.device_type == wgpu::DeviceType::Cpu {
            // Memory is the host's own there, so the exhaustive self-test reads it in place.
            wanted |= wgpu::Features::MAPPABLE_PRIMARY_BUFFERS;
        }
        let request = adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("wgpu_dropout::blocking::Context"),
            required_features: adapter.features() & wanted,
            required_limits: adapter.limits(),
            ..Default::default()
        });
        let (device, queue) = pollster::block_on(request).map_err(|error| ContextError::Device {
            adapter: info.name.clone(),
            reason: error.to_string(),
        })?;

        let lost = Arc::new(OnceLock::new());
        let lost_sink = Arc::clone(&lost);
        device.set_device_lost_callback(move |reason, message| {
            let _ = lost_sink.set(format!("{reason:?}: {message}"));
        });
        // wgpu's default handler panics; ours leaves it to the calls' own error scopes.
        device.on_uncaptured_error(Arc::new(|_| {}));
        Ok(Self {
            adapter: info,
            kernels: Kernels::with_options(&device, &queue, options)?,
            lost,
        })
    }

    /// The adapter in use.
    #[must_use]
    pub fn adapter(&self) -> &wgpu::AdapterInfo {
        &self.adapter
    }

    /// The kernels, and through them the device and its queue.
    #[must_use]
    pub fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// Runs one piece after the other.
    fn run_pieces(&self, draw: Draw<'_>, call: Call<'_>) -> Result<(), RunError> {
        let bytes = call.dtype.bytes() as usize;
        let Call {
            task,
            dtype,
            elements,
            mut tensors,
            neighbours,
            mask_in,
            mut mask_out,
        } = call;
        let Neighbours { bias, residual } = neighbours;
        // Whole rows of a bias; a row may be longer than a piece.
        let row = bias.map_or(1, |bias| bias.len() / bytes).max(1);
        let piece = (PIECE / row * row).max(row);
        let mut first = 0;
        while first < elements {
            let length = piece.min(elements - first);
            let tensor_range = first * bytes..(first + length) * bytes;
            let (placement, input, output): (_, &[u8], &mut [u8]) = match &mut tensors {
                Tensors::Apart(x, y) => (Placement::APART, &x[tensor_range.clone()], &mut y[tensor_range.clone()]),
                Tensors::InPlace(y) => (Placement::IN_PLACE, &[], &mut y[tensor_range.clone()]),
                Tensors::None => (Placement::APART, &[], &mut []),
            };
            let mask_range = |format| match format {
                MaskFormat::Bits => first / 8..(first + length).div_ceil(32) * 4,
                MaskFormat::Bytes => first..first + length,
            };
            // Inference draws nothing, so its tensor may be another one than the map's.
            let map = draw.map.filter(|_| task != Task::Inference);
            let map = map.map(|map| map.part(first as u64, length as u64));
            // A map says itself where its window starts.
            let start = if map.is_some() { 0 } else { first as u64 };
            let dropout = draw
                .dropout
                .with_element_offset(draw.dropout.element_offset.wrapping_add(start));
            // The seeds of this piece; what of the first one's elements lies before it is said apart.
            let seeds = draw.seeds.filter(|_| task != Task::Inference).map(|seeds| {
                let [from, to] = [first, first + length - 1].map(|i| (i as u64 / seeds.elements_per_seed) as usize);
                Seeds {
                    values: &seeds.values[from..=to],
                    ..seeds
                }
            });
            let job = Job {
                draw: Draw {
                    dropout: &dropout,
                    map: map.as_ref(),
                    seeds,
                },
                first_element: seeds.map_or(0, |seeds| first as u64 % seeds.elements_per_seed),
                task,
                dtype,
                elements: length as u64,
                placement,
                prefill: false,
                input,
                output,
                bias,
                residual: residual.map(|residual| &residual[tensor_range]),
                mask_in: mask_in
                    .as_ref()
                    .map_or(&[], |(format, mask)| &mask[mask_range(*format)]),
                mask_out: match &mut mask_out {
                    Some((format, mask)) => &mut mask[mask_range(*format)],
                    None => &mut [],
                },
            };
            pollster::block_on(run(&self.kernels, job)).map_err(|error| self.explain(error))?;
            first += length;
        }
        Ok(())
    }

    /// Names the loss of the device where that is what is behind an error.
    fn explain(&self, error: RunError) -> RunError {
        // The callback that fills `lost` runs when the device is polled.
        let _ = self.kernels.device().poll(wgpu::PollType::Poll);
        match self.lost.get() {
            Some(reason) => DeviceError::Lost(reason.clone()).into(),
            None => error,
        }
    }
}

fn names(adapters: &[wgpu::Adapter]) -> Vec<String> {
    adapters.iter().map(|adapter| adapter.get_info().name).collect()
}

enum Tensors<'a> {
    Apart(&'a [u8], &'a mut [u8]),
    InPlace(&'a mut [u8]),
    None,
}

/// A call over whole slices.
struct Call<'a> {
    task: Task,
    dtype: crate::DType,
    elements: usize,
    tensors: Tensors<'a>,
    neighbours: Neighbours<'a, u8>,
    mask_in: Option<(MaskFormat, &'a [u8])>,
    mask_out: Option<(MaskFormat, &'a mut [u8])>,
}

impl<'a> Call<'a> {
    fn apart<T: Element>(task: Task, draw: Draw<'_>, x: &'a [T], y: &'a mut [T]) -> Result<Self, SliceError> {
        let output = if matches!(task, Task::Backward(_)) { "dx" } else { "y" };
        check_length(output, "elements", x.len() as u64, x.len() as u64, y.len())?;
        let tensors = Tensors::Apart(bytemuck::cast_slice(x), bytemuck::cast_slice_mut(y));
        Self::new::<T>(task, draw, x.len(), tensors)
    }

    fn in_place<T: Element>(task: Task, draw: Draw<'_>, x: &'a mut [T]) -> Result<Self, SliceError> {
        Self::new::<T>(task, draw, x.len(), Tensors::InPlace(bytemuck::cast_slice_mut(x)))
    }

    fn new<T: Element>(task: Task, draw: Draw<'_>, elements: usize, tensors: Tensors<'a>) -> Result<Self, SliceError> {
        if task != Task::Inference {
            draw.check(elements as u64)?;
        }
        Ok(Self {
            task,
            dtype: T::DTYPE,
            elements,
            tensors,
            neighbours: Neighbours {
                bias: None,
                residual: None,
            },
            mask_in: None,
            mask_out: None,
        })
    }

    fn reading_bits(self, mask: &'a [u32]) -> Result<Self, SliceError> {
        check_bits(self.elements, mask.len())?;
        let mask_in = Some((MaskFormat::Bits, bytemuck::cast_slice(mask)));
        Ok(Self { mask_in, ..self })
    }

    fn reading_bytes(self, mask: &'a [u8]) -> Result<Self, SliceError> {
        check_bytes(self.elements, mask.len())?;
        let mask_in = Some((MaskFormat::Bytes, mask));
        Ok(Self { mask_in, ..self })
    }

    fn storing_bits(self, mask: &'a mut [u32]) -> Result<Self, SliceError> {
        check_bits(self.elements, mask.len())?;
        let mask_out = Some((MaskFormat::Bits, bytemuck::cast_slice_mut(mask)));
        Ok(Self { mask_out, ..self })
    }

    fn storing_bytes(self, mask: &'a mut [u8]) -> Result<Self, SliceError> {
        check_bytes(self.elements, mask.len())?;
        let mask_out = Some((MaskFormat::Bytes, mask));
        Ok(Self { mask_out, ..self })
    }
}

fn check_bits(elements: usize, words: usize) -> Result<(), SliceError> {
    let elements = elements as u64;
    check_length("mask", "words", elements, bit_mask_words(elements), words)
}

fn check_bytes(elements: usize, bytes: usize) -> Result<(), SliceError> {
    check_length("mask", "bytes", elements as u64, elements as u64, bytes)
}

const BITS: Option<MaskFormat> = Some(MaskFormat::Bits);
const BYTES: Option<MaskFormat> = Some(MaskFormat::Bytes);

/// The operations, blocking, over slices of any length.
///
/// # Errors
///
/// Every one of them gives [`RunError::Slice`] before anything is done where lengths disagree or the
/// elements pass global index 2^64, and another [`RunError`] where the device fails; the outputs are
/// then as they were, but for whole pieces of 2^24 elements that were done before.
impl Context {
    /// See [`cpu::forward`](crate::cpu::forward).
    pub fn forward<'a, T: Element>(&self, draw: impl Into<Draw<'a>>, x: &[T], y: &mut [T]) -> Result<(), RunError> {
        let draw = draw.into();
        self.run_pieces(draw, Call::apart(Task::Forward(None), draw, x, y)?)
    }

    /// See [`cpu::forward_in_place`](crate::cpu::forward_in_place).
    pub fn forward_in_place<'a, T: Element>(&self, draw: impl Into<Draw<'a>>, x: &mut [T]) -> Result<(), RunError> {
        let draw = draw.into();
        self.run_pieces(draw, Call::in_place(Task::Forward(None), draw, x)?)
    }

    /// See [`cpu::forward_with_bit_mask`](crate::cpu::forward_with_bit_mask).
    pub fn forward_with_bit_mask<'a, T: Element>(
        &self,
        draw: impl Into<Draw<'a>>,
        x: &[T],
        y: &mut [T],
        mask: &mut [u32],
    ) -> Result<(), RunError> {
        let draw = draw.into();
        let call = Call::apart(Task::Forward(BITS), draw, x, y)?.storing_bits(mask)?;
        self.run_pieces(draw, call)
    }

    /// See [`cpu::forward_with_byte_mask`](crate::cpu::forward_with_byte_mask).
    pub fn forward_with_byte_mask<'a, T: Element>(
        &self,
        draw: impl Into<Draw<'a>>,
        x: &[T],
        y: &mut [T],
        mask: &mut [u8],
    ) -> Result<(), RunError> {
        let draw = draw.into();
        let call = Call::apart(Task::Forward(BYTES), draw, x, y)?.storing_bytes(mask)?;
        self.run_pieces(draw, call)
    }

    /// See [`cpu::forward_fused`](crate::cpu::forward_fused).
    pub fn forward_fused<'a, T: Element>(
        &self,
        draw: impl Into<Draw<'a>>,
        x: &[T],
        neighbours: Neighbours<'_, T>,
        y: &mut [T],
    ) -> Result<(), RunError> {
        let draw = draw.into();
        neighbours.check(draw, x.len(), y.len())?;
        let neighbours = Neighbours {
            bias: neighbours.bias.map(bytemuck::cast_slice),
            residual: neighbours.residual.map(bytemuck::cast_slice),
        };
        let call = Call {
            neighbours,
            ..Call::apart(Task::ForwardFused, draw, x, y)?
        };
        self.run_pieces(draw, call)
    }

    /// See [`cpu::bias_gradient`](crate::cpu::bias_gradient).
    pub fn bias_gradient<T: Element>(&self, dx: &[T], dbias: &mut [T]) -> Result<(), RunError> {
        let columns = dbias.len();
        check_rows(dx.len(), columns)?;
        let rows = dx.len().checked_div(columns).unwrap_or(0);
        let sum = |dx: &[T], dbias: &mut [T]| {
            let columns = dbias.len() as u64;
            let (dx, dbias) = (bytemuck::cast_slice(dx), bytemuck::cast_slice_mut(dbias));
            pollster::block_on(sum_rows(&self.kernels, T::DTYPE, columns, dx, dbias))
                .map_err(|error| self.explain(error))
        };
        if dx.len() <= PIECE {
            return sum(dx, dbias);
        }
        // Columns are summed each by itself; of rows the order matters.
        let piece = (PIECE / rows).max(1);
        let mut part = Vec::new();
        let elements = piece.min(columns) * rows;
        part.try_reserve_exact(elements).map_err(|_| SliceError::OutOfMemory {
            elements: elements as u64,
            bytes: elements as u64 * T::DTYPE.bytes(),
        })?;
        for (dbias, first) in dbias.chunks_mut(piece).zip((0..columns).step_by(piece)) {
            part.clear();
            for row in dx.chunks_exact(columns) {
                part.extend_from_slice(&row[first..first + dbias.len()]);
            }
            sum(&part, dbias)?;
        }
        Ok(())
    }

    /// See [`cpu::backward`](crate::cpu::backward).
    pub fn backward<'a, T: Element>(&self, draw: impl Into<Draw<'a>>, dy: &[T], dx: &mut [T]) -> Result<(), RunError> {
        let draw = draw.into();
        self.run_pieces(draw, Call::apart(Task::Backward(None), draw, dy, dx)?)
    }

    /// See [`cpu::backward_in_place`](crate::cpu::backward_in_place).
    pub fn backward_in_place<'a, T: Element>(&self, draw: impl Into<Draw<'a>>, dy: &mut [T]) -> Result<(), RunError> {
        let draw = draw.into();
        self.run_pieces(draw, Call::in_place(Task::Backward(None), draw, dy)?)
    }

    /// See [`cpu::backward_from_bit_mask`](crate::cpu::backward_from_bit_mask).
    pub fn backward_from_bit_mask<'a, T: Element>(
        &self,
        draw: impl Into<Draw<'a>>,
        dy: &[T],
        mask: &[u32],
        dx: &mut [T],
    ) -> Result<(), RunError> {
        let draw = draw.into();
        let call = Call::apart(Task::Backward(BITS), draw, dy, dx)?.reading_bits(mask)?;
        self.run_pieces(draw, call)
    }

    /// See [`cpu::backward_from_bit_mask_in_place`](crate::cpu::backward_from_bit_mask_in_place).
    pub fn backward_from_bit_mask_in_place<'a, T: Element>(
        &self,
        draw: impl Into<Draw<'a>>,
        dy: &mut [T],
        mask: &[u32],
    ) -> Result<(), RunError> {
        let draw = draw.into();
        let call = Call::in_place(Task::Backward(BITS), draw, dy)?.reading_bits(mask)?;
        self.run_pieces(draw, call)
    }

    /// See [`cpu::backward_from_byte_mask`](crate::cpu::backward_from_byte_mask).
    pub fn backward_from_byte_mask<'a, T: Element>(
        &self,
        draw: impl Into<Draw<'a>>,
        dy: &[T],
        mask: &[u8],
        dx: &mut [T],
    ) -> Result<(), RunError> {
        let draw = draw.into();
        let call = Call::apart(Task::Backward(BYTES), draw, dy, dx)?.reading_bytes(mask)?;
        self.run_pieces(draw, call)
    }

    /// See [`cpu::backward_from_byte_mask_in_place`](crate::cpu::backward_from_byte_mask_in_place).
    pub fn backward_from_byte_mask_in_place<'a, T: Element>(
        &self,
        draw: impl Into<Draw<'a>>,
        dy: &mut [T],
        mask: &[u8],
    ) -> Result<(), RunError> {
        let draw = draw.into();
        let call = Call::in_place(Task::Backward(BYTES), draw, dy)?.reading_bytes(mask)?;
        self.run_pieces(draw, call)
    }

    /// See [`cpu::bit_mask`](crate::cpu::bit_mask).
    pub fn bit_mask<'a>(&self, draw: impl Into<Draw<'a>>, len: usize, mask: &mut [u32]) -> Result<(), RunError> {
        let draw = draw.into();
        let call = Call::new::<f32>(Task::Mask(MaskFormat::Bits), draw, len, Tensors::None)?;
        self.run_pieces(draw, call.storing_bits(mask)?)
    }

    /// See [`cpu::byte_mask`](crate::cpu::byte_mask).
    pub fn byte_mask<'a>(&self, draw: impl Into<Draw<'a>>, mask: &mut [u8]) -> Result<(), RunError> {
        let draw = draw.into();
        let call = Call::new::<f32>(Task::Mask(MaskFormat::Bytes), draw, mask.len(), Tensors::None)?;
        self.run_pieces(draw, call.storing_bytes(mask)?)
    }

    /// See [`cpu::inference`](crate::cpu::inference).
    pub fn inference<'a, T: Element>(&self, draw: impl Into<Draw<'a>>, x: &[T], y: &mut [T]) -> Result<(), RunError> {
        let draw = draw.into();
        self.run_pieces(draw, Call::apart(Task::Inference, draw, x, y)?)
    }

    /// See [`cpu::inference_in_place`](crate::cpu::inference_in_place).
    pub fn inference_in_place<'a, T: Element>(&self, draw: impl Into<Draw<'a>>, x: &mut [T]) -> Result<(), RunError> {
        let draw = draw.into();
        self.run_pieces(draw, Call::in_place(Task::Inference, draw, x)?)
    }
}
