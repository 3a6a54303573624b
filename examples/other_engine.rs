//! What an engine that is not wgpu needs, as files: the WGSL text of every kernel, and for each call the dispatches that
//! make it up, in JSON. Nothing of this crate is needed from there on.
//!
//! `cargo run --example other_engine -- FOLDER [CALLS.json]`, where the calls are written as in `tests/vectors/`:
//! `{"cases": [{"dtype": "f32", "n": 50, "p": 0.1, "seed": "f3..", "subsequence": "24..", "element_offset": "00..",
//! "random_bits": 32}]}`, the u64 in hex, and what [`Call`] has beside. Without a file, one call.

#![allow(clippy::print_stdout, reason = "a program that reports")]

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use serde::{Deserialize, Serialize};
use wgpu_dropout::gpu::plan::PlanLimits;
use wgpu_dropout::gpu::variant::{Access, Input, TileSize, portable_wgsl};
use wgpu_dropout::gpu::{
    Multiply, Recipe, RecipeBuffer, RecipeDescriptor, RecipeFused, RecipeOperation, RecipeResource, RecipeSeeds,
};
use wgpu_dropout::{DType, Dropout, IndexMap, MaskFormat, Probability, RandomBits, ScaleMode};

#[derive(Deserialize)]
struct Calls {
    cases: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    dtype: String,
    n: u64,
    p: f64,
    seed: String,
    subsequence: String,
    element_offset: String,
    random_bits: u32,
    scale_mode: Option<String>,
    /// Of an index map, whose first `n` elements are the tensor; the strides in hex.
    shape: Option<Vec<u64>>,
    mask_strides: Option<Vec<String>>,
    elements_per_seed: Option<u64>,
    #[serde(default)]
    operation: Operation,
    #[serde(default)]
    place: Place,
    /// Of a stored mask, and whether it lies in a buffer that the dispatch writes to.
    mask: Option<Format>,
    #[serde(default)]
    shared_mask: bool,
    /// Of a fused forward: the bias's elements, and whether there is a residual.
    columns: Option<u64>,
    #[serde(default)]
    has_residual: bool,
    /// What the device binds at most.
    max_binding_bytes: Option<u64>,
    #[serde(default)]
    tile: Tile,
}

/// What an invocation has of a tensor: bytes for GPUs.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tile {
    Elements16,
    #[default]
    Bytes16,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Operation {
    /// Stores the mask if a format is given.
    #[default]
    Forward,
    ForwardFused,
    BackwardStored,
    Mask,
    Inference,
}

/// Where the output goes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    #[default]
    Apart,
    /// Apart, in a buffer that the input lies in too.
    SharedBuffer,
    OverInput,
    OverResidual,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    Bits,
    Bytes,
}

/// A dispatch in JSON.
#[derive(Serialize)]
struct Dispatch {
    /// The file with its text.
    shader: String,
    /// Group 0.
    bindings: Vec<Binding>,
    /// Bytes of the uniform at group 1, binding 0, in hex.
    parameters: String,
    workgroups: [u32; 2],
}

/// A binding in JSON: a storage buffer of the caller's, the bytes of a uniform in hex, or 64 bytes of any storage buffer
/// that no other binding has.
#[derive(Serialize)]
struct Binding {
    index: u32,
    #[serde(flatten)]
    resource: Resource,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", untagged)]
enum Resource {
    Buffer { buffer: &'static str, bytes: [u64; 2] },
    Uniform { uniform: String },
    Nothing {},
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "target/other_engine".to_owned());
    let folder = Path::new(&folder);
    let one = r#"{"cases": [{"dtype": "f32", "n": 1000003, "p": 0.1, "seed": "2a", "subsequence": "0",
                             "element_offset": "0", "random_bits": 32}]}"#;
    let calls = match arguments.next() {
        Some(path) => fs::read_to_string(path)?,
        None => one.to_owned(),
    };
    let calls = serde_json::from_str::<Calls>(&calls)?.cases;

    let shaders = folder.join("wgsl");
    fs::create_dir_all(&shaders)?;
    let mut texts = 0;
    for (name, text) in portable_wgsl() {
        fs::write(shaders.join(file_name(&name)), text)?;
        texts += 1;
    }

    let recipes: Vec<_> = calls.iter().map(dispatches).collect::<Result<_, _>>()?;
    fs::write(folder.join("recipes.json"), serde_json::to_string(&recipes)?)?;
    println!(
        "{texts} shaders and the recipes of {} calls in {}",
        calls.len(),
        folder.display()
    );
    Ok(())
}

fn file_name(shader: &str) -> String {
    format!("{}.wgsl", shader.replace(' ', "_"))
}

/// A u64 of so many hex digits.
fn number(digits: &str) -> Result<u64, std::num::ParseIntError> {
    u64::from_str_radix(digits, 16)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn dispatches(call: &Call) -> Result<Vec<Dispatch>, Box<dyn Error>> {
    let random_bits = RandomBits::from_bits(call.random_bits).ok_or("random bits are 32, 16 or 8")?;
    let dropout = Dropout {
        probability: Probability::new(call.p, random_bits)?,
        scale_mode: match call.scale_mode.as_deref() {
            None | Some("inverted") => ScaleMode::Inverted,
            Some("classic") => ScaleMode::Classic,
            Some(other) => return Err(format!("no scale mode {other}").into()),
        },
        seed: number(&call.seed)?,
        subsequence: number(&call.subsequence)?,
        element_offset: number(&call.element_offset)?,
    };
    let dtype = DType::ALL.into_iter().find(|dtype| dtype.name() == call.dtype);
    let tensor = RecipeDescriptor {
        dtype: dtype.ok_or("element types are f32, f16 and bf16")?,
        elements: call.n,
        map: None,
        seeds: call.elements_per_seed.map(|elements_per_seed| RecipeSeeds {
            elements_per_seed,
            first_element: 0,
        }),
        operation: operation(call)?,
        multiply: Multiply::Emulated,
        tile: match call.tile {
            Tile::Elements16 => TileSize::Elements16,
            Tile::Bytes16 => TileSize::Bytes16,
        },
        // What every WebGPU device grants.
        limits: PlanLimits {
            max_binding_bytes: call.max_binding_bytes.unwrap_or(128 << 20),
            offset_alignment: 256,
            max_workgroups_per_dimension: 65_535,
            workgroup_size: 64,
        },
    };
    let map = match (&call.shape, &call.mask_strides) {
        (Some(shape), Some(strides)) => {
            let strides: Vec<u64> = strides.iter().map(|digits| number(digits)).collect::<Result<_, _>>()?;
            Some(IndexMap::new(shape, &strides)?.window(0, call.n)?)
        }
        (None, None) => None,
        _ => return Err("an index map has shape and mask_strides".into()),
    };
    let tensor = RecipeDescriptor {
        map: map.as_ref(),
        ..tensor
    };
    Ok(tensor.recipes(&dropout)?.map(|recipe| dispatch(&recipe)).collect())
}

fn operation(call: &Call) -> Result<RecipeOperation, Box<dyn Error>> {
    let input = match call.place {
        Place::Apart => Input::Apart(Access::Read),
        Place::SharedBuffer => Input::Apart(Access::ReadWrite),
        Place::OverInput => Input::InPlace,
        Place::OverResidual => return fused(call, RecipeFused::ResidualInPlace),
    };
    let mask = call.mask.map(|format| match format {
        Format::Bits => MaskFormat::Bits,
        Format::Bytes => MaskFormat::Bytes,
    });
    let needed = || mask.ok_or("a stored mask is of bits or of bytes");
    Ok(match call.operation {
        Operation::Forward => RecipeOperation::Forward { input, store: mask },
        Operation::ForwardFused if input == Input::InPlace => return fused(call, RecipeFused::InPlace),
        Operation::ForwardFused => return fused(call, RecipeFused::Apart),
        Operation::BackwardStored => RecipeOperation::BackwardStored {
            input,
            format: needed()?,
            access: if call.shared_mask {
                Access::ReadWrite
            } else {
                Access::Read
            },
        },
        Operation::Mask => RecipeOperation::Mask(needed()?),
        Operation::Inference => RecipeOperation::Inference { input },
    })
}

fn fused(call: &Call, output: RecipeFused) -> Result<RecipeOperation, Box<dyn Error>> {
    let Operation::ForwardFused = call.operation else {
        return Err("only a fused forward has a residual".into());
    };
    Ok(RecipeOperation::ForwardFused {
        columns: call.columns,
        has_residual: call.has_residual,
        output,
    })
}

fn dispatch(recipe: &Recipe) -> Dispatch {
    let bindings = recipe.bindings.iter().map(|binding| Binding {
        index: binding.index,
        resource: match &binding.resource {
            RecipeResource::Buffer(which, bytes) => Resource::Buffer {
                buffer: match which {
                    RecipeBuffer::Input => "input",
                    RecipeBuffer::Output => "output",
                    RecipeBuffer::Mask => "mask",
                    RecipeBuffer::Bias => "bias",
                    RecipeBuffer::Residual => "residual",
                    RecipeBuffer::Seeds => "seeds",
                },
                bytes: [bytes.start, bytes.end],
            },
            RecipeResource::Uniform(bytes) => Resource::Uniform { uniform: hex(bytes) },
            RecipeResource::Nothing => Resource::Nothing {},
        },
    });
    Dispatch {
        shader: file_name(&recipe.variant.to_string()),
        bindings: bindings.collect(),
        parameters: hex(&recipe.parameters),
        workgroups: recipe.workgroups,
    }
}
