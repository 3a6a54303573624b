//! `info`: the adapters, and which variant each gets and why.

use std::error::Error;

use serde::Serialize;
use wgpu_dropout::gpu::blocking::{self, Context, ContextError};
use wgpu_dropout::gpu::variant::TileSize;
use wgpu_dropout::gpu::{KernelOptions, Multiply, ParameterPath};
use wgpu_dropout::wgpu;

use crate::args::Info;

#[derive(Debug, Serialize)]
struct Adapter {
    name: String,
    backend: String,
    device_type: String,
    driver: String,
    multiply: Choice,
    parameters: Choice,
    tile: Choice,
    workgroup_size: u32,
    max_binding_bytes: u64,
    max_buffer_bytes: u64,
    offset_alignment_bytes: u64,
    timestamps: bool,
    /// Why the adapter can't be used, if it can't.
    error: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Choice {
    choice: &'static str,
    why: &'static str,
}

fn describe(adapter: &wgpu::Adapter) -> Adapter {
    let info = adapter.get_info();
    let limits = adapter.limits();
    let mut described = Adapter {
        name: info.name,
        backend: info.backend.to_string(),
        device_type: format!("{:?}", info.device_type),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        multiply: Choice::default(),
        parameters: Choice::default(),
        tile: Choice::default(),
        workgroup_size: 0,
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        offset_alignment_bytes: limits.min_storage_buffer_offset_alignment.into(),
        timestamps: adapter.features().contains(wgpu::Features::TIMESTAMP_QUERY),
        error: None,
    };
    match Context::with_adapter(adapter, &KernelOptions::default()) {
        Ok(context) => {
            let kernels = context.kernels();
            described.multiply = match kernels.multiply() {
                Multiply::Int64 => Choice {
                    choice: "64-bit integers",
                    why: "the device has SHADER_INT64",
                },
                Multiply::Emulated => Choice {
                    choice: "16-bit halves",
                    why: "the device has no SHADER_INT64",
                },
            };
            described.parameters = match kernels.parameters() {
                ParameterPath::Immediates => Choice {
                    choice: "immediates",
                    why: "the device has IMMEDIATES",
                },
                ParameterPath::Uniform => Choice {
                    choice: "uniform slots",
                    why: "the device has no IMMEDIATES",
                },
            };
            described.tile = match kernels.tile() {
                TileSize::Elements16 => Choice {
                    choice: "16 elements an invocation",
                    why: "the adapter is a processor, for which fewer draws are faster",
                },
                TileSize::Bytes16 => Choice {
                    choice: "16 bytes an invocation",
                    why: "a GPU loads what neighbouring invocations want in one go",
                },
            };
            described.workgroup_size = kernels.limits().workgroup_size;
        }
        Err(error) => described.error = Some(error.to_string()),
    }
    described
}

pub fn run(arguments: &Info) -> Result<bool, Box<dyn Error>> {
    let adapters: Vec<_> = blocking::adapters()?.iter().map(describe).collect();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&adapters)?);
        return Ok(!adapters.is_empty());
    }
    if adapters.is_empty() {
        return Err(ContextError::NoAdapter {
            wanted: None,
            found: Vec::new(),
        }
        .into());
    }
    for adapter in &adapters {
        println!("{} ({}, {})", adapter.name, adapter.backend, adapter.device_type);
        println!("  driver       {}", adapter.driver);
        if let Some(error) = &adapter.error {
            println!("  unusable     {error}");
            continue;
        }
        println!("  multiply     {}: {}", adapter.multiply.choice, adapter.multiply.why);
        println!(
            "  parameters   {}: {}",
            adapter.parameters.choice, adapter.parameters.why
        );
        println!("  tile         {}: {}", adapter.tile.choice, adapter.tile.why);
        println!("  workgroup    {} invocations", adapter.workgroup_size);
        println!(
            "  windows      bindings to {} MiB, buffers to {} MiB, offsets in steps of {} bytes",
            adapter.max_binding_bytes >> 20,
            adapter.max_buffer_bytes >> 20,
            adapter.offset_alignment_bytes
        );
        println!("  timestamps   {}", if adapter.timestamps { "yes" } else { "no" });
    }
    Ok(true)
}
