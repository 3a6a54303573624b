//! One operation over host memory, run to its end: what the blocking calls and the self-test stand on.
//!
//! Unlike the kernels themselves this creates buffers, submits and waits.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use wgpu::BufferBinding;

use super::memory::create_buffer;
use super::params::halves;
use super::scope::ErrorScopes;
use super::{
    BackwardMask, BiasGradientDescriptor, BindDescriptor, DeviceError, Kernels, Operation, RowBias, RunError,
    StoredMask,
};
use crate::draw::Seeds;
use crate::{DType, Draw, MaskFormat};

/// Ranges of a job at most.
const REGIONS: usize = 7;

/// Where the ranges of a job lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Whether the output is the input's own memory.
    pub(crate) in_place: bool,
    /// Whether the output is the residual's own memory.
    pub(crate) residual_in_place: bool,
    /// Which buffer holds input, output, stored mask, mask to store, bias, residual, seeds: equal numbers share one.
    pub(crate) buffers: [u8; REGIONS],
}

impl Placement {
    /// Each in a buffer of its own.
    pub(crate) const APART: Self = Self {
        in_place: false,
        residual_in_place: false,
        buffers: [0, 1, 2, 3, 4, 5, 6],
    };
    /// The output in the input's memory.
    pub(crate) const IN_PLACE: Self = Self {
        in_place: true,
        ..Self::APART
    };
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Forward(Option<MaskFormat>),
    ForwardFused,
    Backward(Option<MaskFormat>),
    Mask(MaskFormat),
    Inference,
}

/// One operation over host memory.
///
/// Outputs may be longer than the tensor; the rest comes back as it went in where `prefill` is set.
pub(crate) struct Job<'a> {
    pub(crate) draw: Draw<'a>,
    /// Elements of the call's seeds that lie before the job's own.
    pub(crate) first_element: u64,
    pub(crate) task: Task,
    pub(crate) dtype: DType,
    pub(crate) elements: u64,
    pub(crate) placement: Placement,
    /// Whether outputs are uploaded first, for their untouched parts to be seen.
    pub(crate) prefill: bool,
    /// Empty where the job is done in place: then `output` holds the input.
    pub(crate) input: &'a [u8],
    /// Of a fused forward.
    pub(crate) bias: Option<&'a [u8]>,
    /// Of a fused forward; empty where the output holds it.
    pub(crate) residual: Option<&'a [u8]>,
    pub(crate) output: &'a mut [u8],
    pub(crate) mask_in: &'a [u8],
    pub(crate) mask_out: &'a mut [u8],
}

/// A range of a buffer.
struct Region {
    buffer: wgpu::Buffer,
    offset: u64,
    bytes: u64,
}

impl Region {
    fn binding(&self) -> BufferBinding<'_> {
        BufferBinding {
            buffer: &self.buffer,
            offset: self.offset,
            size: None,
        }
    }

    /// Writes bytes that need not be whole words; the last word is filled up with zeros.
    fn upload(&self, queue: &wgpu::Queue, bytes: &[u8]) {
        let (words, rest) = bytes.split_at(bytes.len() / 4 * 4);
        if !words.is_empty() {
            queue.write_buffer(&self.buffer, self.offset, words);
        }
        if !rest.is_empty() {
            let mut word = [0; 4];
            word[..rest.len()].copy_from_slice(rest);
            queue.write_buffer(&self.buffer, self.offset + words.len() as u64, &word);
        }
    }

    /// Writes seeds as the shaders read them, without a second copy of them all.
    fn upload_seeds(&self, queue: &wgpu::Queue, seeds: &[u64]) {
        let mut words = [[0; 2]; SEEDS_AT_A_TIME];
        for (seeds, n) in seeds.chunks(SEEDS_AT_A_TIME).zip(0..) {
            let words = &mut words[..seeds.len()];
            for (words, &seed) in words.iter_mut().zip(seeds) {
                *words = halves(seed);
            }
            let offset = self.offset + n * size_of::<[[u32; 2]; SEEDS_AT_A_TIME]>() as u64;
            queue.write_buffer(&self.buffer, offset, bytemuck::cast_slice(words));
        }
    }
}

/// Seeds that are turned into words at a time.
const SEEDS_AT_A_TIME: usize = 1 << 11;

/// Regions of the given lengths, none of them empty for wgpu's sake.
fn regions(kernels: &Kernels, lengths: [usize; REGIONS], placement: Placement) -> [Region; REGIONS] {
    let alignment = kernels.limits().offset_alignment;
    let words = lengths.map(|length| (length as u64).next_multiple_of(4).max(4));
    let mut offsets = [0; REGIONS];
    let mut ends = [0u64; REGIONS];
    for (i, buffer) in placement.buffers.into_iter().enumerate() {
        let end = &mut ends[usize::from(buffer)];
        offsets[i] = end.next_multiple_of(alignment);
        *end = offsets[i] + words[i];
    }
    let buffers = ends.map(|end| {
        create_buffer(
            kernels.device(),
            &wgpu::BufferDescriptor {
                label: Some("wgpu_dropout::run"),
                size: end.max(4),
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            },
        )
    });
    core::array::from_fn(|i| Region {
        buffer: buffers[usize::from(placement.buffers[i])].clone(),
        offset: offsets[i],
        bytes: words[i],
    })
}

/// Runs a job: uploads, records, submits, waits, and only then writes the outputs.
pub(crate) async fn run(kernels: &Kernels, job: Job<'_>) -> Result<(), RunError> {
    let (device, queue) = (kernels.device(), kernels.queue());
    let scopes = ErrorScopes::push(device);
    let in_place = job.placement.in_place;
    let lengths = [
        job.input.len(),
        job.output.len(),
        job.mask_in.len(),
        job.mask_out.len(),
        job.bias.map_or(0, <[u8]>::len),
        job.residual.map_or(0, <[u8]>::len),
        8 * job.draw.seeds.map_or(0, |seeds| seeds.values.len()),
    ];
    let [input, output, mask_in, mask_out, bias, residual, seeds] = regions(kernels, lengths, job.placement);
    // A buffer that could not be had would make each of the calls below fail in turn.
    scopes.pop()?;

    let scopes = ErrorScopes::push(device);
    input.upload(queue, job.input);
    mask_in.upload(queue, job.mask_in);
    for (region, bytes) in [(&bias, job.bias), (&residual, job.residual)] {
        region.upload(queue, bytes.unwrap_or_default());
    }
    if let Some(Seeds { values, .. }) = job.draw.seeds {
        seeds.upload_seeds(queue, values);
    }
    if in_place || job.placement.residual_in_place || job.prefill {
        output.upload(queue, job.output);
    }
    if job.prefill {
        mask_out.upload(queue, job.mask_out);
    }
    let x = if in_place { output.binding() } else { input.binding() };
    let y = output.binding();
    let operation = match job.task {
        Task::Forward(store) => Operation::Forward {
            x,
            y,
            store: store.map(|format| stored_mask(format, &mask_out)),
        },
        Task::ForwardFused => Operation::ForwardFused {
            bias: job.bias.map(|bytes| RowBias {
                values: bias.binding(),
                columns: bytes.len() as u64 / job.dtype.bytes(),
            }),
            residual: job.residual.map(|_| {
                if job.placement.residual_in_place {
                    output.binding()
                } else {
                    residual.binding()
                }
            }),
            x,
            y,
        },
        Task::Backward(source) => Operation::Backward {
            dy: x,
            dx: y,
            mask: source.map_or(BackwardMask::Drawn, |format| {
                BackwardMask::Stored(stored_mask(format, &mask_in))
            }),
        },
        Task::Mask(format) => Operation::Mask {
            store: stored_mask(format, &mask_out),
        },
        Task::Inference => Operation::Inference { x, y },
    };
    let binding = kernels.bind(&BindDescriptor {
        label: Some("wgpu_dropout::run"),
        dtype: job.dtype,
        elements: job.elements,
        map: job.draw.map,
        seeds: job.draw.seeds.map(|of| super::Seeds {
            values: seeds.binding(),
            elements_per_seed: of.elements_per_seed,
            first_element: job.first_element,
        }),
        operation,
    })?;

    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
        label: Some("wgpu_dropout::run"),
    });
    binding.encode(&mut encoder, job.draw.dropout)?;
    let mut downloads = Vec::with_capacity(2);
    for (region, host) in [(&output, job.output), (&mask_out, job.mask_out)] {
        if !host.is_empty() {
            downloads.push((Download::encode(device, &mut encoder, region), host));
        }
    }
    queue.submit([encoder.finish()]);
    scopes.pop()?;

    for (download, _) in &downloads {
        download.map();
    }
    wait(device)?;
    for (download, _) in &downloads {
        download.mapped().await?;
    }
    for (download, host) in downloads {
        download.read(host)?;
    }
    Ok(())
}

/// The gradient of a bias of so many columns. `dbias` may be longer, and goes up first: what the kernels leave alone
/// comes back as it was.
pub(crate) async fn sum_rows(
    kernels: &Kernels,
    dtype: DType,
    columns: u64,
    dx: &[u8],
    dbias: &mut [u8],
) -> Result<(), RunError> {
    let (device, queue) = (kernels.device(), kernels.queue());
    let scopes = ErrorScopes::push(device);
    let [input, output, ..] = regions(kernels, [dx.len(), dbias.len(), 0, 0, 0, 0, 0], Placement::APART);
    // A buffer that could not be had would make each of the calls below fail in turn.
    scopes.pop()?;

    let scopes = ErrorScopes::push(device);
    input.upload(queue, dx);
    output.upload(queue, dbias);
    let gradient = kernels.bind_bias_gradient(&BiasGradientDescriptor {
        label: Some("wgpu_dropout::sum_rows"),
        dtype,
        elements: dx.len() as u64 / dtype.bytes(),
        columns,
        dx: input.binding(),
        dbias: output.binding(),
    })?;
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
        label: Some("wgpu_dropout::sum_rows"),
    });
    gradient.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
    let download = Download::encode(device, &mut encoder, &output);
    queue.submit([encoder.finish()]);
    scopes.pop()?;

    download.map();
    wait(device)?;
    download.mapped().await?;
    download.read(dbias)?;
    Ok(())
}

fn stored_mask(format: MaskFormat, region: &Region) -> StoredMask<'_> {
    match format {
        MaskFormat::Bits => StoredMask::Bits(region.binding()),
        MaskFormat::Bytes => StoredMask::Bytes(region.binding()),
    }
}

/// Waits until the queue is empty. In a browser this returns at once and the event loop goes on.
pub(crate) fn wait(device: &wgpu::Device) -> Result<(), DeviceError> {
    device
        .poll(wgpu::PollType::wait_indefinitely())
        .map(drop)
        .map_err(|error| DeviceError::Lost(error.to_string()))
}

/// What a map callback leaves for the future that waits for it.
#[derive(Default)]
struct MapState {
    result: Option<Result<(), wgpu::BufferAsyncError>>,
    waker: Option<Waker>,
}

/// A copy of a region on its way to the host.
pub(crate) struct Download {
    staging: wgpu::Buffer,
    state: Arc<Mutex<MapState>>,
}

impl Download {
    fn encode(device: &wgpu::Device, encoder: &mut wgpu::CommandEncoder, region: &Region) -> Self {
        let staging = create_buffer(
            device,
            &wgpu::BufferDescriptor {
                label: Some("wgpu_dropout::run::staging"),
                size: region.bytes,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            },
        );
        encoder.copy_buffer_to_buffer(&region.buffer, region.offset, &staging, 0, region.bytes);
        Self::of(staging)
    }

    /// A download of a buffer that can be mapped itself.
    pub(crate) fn of(staging: wgpu::Buffer) -> Self {
        Self {
            staging,
            state: Arc::default(),
        }
    }

    pub(crate) fn map(&self) {
        let state = Arc::clone(&self.state);
        self.staging.map_async(wgpu::MapMode::Read, .., move |result| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.result = Some(result);
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        });
    }

    pub(crate) async fn mapped(&self) -> Result<(), DeviceError> {
        let result = core::future::poll_fn(|context| {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match state.result.take() {
                Some(result) => Poll::Ready(result),
                None => {
                    state.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
        result.map_err(|error| DeviceError::Lost(error.to_string()))
    }

    fn read(self, host: &mut [u8]) -> Result<(), DeviceError> {
        self.with_bytes(|bytes| host.copy_from_slice(&bytes[..host.len()]))
    }

    /// Hands over the mapped bytes, then unmaps.
    pub(crate) fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> Result<R, DeviceError> {
        let view = self
            .staging
            .slice(..)
            .get_mapped_range()
            .map_err(|error| DeviceError::Lost(error.to_string()))?;
        let result = f(&view);
        drop(view);
        self.staging.unmap();
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than are turned into words at a time, by a number that it does not divide.
    #[test]
    fn seeds_arrive_whole() {
        let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
        let seeds: Vec<u64> = (0..2 * SEEDS_AT_A_TIME as u64 + 77)
            .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .collect();
        let bytes = 8 * seeds.len() as u64;
        let region = Region {
            buffer: device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 256 + bytes,
                usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
                mapped_at_creation: false,
            }),
            offset: 256,
            bytes,
        };
        region.upload_seeds(&queue, &seeds);
        queue.submit([]);
        let download = Download::of(region.buffer);
        download.map();
        wait(&device).expect("done");
        pollster::block_on(download.mapped()).expect("mapped");
        let expected: Vec<u8> = seeds.iter().flat_map(|seed| seed.to_le_bytes()).collect();
        let same = download.with_bytes(|found| found[..256] == [0; 256] && found[256..] == expected[..]);
        assert_eq!(same, Ok(true));
    }
}
