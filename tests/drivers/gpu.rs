//! The operations, by recipes whose kernels a driver compiles.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::rc::Rc;

use wgpu_dropout::gpu::plan::PlanLimits;
use wgpu_dropout::gpu::variant::{Access, Input, TileSize};
use wgpu_dropout::gpu::{
    Multiply, Recipe, RecipeBuffer, RecipeDescriptor, RecipeFused, RecipeOperation, RecipeResource, RecipeSeeds,
};
use wgpu_dropout::{DType, Dropout, Element, IndexMap, MaskFormat, Neighbours};

use crate::buffers::Conventions;
use crate::common::backend::Backend;
use crate::machine::{self, Grid};
use crate::nir::Program;
use crate::vulkan::Driver;

type Outcome = Result<(), Box<dyn Error>>;

/// A kernel, read, and where its bindings are.
struct Kernel {
    program: Program,
    conventions: Conventions,
    places: BTreeMap<(u32, u32), u32>,
}

/// A driver, and the kernels that it has compiled.
pub struct Kernels {
    pub driver: Driver,
    kernels: RefCell<BTreeMap<String, Rc<Kernel>>>,
}

impl Kernels {
    pub fn new() -> Self {
        Self {
            driver: Driver::new(),
            kernels: RefCell::default(),
        }
    }

    /// How many kernels there are by now.
    pub fn count(&self) -> usize {
        self.kernels.borrow().len()
    }

    fn kernel(&self, name: &str, wgsl: impl FnOnce() -> String) -> Rc<Kernel> {
        if let Some(kernel) = self.kernels.borrow().get(name) {
            return kernel.clone();
        }
        let compiled = self.driver.compile(name, &wgsl());
        let program = Program::parse(&compiled.nir);
        let kernel = Rc::new(Kernel {
            conventions: Conventions::new(self.driver.kind, &program),
            program,
            places: compiled.places,
        });
        self.kernels.borrow_mut().insert(name.to_owned(), kernel.clone());
        kernel
    }

    /// What is in the buffers after a dispatch.
    pub fn dispatch(
        &self,
        name: &str,
        wgsl: impl FnOnce() -> String,
        workgroups: [u32; 2],
        buffers: BTreeMap<(u32, u32), Vec<u8>>,
        flushes: bool,
    ) -> BTreeMap<(u32, u32), Vec<u8>> {
        let kernel = self.kernel(name, wgsl);
        let mut grid = Grid {
            workgroups,
            buffers,
            places: &kernel.places,
            flushes,
        };
        machine::run(&kernel.program, &mut grid, |group, grid, instruction| {
            kernel.conventions.intrinsic(group, grid, instruction);
        });
        grid.buffers
    }
}

/// A way to run the operations.
#[derive(Clone)]
pub struct Gpu<'a> {
    pub kernels: &'a Kernels,
    pub multiply: Multiply,
    pub tile: TileSize,
    /// Whether the GPU flushes subnormal numbers.
    pub flushes: bool,
    pub map: Option<IndexMap>,
    /// Seeds, each of so many elements.
    pub seeds: Option<(Vec<u64>, u64)>,
    /// How inputs are bound, and where the output of a fused forward goes.
    pub access: Access,
    pub fused: RecipeFused,
}

/// The bytes of a call's buffers.
type Buffers = HashMap<RecipeBuffer, Vec<u8>>;

/// Whole words, as buffers are.
pub fn bytes<T: bytemuck::Pod>(elements: &[T]) -> Vec<u8> {
    let mut bytes = bytemuck::cast_slice(elements).to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn copy_back<T: bytemuck::Pod>(buffer: &[u8], elements: &mut [T]) {
    let length = size_of_val(elements);
    bytemuck::cast_slice_mut(elements).copy_from_slice(&buffer[..length]);
}

impl Gpu<'_> {
    fn call(
        &self,
        dtype: DType,
        elements: usize,
        operation: RecipeOperation,
        dropout: &Dropout,
        buffers: &mut Buffers,
    ) -> Outcome {
        let draws = matches!(
            operation,
            RecipeOperation::Forward { .. } | RecipeOperation::ForwardFused { .. } | RecipeOperation::Mask(_)
        );
        let seeds = self.seeds.as_ref().filter(|_| draws);
        if let Some((seeds, _)) = seeds {
            buffers.insert(RecipeBuffer::Seeds, bytes(seeds));
        }
        let tensor = RecipeDescriptor {
            dtype,
            elements: elements as u64,
            map: self.map.as_ref(),
            seeds: seeds.map(|&(_, elements_per_seed)| RecipeSeeds {
                elements_per_seed,
                first_element: 0,
            }),
            operation,
            multiply: self.multiply,
            tile: self.tile,
            limits: PlanLimits {
                max_binding_bytes: 128 << 20,
                offset_alignment: 256,
                max_workgroups_per_dimension: 65_535,
                workgroup_size: machine::LANES as u32,
            },
        };
        for recipe in tensor.recipes(dropout)? {
            self.run(&recipe, buffers);
        }
        Ok(())
    }

    fn run(&self, recipe: &Recipe, buffers: &mut Buffers) {
        let bound = recipe.bindings.iter().map(|binding| {
            let bytes = match &binding.resource {
                RecipeResource::Buffer(buffer, range) => {
                    buffers[buffer][range.start as usize..range.end as usize].to_vec()
                }
                RecipeResource::Uniform(bytes) => bytes.clone(),
                RecipeResource::Nothing => vec![0x5a; 64],
            };
            ((0, binding.index), bytes)
        });
        let parameters = ((1, 0), recipe.parameters.to_vec());
        let bound = bound.chain([parameters]).collect();
        let wgsl = || recipe.variant.wgsl();
        let name = recipe.variant.to_string();
        let after = self
            .kernels
            .dispatch(&name, wgsl, recipe.workgroups, bound, self.flushes);
        for binding in &recipe.bindings {
            if let RecipeResource::Buffer(buffer @ (RecipeBuffer::Output | RecipeBuffer::Mask), range) =
                &binding.resource
                && let Some(whole) = buffers.get_mut(buffer)
            {
                whole[range.start as usize..range.end as usize].copy_from_slice(&after[&(0, binding.index)]);
            }
        }
    }

    fn apart<T: Element>(
        &self,
        dropout: &Dropout,
        x: &[T],
        y: &mut [T],
        operation: RecipeOperation,
        mask: Vec<u8>,
    ) -> Result<Vec<u8>, Box<dyn Error>> {
        let mut buffers = Buffers::from([
            (RecipeBuffer::Input, bytes(x)),
            (RecipeBuffer::Output, bytes(y)),
            (RecipeBuffer::Mask, mask),
        ]);
        self.call(T::DTYPE, x.len(), operation, dropout, &mut buffers)?;
        copy_back(&buffers[&RecipeBuffer::Output], y);
        Ok(buffers.remove(&RecipeBuffer::Mask).unwrap_or_default())
    }

    fn in_place<T: Element>(
        &self,
        dropout: &Dropout,
        x: &mut [T],
        operation: RecipeOperation,
        mask: Vec<u8>,
    ) -> Outcome {
        let mut buffers = Buffers::from([(RecipeBuffer::Output, bytes(x)), (RecipeBuffer::Mask, mask)]);
        self.call(T::DTYPE, x.len(), operation, dropout, &mut buffers)?;
        copy_back(&buffers[&RecipeBuffer::Output], x);
        Ok(())
    }

    fn forward_to(&self, store: Option<MaskFormat>) -> RecipeOperation {
        RecipeOperation::Forward {
            input: Input::Apart(self.access),
            store,
        }
    }

    fn stored(&self, input: Input, format: MaskFormat) -> RecipeOperation {
        RecipeOperation::BackwardStored {
            input,
            format,
            access: self.access,
        }
    }

    fn mask<M: bytemuck::Pod>(&self, dropout: &Dropout, len: usize, format: MaskFormat, mask: &mut [M]) -> Outcome {
        let mut buffers = Buffers::from([(RecipeBuffer::Mask, bytes(mask))]);
        self.call(DType::F32, len, RecipeOperation::Mask(format), dropout, &mut buffers)?;
        copy_back(&buffers[&RecipeBuffer::Mask], mask);
        Ok(())
    }
}

impl Backend for Gpu<'_> {
    fn name(&self) -> String {
        let Self {
            kernels,
            multiply,
            tile,
            flushes,
            ..
        } = self;
        let flushes = if *flushes { ", subnormals flushed" } else { "" };
        format!("{}, {multiply:?}, {tile:?}{flushes}", kernels.driver.name)
    }

    fn forward<T: Element>(&self, dropout: &Dropout, x: &[T], y: &mut [T]) -> Outcome {
        self.apart(dropout, x, y, self.forward_to(None), Vec::new()).map(drop)
    }

    fn forward_in_place<T: Element>(&self, dropout: &Dropout, x: &mut [T]) -> Outcome {
        let operation = RecipeOperation::Forward {
            input: Input::InPlace,
            store: None,
        };
        self.in_place(dropout, x, operation, Vec::new())
    }

    fn forward_with_bit_mask<T: Element>(&self, dropout: &Dropout, x: &[T], y: &mut [T], mask: &mut [u32]) -> Outcome {
        let operation = self.forward_to(Some(MaskFormat::Bits));
        let stored = self.apart(dropout, x, y, operation, bytes(mask))?;
        copy_back(&stored, mask);
        Ok(())
    }

    fn forward_with_byte_mask<T: Element>(&self, dropout: &Dropout, x: &[T], y: &mut [T], mask: &mut [u8]) -> Outcome {
        let operation = self.forward_to(Some(MaskFormat::Bytes));
        let stored = self.apart(dropout, x, y, operation, bytes(mask))?;
        copy_back(&stored, mask);
        Ok(())
    }

    fn forward_fused<T: Element>(
        &self,
        dropout: &Dropout,
        x: &[T],
        neighbours: Neighbours<'_, T>,
        y: &mut [T],
    ) -> Outcome {
        let output = match (self.fused, neighbours.residual) {
            (RecipeFused::ResidualInPlace, None) => RecipeFused::Apart,
            (output, _) => output,
        };
        let [bias, residual] = [neighbours.bias, neighbours.residual].map(Option::unwrap_or_default);
        let before = match output {
            RecipeFused::Apart => bytes(y),
            RecipeFused::InPlace => bytes(x),
            RecipeFused::ResidualInPlace => bytes(residual),
        };
        let mut buffers = Buffers::from([
            (RecipeBuffer::Input, bytes(x)),
            (RecipeBuffer::Output, before),
            (RecipeBuffer::Bias, bytes(bias)),
            (RecipeBuffer::Residual, bytes(residual)),
        ]);
        let operation = RecipeOperation::ForwardFused {
            columns: neighbours.bias.map(|bias| bias.len() as u64),
            has_residual: neighbours.residual.is_some(),
            output,
        };
        self.call(T::DTYPE, x.len(), operation, dropout, &mut buffers)?;
        copy_back(&buffers[&RecipeBuffer::Output], y);
        Ok(())
    }

    fn backward<T: Element>(&self, dropout: &Dropout, dy: &[T], dx: &mut [T]) -> Outcome {
        self.forward(dropout, dy, dx)
    }

    fn backward_in_place<T: Element>(&self, dropout: &Dropout, dy: &mut [T]) -> Outcome {
        self.forward_in_place(dropout, dy)
    }

    fn backward_from_bit_mask<T: Element>(&self, dropout: &Dropout, dy: &[T], mask: &[u32], dx: &mut [T]) -> Outcome {
        let operation = self.stored(Input::Apart(self.access), MaskFormat::Bits);
        self.apart(dropout, dy, dx, operation, bytes(mask)).map(drop)
    }

    fn backward_from_bit_mask_in_place<T: Element>(&self, dropout: &Dropout, dy: &mut [T], mask: &[u32]) -> Outcome {
        let operation = self.stored(Input::InPlace, MaskFormat::Bits);
        self.in_place(dropout, dy, operation, bytes(mask))
    }

    fn backward_from_byte_mask<T: Element>(&self, dropout: &Dropout, dy: &[T], mask: &[u8], dx: &mut [T]) -> Outcome {
        let operation = self.stored(Input::Apart(self.access), MaskFormat::Bytes);
        self.apart(dropout, dy, dx, operation, bytes(mask)).map(drop)
    }

    fn backward_from_byte_mask_in_place<T: Element>(&self, dropout: &Dropout, dy: &mut [T], mask: &[u8]) -> Outcome {
        let operation = self.stored(Input::InPlace, MaskFormat::Bytes);
        self.in_place(dropout, dy, operation, bytes(mask))
    }

    fn bit_mask(&self, dropout: &Dropout, len: usize, mask: &mut [u32]) -> Outcome {
        self.mask(dropout, len, MaskFormat::Bits, mask)
    }

    fn byte_mask(&self, dropout: &Dropout, mask: &mut [u8]) -> Outcome {
        self.mask(dropout, mask.len(), MaskFormat::Bytes, mask)
    }

    fn inference<T: Element>(&self, dropout: &Dropout, x: &[T], y: &mut [T]) -> Outcome {
        let operation = RecipeOperation::Inference {
            input: Input::Apart(self.access),
        };
        self.apart(dropout, x, y, operation, Vec::new()).map(drop)
    }

    fn inference_in_place<T: Element>(&self, dropout: &Dropout, x: &mut [T]) -> Outcome {
        let operation = RecipeOperation::Inference { input: Input::InPlace };
        self.in_place(dropout, x, operation, Vec::new())
    }
}
