//! The gradient of a bias: dx summed over its rows, in the order of the contract.
//!
//! 64 rows make one of a matrix of partial sums, which is summed up likewise, until no more than 64 rows are left for the
//! last stage. The order leaves the columns free, and the sums of each: one invocation does four columns of one sum. Each
//! row is read once; the partial sums of f32 take a 63rd of dx's memory, where rows are whole quads.

use core::iter;
use core::mem::size_of;
use std::sync::{Arc, OnceLock};

use bytemuck::{Pod, Zeroable};
use wgpu::BufferBinding;

use super::binding::Range;
use super::form::{check_rows, tensor_bytes};
use super::kernels::{Inner, Kernels};
use super::memory::create_buffer;
use super::plan::{PlanError, PlanLimits, folded};
use super::scope::ErrorScopes;
use super::uniforms::Uniforms;
use super::variant::{Extent, ShaderFile, file, joined};
use super::{BindError, DeviceError};
use crate::DType;
use crate::fused::ROWS_OF_A_SUM;

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
/// Owns scratch buffers of [`scratch_bytes`](Self::scratch_bytes) for the partial sums, so two recordings of one
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
    phase: u32,
    first_quad: u32,
    dbias_columns: u32,
    always_zero: u32,
}

/// Columns that an invocation works on.
const QUAD: u64 = 4;

/// Bytes of four columns of a partial sum.
const QUAD_BYTES: u64 = QUAD * size_of::<f32>() as u64;

/// What a pipeline makes of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Rows of the element type to partial sums.
    Partial,
    /// The last of the partial sums to the gradient in the element type.
    Total,
}

/// The pipelines built so far, for each stage, element type and extent.
pub(crate) type BuiltStages = [[[OnceLock<wgpu::ComputePipeline>; 2]; DType::ALL.len()]; 2];

/// The files of a stage, in the order in which they are joined.
pub(crate) fn files(stage: Stage, dtype: DType, extent: Extent) -> Vec<ShaderFile> {
    let element = match dtype {
        DType::F32 => vec![file!("element/as_f32.wgsl")],
        DType::F16 => vec![file!("element/positive_by_clamp.wgsl"), file!("element/as_f16.wgsl")],
        DType::Bf16 => vec![file!("element/as_bf16.wgsl")],
    };
    let (from, last) = match stage {
        Stage::Partial => (
            match dtype {
                DType::F32 => vec![file!("bias_gradient/from_words.wgsl")],
                DType::F16 => vec![
                    file!("element/halves.wgsl"),
                    file!("bias_gradient/from_halves.wgsl"),
                    file!("bias_gradient/from_f16.wgsl"),
                ],
                DType::Bf16 => vec![
                    file!("element/halves.wgsl"),
                    file!("bias_gradient/from_halves.wgsl"),
                    file!("bias_gradient/from_bf16.wgsl"),
                ],
            },
            vec![
                match extent {
                    Extent::Whole => file!("bias_gradient/dx_whole.wgsl"),
                    Extent::Tail => file!("bias_gradient/dx_any.wgsl"),
                },
                file!("bias_gradient/partial.wgsl"),
            ],
        ),
        // Of partial sums, whatever the element type: rows of f32 and of whole quads.
        Stage::Total => (
            vec![file!("bias_gradient/from_words.wgsl")],
            vec![
                file!("bias_gradient/dx_whole.wgsl"),
                match dtype {
                    DType::F32 => file!("bias_gradient/to_words.wgsl"),
                    DType::F16 | DType::Bf16 => file!("bias_gradient/to_halves.wgsl"),
                },
                match extent {
                    Extent::Whole => file!("bias_gradient/dbias_whole.wgsl"),
                    Extent::Tail => file!("bias_gradient/dbias_any.wgsl"),
                },
                file!("bias_gradient/total.wgsl"),
            ],
        ),
    };
    let common = [file!("element/sum.wgsl"), file!("bias_gradient/sums.wgsl")];
    element.into_iter().chain(common).chain(from).chain(last).collect()
}

/// Every shader, its name and its files.
pub(crate) fn shaders() -> impl Iterator<Item = (String, Vec<ShaderFile>)> {
    DType::ALL.into_iter().flat_map(|dtype| {
        [(Extent::Whole, "whole"), (Extent::Tail, "tail")]
            .into_iter()
            .flat_map(move |(extent, columns)| {
                [(Stage::Partial, "partial"), (Stage::Total, "total")].map(|(stage, name)| {
                    (
                        format!("{dtype} bias-gradient {columns} {name}"),
                        files(stage, dtype, extent),
                    )
                })
            })
    })
}

impl Inner {
    pub(super) fn stage(
        &self,
        stage: Stage,
        dtype: DType,
        extent: Extent,
    ) -> Result<&wgpu::ComputePipeline, DeviceError> {
        let known = &self.bias_gradients[stage as usize][dtype as usize][extent as usize];
        if let Some(known) = known.get() {
            return Ok(known);
        }
        let scopes = ErrorScopes::push(&self.device);
        let name = format!("BiasGradient {stage:?} {dtype}");
        let (label, module) = self.shader(&name, joined(&files(stage, dtype, extent)));
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[("workgroup_size", f64::from(self.limits.workgroup_size))],
                ..Default::default()
            },
            cache: self.pipeline_cache.as_ref(),
        });
        scopes.pop()?;
        // Two threads may have built it; either will do.
        Ok(known.get_or_init(|| pipeline))
    }
}

/// Rows to be added up, by arithmetic alone.
#[derive(Clone, Copy, Debug)]
struct Rows {
    count: u64,
    /// Elements of a row.
    columns: u64,
    element_bytes: u64,
}

/// A part of them that one binding holds, and of the sums that they make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    /// Of the rows, in bytes: where the binding starts, and how long it is.
    from: [u64; 2],
    /// Of the sums likewise.
    to: [u64; 2],
    /// Where the rows start behind the binding, in elements, and where the sums do, in quads.
    start: u64,
    first_quad: u64,
    rows: u64,
    phase: u64,
    sums: u64,
}

impl Rows {
    fn sums(&self) -> u64 {
        self.count.div_ceil(ROWS_OF_A_SUM)
    }

    fn row_bytes(&self) -> u64 {
        self.columns * self.element_bytes
    }

    /// Rows of one binding, or none where not even one fits.
    fn of_a_window(&self, limits: &PlanLimits) -> u64 {
        if (self.count * self.row_bytes()).next_multiple_of(4) <= limits.max_binding_bytes {
            return self.count;
        }
        // A window's first row may start anywhere behind an aligned offset, and end within a word.
        let rows = limits.max_binding_bytes.saturating_sub(limits.offset_alignment + 4) / self.row_bytes();
        // Whole sums where that is no matter.
        if rows > ROWS_OF_A_SUM {
            rows / ROWS_OF_A_SUM * ROWS_OF_A_SUM
        } else {
            rows
        }
    }

    /// All of them, in order, with where so many quads of each sum go.
    fn windows(self, quads: u64, limits: &PlanLimits) -> impl Iterator<Item = Window> + use<> {
        let of_a_window = self.of_a_window(limits).max(1);
        let alignment = limits.offset_alignment;
        (0..self.count.div_ceil(of_a_window)).map(move |n| {
            let first_row = n * of_a_window;
            let rows = (self.count - first_row).min(of_a_window);
            let aligned = |bytes: u64| bytes / alignment * alignment;
            let start = first_row * self.row_bytes();
            let end = (start + rows * self.row_bytes()).next_multiple_of(4);
            let phase = first_row % ROWS_OF_A_SUM;
            let sums = (phase + rows).div_ceil(ROWS_OF_A_SUM);
            let first_quad = first_row / ROWS_OF_A_SUM * quads;
            let sums_start = aligned(first_quad * QUAD_BYTES);
            let sums_end = (first_quad + sums * quads) * QUAD_BYTES;
            Window {
                from: [aligned(start), end - aligned(start)],
                to: [sums_start, sums_end - sums_start],
                start: (start - aligned(start)) / self.element_bytes,
                first_quad: first_quad - sums_start / QUAD_BYTES,
                rows,
                phase,
                sums,
            }
        })
    }
}

/// How a tensor is cut into columns that are summed up one after the other.
#[derive(Clone, Copy, Debug)]
struct Cut {
    dx: Rows,
    columns_of_a_dispatch: u64,
}

impl Cut {
    fn new(limits: &PlanLimits, dx: Rows) -> Result<Self, BindError> {
        // A binding holds the rows of the last sum; of two, that others may start at an aligned offset.
        let needed_bytes = ROWS_OF_A_SUM * QUAD_BYTES;
        if limits.max_binding_bytes < needed_bytes {
            return Err(BindError::Plan(PlanError::Binding {
                max_binding_bytes: limits.max_binding_bytes,
                needed_bytes,
            }));
        }
        let quads = (limits.max_binding_bytes / (2 * needed_bytes)).max(1);
        let columns_of_a_dispatch = (quads * QUAD).min(dx.columns.next_multiple_of(QUAD));
        let row_bytes = dx.row_bytes();
        let fits = dx.count == 0 || dx.of_a_window(limits) > 0;
        // A column is a 32-bit number in the shader.
        let counts = u32::try_from(dx.columns).is_ok();
        if !fits || !counts || row_bytes > limits.max_binding_bytes {
            return Err(BindError::LongRow {
                columns: dx.columns,
                bytes: row_bytes,
                max_binding_bytes: limits.max_binding_bytes,
            });
        }
        Ok(Self {
            dx,
            columns_of_a_dispatch,
        })
    }

    /// The first column and the columns of each pass, whole quads.
    fn columns(&self) -> impl Iterator<Item = (u64, u64)> + use<> {
        let Self {
            dx: Rows { columns, .. },
            columns_of_a_dispatch,
        } = *self;
        (0..columns.div_ceil(columns_of_a_dispatch)).map(move |n| {
            let first = n * columns_of_a_dispatch;
            (
                first,
                (columns - first).min(columns_of_a_dispatch).next_multiple_of(QUAD),
            )
        })
    }

    /// The partial sums of so many columns, each made of the ones before: the last are no more than one sum's.
    fn partial_sums(&self, columns: u64) -> impl Iterator<Item = Rows> + use<> {
        let of = move |count| Rows {
            count,
            columns,
            element_bytes: size_of::<f32>() as u64,
        };
        iter::successors(Some(of(self.dx.sums())), move |rows| {
            (rows.count > ROWS_OF_A_SUM).then(|| of(rows.sums()))
        })
    }
}

fn part<'a>(whole: &BufferBinding<'a>, [offset, bytes]: [u64; 2]) -> BufferBinding<'a> {
    BufferBinding {
        offset: whole.offset + offset,
        size: wgpu::BufferSize::new(bytes),
        ..whole.clone()
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

        let rows = Rows {
            count: elements / columns,
            columns,
            element_bytes: dtype.bytes(),
        };
        let limits = &inner.limits;
        let cut = Cut::new(limits, rows)?;
        let extent = if columns.is_multiple_of(QUAD) {
            Extent::Whole
        } else {
            Extent::Tail
        };
        let first = inner.stage(Stage::Partial, dtype, extent)?;
        let between = if rows.sums() > ROWS_OF_A_SUM {
            inner.stage(Stage::Partial, DType::F32, Extent::Whole)?
        } else {
            first // not recorded
        };
        let last = inner.stage(Stage::Total, dtype, extent)?;
        let scopes = ErrorScopes::push(&inner.device);
        // As large as the first columns need, which are the most.
        let scratch: Vec<_> = cut
            .partial_sums(cut.columns_of_a_dispatch)
            .map(|sums| {
                let descriptor = wgpu::BufferDescriptor {
                    label: Some("wgpu_dropout::BiasGradient::scratch"),
                    // Where there are no rows, the last stage has a binding all the same.
                    size: sums.count.max(1) * sums.row_bytes(),
                    usage: wgpu::BufferUsages::STORAGE,
                    mapped_at_creation: false,
                };
                create_buffer(&inner.device, &descriptor)
            })
            .collect();
        let scratch_bytes = scratch.iter().map(wgpu::Buffer::size).sum();
        // In the order in which they run: all sums of some columns, then those of others.
        let mut planned = Vec::new();
        for (first_column, of_dispatch) in cut.columns() {
            let quads = of_dispatch / QUAD;
            let (mut from, mut rows, mut column) = (dx.all(), cut.dx, first_column);
            let pipelines = iter::once(first).chain(iter::repeat(between));
            for ((sums, scratch), pipeline) in cut.partial_sums(of_dispatch).zip(&scratch).zip(pipelines) {
                for window in rows.windows(quads, limits) {
                    let told = Sums {
                        columns: rows.columns as u32,
                        first_column: column as u32,
                        quads: quads as u32,
                        start: window.start as u32,
                        rows: window.rows as u32,
                        phase: window.phase as u32,
                        first_quad: window.first_quad as u32,
                        ..Sums::zeroed()
                    };
                    let from = part(&from, window.from);
                    let to = part(&scratch.as_entire_buffer_binding(), window.to);
                    planned.push((pipeline, from, to, told, window.sums * quads));
                }
                (from, rows, column) = (scratch.as_entire_buffer_binding(), sums, 0);
            }
            let told = Sums {
                columns: rows.columns as u32,
                quads: quads as u32,
                rows: rows.count as u32,
                first_quad: (first_column / QUAD) as u32,
                dbias_columns: columns as u32,
                ..Sums::zeroed()
            };
            planned.push((last, from, dbias.all(), told, quads));
        }
        let uniforms = Uniforms::new(&inner.device, label, planned.iter().map(|(_, _, _, told, _)| *told));
        let dispatches = planned
            .into_iter()
            .zip(0..)
            .map(|((pipeline, from, to, _, invocations), n)| {
                let resources = [uniforms.binding(n), to, from];
                let entries: Vec<_> = resources
                    .into_iter()
                    .zip(0..)
                    .map(|(resource, binding)| wgpu::BindGroupEntry {
                        binding,
                        resource: wgpu::BindingResource::Buffer(resource),
                    })
                    .collect();
                Ok(Dispatch {
                    pipeline: pipeline.clone(),
                    bind_group: inner.device.create_bind_group(&wgpu::BindGroupDescriptor {
                        label,
                        layout: &pipeline.get_bind_group_layout(0),
                        entries: &entries,
                    }),
                    workgroups: folded(invocations, limits)?,
                })
            });
        let dispatches = dispatches.collect::<Result<_, BindError>>()?;
        scopes.pop()?;
        Ok(BiasGradient {
            dispatches,
            scratch_bytes,
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
        let files = files(Stage::Partial, DType::F32, Extent::Whole);
        let (shader, span) = layout::of_struct(&joined(&files), "Sums");
        let host =
            layout::host!(Sums: columns first_column quads start rows phase first_quad dbias_columns always_zero);
        assert_eq!(shader, host);
        assert_eq!(span, size_of::<Sums>());
        let text = include_str!("../../shaders/bias_gradient/sums.wgsl");
        assert!(text.contains(&format!("const ROWS_OF_A_SUM: u32 = {ROWS_OF_A_SUM}u;")));
    }

    /// Every row is summed once, into the partial sum that is its own, within every limit.
    #[test]
    fn windows_are_all_rows() {
        for max_binding_bytes in [2048, 4096, 10_000, 1 << 20] {
            let limits = PlanLimits {
                max_binding_bytes,
                ..limits()
            };
            for (count, columns, element_bytes) in [
                (0, 5, 4),
                (1, 1, 2),
                (1000, 7, 2),
                (70_001, 3, 2),
                (300, 255, 4),
                (100, 800, 2), // less than one sum in a window
            ] {
                let dx = Rows {
                    count,
                    columns,
                    element_bytes,
                };
                let cut = Cut::new(&limits, dx).expect("it fits");
                let mut next_column = 0;
                for (first_column, columns) in cut.columns() {
                    assert_eq!(first_column, next_column);
                    next_column += columns;
                    let mut rows = dx;
                    for sums in cut.partial_sums(columns) {
                        check_windows(rows, sums, &limits);
                        rows = sums;
                    }
                    assert!(rows.count <= ROWS_OF_A_SUM);
                    assert!(rows.count * rows.row_bytes() <= max_binding_bytes);
                }
                assert_eq!(next_column, columns.next_multiple_of(QUAD));
            }
        }
    }

    fn limits() -> PlanLimits {
        let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
        Kernels::new(&device, &queue).expect("kernels").limits()
    }

    fn check_windows(rows: Rows, sums: Rows, limits: &PlanLimits) {
        let quads = sums.columns / QUAD;
        let (mut next_row, mut end_of_sums) = (0, 0);
        for window in rows.windows(quads, limits) {
            for [offset, bytes] in [window.from, window.to] {
                assert!(bytes <= limits.max_binding_bytes);
                assert_eq!(offset % limits.offset_alignment, 0);
            }
            let start = window.from[0] + window.start * rows.element_bytes;
            assert_eq!(start, next_row * rows.row_bytes());
            let end = start + window.rows * rows.row_bytes();
            assert!((end..end + 4).contains(&(window.from[0] + window.from[1])));
            assert_eq!(window.phase, next_row % ROWS_OF_A_SUM);
            let first_sum = next_row / ROWS_OF_A_SUM;
            assert_eq!(
                window.to[0] + window.first_quad * QUAD_BYTES,
                first_sum * sums.row_bytes()
            );
            next_row += window.rows;
            end_of_sums = next_row.div_ceil(ROWS_OF_A_SUM);
            assert_eq!(first_sum + window.sums, end_of_sums);
            assert_eq!(window.to[0] + window.to[1], end_of_sums * sums.row_bytes());
        }
        assert_eq!(next_row, rows.count);
        assert_eq!(end_of_sums, sums.count);
    }
}
