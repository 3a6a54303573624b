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
    #[must_use]
    pub fn len(&self) -> usize {
        self.bindings.len()
    }

    /// Whether there is none.
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
