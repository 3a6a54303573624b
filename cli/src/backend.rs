//! What computes: the GPU, the CPU path or the reference, behind the few operations that files need.

use thiserror::Error;
use wgpu_dropout::gpu::RunError;
use wgpu_dropout::gpu::blocking::{Context, ContextError};
use wgpu_dropout::{Draw, Element, SliceError, cpu, reference};

use crate::args::BackendChoice;

#[derive(Debug)]
pub enum Backend {
    Gpu(Box<Context>),
    Cpu,
    Reference,
}

#[derive(Debug, Error)]
pub enum BackendError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Slice(#[from] SliceError),
}

impl Backend {
    pub fn choose(choice: BackendChoice, adapter: Option<&str>) -> Result<Self, ContextError> {
        let context = || match adapter {
            Some(name) => Context::with_adapter_name(name),
            None => Context::new(),
        };
        Ok(match choice {
            BackendChoice::Cpu => Self::Cpu,
            BackendChoice::Reference => Self::Reference,
            BackendChoice::Gpu => Self::Gpu(Box::new(context()?)),
            BackendChoice::Auto => match context() {
                Ok(context) => Self::Gpu(Box::new(context)),
                // An adapter asked for by name is not to be replaced in silence.
                Err(error) if adapter.is_some() => return Err(error),
                Err(_) => Self::Cpu,
            },
        })
    }

    pub fn name(&self) -> String {
        match self {
            Self::Gpu(context) => format!("{} ({})", context.adapter().name, context.adapter().backend),
            Self::Cpu => "CPU".to_owned(),
            Self::Reference => "scalar reference".to_owned(),
        }
    }

    /// Training, with the mask drawn: forward and backward are the same.
    pub fn draw_bits<T: Element>(
        &self,
        draw: Draw<'_>,
        x: &[T],
        y: &mut [T],
        mask: &mut [u32],
    ) -> Result<(), BackendError> {
        match self {
            Self::Gpu(context) => context.forward_with_bit_mask(draw, x, y, mask)?,
            Self::Cpu => cpu::forward_with_bit_mask(draw, x, y, mask)?,
            Self::Reference => reference::forward_with_bit_mask(draw, x, y, mask)?,
        }
        Ok(())
    }

    pub fn draw_bytes<T: Element>(
        &self,
        draw: Draw<'_>,
        x: &[T],
        y: &mut [T],
        mask: &mut [u8],
    ) -> Result<(), BackendError> {
        match self {
            Self::Gpu(context) => context.forward_with_byte_mask(draw, x, y, mask)?,
            Self::Cpu => cpu::forward_with_byte_mask(draw, x, y, mask)?,
            Self::Reference => reference::forward_with_byte_mask(draw, x, y, mask)?,
        }
        Ok(())
    }

    pub fn apply_bits<T: Element>(
        &self,
        draw: Draw<'_>,
        dy: &[T],
        mask: &[u32],
        dx: &mut [T],
    ) -> Result<(), BackendError> {
        match self {
            Self::Gpu(context) => context.backward_from_bit_mask(draw, dy, mask, dx)?,
            Self::Cpu => cpu::backward_from_bit_mask(draw, dy, mask, dx)?,
            Self::Reference => reference::backward_from_bit_mask(draw, dy, mask, dx)?,
        }
        Ok(())
    }

    pub fn apply_bytes<T: Element>(
        &self,
        draw: Draw<'_>,
        dy: &[T],
        mask: &[u8],
        dx: &mut [T],
    ) -> Result<(), BackendError> {
        match self {
            Self::Gpu(context) => context.backward_from_byte_mask(draw, dy, mask, dx)?,
            Self::Cpu => cpu::backward_from_byte_mask(draw, dy, mask, dx)?,
            Self::Reference => reference::backward_from_byte_mask(draw, dy, mask, dx)?,
        }
        Ok(())
    }
}
