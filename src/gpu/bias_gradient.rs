//! The gradient of a bias: dx summed over its rows, in the order of the contract, in two stages.
//!
//! The order leaves the columns free, and the partial sums of each: one invocation does four columns of one partial
//! sum. A second stage adds those up. Each row is read once; partial sums take a sixteenth of dx's memory at most.

use core::mem::size_of;
use std::sync::{Arc, OnceLock};

use bytemuck::{Pod, Zeroable};
use wgpu::BufferBinding;

use super::binding::Range;
use super::form::{check_rows, tensor_bytes};
use super::kernels::{Inner, Kernels};
use super::memory::create_buffer;
use super::scope::ErrorScopes;
use super::uniforms::Uniforms;
use super::variant::{Extent, ShaderFile, file, joined};
use super::{BindError, DeviceError};
use crate::DType;
use crate::fused::rows_of_a_partial_sum;

/// Describes a [`BiasGradient`].
///
/// For use with [`Kernels::bind_bias_gradient`].
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue, kernels) = kernels()?;
/// use wgpu_dropout::DType;
/// use wgpu_dropout::gpu::BiasGradientDescriptor;
///
/// # let buffer = |size| storage(&device, size);
/// // dx of 100 rows and its sum in one buffer, at offsets that the device can bind.
/// let gradients = buffer(100 * 64 * 2 + 64 * 2);
/// let gradient = kernels.bind_bias_gradient(&BiasGradientDescriptor {
///     label: None,
///     dtype: DType::F16,
///     elements: 100 * 64,
///     columns: 64,
///     dx: gradients.as_entire_buffer_binding(),
///     dbias: wgpu::BufferBinding { buffer: &gradients, offset: 100 * 64 * 2, size: None },
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BiasGradientDescriptor<'a> {
    /// Debug label.
    pub label: wgpu::Label<'a>,
    /// Element type of both tensors.
    pub dtype: DType,
    /// Elements of dx: whole rows. 0 gives +0 everywhere.
    pub elements: u64,
    /// Elements of a row, and of the bias. Multiples of 4 are fastest; 0 records nothing.
    pub columns: u64,
    /// The gradient of the input, what [`Operation::Backward`](super::Operation::Backward) gives; laid out as there.
    pub dx: BufferBinding<'a>,
    /// Where the gradient of the bias goes, apart from dx.
    pub dbias: BufferBinding<'a>,
}

/// The gradient of the bias of a [fused forward](super::Operation::ForwardFused), bound to buffers: the sum of dx over
/// its rows, in f32, rounded once, bit for bit [`reference::bias_gradient`](crate::reference::bias_gradient).
///
/// Owns a scratch buffer of [`scratch_bytes`](Self::scratch_bytes) for the partial sums, so two recordings of one
/// object must not run at once; those of one queue never do.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::DType;
/// use wgpu_dropout::gpu::{BiasGradientDescriptor, Kernels};
///
/// # let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
/// # let kernels = Kernels::new(&device, &queue)?;
/// # let buffer = |size| device.create_buffer(&wgpu::BufferDescriptor { label: None, size,
/// #     usage: wgpu::BufferUsages::STORAGE, mapped_at_creation: false });
/// let (dx, dbias) = (buffer(4 * 32 * 768), buffer(4 * 768));
/// let gradient = kernels.bind_bias_gradient(&BiasGradientDescriptor {
///     label: None,
///     dtype: DType::F32,
///     elements: 32 * 768,
///     columns: 768,
///     dx: dx.as_entire_buffer_binding(),
///     dbias: dbias.as_entire_buffer_binding(),
/// })?;
/// let mut encoder = device.create_command_encoder(&Default::default());
/// gradient.record(&mut encoder.begin_compute_pass(&Default::default()));
/// queue.submit([encoder.finish()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BiasGradient {
    dispatches: Vec<Dispatch>,
    scratch_bytes: u64,
}

#[derive(Clone, Debug)]
struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    workgroups: [u32; 2],
}

/// What a dispatch is told. Shader twin: `shaders/bias_gradient/sums.wgsl`, held equal by a test.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
struct Sums {
    columns: u32,
    first_column: u32,
    quads: u32,
    start: u32,
    rows: u32,
    rows_of_a_sum: u32,
    phase: u32,
    first_sum: u32,
    count: u32,
    always_zero: u32,
}

/// Columns that an invocation works on.
const QUAD: u64 = 4;

/// The pipelines of one element type and way of access.
#[derive(Debug)]
pub(crate) struct Stages {
    partial: wgpu::ComputePipeline,
    total: wgpu::ComputePipeline,
}

/// The pipelines built so far, for each element type and extent.
pub(crate) type BuiltStages = [[OnceLock<Stages>; 2]; DType::ALL.len()];

/// The files of both stages, each in the order in which they are joined.
pub(crate) fn files(dtype: DType, extent: Extent) -> [Vec<ShaderFile>; 2] {
    let mut common = match dtype {
        DType::F32 => vec![file!("element/as_f32.wgsl"), file!("bias_gradient/words.wgsl")],
        DType::F16 => vec![
            file!("element/as_f16.wgsl"),
            file!("element/halves.wgsl"),
            file!("bias_gradient/halves.wgsl"),
        ],
        DType::Bf16 => vec![
            file!("element/as_bf16.wgsl"),
            file!("element/halves.wgsl"),
            file!("bias_gradient/halves.wgsl"),
        ],
    };
    common.extend([file!("element/sum.wgsl"), file!("bias_gradient/sums.wgsl")]);
    let (dx, dbias) = match extent {
        Extent::Whole => (
            file!("bias_gradient/dx_whole.wgsl"),
            file!("bias_gradient/dbias_whole.wgsl"),
        ),
        Extent::Tail => (
            file!("bias_gradient/dx_any.wgsl"),
            file!("bias_gradient/dbias_any.wgsl"),
        ),
    };
    let with = |last: [ShaderFile; 2]| common.iter().copied().chain(last).collect();
    [
        with([dx, file!("bias_gradient/partial.wgsl")]),
        with([dbias, file!("bias_gradient/total.wgsl")]),
    ]
}

impl Inner {
    fn stages(&self, dtype: DType, extent: Extent) -> Result<&Stages, DeviceError> {
        let known = &self.bias_gradients[dtype as usize][extent as usize];
        if let Some(known) = known.get() {
            return Ok(known);
        }
        let scopes = ErrorScopes::push(&self.device);
        let [partial, total] = files(dtype, extent).map(|files| {
            let label = format!("wgpu_dropout::BiasGradient {dtype}");
            let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(&label),
                source: wgpu::ShaderSource::Wgsl(joined(&files).into()),
            });
            self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&label),
                layout: None,
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &[("workgroup_size", f64::from(self.limits.workgroup_size))],
                    ..Default::default()
                },
                cache: self.pipeline_cache.as_ref(),
            })
        });
        scopes.pop()?;
        // Two threads may have built them; either will do.
        Ok(known.get_or_init(|| Stages { partial, total }))
    }
}

/// How the sums of a tensor are cut into dispatches, by arithmetic alone.
#[derive(Clone, Copy, Debug)]
struct Cut {
    columns: u64,
    rows: u64,
    element_bytes: u64,
    /// Of the first stage: rows in one binding.
    rows_of_a_window: u64,
    /// Of both stages: columns in one dispatch, whole quads.
    columns_of_a_dispatch: u64,
    rows_of_a_sum: u64,
    offset_alignment: u64,
}

/// A dispatch of the first stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    /// Of dx, in bytes: where the binding starts, and how long it is.
    offset: u64,
    bytes: u64,
    sums: Sums,
    /// Partial sums of this window.
    partial_sums: u32,
}

impl Cut {
    fn new(inner: &Inner, rows: u64, columns: u64, dtype: DType) -> Result<Self, BindError> {
        let limits = inner.limits;
        let element_bytes = dtype.bytes();
        let row_bytes = columns * element_bytes;
        let long_row = || BindError::LongRow {
            columns,
            bytes: row_bytes,
            max_binding_bytes: limits.max_binding_bytes,
        };
        let rows_of_a_window = if (rows * row_bytes).next_multiple_of(4) <= limits.max_binding_bytes {
            rows
        } else {
            // A window's first row may start anywhere behind an aligned offset, and end within a word.
            limits.max_binding_bytes.saturating_sub(limits.offset_alignment + 4) / row_bytes
        };
        let rows_of_a_sum = rows_of_a_partial_sum(rows);
        let sums = rows.div_ceil(rows_of_a_sum).max(1);
        let scratch_columns = limits.max_binding_bytes / (size_of::<f32>() as u64 * sums);
        let dispatch_columns = u64::from(limits.max_workgroups_per_dimension) * u64::from(limits.workgroup_size) * QUAD;
        let columns_of_a_dispatch = scratch_columns.min(dispatch_columns) / QUAD * QUAD;
        let fits = rows == 0 || rows_of_a_window > 0;
        // Row and partial sum are 32-bit numbers in the shader.
        let counts = u32::try_from(rows_of_a_sum).is_ok() && u32::try_from(columns).is_ok();
        let has_sums = sums <= limits.max_workgroups_per_dimension.into();
        if !fits || !counts || !has_sums || columns_of_a_dispatch == 0 || row_bytes > limits.max_binding_bytes {
            return Err(long_row());
        }
        Ok(Self {
            columns,
            rows,
            element_bytes,
            rows_of_a_window,
            columns_of_a_dispatch,
            rows_of_a_sum,
            offset_alignment: limits.offset_alignment,
        })
    }

    /// Partial sums of a column.
    fn sums(&self) -> u64 {
        self.rows.div_ceil(self.rows_of_a_sum)
    }

    /// Bytes of the partial sums of a dispatch.
    fn scratch_bytes(&self) -> u64 {
        let columns = self.columns.next_multiple_of(QUAD).min(self.columns_of_a_dispatch);
        // Where there are no rows, the second stage has a binding all the same.
        columns * size_of::<f32>() as u64 * self.sums().max(1)
    }

    /// What both stages know of a dispatch from a column on.
    fn column_sums(&self, first_column: u64) -> Sums {
        let columns = (self.columns - first_column).min(self.columns_of_a_dispatch);
        Sums {
            columns: self.columns as u32,
            first_column: first_column as u32,
            quads: columns.div_ceil(QUAD) as u32,
            start: 0,
            rows: 0,
            rows_of_a_sum: self.rows_of_a_sum as u32,
            phase: 0,
            first_sum: 0,
            count: self.sums() as u32,
            always_zero: 0,
        }
    }

    fn first_columns(&self) -> impl Iterator<Item = u64> + use<> {
        let Self {
            columns,
            columns_of_a_dispatch,
            ..
        } = *self;
        (0..columns.div_ceil(columns_of_a_dispatch)).map(move |n| n * columns_of_a_dispatch)
    }

    fn windows(self, first_column: u64) -> impl Iterator<Item = Window> {
        let first_rows = (0..self.rows.div_ceil(self.rows_of_a_window.max(1))).map(move |n| n * self.rows_of_a_window);
        first_rows.map(move |first_row| {
            let rows = (self.rows - first_row).min(self.rows_of_a_window);
            let row_bytes = self.columns * self.element_bytes;
            let start = first_row * row_bytes;
            let offset = start / self.offset_alignment * self.offset_alignment;
            let end = (start + rows * row_bytes).next_multiple_of(4);
            let phase = first_row % self.rows_of_a_sum;
            Window {
                offset,
                bytes: end - offset,
                sums: Sums {
                    start: ((start - offset) / self.element_bytes) as u32,
                    rows: rows as u32,
                    phase: phase as u32,
                    first_sum: (first_row / self.rows_of_a_sum) as u32,
                    ..self.column_sums(first_column)
                },
                partial_sums: (phase + rows).div_ceil(self.rows_of_a_sum) as u32,
            }
        })
    }
}

impl Kernels {
    /// Binds buffers to the gradient of a bias.
    ///
    /// # Errors
    ///
    /// [`BindError`] where dx is not whole rows, a buffer is too small, misaligned, lacks `STORAGE` or overlaps the
    /// other one, a row does not fit into one binding, or the device reports an error.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// use wgpu_dropout::DType;
    /// use wgpu_dropout::gpu::{BiasGradientDescriptor, BindError};
    ///
    /// # let buffer = |size| storage(&device, size);
    /// let (dx, dbias) = (buffer(4000), buffer(4 * 30));
    /// let refused = kernels.bind_bias_gradient(&BiasGradientDescriptor {
    ///     label: None,
    ///     dtype: DType::F32,
    ///     elements: 1000,
    ///     columns: 30,
    ///     dx: dx.as_entire_buffer_binding(),
    ///     dbias: dbias.as_entire_buffer_binding(),
    /// });
    /// assert!(matches!(refused, Err(BindError::Rows { elements: 1000, columns: 30 })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bind_bias_gradient(&self, descriptor: &BiasGradientDescriptor<'_>) -> Result<BiasGradient, BindError> {
        let BiasGradientDescriptor {
            label,
            dtype,
            elements,
            columns,
            ref dx,
            ref dbias,
        } = *descriptor;
        let inner: &Arc<Inner> = &self.inner;
        let alignment = inner.limits.offset_alignment;
        check_rows(elements, columns)?;
        let dx = Range::new("dx", 0, dx, tensor_bytes(elements, dtype)?, alignment)?;
        let dbias = Range::new("dbias", 0, dbias, tensor_bytes(columns, dtype)?, alignment)?;
        dx.check_apart(&dbias)?;
        if columns == 0 {
            return Ok(BiasGradient {
                dispatches: Vec::new(),
                scratch_bytes: 0,
            });
        }

        let cut = Cut::new(inner, elements / columns, columns, dtype)?;
        let extent = if columns.is_multiple_of(QUAD) {
            Extent::Whole
        } else {
            Extent::Tail
        };
        let stages = inner.stages(dtype, extent)?;
        let scopes = ErrorScopes::push(&inner.device);
        let scratch = create_buffer(
            &inner.device,
            &wgpu::BufferDescriptor {
                label: Some("wgpu_dropout::BiasGradient::scratch"),
                size: cut.scratch_bytes(),
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            },
        );
        // In the order in which they run: the partial sums of some columns, then those columns.
        let planned: Vec<_> = cut
            .first_columns()
            .flat_map(|first_column| {
                let windows = cut.windows(first_column).map(|window| {
                    let bound = BufferBinding {
                        offset: dx.all().offset + window.offset,
                        size: wgpu::BufferSize::new(window.bytes),
                        ..dx.all()
                    };
                    (&stages.partial, bound, window.sums, window.partial_sums)
                });
                let total = (&stages.total, dbias.all(), cut.column_sums(first_column), 1);
                windows.chain([total]).collect::<Vec<_>>()
            })
            .collect();
        let uniforms = Uniforms::new(&inner.device, label, planned.iter().map(|(_, _, sums, _)| *sums));
        let dispatches = planned.into_iter().zip(0..).map(|((pipeline, tensor, sums, rows), n)| {
            let resources = [uniforms.binding(n), scratch.as_entire_buffer_binding(), tensor];
            let entries: Vec<_> = resources
                .into_iter()
                .zip(0..)
                .map(|(resource, binding)| wgpu::BindGroupEntry {
                    binding,
                    resource: wgpu::BindingResource::Buffer(resource),
                })
                .collect();
            Dispatch {
                pipeline: pipeline.clone(),
                bind_group: inner.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label,
                    layout: &pipeline.get_bind_group_layout(0),
                    entries: &entries,
                }),
                workgroups: [sums.quads.div_ceil(inner.limits.workgroup_size), rows],
            }
        });
        let dispatches = dispatches.collect();
        scopes.pop()?;
        Ok(BiasGradient {
            dispatches,
            scratch_bytes: cut.scratch_bytes(),
        })
    }
}

impl BiasGradient {
    /// Records it into a pass of the caller's. Sets the pipeline and bind group 0, and leaves them set. Can't fail: all
    /// that can was done before.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// # let gradient = bound_bias_gradient(&kernels)?;
    /// let mut encoder = device.create_command_encoder(&Default::default());
    /// gradient.record(&mut encoder.begin_compute_pass(&Default::default()));
    /// queue.submit([encoder.finish()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        for dispatch in &self.dispatches {
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bind_group, &[]);
            let [x, y] = dispatch.workgroups;
            pass.dispatch_workgroups(x, y, 1);
        }
    }

    /// Bytes of device memory that it holds for the partial sums.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (device, queue, kernels) = kernels()?;
    /// # let gradient = bound_bias_gradient(&kernels)?;
    /// // 100 rows are two partial sums, of f32 for each column.
    /// assert_eq!(gradient.scratch_bytes(), 2 * 64 * 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn scratch_bytes(&self) -> u64 {
        self.scratch_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::layout;

    #[test]
    fn host_and_shader_layouts_agree() {
        let [files, _] = files(DType::F32, Extent::Whole);
        let (shader, span) = layout::of_struct(&joined(&files), "Sums");
        let host = layout::host!(Sums: columns first_column quads start rows rows_of_a_sum phase first_sum count
            always_zero);
        assert_eq!(shader, host);
        assert_eq!(span, size_of::<Sums>());
    }

    /// Every row is summed once, into the partial sum that is its own, within every limit.
    #[test]
    fn windows_are_all_rows() {
        let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
        for max_binding_bytes in [4096, 10_000, 1 << 20] {
            let options = crate::gpu::KernelOptions {
                max_binding_bytes,
                ..Default::default()
            };
            let kernels = Kernels::with_options(&device, &queue, &options).expect("kernels");
            for (rows, columns, dtype) in [
                (0, 5, DType::F32),
                (1, 1, DType::Bf16),
                (1000, 7, DType::F16),
                (70_001, 3, DType::F16),
                (300, 255, DType::F32),
            ] {
                let cut = Cut::new(&kernels.inner, rows, columns, dtype).expect("it fits");
                assert!(cut.scratch_bytes() <= max_binding_bytes);
                let mut next_column = 0;
                for first_column in cut.first_columns() {
                    assert_eq!(first_column, next_column);
                    next_column += 4 * u64::from(cut.column_sums(first_column).quads);
                    let mut next_row = 0;
                    for window in cut.windows(first_column) {
                        assert!(window.bytes <= max_binding_bytes);
                        assert_eq!(window.offset % cut.offset_alignment, 0);
                        let sums = window.sums;
                        let start = window.offset + u64::from(sums.start) * dtype.bytes();
                        assert_eq!(start, next_row * columns * dtype.bytes());
                        let end = start + u64::from(sums.rows) * columns * dtype.bytes();
                        assert!((end..end + 4).contains(&(window.offset + window.bytes)));
                        let [first, last] = [next_row, next_row + u64::from(sums.rows) - 1]
                            .map(|row| (row / cut.rows_of_a_sum, row % cut.rows_of_a_sum));
                        assert_eq!((sums.first_sum.into(), u64::from(sums.phase)), first);
                        assert_eq!(u64::from(sums.first_sum + window.partial_sums - 1), last.0);
                        next_row += u64::from(sums.rows);
                    }
                    assert_eq!(next_row, rows);
                }
                assert!((columns..columns + 4).contains(&next_column));
            }
        }
    }
}
