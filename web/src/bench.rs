//! A benchmark for a page: wall time, since browsers round timestamps.

use wasm_bindgen::prelude::*;
use wgpu_dropout::half::{bf16, f16};
use wgpu_dropout::{DType, Element, cpu};

use crate::gpu::Pass;
use crate::{Dropout, Gpu, js_error};

/// The plain copy kernel of the command line's benchmark.
const COPY: &str = include_str!("../../cli/src/bench/copy.wgsl");

/// What a workgroup of it moves, by its defaults: 64 invocations, four vectors each, 16 bytes a vector.
const COPY_WORKGROUP_BYTES: u64 = 64 * 4 * 16;

/// A sample is as many passes in one submission as take so long, in milliseconds: what a submission costs is no
/// part of it, and the browser's clock is coarse.
const SAMPLE: f64 = 40.0;
const SAMPLES: usize = 5;
const MOST_PASSES: u32 = 64;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;
}

/// Seconds of one tensor, medians.
#[wasm_bindgen(getter_with_clone)]
#[derive(Clone, Debug)]
pub struct Measured {
    /// `f32`, `f16` or `bf16`.
    pub dtype: String,
    /// Elements of the tensor.
    pub elements: f64,
    /// Bytes that forward reads and writes.
    pub bytes: f64,
    /// The kernel's forward.
    pub forward: f64,
    /// A plain copy kernel over the same bytes.
    pub copy: f64,
    /// The CPU path in WebAssembly, on one thread.
    pub cpu: f64,
}

#[wasm_bindgen]
impl Gpu {
    /// Times forward over so many elements of `f32`, `f16` or `bf16` beside a plain copy kernel and beside the CPU path,
    /// in turns. What the kernel wrote is compared with the CPU path's result first, so that a wrong kernel gets no time.
    pub async fn measure(&self, dropout: &Dropout, dtype: &str, elements: u32) -> Result<Measured, JsError> {
        match dtype {
            "f32" => self.measure_elements::<f32>(dropout, elements.into()).await,
            "f16" => self.measure_elements::<f16>(dropout, elements.into()).await,
            "bf16" => self.measure_elements::<bf16>(dropout, elements.into()).await,
            other => Err(JsError::new(&format!("no element type {other}; pass f32, f16 or bf16"))),
        }
    }
}

impl Gpu {
    async fn measure_elements<T: Element>(&self, dropout: &Dropout, elements: u64) -> Result<Measured, JsError> {
        use wgpu::BufferUsages as Usage;
        let tensor_bytes = elements * T::DTYPE.bytes();
        let x: Vec<T> = (0..elements).map(ordinary).collect();
        let input = self.buffer(tensor_bytes, Usage::STORAGE | Usage::COPY_DST).await?;
        let output = self.buffer(tensor_bytes, Usage::STORAGE | Usage::COPY_SRC).await?;
        self.queue().write_buffer(&input, 0, &padded(&x));

        let binding = self.bind(Pass::Forward, dropout, T::DTYPE, elements, [&input, &output])?;
        let forward = |encoder: &mut wgpu::CommandEncoder| {
            binding
                .encode(encoder, dropout.call())
                .map_err(|error| js_error(&error))
        };
        let copy = self.copy(&input, &output);
        let copy = |encoder: &mut wgpu::CommandEncoder| {
            copy(encoder);
            Ok(())
        };

        // First use builds the pipelines; it is also the run whose result is checked.
        let copy_passes = self.passes(&copy).await?;
        let forward_passes = self.passes(&forward).await?;
        let mut y = vec![T::zeroed(); x.len()];
        cpu::forward(dropout.call(), &x, &mut y).map_err(|error| js_error(&error))?;
        let bits: &[u8] = bytemuck::cast_slice(&y);
        let written = self.read(&output, tensor_bytes).await?;
        if let Some(wrong) = written.iter().zip(bits).position(|(left, right)| left != right) {
            let element = wrong as u64 / T::DTYPE.bytes();
            return Err(JsError::new(&format!(
                "the GPU's element {element} is not the CPU's; run the verification"
            )));
        }

        let mut samples: [Vec<f64>; 3] = Default::default();
        for _ in 0..SAMPLES {
            samples[0].push(self.seconds(&forward, forward_passes).await?);
            samples[1].push(self.seconds(&copy, copy_passes).await?);
            let start = now();
            cpu::forward(dropout.call(), &x, &mut y).map_err(|error| js_error(&error))?;
            samples[2].push((now() - start) / 1e3);
        }
        let [forward, copy, cpu] = samples.map(median);
        Ok(Measured {
            dtype: T::DTYPE.name().to_owned(),
            elements: elements as f64,
            bytes: 2.0 * tensor_bytes as f64,
            forward,
            copy,
            cpu,
        })
    }

    /// How many passes make a sample long enough.
    async fn passes(&self, record: &impl Fn(&mut wgpu::CommandEncoder) -> Result<(), JsError>) -> Result<u32, JsError> {
        let mut passes = 1;
        // The first is for the pipeline.
        self.seconds(record, passes).await?;
        loop {
            let milliseconds = self.seconds(record, passes).await? * f64::from(passes) * 1e3;
            if milliseconds >= SAMPLE || passes >= MOST_PASSES {
                return Ok(passes);
            }
            passes *= 2;
        }
    }

    /// Seconds a pass, of so many in one submission.
    async fn seconds(
        &self,
        record: &impl Fn(&mut wgpu::CommandEncoder) -> Result<(), JsError>,
        passes: u32,
    ) -> Result<f64, JsError> {
        self.done().await;
        let mut encoder = self
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for _ in 0..passes {
            record(&mut encoder)?;
        }
        let start = now();
        self.queue().submit([encoder.finish()]);
        self.done().await;
        Ok((now() - start) / 1e3 / f64::from(passes))
    }

    /// A pass of the copy kernel over whole buffers.
    fn copy(&self, input: &wgpu::Buffer, output: &wgpu::Buffer) -> impl Fn(&mut wgpu::CommandEncoder) + use<> {
        let device = self.device();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("copy"),
            source: wgpu::ShaderSource::Wgsl(COPY.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("copy"),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("copy"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[
                wgpu::BindGroupEntry {
                    binding: 0,
                    resource: input.as_entire_binding(),
                },
                wgpu::BindGroupEntry {
                    binding: 1,
                    resource: output.as_entire_binding(),
                },
            ],
        });
        let workgroups = input.size().div_ceil(COPY_WORKGROUP_BYTES);
        let most = u64::from(device.limits().max_compute_workgroups_per_dimension);
        let rows = workgroups.div_ceil(most);
        let columns = workgroups.div_ceil(rows.max(1));
        move |encoder: &mut wgpu::CommandEncoder| {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &bind_group, &[]);
            pass.dispatch_workgroups(columns as u32, rows as u32, 1);
        }
    }
}

/// A number between 1 and 2 that differs from its neighbours: what the kernels' usual path is for.
fn ordinary<T: Element>(i: u64) -> T {
    let hash = (i as u32).wrapping_mul(2_654_435_761) >> 8;
    let bits = match T::DTYPE {
        DType::F32 => 0x3f80_0000 | hash & 0x007f_ffff,
        DType::F16 => 0x3c00 | hash & 0x03ff,
        DType::Bf16 => 0x3f80 | hash & 0x007f,
    };
    bytemuck::pod_read_unaligned(&bits.to_le_bytes()[..size_of::<T>()])
}

/// The bytes of a tensor, filled up to whole words.
fn padded<T: Element>(x: &[T]) -> Vec<u8> {
    let mut bytes: Vec<u8> = bytemuck::cast_slice(x).to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
