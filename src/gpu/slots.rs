//! Parameters for devices without immediates: slots of one uniform buffer, chosen by dynamic offset.
//!
//! A recording takes a slot for each dispatch and holds it until the GPU has done the work (or the
//! recording is thrown away), so a slot is never written while a dispatch may still read it.

use std::sync::{Arc, Mutex, PoisonError};

use super::RecordError;
use super::memory::create_buffer;
use super::params::{PARAMS_BYTES, Params};

/// The buffer, its bind group and the slots that are free.
pub(crate) struct ParameterSlots {
    buffer: wgpu::Buffer,
    pub(crate) bind_group: wgpu::BindGroup,
    stride: u32,
    slots: usize,
    free: Arc<Mutex<Vec<u32>>>,
}

/// Slots held by one recording; free again when dropped.
pub(crate) struct HeldSlots {
    indices: Vec<u32>,
    free: Arc<Mutex<Vec<u32>>>,
}

impl Drop for HeldSlots {
    fn drop(&mut self) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.append(&mut self.indices);
    }
}

pub(crate) fn layout(device: &wgpu::Device) -> wgpu::BindGroupLayout {
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("wgpu_dropout::ParameterSlots"),
        entries: &[wgpu::BindGroupLayoutEntry {
            binding: 0,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Uniform,
                has_dynamic_offset: true,
                min_binding_size: wgpu::BufferSize::new(u64::from(PARAMS_BYTES)),
            },
            count: None,
        }],
    })
}

impl ParameterSlots {
    pub(crate) fn new(device: &wgpu::Device, layout: &wgpu::BindGroupLayout, slots: u32) -> Self {
        let stride = PARAMS_BYTES.next_multiple_of(device.limits().min_uniform_buffer_offset_alignment);
        let buffer = create_buffer(
            device,
            &wgpu::BufferDescriptor {
                label: Some("wgpu_dropout::ParameterSlots"),
                size: u64::from(stride) * u64::from(slots),
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            },
        );
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("wgpu_dropout::ParameterSlots"),
            layout,
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &buffer,
                    offset: 0,
                    size: wgpu::BufferSize::new(u64::from(PARAMS_BYTES)),
                }),
            }],
        });
        Self {
            buffer,
            bind_group,
            stride,
            slots: slots as usize,
            free: Arc::new(Mutex::new((0..slots).rev().collect())),
        }
    }

    /// Takes `needed` slots, or none.
    pub(crate) fn hold(&self, needed: usize) -> Result<HeldSlots, RecordError> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rest) = free.len().checked_sub(needed) else {
            return Err(RecordError::Slots {
                needed,
                free: free.len(),
                slots: self.slots,
            });
        };
        Ok(HeldSlots {
            indices: free.split_off(rest),
            free: Arc::clone(&self.free),
        })
    }

    /// Fills the n-th held slot and gives its dynamic offset.
    pub(crate) fn write(&self, queue: &wgpu::Queue, held: &HeldSlots, n: usize, params: &Params) -> u32 {
        let offset = held.indices[n] * self.stride;
        queue.write_buffer(&self.buffer, u64::from(offset), bytemuck::bytes_of(params));
        offset
    }
}
