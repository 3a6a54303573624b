//! Monte-Carlo dropout: several samples of one input in one recording.

use wgpu::BufferBinding;

use super::binding::Range;
use super::form::tensor_bytes;
use super::kernels::Kernels;
use super::variant::{X, Y};
use super::{BindDescriptor, BindError, Binding, Operation, RecordError};
use crate::{DType, Dropout, IndexMap};

/// Describes [`Samples`].
///
/// For use with [`Kernels::bind_samples`].
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue, kernels) = kernels()?;
/// use wgpu_dropout::DType;
/// use wgpu_dropout::gpu::SamplesDescriptor;
///
/// # let buffer = |size| storage(&device, size);
/// let (x, ys) = (buffer(4096), [buffer(4096), buffer(4096)]);
/// let samples = kernels.bind_samples(&SamplesDescriptor {
///     label: None,
///     dtype: DType::F32,
///     elements: 1024,
///     map: None,
///     x: x.as_entire_buffer_binding(),
///     ys: &ys.each_ref().map(|y| y.as_entire_buffer_binding()),
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SamplesDescriptor<'a> {
    /// Debug label of the bind groups.
    pub label: wgpu::Label<'a>,
    /// Element type of the tensors.
    pub dtype: DType,
    /// Elements of the input, and of each output.
    pub elements: u64,
    /// Where they lie in the random stream, as in [`BindDescriptor::map`].
    pub map: Option<&'a IndexMap>,
    /// The input; laid out and aligned as in [`Operation`].
    pub x: BufferBinding<'a>,
    /// The outputs, one for each sample; they may lie in one buffer, but none over another or over x.
    pub ys: &'a [BufferBinding<'a>],
}

/// The forward pass of one input bound to several outputs.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue, kernels) = kernels()?;
/// # let samples = bound_samples(&kernels)?;
/// use wgpu_dropout::DropoutState;
///
/// let mut state = DropoutState::new(0.1, 42)?;
/// let first = state.next_calls(samples.len() as u64)?;
/// let mut encoder = device.create_command_encoder(&Default::default());
/// samples.record(&mut encoder.begin_compute_pass(&Default::default()), &first)?;
/// queue.submit([encoder.finish()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Samples {
    bindings: Vec<Binding>,
}

impl Kernels {
    /// Binds one input to an output for each sample.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind); [`BindError::Overlap`] also where one output lies over another or over x.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// use wgpu_dropout::DType;
    /// use wgpu_dropout::gpu::{BindError, SamplesDescriptor};
    ///
    /// # let buffer = |size| storage(&device, size);
    /// let (x, y) = (buffer(4096), buffer(4096));
    /// let refused = kernels.bind_samples(&SamplesDescriptor {
    ///     label: None,
    ///     dtype: DType::F32,
    ///     elements: 1024,
    ///     map: None,
    ///     x: x.as_entire_buffer_binding(),
    ///     ys: &[y.as_entire_buffer_binding(), y.as_entire_buffer_binding()],
    /// });
    /// assert!(matches!(refused, Err(BindError::Overlap { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bind_samples(&self, descriptor: &SamplesDescriptor<'_>) -> Result<Samples, BindError> {
        let SamplesDescriptor {
            label,
            dtype,
            elements,
            map,
            ref x,
            ys,
        } = *descriptor;
        let bytes = tensor_bytes(elements, dtype)?;
        let range = |name, index, binding| Range::new(name, index, binding, bytes, self.limits().offset_alignment);
        let mut ranges = vec![range("x", X, x)?];
        for y in ys {
            let y = range("y", Y, y)?;
            for other in &ranges {
                other.check_apart(&y)?;
            }
            ranges.push(y);
        }
        let bindings = ys.iter().map(|y| {
            self.bind(&BindDescriptor {
                label,
                dtype,
                elements,
                map,
                seeds: None,
                operation: Operation::Forward {
                    x: x.clone(),
                    y: y.clone(),
                    store: None,
                },
            })
        });
        Ok(Samples {
            bindings: bindings.collect::<Result<_, _>>()?,
        })
    }
}

impl Samples {
    /// How many there are.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// # let samples = bound_samples(&kernels)?;
    /// assert_eq!(samples.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.bindings.len()
    }

    /// Whether there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// # let samples = bound_samples(&kernels)?;
    /// assert!(!samples.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }

    /// Records all of them into a pass of the caller's: sample k is the forward pass of `dropout` on its
    /// subsequence plus k. [`DropoutState::next_calls`](crate::DropoutState::next_calls) hands out as many.
    ///
    /// # Errors
    ///
    /// Those of [`Binding::record`], and [`RecordError::Subsequence`] where there are not so many subsequences left;
    /// nothing is recorded then.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// # let samples = bound_samples(&kernels)?;
    /// use wgpu_dropout::Dropout;
    /// use wgpu_dropout::gpu::RecordError;
    ///
    /// let mut encoder = device.create_command_encoder(&Default::default());
    /// let mut pass = encoder.begin_compute_pass(&Default::default());
    /// samples.record(&mut pass, &Dropout::new(0.1, 42)?.with_subsequence(10))?; // 10 and 11
    /// let last = Dropout::new(0.1, 42)?.with_subsequence(u64::MAX);
    /// assert!(matches!(samples.record(&mut pass, &last), Err(RecordError::Subsequence { samples: 2, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>, dropout: &Dropout) -> Result<(), RecordError> {
        let subsequence = dropout.subsequence;
        let calls = (0u64..).zip(&self.bindings).map(|(k, _)| {
            let subsequence = subsequence.checked_add(k).ok_or(RecordError::Subsequence {
                subsequence,
                samples: self.bindings.len() as u64,
            })?;
            Ok(dropout.with_subsequence(subsequence))
        });
        let calls: Vec<Dropout> = calls.collect::<Result<_, RecordError>>()?;
        let checked = self
            .bindings
            .iter()
            .zip(&calls)
            .map(|(binding, call)| binding.check(call));
        for checked in checked.collect::<Result<Vec<_>, _>>()? {
            checked.record(pass);
        }
        Ok(())
    }
}
