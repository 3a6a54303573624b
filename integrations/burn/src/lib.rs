#![doc = include_str!("../README.md")]

mod autodiff;
#[cfg(feature = "wgpu")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod module;
mod operation;

pub use module::{Dropout, DropoutConfig};
pub use operation::{DropoutError, DropoutOps, dropout};
pub use wgpu_dropout;
