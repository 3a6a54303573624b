//! Error scopes around calls that report errors to the device instead of their caller.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use super::DeviceError;

/// One scope for each kind of error.
pub(crate) struct ErrorScopes {
    // Popped innermost first.
    internal: wgpu::ErrorScopeGuard,
    memory: wgpu::ErrorScopeGuard,
    validation: wgpu::ErrorScopeGuard,
}

impl ErrorScopes {
    pub(crate) fn push(device: &wgpu::Device) -> Self {
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        Self {
            internal,
            memory,
            validation,
        }
    }

    /// Pops the scopes; the first error they caught, if it is known by now.
    ///
    /// It is on native backends. In a browser it is not, and goes unreported rather than unawaited: the
    /// call that follows fails on the invalid object.
    pub(crate) fn pop(self) -> Result<(), DeviceError> {
        let internal = now(self.internal.pop());
        let memory = now(self.memory.pop());
        let validation = now(self.validation.pop());
        // Out of memory explains a validation error that follows from it, so it comes first.
        match memory.or(internal).or(validation) {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }
}

fn now(future: impl Future<Output = Option<wgpu::Error>>) -> Option<wgpu::Error> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(error) => error,
        Poll::Pending => None,
    }
}
