//! The kernels for an engine that is not wgpu's API: text, bytes and sizes, no device.

use core::ops::Range;

use thiserror::Error;

use super::BindError;
use super::form::{Form, NeighboursLayout, SeedsLayout, bias_bytes, check_map, seeds_bytes, tensor_bytes, with_extent};
use super::params::{PARAMS_BYTES, Phase};
use super::plan::{PlanLimits, Window};
use super::variant::{
    Access, BIAS, Input, MAP, MASK_IN, MASK_OUT, Multiply, ParameterPath, RESIDUAL, ROW, Residual, SEEDS, TileSize,
    Variant, X,
};
use crate::{DType, Dropout, IndexMap, MaskFormat, OffsetOverflow};

/// A tensor on the device of an engine of your own: a framework's runtime, WebGPU from another language.
///
/// Where you have a [`wgpu::Device`], [`Kernels`](super::Kernels) does all of this.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::gpu::plan::PlanLimits;
/// use wgpu_dropout::gpu::variant::{Access, Input, TileSize};
/// use wgpu_dropout::gpu::{Multiply, RecipeBuffer, RecipeDescriptor, RecipeOperation, RecipeResource};
/// use wgpu_dropout::{DType, Dropout};
///
/// let tensor = RecipeDescriptor {
///     dtype: DType::F32,
///     elements: 1_000_003,
///     map: None,
///     seeds: None,
///     operation: RecipeOperation::Forward {
///         input: Input::Apart(Access::Read),
///         store: None,
///     },
///     multiply: Multiply::Emulated,
///     tile: TileSize::Bytes16,
///     limits: PlanLimits {
///         max_binding_bytes: 128 << 20,
///         offset_alignment: 256,
///         max_workgroups_per_dimension: 65_535,
///         workgroup_size: 64,
///     },
/// };
/// for recipe in tensor.recipes(&Dropout::new(0.1, 42)?)? {
///     let text = recipe.variant.wgsl(); // the shader module; entry point "main"
///     for binding in &recipe.bindings {
///         let index = binding.index; // in group 0
///         match &binding.resource {
///             RecipeResource::Buffer(RecipeBuffer::Input, bytes) => {} // this range of x
///             RecipeResource::Buffer(RecipeBuffer::Output, bytes) => {} // this range of y
///             other => unreachable!("a forward has no {other:?}"),
///         }
///         # assert!(index < 2);
///     }
///     let uniform = recipe.parameters; // the uniform at group 1, binding 0
///     let [x, y] = recipe.workgroups; // what to dispatch
///     # assert!(text.contains("@group(1) @binding(0)") && recipe.bindings.len() == 2 && uniform.len() == 64 && x * y > 0);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipeDescriptor<'a> {
    /// Element type.
    pub dtype: DType,
    /// Elements of the tensors and of the mask.
    pub elements: u64,
    /// Where they lie in the random stream, see [`BindDescriptor::map`](super::BindDescriptor::map).
    pub map: Option<&'a IndexMap>,
    /// A seed for each row or sample, see [`BindDescriptor::seeds`](super::BindDescriptor::seeds).
    pub seeds: Option<RecipeSeeds>,
    /// What to do.
    pub operation: RecipeOperation,
    /// How to multiply: [`Multiply::Int64`] where the shader may use 64-bit integers.
    pub multiply: Multiply,
    /// What an invocation has of a tensor: [`TileSize::Bytes16`] for GPUs.
    pub tile: TileSize,
    /// What the device allows. The text's override constant `workgroup_size` is 64 unless the pipeline sets it; give
    /// here what it is.
    pub limits: PlanLimits,
}

/// How seeds lie in their buffer: each is two u32, the lower one first.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let forward = RECIPE;
/// use wgpu_dropout::gpu::{RecipeBuffer, RecipeDescriptor, RecipeResource, RecipeSeeds};
/// use wgpu_dropout::Dropout;
///
/// // 8 samples of 125 elements.
/// let seeds = Some(RecipeSeeds { elements_per_seed: 125, first_element: 0 });
/// let recipes: Vec<_> = RecipeDescriptor { seeds, ..forward }.recipes(&Dropout::new(0.1, 0)?)?.collect();
/// let seeds = recipes[0].bindings.iter().find_map(|binding| match &binding.resource {
///     RecipeResource::Buffer(RecipeBuffer::Seeds, bytes) => Some(bytes.clone()),
///     _ => None,
/// });
/// assert_eq!(seeds, Some(0..64));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipeSeeds {
    /// Elements that share a seed: a row's, or a sample's.
    pub elements_per_seed: u64,
    /// Elements of the seeds that lie before the tensor: 0 unless it is a part of a longer one.
    pub first_element: u64,
}

/// An [`Operation`](super::Operation) by what it has instead of where that is.
///
/// Inputs of [`Access::ReadWrite`] are for engines that bind one buffer for several tensors: WebGPU wants all of its
/// bindings writable where one is.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let forward = RECIPE;
/// use wgpu_dropout::gpu::variant::{Access, Input};
/// use wgpu_dropout::gpu::{RecipeDescriptor, RecipeOperation};
/// use wgpu_dropout::{Dropout, MaskFormat};
///
/// let operation = RecipeOperation::BackwardStored {
///     input: Input::InPlace,
///     format: MaskFormat::Bits,
///     access: Access::Read,
/// };
/// let recipes: Vec<_> = RecipeDescriptor { operation, ..forward }.recipes(&Dropout::new(0.1, 42)?)?.collect();
/// assert_eq!(recipes[0].bindings.len(), 2); // the gradient and the mask
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecipeOperation {
    /// The forward pass, and with dy for x and dx for y the backward pass that draws its mask again.
    Forward {
        /// Where x is.
        input: Input,
        /// How to store the mask, if at all.
        store: Option<MaskFormat>,
    },
    /// Bias, dropout and residual in one pass.
    ForwardFused {
        /// Elements of the bias, if there is one: a row's length.
        columns: Option<u64>,
        /// Whether there is a residual.
        has_residual: bool,
        /// Where the output goes.
        output: RecipeFused,
    },
    /// The backward pass from a stored mask.
    BackwardStored {
        /// Where dy is.
        input: Input,
        /// How the mask is stored.
        format: MaskFormat,
        /// How its binding is declared.
        access: Access,
    },
    /// The mask alone.
    Mask(MaskFormat),
    /// Inference.
    Inference {
        /// Where x is.
        input: Input,
    },
}

/// Where the output of a fused forward goes.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let forward = RECIPE;
/// use wgpu_dropout::gpu::variant::Residual;
/// use wgpu_dropout::gpu::{RecipeBuffer, RecipeDescriptor, RecipeFused, RecipeOperation, RecipeResource};
/// use wgpu_dropout::Dropout;
///
/// let operation = RecipeOperation::ForwardFused {
///     columns: Some(100),
///     has_residual: true,
///     output: RecipeFused::ResidualInPlace,
/// };
/// let recipes: Vec<_> = RecipeDescriptor { operation, ..forward }.recipes(&Dropout::new(0.1, 42)?)?.collect();
/// // What lies in the output's place has no binding of its own.
/// let is_residual = |resource: &RecipeResource| matches!(resource, RecipeResource::Buffer(RecipeBuffer::Residual, _));
/// assert!(!recipes[0].bindings.iter().any(|binding| is_residual(&binding.resource)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipeFused {
    /// To memory of its own.
    Apart,
    /// Over x.
    InPlace,
    /// Over the residual.
    ResidualInPlace,
}

/// One dispatch of an operation.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let forward = RECIPE;
/// use wgpu_dropout::Dropout;
///
/// // 992 elements in whole tiles, and 8 more.
/// let recipes: Vec<_> = forward.recipes(&Dropout::new(0.1, 42)?)?.collect();
/// assert_eq!(recipes.len(), 2);
/// assert_ne!(recipes[0].variant, recipes[1].variant);
/// assert_eq!(recipes[0].bindings, recipes[1].bindings);
/// assert_eq!(recipes[0].workgroups, [1, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The shader; its text is [`Variant::wgsl`], its entry point `main`.
    pub variant: Variant,
    /// What to bind in group 0. Dispatches of the same window have the same.
    pub bindings: Vec<RecipeBinding>,
    /// The uniform at group 1, binding 0, in the host's byte order.
    pub parameters: [u8; PARAMS_BYTES as usize],
    /// Workgroups in x and y; z is 1.
    pub workgroups: [u32; 2],
}

/// A binding of group 0.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let forward = RECIPE;
/// use wgpu_dropout::gpu::RecipeBinding;
/// use wgpu_dropout::Dropout;
///
/// let recipe = forward.recipes(&Dropout::new(0.1, 42)?)?.next().ok_or("no recipe")?;
/// for RecipeBinding { index, resource } in &recipe.bindings {
///     println!("@group(0) @binding({index}): {resource:?}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipeBinding {
    /// Its number.
    pub index: u32,
    /// What to bind there.
    pub resource: RecipeResource,
}

/// What is bound.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let forward = RECIPE;
/// use wgpu_dropout::gpu::variant::Input;
/// use wgpu_dropout::gpu::{RecipeBuffer, RecipeResource};
/// use wgpu_dropout::Dropout;
///
/// let recipe = forward.recipes(&Dropout::new(0.1, 42)?)?.next().ok_or("no recipe")?;
/// assert_eq!(recipe.bindings[0].resource, RecipeResource::Buffer(RecipeBuffer::Input, 0..4000));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipeResource {
    /// These bytes, whole 4-byte words, of a storage buffer.
    Buffer(RecipeBuffer, Range<u64>),
    /// A uniform buffer of these bytes.
    Uniform(Vec<u8>),
    /// 64 bytes of a storage buffer that nothing writes; what is read of them goes nowhere. Several of them don't share a
    /// buffer.
    Nothing,
}

/// A buffer of the caller's.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let forward = RECIPE;
/// use wgpu_dropout::gpu::variant::Input;
/// use wgpu_dropout::gpu::{RecipeBuffer, RecipeResource};
/// use wgpu_dropout::Dropout;
///
/// let recipe = forward.recipes(&Dropout::new(0.1, 42)?)?.next().ok_or("no recipe")?;
/// let buffers = recipe.bindings.iter().filter_map(|binding| match &binding.resource {
///     RecipeResource::Buffer(buffer, _) => Some(*buffer),
///     RecipeResource::Uniform(_) | RecipeResource::Nothing => None,
/// });
/// assert_eq!(buffers.collect::<Vec<_>>(), [RecipeBuffer::Input, RecipeBuffer::Output]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecipeBuffer {
    /// x, or dy. In place there is none, but the output.
    Input,
    /// y, or dx.
    Output,
    /// The mask, to be read or written.
    Mask,
    /// The bias.
    Bias,
    /// The residual; in place there is none, but the output.
    Residual,
    /// The seeds.
    Seeds,
}

/// There is no recipe for a call.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let forward = RECIPE;
/// use wgpu_dropout::gpu::RecipeError;
/// use wgpu_dropout::Dropout;
///
/// let late = Dropout::new(0.1, 42)?.with_element_offset(u64::MAX);
/// assert!(matches!(forward.recipes(&late), Err(RecipeError::Offset(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecipeError {
    /// The elements run past global index 2^64.
    #[error(transparent)]
    Offset(#[from] OffsetOverflow),
    /// The operation can't be bound: another tensor's map, no whole rows, or limits that admit no window.
    #[error(transparent)]
    Bind(#[from] BindError),
}

impl<'a> RecipeDescriptor<'a> {
    /// The dispatches of a call, in any order; none for an empty tensor.
    ///
    /// Parameters always go through the uniform: what immediates are, engines disagree about.
    ///
    /// # Errors
    ///
    /// [`RecipeError`] where the elements pass global index 2^64, the map is another tensor's, rows are cut, or the
    /// limits admit no window.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let forward = RECIPE;
    /// use wgpu_dropout::Dropout;
    ///
    /// let calls = (0..3).map(|step| Dropout::new(0.1, 42).map(|call| call.with_subsequence(step)));
    /// for call in calls {
    ///     for recipe in forward.recipes(&call?)? {
    ///         println!("{:?} workgroups of {}", recipe.workgroups, recipe.variant);
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recipes(&self, dropout: &Dropout) -> Result<impl Iterator<Item = Recipe> + use<'a>, RecipeError> {
        let form = self.form()?;
        let outline = form.outline();
        outline.check(dropout)?;
        let seeds = form.seeds.map(|seeds| seeds_bytes(seeds, self.elements, &self.limits));
        let bias = form.neighbours.and_then(|neighbours| neighbours.columns);
        let bias = bias.map(|columns| bias_bytes(columns, self.elements, self.dtype, &self.limits));
        let (seeds, bias) = (seeds.transpose()?.unwrap_or(0), bias.transpose()?.unwrap_or(0));
        let bindings = move |window: &Window| {
            let storage = outline.variant.bindings().into_iter().map(|binding| {
                let range = |buffer, all| match all {
                    Some(bytes) => RecipeResource::Buffer(buffer, 0..bytes),
                    None => {
                        let first = form.bytes(binding.index, window.first);
                        let bytes = form.bytes(binding.index, window.elements.into());
                        RecipeResource::Buffer(buffer, first..first + bytes)
                    }
                };
                let resource = match binding.index {
                    index if !form.has(index) => RecipeResource::Nothing,
                    X => range(RecipeBuffer::Input, None),
                    MASK_IN | MASK_OUT => range(RecipeBuffer::Mask, None),
                    BIAS => range(RecipeBuffer::Bias, Some(bias)),
                    RESIDUAL => range(RecipeBuffer::Residual, None),
                    SEEDS => range(RecipeBuffer::Seeds, Some(seeds)),
                    _ => range(RecipeBuffer::Output, None),
                };
                (binding.index, resource)
            });
            let uniform = |bytes: &[u8]| RecipeResource::Uniform(bytes.to_vec());
            let map = outline.variant.has_map();
            let map = map.then(|| (MAP, uniform(bytemuck::bytes_of(&form.map_uniform(window)))));
            let rows = outline.variant.neighbours();
            let rows = rows.map(|_| (ROW, uniform(bytemuck::bytes_of(&form.row(window)))));
            let all = storage.chain(map).chain(rows);
            all.map(|(index, resource)| RecipeBinding { index, resource })
                .collect::<Vec<_>>()
        };
        let dropout = *dropout;
        let (variant, stream) = outline.variant_for(&dropout);
        let of_call = outline.params(&dropout);
        Ok(form.windows(self.limits)?.into_iter().flat_map(move |window| {
            let bindings = bindings(&window);
            let first = form.first(window.first);
            window.dispatches.into_iter().flatten().map(move |dispatch| {
                let mut params = of_call;
                params.place(&dropout, stream, first, dispatch);
                Recipe {
                    variant: with_extent(variant, dispatch.extent),
                    bindings: bindings.clone(),
                    parameters: bytemuck::cast(params),
                    workgroups: dispatch.workgroups,
                }
            })
        }))
    }

    /// The operation as the kernels know it, checked but for what depends on the call.
    fn form(&self) -> Result<Form<'a>, RecipeError> {
        check_map(self.map, self.elements)?;
        tensor_bytes(self.elements, self.dtype)?;
        let form = Form {
            dtype: self.dtype,
            elements: self.elements,
            map: self.map,
            seeds: None,
            phase: Phase::Training,
            input: None,
            mask_in: None,
            mask_out: None,
            neighbours: None,
            multiply: self.multiply,
            parameters: ParameterPath::Uniform,
            tile: self.tile,
            workgroup_size: self.limits.workgroup_size,
        };
        // Of no elements there is nothing to seed.
        let seeds = self.seeds.filter(|_| self.elements > 0).map(|seeds| SeedsLayout {
            elements_per_seed: seeds.elements_per_seed,
            first_element: seeds.first_element,
        });
        Ok(match self.operation {
            RecipeOperation::Forward { input, store } => Form {
                seeds,
                input: Some(input),
                mask_out: store,
                ..form
            },
            RecipeOperation::ForwardFused {
                columns,
                has_residual,
                output,
            } => Form {
                seeds,
                input: Some(match output {
                    RecipeFused::InPlace => Input::InPlace,
                    RecipeFused::Apart | RecipeFused::ResidualInPlace => Input::Apart(Access::ReadWrite),
                }),
                neighbours: Some(NeighboursLayout {
                    columns,
                    residual: match output {
                        _ if !has_residual => Residual::Absent,
                        RecipeFused::ResidualInPlace => Residual::InPlace,
                        RecipeFused::Apart | RecipeFused::InPlace => Residual::Apart,
                    },
                }),
                ..form
            },
            RecipeOperation::BackwardStored { input, format, access } => Form {
                input: Some(input),
                mask_in: Some((format, access)),
                ..form
            },
            RecipeOperation::Mask(format) => Form {
                seeds,
                mask_out: Some(format),
                ..form
            },
            RecipeOperation::Inference { input } => Form {
                phase: Phase::Inference,
                input: Some(input),
                ..form
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::variant::Extent;

    const LIMITS: PlanLimits = PlanLimits {
        max_binding_bytes: 4096,
        offset_alignment: 256,
        max_workgroups_per_dimension: 65_535,
        workgroup_size: 64,
    };

    fn tensor<'a>(operation: RecipeOperation) -> RecipeDescriptor<'a> {
        RecipeDescriptor {
            dtype: DType::F32,
            elements: 60,
            map: None,
            seeds: None,
            operation,
            multiply: Multiply::Emulated,
            tile: TileSize::Elements16,
            limits: LIMITS,
        }
    }

    const FORWARD: RecipeOperation = RecipeOperation::Forward {
        input: Input::InPlace,
        store: None,
    };

    #[test]
    fn what_cannot_be_bound_has_no_recipe() {
        let refused = |tensor: &RecipeDescriptor<'_>, dropout: &Dropout| match tensor.recipes(dropout) {
            Ok(_) => panic!("{tensor:?} has a recipe"),
            Err(error) => error,
        };
        let dropout = Dropout::new(0.5, 1).expect("a probability");
        let bound = |tensor: &RecipeDescriptor<'_>| match refused(tensor, &dropout) {
            RecipeError::Bind(error) => error,
            RecipeError::Offset(error) => panic!("{error}"),
        };

        let far = dropout.with_element_offset(u64::MAX - 58);
        assert!(matches!(refused(&tensor(FORWARD), &far), RecipeError::Offset(_)));
        let map = IndexMap::new(&[61], &[2]).expect("a map");
        let mapped = RecipeDescriptor {
            map: Some(&map),
            ..tensor(FORWARD)
        };
        assert_eq!(
            bound(&mapped),
            BindError::Map {
                elements: 60,
                expected: 61
            }
        );
        let seeded = |elements_per_seed, elements| RecipeDescriptor {
            elements,
            seeds: Some(RecipeSeeds {
                elements_per_seed,
                first_element: 0,
            }),
            ..tensor(FORWARD)
        };
        assert_eq!(bound(&seeded(0, 60)), BindError::SeedOfNothing);
        assert!(matches!(
            bound(&seeded(1, 513)),
            BindError::ManySeeds { seeds: 513, .. }
        ));
        let fused = |columns, elements| RecipeDescriptor {
            elements,
            ..tensor(RecipeOperation::ForwardFused {
                columns: Some(columns),
                has_residual: false,
                output: RecipeFused::Apart,
            })
        };
        assert!(matches!(
            bound(&fused(7, 60)),
            BindError::Rows {
                elements: 60,
                columns: 7
            }
        ));
        assert!(matches!(
            bound(&fused(1025, 2050)),
            BindError::LongRow { columns: 1025, .. }
        ));
        let long = RecipeDescriptor {
            elements: u64::MAX,
            ..tensor(FORWARD)
        };
        assert!(matches!(bound(&long), BindError::TooLong { .. }));
        let small = RecipeDescriptor {
            limits: PlanLimits {
                max_binding_bytes: 8,
                ..LIMITS
            },
            ..tensor(FORWARD)
        };
        assert!(matches!(bound(&small), BindError::Plan(_)));
    }

    #[test]
    fn rows_of_whole_tiles_are_not_gone_through_word_by_word() {
        let dropout = Dropout::new(0.5, 1).expect("a probability");
        let extent = |dtype, tile, columns| {
            let operation = RecipeOperation::ForwardFused {
                columns: Some(columns),
                has_residual: true,
                output: RecipeFused::Apart,
            };
            let rows = RecipeDescriptor {
                dtype,
                tile,
                elements: 16 * columns,
                ..tensor(operation)
            };
            let first = rows.recipes(&dropout).expect("recipes").next();
            first
                .and_then(|recipe| recipe.variant.tensor)
                .map(|tensor| tensor.extent)
        };
        for (dtype, tile, elements) in [
            (DType::F32, TileSize::Elements16, 16),
            (DType::F32, TileSize::Bytes16, 4),
            (DType::F16, TileSize::Bytes16, 8),
            (DType::Bf16, TileSize::Bytes16, 8),
        ] {
            assert_eq!(
                extent(dtype, tile, 9 * elements),
                Some(Extent::Whole),
                "{dtype} {tile:?}"
            );
            assert_eq!(
                extent(dtype, tile, 9 * elements - 2),
                Some(Extent::Tail),
                "{dtype} {tile:?}"
            );
        }
    }

    #[test]
    fn nothing_to_do_has_no_dispatches() {
        let dropout = Dropout::new(0.5, 1).expect("a probability");
        let empty = RecipeDescriptor {
            elements: 0,
            seeds: Some(RecipeSeeds {
                elements_per_seed: 5,
                first_element: 0,
            }),
            ..tensor(FORWARD)
        };
        assert_eq!(empty.recipes(&dropout).expect("recipes").count(), 0);
    }
}
