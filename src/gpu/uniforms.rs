//! One uniform for each window of a binding, all in one buffer.

use core::marker::PhantomData;

use bytemuck::Pod;

use super::memory::create_buffer;

/// A buffer that holds these bytes from the start.
///
/// Where it could not be had, the caller's error scope tells.
pub(crate) fn filled(
    device: &wgpu::Device,
    label: wgpu::Label<'_>,
    bytes: &[u8],
    usage: wgpu::BufferUsages,
) -> wgpu::Buffer {
    let buffer = create_buffer(
        device,
        &wgpu::BufferDescriptor {
            label,
            size: bytes.len() as u64,
            usage,
            mapped_at_creation: true,
        },
    );
    if let Ok(mut view) = buffer.get_mapped_range_mut(..) {
        view.copy_from_slice(bytes);
    }
    buffer.unmap();
    buffer
}

/// The uniforms of a binding's windows.
pub(crate) struct Uniforms<T> {
    buffer: wgpu::Buffer,
    stride: u64,
    of: PhantomData<T>,
}

impl<T: Pod> Uniforms<T> {
    pub(crate) fn new(
        device: &wgpu::Device,
        label: wgpu::Label<'_>,
        uniforms: impl ExactSizeIterator<Item = T>,
    ) -> Self {
        let stride = size_of::<T>().next_multiple_of(device.limits().min_uniform_buffer_offset_alignment as usize);
        let mut bytes = vec![0; stride * uniforms.len().max(1)];
        for (uniform, slot) in uniforms.zip(bytes.chunks_exact_mut(stride)) {
            slot[..size_of::<T>()].copy_from_slice(bytemuck::bytes_of(&uniform));
        }
        Self {
            buffer: filled(device, label, &bytes, wgpu::BufferUsages::UNIFORM),
            stride: stride as u64,
            of: PhantomData,
        }
    }

    /// That of the n-th window.
    pub(crate) fn binding(&self, n: u64) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding {
            buffer: &self.buffer,
            offset: n * self.stride,
            size: wgpu::BufferSize::new(size_of::<T>() as u64),
        }
    }
}
