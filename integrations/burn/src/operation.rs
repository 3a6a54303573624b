//! The operation on tensors, and the trait through which Burn finds each backend's.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Tensor};
use thiserror::Error;
use wgpu_dropout::{Dropout, OffsetOverflow};

/// A tensor that dropout can't be applied to; nothing was done.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropoutError {
    /// The element type has no dropout.
    #[error("dropout takes tensors of f32, f16 or bf16, got {0:?}; cast it")]
    DType(DType),
    /// The elements run past global index 2^64.
    #[error(transparent)]
    Offset(#[from] OffsetOverflow),
}

/// The dropout of a call: forward, and under autodiff backward with the same mask, drawn again.
///
/// Element i of the tensor in row-major order is element `call.element_offset + i` of the subsequence, however it lies in
/// memory. The call applies whatever the device, for [`ScaleMode::Classic`](wgpu_dropout::ScaleMode) as well.
///
/// # Errors
///
/// [`DropoutError`] where the element type has no dropout or the elements pass global index 2^64.
///
/// # Panics
///
/// On a device of a backend that this crate was built without: see its features.
pub fn dropout<const D: usize>(input: Tensor<D>, call: &Dropout) -> Result<Tensor<D>, DropoutError> {
    let dtype = input.dtype();
    if !matches!(dtype, DType::F32 | DType::F16 | DType::BF16) {
        return Err(DropoutError::DType(dtype));
    }
    call.check_len(input.shape().num_elements() as u64)?;
    Ok(Tensor::from_dispatch(<Dispatch as DropoutOps>::dropout(
        input.into_dispatch(),
        *call,
    )))
}

/// Dropout on a backend's tensors. [`dropout`] has checked that there is one.
#[backend_extension(
    Cube: cfg(feature = "wgpu"),
    Flex: cfg(feature = "flex"),
    Fusion: cfg(feature = "fusion"),
    Autodiff
)]
pub trait DropoutOps: Backend {
    /// y = K(x) where kept, else +0; of f32, f16 or bf16.
    #[fusion(dtype = x, shape = x)]
    fn dropout(x: FloatTensor<Self>, call: Dropout) -> FloatTensor<Self>;
}
