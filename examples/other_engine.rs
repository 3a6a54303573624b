//! What an engine that is not wgpu needs, as files: the WGSL text of every kernel, and for each call the dispatches that
//! make it up, in JSON. Nothing of this crate is needed from there on.
//!
//! `cargo run --example other_engine -- FOLDER [CALLS.json]`, where the calls are written as in `tests/vectors/`:
//! `{"cases": [{"dtype": "f32", "n": 50, "p": 0.1, "seed": "f3..", "subsequence": "24..", "element_offset": "00..",
//! "random_bits": 32, "scale_mode": "inverted"}]}`, the u64 in hex. Without a file, one call.

#![allow(clippy::print_stdout, reason = "a program that reports")]

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use serde::{Deserialize, Serialize};
use wgpu_dropout::gpu::plan::PlanLimits;
use wgpu_dropout::gpu::variant::{Access, Input, portable_wgsl};
use wgpu_dropout::gpu::{Multiply, RecipeDescriptor};
use wgpu_dropout::{DType, Dropout, Probability, RandomBits, ScaleMode};

#[derive(Deserialize)]
struct Calls {
    cases: Vec<Call>,
}

#[derive(Clone, Deserialize)]
struct Call {
    dtype: String,
    n: u64,
    p: f64,
    seed: String,
    subsequence: String,
    element_offset: String,
    random_bits: u32,
    #[serde(default)]
    scale_mode: Option<String>,
    /// Calls with an index map have no recipe.
    #[serde(default)]
    mask_strides: Option<Vec<String>>,
}

/// A dispatch in JSON.
#[derive(Serialize)]
struct Dispatch {
    /// The file with its text.
    shader: String,
    /// First and one past last element of x (group 0, binding 0) and y (binding 1) that are bound.
    elements: [u64; 2],
    /// Bytes of the uniform at group 1, binding 0, in hex.
    parameters: String,
    workgroups: [u32; 2],
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "target/other_engine".to_owned());
    let folder = Path::new(&folder);
    let calls = match arguments.next() {
        Some(path) => serde_json::from_str::<Calls>(&fs::read_to_string(path)?)?.cases,
        None => vec![Call {
            dtype: "f32".to_owned(),
            n: 1_000_003,
            p: 0.1,
            seed: "2a".to_owned(),
            subsequence: "0".to_owned(),
            element_offset: "0".to_owned(),
            random_bits: 32,
            scale_mode: None,
            mask_strides: None,
        }],
    };

    let shaders = folder.join("wgsl");
    fs::create_dir_all(&shaders)?;
    let mut texts = 0;
    for (name, text) in portable_wgsl() {
        fs::write(shaders.join(file_name(&name)), text)?;
        texts += 1;
    }

    let mut recipes = Vec::new();
    for call in &calls {
        recipes.push(match &call.mask_strides {
            None => Some(dispatches(call)?),
            Some(_) => None,
        });
    }
    fs::write(folder.join("recipes.json"), serde_json::to_string(&recipes)?)?;
    let followed = recipes.iter().flatten().count();
    println!(
        "{texts} shaders and the recipes of {followed} of {} calls in {}",
        calls.len(),
        folder.display()
    );
    Ok(())
}

fn file_name(shader: &str) -> String {
    format!("{}.wgsl", shader.replace(' ', "_"))
}

fn dispatches(call: &Call) -> Result<Vec<Dispatch>, Box<dyn Error>> {
    let hex = |digits: &str| u64::from_str_radix(digits, 16);
    let random_bits = RandomBits::from_bits(call.random_bits).ok_or("random bits are 32, 16 or 8")?;
    let dropout = Dropout {
        probability: Probability::new(call.p, random_bits)?,
        scale_mode: match call.scale_mode.as_deref() {
            None | Some("inverted") => ScaleMode::Inverted,
            Some("classic") => ScaleMode::Classic,
            Some(other) => return Err(format!("no scale mode {other}").into()),
        },
        seed: hex(&call.seed)?,
        subsequence: hex(&call.subsequence)?,
        element_offset: hex(&call.element_offset)?,
    };
    let dtype = DType::ALL.into_iter().find(|dtype| dtype.name() == call.dtype);
    let tensor = RecipeDescriptor {
        dtype: dtype.ok_or("element types are f32, f16 and bf16")?,
        elements: call.n,
        input: Input::Apart(Access::Read),
        multiply: Multiply::Emulated,
        // What every WebGPU device grants.
        limits: PlanLimits {
            max_binding_bytes: 128 << 20,
            offset_alignment: 256,
            max_workgroups_per_dimension: 65_535,
            workgroup_size: 64,
        },
    };
    let recipes = tensor.recipes(&dropout)?;
    Ok(recipes
        .map(|recipe| Dispatch {
            shader: file_name(&recipe.variant.to_string()),
            elements: [recipe.elements.start, recipe.elements.end],
            parameters: recipe.parameters.iter().fold(String::new(), |mut text, byte| {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            }),
            workgroups: recipe.workgroups,
        })
        .collect())
}
