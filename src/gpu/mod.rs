//! The kernels on a wgpu device of the caller's.
//!
//! [`Kernels`] holds the pipelines of one device; [`Kernels::bind`] checks buffers and makes a
//! [`Binding`]; [`Binding::record`] records it into the caller's pass, as often as one likes, with
//! another [`Dropout`](crate::Dropout) each time. Nothing here submits, waits, maps or logs; for a
//! device and blocking calls over slices see [`blocking`], for a check of a device [`self_test`].
//!
//! # Internals
//!
//! A [`Variant`] is a choice of one small WGSL file a slot, joined as text. [`plan`] cuts a tensor into
//! dispatches by arithmetic alone. An invocation works on a tile of 16 elements: it loads them, draws the
//! four, two or one Philox blocks that decide them (once what neighbours among them share), multiplies in
//! hardware where operand and result are known to be finite and normal, goes through integers for the whole
//! tile where one element is not, and stores 128 bits at a time. Where the element offset is no multiple of
//! 16, tiles cut blocks, and a variant that shifts the stream is taken; with an [`IndexMap`](crate::IndexMap) that is
//! not one run of the stream, one that goes through a tile run by run and block by block, or a short cut for maps whose
//! runs are whole tiles. What is left at the end of a
//! tensor goes through another, word by word, and so does a fused forward whose rows are not whole tiles. A
//! [`DeviceCall`] has a small shader of its own that fills in the kernels' parameters, a [`BiasGradient`] two that sum.

mod bias_gradient;
mod binding;
#[cfg(not(target_family = "wasm"))]
pub mod blocking;
mod device_call;
mod error;
mod form;
mod kernels;
#[cfg(test)]
mod layout;
mod map;
mod memory;
mod params;
pub mod plan;
mod recipe;
mod row;
mod run;
mod samples;
mod scope;
pub mod self_test;
mod slots;
mod uniforms;
pub mod variant;

pub use bias_gradient::{BiasGradient, BiasGradientDescriptor};
pub use binding::{BackwardMask, BindDescriptor, Binding, Operation, RowBias, Seeds, StoredMask};
pub use device_call::{Advance, AdvanceDescriptor, DeviceCall, DeviceCallDescriptor, STATE_BYTES, state_bytes};
pub use error::{BindError, DeviceCallError, DeviceError, KernelsError, RecordError, RunError};
pub use kernels::{KernelOptions, Kernels};
pub use params::mask_parameters;
pub use recipe::{
    Recipe, RecipeBinding, RecipeBuffer, RecipeDescriptor, RecipeError, RecipeFused, RecipeOperation, RecipeResource,
    RecipeSeeds,
};
pub use samples::{Samples, SamplesDescriptor};
pub use variant::{Multiply, ParameterPath, Variant, mask_wgsl};
