//! [candle](https://github.com/huggingface/candle)'s dropout, with a seed: the same masks in every run, on any number
//! of threads, and none of them kept for the backward pass.
//!
//! `candle_nn::ops::dropout` draws a random number for every element, compares, converts, scales and multiplies in
//! passes of their own, and keeps the mask, as large as the tensor, until the backward pass. [`dropout`] is one pass,
//! and the graph holds its seed.
//!
//! | `candle_nn` | here |
//! |---|---|
//! | `ops::dropout(&xs, 0.1)` | [`dropout(&xs, 0.1, seed)`](dropout) |
//! | `Dropout::new(0.1)` | [`Dropout::new(0.1, seed)`](Dropout::new) |
//! | `layer.forward(&xs, train)` | [`layer.forward(&xs, train)`](Dropout::forward) |
//! | | [`apply(&xs, &call)`](apply): p, seed, subsequence and offset of a [`wgpu_dropout::Dropout`] |
//!
//! Tensors of f32, f16 and bf16 on the CPU. Element i of the mask belongs to the tensor's i-th element in row-major
//! order, however it lies in memory: a transposed view gets the mask that its copy would get. p may be 1 as well, which
//! drops everything.
//!
//! # Examples
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use wgpu_dropout_candle::Dropout;
//!
//! let layer = Dropout::new(0.5, 42)?;
//! let x = Var::new(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], &Device::Cpu)?;
//! let y = layer.forward(&x, true)?;
//! let dx = y.sum_all()?.backward()?.get(&x).cloned().ok_or("no gradient")?;
//! // Kept elements are doubled, and so is their gradient: y = x dx.
//! assert_eq!(y.to_vec1::<f32>()?, (x.as_tensor() * dx)?.to_vec1::<f32>()?);
//! // The next call draws the next mask.
//! assert_ne!(y.to_vec1::<f32>()?, layer.forward(&x, true)?.to_vec1::<f32>()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::backend::{BackendDevice as _, BackendStorage as _};
use candle_core::{CpuStorage, CustomOp1, Error, Layout, ModuleT, Result, Shape, Tensor};
use wgpu_dropout::{DropoutState, Element, cpu};

pub use wgpu_dropout;

/// Inverted dropout on subsequence 0 of a seed: elements are dropped with probability `drop_p`, the others divided by
/// the keep probability, which here is a multiple of 2^-32 (contract section 3).
///
/// The same seed draws the same mask. For calls that follow each other use [`Dropout`], which counts them, or
/// [`apply`].
///
/// # Errors
///
/// Where `drop_p` is no probability, or of [`apply`].
pub fn dropout(xs: &Tensor, drop_p: impl Into<f64>, seed: u64) -> Result<Tensor> {
    apply(
        xs,
        &wgpu_dropout::Dropout::new(drop_p.into(), seed).map_err(Error::wrap)?,
    )
}

/// The dropout of a call, differentiable any number of times: the gradient draws the same mask again.
///
/// # Errors
///
/// Where the tensor is not of f32, f16 or bf16 or not on the CPU, or its elements pass global index 2^64.
pub fn apply(xs: &Tensor, call: &wgpu_dropout::Dropout) -> Result<Tensor> {
    xs.apply_op1(Operation {
        call: *call,
        phase: Phase::Training,
    })
}

/// A layer: it hands each training call a subsequence of its own, and passes tensors through at inference.
///
/// Clones count together, so that copies of a model never draw a mask twice. Give each layer a seed of its own: two
/// with the same draw the same masks.
#[derive(Clone, Debug)]
pub struct Dropout {
    state: Arc<Mutex<DropoutState>>,
}

impl Dropout {
    /// Inverted dropout; the first call takes subsequence 0 of the seed.
    ///
    /// # Errors
    ///
    /// Where `drop_p` is no probability.
    pub fn new(drop_p: impl Into<f64>, seed: u64) -> Result<Self> {
        let state = DropoutState::new(drop_p.into(), seed).map_err(Error::wrap)?;
        Ok(Self::from_state(state))
    }

    /// Goes on where a state says: from a checkpoint, with another scale mode, or with fewer random bits.
    #[must_use]
    pub fn from_state(state: DropoutState) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// What a checkpoint needs, serialisable with the feature `serde` of `wgpu-dropout`.
    #[must_use]
    pub fn state(&self) -> DropoutState {
        self.lock().clone()
    }

    /// Dropout where `train`, with the next mask; else the tensor as it is, or times the keep probability where the
    /// state's scale mode is the classic one.
    ///
    /// # Errors
    ///
    /// Those of [`apply`], or after 2^64 calls.
    pub fn forward(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        if train {
            let call = self.lock().next_call().map_err(Error::wrap)?;
            return apply(xs, &call);
        }
        // Whatever the subsequence: no mask is drawn.
        let call = self.lock().clone().next_calls(0).map_err(Error::wrap)?;
        match call.probability.inference_scale(call.scale_mode) {
            None => Ok(xs.clone()),
            Some(_) => xs.apply_op1(Operation {
                call,
                phase: Phase::Inference,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, DropoutState> {
        // A state is as good as before where a thread panicked: no call leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ModuleT for Dropout {
    fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        self.forward(xs, train)
    }
}

/// A call in the graph: all that the backward pass needs.
#[derive(Clone, Copy, Debug)]
struct Operation {
    call: wgpu_dropout::Dropout,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Training,
    Inference,
}

impl Operation {
    fn run<T: Element>(&self, x: &[T]) -> Result<Vec<T>> {
        match self.phase {
            Phase::Training => cpu::forward_to_vec(&self.call, x),
            Phase::Inference => {
                let mut y = x.to_vec();
                cpu::inference_in_place(&self.call, &mut y).map(|()| y)
            }
        }
        .map_err(Error::wrap)
    }
}

impl CustomOp1 for Operation {
    fn name(&self) -> &'static str {
        "wgpu-dropout"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            // The mask goes by the order of the elements in the tensor, not in memory.
            let shape = layout.shape();
            let mut ordered = storage.device().zeros_impl(shape, storage.dtype())?;
            storage.copy_strided_src(&mut ordered, 0, layout)?;
            return self.cpu_fwd(&ordered, &Layout::contiguous(shape));
        };
        let y = match storage {
            CpuStorage::F32(x) => CpuStorage::F32(self.run(&x[start..end])?),
            CpuStorage::F16(x) => CpuStorage::F16(self.run(&x[start..end])?),
            CpuStorage::BF16(x) => CpuStorage::BF16(self.run(&x[start..end])?),
            other => candle_core::bail!(
                "wgpu-dropout takes tensors of f32, f16 or bf16, got {:?}: convert with to_dtype",
                other.dtype()
            ),
        };
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, _arg: &Tensor, _res: &Tensor, grad_res: &Tensor) -> Result<Option<Tensor>> {
        // The gradient of a masked and scaled element is the gradient, masked and scaled.
        grad_res.apply_op1(*self).map(Some)
    }
}
