//! The kernels' text as a driver may take it that is free with floating point: translated to Metal's language, which is compiled with
//! fast math unless told otherwise, and compiled by clang for this processor with `-ffast-math` and subnormals flushed. Sums may be
//! reordered, products and sums fused, NaN and infinities supposed away, signs of zeros lost. No software adapter does that.
//!
//! Each buffer ends where the process may read no further: the kernels need no engine that checks their indices. (The gradient of a
//! bias, which no engine but wgpu is given, does.)
//!
//! Needs clang, so that a plain `cargo test` ignores it; `WGPU_DROPOUT_CLANG` names another than `clang++`, with arguments.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

mod common;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fmt::Write as _, fs};

use common::backend::{Backend as _, Reference};
use common::{Bits, operands, sums};
use half::{bf16, f16};
use naga::back::{msl, pipeline_constants::process_overrides};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{ResourceBinding, ShaderStage};
use rayon::prelude::*;
use wgpu_dropout::gpu::plan::PlanLimits;
use wgpu_dropout::gpu::variant::{Access, Input, TileSize, portable_wgsl};
use wgpu_dropout::gpu::{
    Multiply, Recipe, RecipeBuffer, RecipeDescriptor, RecipeFused, RecipeOperation, RecipeResource, RecipeSeeds,
};
use wgpu_dropout::{
    DType, Draw, Dropout, Element, MaskFormat, Neighbours, Probability, RandomBits, ScaleMode, reference,
};

/// Where a kernel finds the buffer of a binding. The last slot has the lengths of those that are as long as they are.
const fn slot(group: u32, binding: u32) -> u8 {
    (group * 16 + binding) as u8
}
const SLOTS: u8 = 33;
const LENGTHS: u8 = SLOTS - 1;

const WORKGROUP: u32 = 64;

/// The text, and the slots of the buffers whose lengths it takes, in their order.
fn metal(wgsl: &str, bounds: BoundsCheckPolicy) -> (String, Vec<u8>) {
    let module = naga::front::wgsl::parse_str(wgsl).unwrap();
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::empty());
    let info = validator.validate(&module).unwrap();
    let entry = (ShaderStage::Compute, "main");
    let (module, info) =
        process_overrides(&module, &info, Some(entry), &naga::back::PipelineConstants::default()).unwrap();
    let bindings = (0..2).flat_map(|group| (0..16).map(move |binding| ResourceBinding { group, binding }));
    let resources = bindings.map(|at| {
        let target = msl::BindTarget {
            buffer: Some(slot(at.group, at.binding)),
            mutable: true,
            ..msl::BindTarget::default()
        };
        (at, target)
    });
    let resources = msl::EntryPointResources {
        resources: resources.collect(),
        immediates_buffer: None,
        sizes_buffer: Some(LENGTHS),
    };
    let options = msl::Options {
        lang_version: (2, 3),
        per_entry_point_map: BTreeMap::from([("main".to_owned(), resources)]),
        bounds_check_policies: BoundsCheckPolicies {
            index: bounds,
            buffer: bounds,
            ..BoundsCheckPolicies::default()
        },
        ..msl::Options::default()
    };
    let pipeline = msl::PipelineOptions {
        entry_point: Some((entry.0, entry.1.to_owned())),
        ..msl::PipelineOptions::default()
    };
    let text = msl::write_string(&module, &info, &options, &pipeline).unwrap().0;
    let globals = module.global_variables.iter().map(|(_, global)| global);
    let sized = globals.filter(|global| module.types[global.ty].inner.is_dynamically_sized(&module.types));
    let slots = sized.map(|global| global.binding.unwrap());
    (text, slots.map(|at| slot(at.group, at.binding)).collect())
}

/// The text with constructors of vectors as functions, which is all that C++ can't be taught.
fn with_functions(metal: &str) -> String {
    const VECTORS: [&str; 5] = ["uint2(", "uint4(", "int4(", "float4(", "bool4("];
    let mut text = String::new();
    let mut rest = metal;
    while let Some(end) = VECTORS
        .iter()
        .filter_map(|name| Some(rest.find(name)? + name.len()))
        .min()
    {
        let call = &rest[..end];
        let name = call[..end - 1]
            .rfind(|c: char| !c.is_alphanumeric())
            .map_or(0, |at| at + 1);
        let before = call[..name].trim_end_matches("metal::");
        write!(text, "{before}metal::make_{}", &call[name..]).unwrap();
        rest = &rest[end..];
    }
    text + rest
}

/// A program that reads buffers, runs the kernel and writes them.
fn program(wgsl: &str, bounds: BoundsCheckPolicy) -> String {
    let (metal, sized) = metal(wgsl, bounds);
    let (_, kernel) = metal.split_once("kernel void main_(").unwrap();
    let (parameters, _) = kernel.split_once("\n) {").unwrap();
    let arguments = parameters.split("\n, ").map(|parameter| {
        let (declared, attribute) = parameter.trim().split_once(" [[").unwrap();
        match attribute.trim_end_matches("]]") {
            "threadgroup_position_in_grid" => "workgroup".to_owned(),
            "threadgroups_per_grid" => "workgroups".to_owned(),
            "thread_index_in_threadgroup" => "local".to_owned(),
            buffer => {
                let slot = buffer.strip_prefix("buffer(").unwrap().trim_end_matches(')');
                let (of_type, _) = declared.split_once('&').unwrap();
                let of_type = of_type
                    .replace("device ", "")
                    .replace("constant ", "")
                    .replace("const", "");
                format!("*({of_type}*)buffers[{slot}]")
            }
        }
    });
    let arguments: Vec<_> = arguments.collect();
    let header = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fast_math/metal.h");
    let body = metal
        .lines()
        .filter(|line| !line.starts_with("#include") && !line.starts_with("using metal::"));
    // Arrays of no length have one element there.
    let body = body.map(|line| match line.strip_suffix("[1];") {
        Some(array) if line.starts_with("typedef") => format!("{array}[1 << 28];\n"),
        _ => format!("{line}\n"),
    });
    let sized = format!("{sized:?}").replace('[', "{").replace(']', "}");
    format!(
        "#include \"{header}\"\n{}\nint main() {{\n    return run_all<{SLOTS}, {WORKGROUP}>({sized}, [](void** buffers, metal::uint3 \
         workgroup, metal::uint3 workgroups, uint local) {{\n        main_({});\n    }});\n}}\n",
        with_functions(&body.collect::<String>()),
        arguments.join(", ")
    )
}

/// Compiled kernels.
struct FastMath {
    folder: PathBuf,
}

impl FastMath {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fast_math").join(name);
        fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    fn compile(&self, name: &str, wgsl: &str, bounds: BoundsCheckPolicy) {
        let [source, program_file] = ["cpp", "bin"].map(|ending| self.file(name).with_extension(ending));
        fs::write(&source, program(wgsl, bounds)).unwrap();
        let compiler = env::var("WGPU_DROPOUT_CLANG").unwrap_or_else(|_| "clang++".to_owned());
        let mut words = compiler.split_whitespace();
        let native = if cfg!(target_arch = "x86_64") {
            "-march=native"
        } else {
            "-mcpu=native"
        };
        let output = Command::new(words.next().unwrap())
            .args(words)
            .args(["-O3", "-ffast-math", native, "-Wno-everything"])
            // A shift by 32 or more, which C++ does not define, and so not Metal's language, ends the program.
            .args(["-fsanitize=shift", "-fsanitize-trap=shift", "-o"])
            .args([&program_file, &source])
            .output();
        let output = output.unwrap_or_else(|error| panic!("{compiler}: {error}; install clang 16 or newer"));
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name.replace(' ', "_"))
    }

    /// What is in the buffers afterwards.
    fn run(&self, name: &str, [x, y]: [u32; 2], mut buffers: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        // A tail goes word by word, others by four words, and end with them.
        let is_tail = name.contains(" tail ") && !name.contains("bias-gradient");
        let alignment = if is_tail { 4 } else { 16u32 };
        let mut input = bytemuck::cast_slice(&[x, y, alignment]).to_vec();
        for buffer in &buffers {
            input.extend((buffer.len() as u32).to_ne_bytes());
            input.extend(buffer);
        }
        let mut program = Command::new(self.file(name).with_extension("bin"));
        let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{name}: {}", output.status);
        let mut rest = &output.stdout[..];
        for buffer in &mut buffers {
            let (these, others) = rest.split_at(buffer.len());
            buffer.copy_from_slice(these);
            rest = others;
        }
        buffers
    }
}

/// Negated, and in three of four cases one off.
fn nearly_minus<T: Element + Bits>(at: usize, x: T) -> T {
    let sign = 1u32 << (8 * size_of::<T>() - 1);
    T::from_bits32((x.bits32() ^ sign).wrapping_add([0, 1, 0u32.wrapping_sub(1), 2][at % 4]) & (sign | (sign - 1)))
}

/// Rows and columns of every tensor here.
const ROWS: usize = 83;
const COLUMNS: usize = 803;
const ELEMENTS: usize = ROWS * COLUMNS;
/// A divisor of the columns, and shorter than a tile: one at the end goes past the last seed.
const PER_SEED: usize = 11;

#[derive(Clone)]
struct Tensors<T> {
    x: Vec<T>,
    bias: Vec<T>,
    residual: Vec<T>,
    bits: Vec<u32>,
    bytes: Vec<u8>,
    seeds: Vec<u64>,
}

impl<T: Element + Bits> Tensors<T> {
    fn new() -> Self {
        let words = 0..ELEMENTS.div_ceil(32) as u32;
        Self {
            x: operands(ELEMENTS, 0),
            bias: operands(COLUMNS, 1),
            residual: operands(ELEMENTS, 2),
            bits: words.map(|i| i.wrapping_mul(0x9e37_79b9)).collect(),
            bytes: (0..ELEMENTS).map(|i| (i * i % 7) as u8).collect(),
            seeds: (0..ELEMENTS / PER_SEED)
                .map(|n| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
                .collect(),
        }
    }

    /// Lets half of a residual cancel what it is added to, but for the last bits.
    fn cancel(&mut self, what: What, dropout: &Dropout) {
        if let What::Fused { has_bias, .. } = what {
            let has_residual = false;
            let product = What::Fused { has_bias, has_residual }.expected(dropout, self);
            for (at, (residual, product)) in self.residual.iter_mut().zip(product).enumerate() {
                if at / 512 % 2 == 1 {
                    *residual = nearly_minus(at, product);
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
enum What {
    Forward,
    /// With a seed for each [`PER_SEED`] elements.
    Seeded,
    StoredMask(MaskFormat),
    Inference,
    Fused {
        has_bias: bool,
        has_residual: bool,
    },
}

impl What {
    const ALL: [Self; 8] = [
        Self::Forward,
        Self::Seeded,
        Self::StoredMask(MaskFormat::Bits),
        Self::StoredMask(MaskFormat::Bytes),
        Self::Inference,
        Self::Fused {
            has_bias: true,
            has_residual: false,
        },
        Self::Fused {
            has_bias: false,
            has_residual: true,
        },
        Self::Fused {
            has_bias: true,
            has_residual: true,
        },
    ];

    fn operation(self) -> RecipeOperation {
        let input = Input::Apart(Access::Read);
        match self {
            Self::Forward | Self::Seeded => RecipeOperation::Forward { input, store: None },
            Self::StoredMask(format) => RecipeOperation::BackwardStored {
                input,
                format,
                access: Access::Read,
            },
            Self::Inference => RecipeOperation::Inference { input },
            Self::Fused { has_bias, has_residual } => RecipeOperation::ForwardFused {
                columns: has_bias.then_some(COLUMNS as u64),
                has_residual,
                output: RecipeFused::Apart,
            },
        }
    }

    fn expected<T: Element>(self, dropout: &Dropout, tensors: &Tensors<T>) -> Vec<T> {
        let (x, mut y) = (&tensors.x, tensors.x.clone());
        let reference = Reference::default();
        match self {
            Self::Forward => reference.forward(dropout, x, &mut y),
            Self::Seeded => {
                let draw = Draw::from(dropout).with_seeds(&tensors.seeds, PER_SEED as u64);
                reference::forward(draw, x, &mut y).map_err(Into::into)
            }
            Self::StoredMask(MaskFormat::Bits) => reference.backward_from_bit_mask(dropout, x, &tensors.bits, &mut y),
            Self::StoredMask(MaskFormat::Bytes) => {
                reference.backward_from_byte_mask(dropout, x, &tensors.bytes, &mut y)
            }
            Self::Inference => reference.inference(dropout, x, &mut y),
            Self::Fused { has_bias, has_residual } => {
                let neighbours = Neighbours {
                    bias: has_bias.then_some(&tensors.bias[..]),
                    residual: has_residual.then_some(&tensors.residual[..]),
                };
                reference.forward_fused(dropout, x, neighbours, &mut y)
            }
        }
        .unwrap();
        y
    }
}

/// The call's dispatches, each on what the one before left.
fn run<T: Element + Bits>(kernels: &FastMath, what: What, recipes: &[Recipe], tensors: &Tensors<T>) -> Vec<T> {
    let mut y = vec![T::from_bits32(0); ELEMENTS];
    for recipe in recipes {
        let mut buffers = vec![Vec::new(); SLOTS.into()];
        let mut output = None;
        for binding in &recipe.bindings {
            let at = usize::from(slot(0, binding.index));
            buffers[at] = match &binding.resource {
                RecipeResource::Buffer(buffer, range) => {
                    assert_eq!(range.start, 0, "one window");
                    output = output.or((*buffer == RecipeBuffer::Output).then_some(at));
                    let mut bytes = match buffer {
                        RecipeBuffer::Input => bytemuck::cast_slice(&tensors.x),
                        RecipeBuffer::Output => bytemuck::cast_slice(&y),
                        RecipeBuffer::Bias => bytemuck::cast_slice(&tensors.bias),
                        RecipeBuffer::Residual => bytemuck::cast_slice(&tensors.residual),
                        RecipeBuffer::Mask => match what {
                            What::StoredMask(MaskFormat::Bytes) => &tensors.bytes,
                            _ => bytemuck::cast_slice(&tensors.bits),
                        },
                        RecipeBuffer::Seeds => bytemuck::cast_slice(&tensors.seeds),
                    }
                    .to_vec();
                    bytes.resize(range.end as usize, 0);
                    bytes
                }
                RecipeResource::Uniform(bytes) => bytes.clone(),
                RecipeResource::Nothing => vec![0; 64],
            };
        }
        buffers[usize::from(slot(1, 0))] = recipe.parameters.to_vec();
        let buffers = kernels.run(&recipe.variant.to_string(), recipe.workgroups, buffers);
        y = bytemuck::pod_collect_to_vec(&buffers[output.unwrap()][..size_of_val(&y[..])]);
    }
    y
}

/// Calls at both ends of p and between.
fn calls() -> Vec<Dropout> {
    let widths = [
        (RandomBits::B32, ScaleMode::Inverted),
        (RandomBits::B8, ScaleMode::Classic),
    ];
    let call = |p, (random_bits, scale_mode)| {
        let probability = Probability::new(p, random_bits).unwrap();
        let dropout = Dropout::new(p, 42).unwrap().with_scale_mode(scale_mode);
        dropout.with_probability(probability)
    };
    let ps = [0.0, 0.1, 0.5, 1.0 - 1e-6, 1.0];
    ps.into_iter()
        .flat_map(|p| widths.map(|widths| call(p, widths)))
        .collect()
}

fn recipes(dtype: DType, what: What, tile: TileSize, dropout: &Dropout) -> Vec<Recipe> {
    let tensor = RecipeDescriptor {
        dtype,
        elements: ELEMENTS as u64,
        map: None,
        seeds: matches!(what, What::Seeded).then_some(RecipeSeeds {
            elements_per_seed: PER_SEED as u64,
            first_element: 0,
        }),
        operation: what.operation(),
        multiply: Multiply::Emulated,
        tile,
        limits: PlanLimits {
            max_binding_bytes: 128 << 20,
            offset_alignment: 256,
            max_workgroups_per_dimension: 65_535,
            workgroup_size: WORKGROUP,
        },
    };
    tensor.recipes(dropout).unwrap().collect()
}

fn same_bits<T: Element + Bits>() {
    let kernels = FastMath::new(T::DTYPE.name());
    let mut cases = Vec::new();
    for what in What::ALL {
        for tile in [TileSize::Elements16, TileSize::Bytes16] {
            for dropout in calls() {
                cases.push((what, dropout, recipes(T::DTYPE, what, tile, &dropout)));
            }
        }
    }
    let variants = cases.iter().flat_map(|(.., recipes)| recipes);
    let variants: BTreeMap<_, _> = variants
        .map(|recipe| (recipe.variant.to_string(), recipe.variant))
        .collect();
    variants
        .par_iter()
        .for_each(|(name, variant)| kernels.compile(name, &variant.wgsl(), BoundsCheckPolicy::Unchecked));

    let mut tensors = Tensors::<T>::new();
    for (what, dropout, recipes) in &cases {
        tensors.cancel(*what, dropout);
        let mut every_pattern = tensors.clone();
        if size_of::<T>() == 2 {
            let patterns = (0..1 << 16).map(T::from_bits32);
            every_pattern.x.iter_mut().zip(patterns).for_each(|(x, of)| *x = of);
        }
        for tensors in [&tensors, &every_pattern] {
            let actual = run(&kernels, *what, recipes, tensors);
            let context = format!("{} {dropout:?}", recipes[0].variant);
            T::assert_same(&actual, &what.expected(dropout, tensors), &context);
        }
    }
    bias_gradients::<T>(&kernels);
}

/// Rows to sums of 64, and these to the gradient.
fn bias_gradients<T: Element + Bits>(kernels: &FastMath) {
    let texts: BTreeMap<_, _> = portable_wgsl().collect();
    let stages = ["tail partial", "whole total"].map(|stage| format!("{} bias-gradient {stage}", T::DTYPE));
    stages
        .par_iter()
        .for_each(|name| kernels.compile(name, &texts[name], BoundsCheckPolicy::Restrict));
    let [partial, total] = stages;
    let quads = COLUMNS.div_ceil(4);
    let run = |stage: &str, sums: Vec<u8>, invocations: usize, output: usize, input: Vec<u8>| {
        let mut buffers = vec![Vec::new(); SLOTS.into()];
        (buffers[0], buffers[1], buffers[2]) = (sums, vec![0; output], input);
        let workgroups = [invocations.div_ceil(WORKGROUP as usize) as u32, 1];
        kernels.run(stage, workgroups, buffers).swap_remove(1)
    };
    for salt in 0..8 {
        let dx = operands::<T>(ELEMENTS, salt);
        let mut expected = vec![T::from_bits32(0); COLUMNS];
        reference::bias_gradient(&dx, &mut expected).unwrap();
        let bytes = bytemuck::cast_slice(&dx).to_vec();
        let rows = ROWS.div_ceil(64);
        let partial_sums = run(
            &partial,
            sums([ROWS, COLUMNS], COLUMNS),
            rows * quads,
            rows * quads * 16,
            bytes,
        );
        let dbias = run(
            &total,
            sums([rows, quads * 4], COLUMNS),
            quads,
            quads * 16,
            partial_sums,
        );
        let dbias: Vec<T> = bytemuck::pod_collect_to_vec(&dbias[..size_of_val(&expected[..])]);
        T::assert_same(&dbias, &expected, &format!("{} gradient of a bias", T::DTYPE));
    }
}

#[test]
#[ignore = "needs clang"]
fn f32_is_the_same() {
    same_bits::<f32>();
}

#[test]
#[ignore = "needs clang"]
fn f16_is_the_same() {
    same_bits::<f16>();
}

#[test]
#[ignore = "needs clang"]
fn bf16_is_the_same() {
    same_bits::<bf16>();
}
