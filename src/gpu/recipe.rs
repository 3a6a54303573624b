//! The kernels for an engine that is not wgpu's API: text, bytes and sizes, no device.

use core::ops::Range;

use thiserror::Error;

use super::params::{PARAMS_BYTES, Params, Phase};
use super::plan::{PlanError, PlanLimits, plan};
use super::variant::{Extent, Input, MaskSource, Multiply, ParameterPath, Stream, TILE, Tensor, Variant};
use crate::{DType, Dropout, OffsetOverflow};

/// A tensor on the device of an engine of your own: a framework's runtime, WebGPU from another language.
///
/// Where you have a [`wgpu::Device`], [`Kernels`](super::Kernels) does all of this.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::gpu::plan::PlanLimits;
/// use wgpu_dropout::gpu::variant::{Access, Input};
/// use wgpu_dropout::gpu::{Multiply, RecipeDescriptor};
/// use wgpu_dropout::{DType, Dropout};
///
/// let tensor = RecipeDescriptor {
///     dtype: DType::F32,
///     elements: 1_000_003,
///     input: Input::Apart(Access::Read),
///     multiply: Multiply::Emulated,
///     limits: PlanLimits {
///         max_binding_bytes: 128 << 20,
///         offset_alignment: 256,
///         max_workgroups_per_dimension: 65_535,
///         workgroup_size: 64,
///     },
/// };
/// for recipe in tensor.recipes(&Dropout::new(0.1, 42)?)? {
///     let text = recipe.variant.wgsl(); // the shader module; entry point "main"
///     let bytes = recipe.elements.start * 4..recipe.elements.end * 4; // of x at binding 0, of y at binding 1
///     let uniform = recipe.parameters; // the uniform at group 1, binding 0
///     let [x, y] = recipe.workgroups; // what to dispatch
///     # assert!(text.contains("@group(1) @binding(0)") && bytes.end <= 4_000_012 && uniform.len() == 64 && x * y > 0);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipeDescriptor {
    /// Element type.
    pub dtype: DType,
    /// Elements of the tensor.
    pub elements: u64,
    /// Where x is: at binding 0, or in y's memory, which is binding 1.
    pub input: Input,
    /// How to multiply: [`Multiply::Int64`] where the shader may use 64-bit integers.
    pub multiply: Multiply,
    /// What the device allows. The text's override constant `workgroup_size` is 64 unless the pipeline sets it; give
    /// here what it is.
    pub limits: PlanLimits,
}

/// One dispatch of a tensor's dropout: forward, or backward with dy for x and dx for y.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The shader; its text is [`Variant::wgsl`], its entry point `main`.
    pub variant: Variant,
    /// The tensor's elements that the bindings cover: their bytes, rounded up to whole words. Dispatches of the same
    /// window have the same.
    pub elements: Range<u64>,
    /// The uniform at group 1, binding 0, in the host's byte order.
    pub parameters: [u8; PARAMS_BYTES as usize],
    /// Workgroups in x and y; z is 1.
    pub workgroups: [u32; 2],
}

/// There is no recipe for a call.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecipeError {
    /// The elements run past global index 2^64.
    #[error(transparent)]
    Offset(#[from] OffsetOverflow),
    /// The limits admit no window.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl RecipeDescriptor {
    /// The dispatches of a call, in any order; none for an empty tensor.
    ///
    /// Parameters always go through the uniform: what immediates are, engines disagree about.
    ///
    /// # Errors
    ///
    /// [`RecipeError`] where the elements pass global index 2^64 or the limits admit no window.
    pub fn recipes(&self, dropout: &Dropout) -> Result<impl Iterator<Item = Recipe>, RecipeError> {
        let Self {
            dtype,
            elements,
            input,
            multiply,
            limits,
        } = *self;
        dropout.check_len(elements)?;
        let stream = if dropout.element_offset.is_multiple_of(TILE) {
            Stream::Aligned
        } else {
            Stream::Shifted
        };
        let random_bits = dropout.probability.random_bits();
        let variant = move |extent| Variant {
            multiply,
            parameters: ParameterPath::Uniform,
            mask: MaskSource::Drawn(random_bits, stream),
            tensor: Some(Tensor {
                dtype,
                input,
                extent,
                neighbours: None,
            }),
            store: None,
        };
        let windows = plan(variant(Extent::Whole), elements, limits)?;
        let dropout = *dropout;
        Ok(windows.flat_map(move |window| {
            window.dispatches.into_iter().flatten().map(move |dispatch| Recipe {
                variant: variant(dispatch.extent),
                elements: window.first..window.first + u64::from(window.elements),
                parameters: bytemuck::cast(Params {
                    first_invocation: dispatch.first_invocation,
                    ..Params::new(
                        &dropout,
                        Phase::Training,
                        Some(dtype),
                        false,
                        stream,
                        window.first,
                        dispatch.elements,
                    )
                }),
                workgroups: dispatch.workgroups,
            })
        }))
    }
}
