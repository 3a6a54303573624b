//! The kernels on this browser's WebGPU.

use futures_channel::oneshot;
use wasm_bindgen::prelude::*;
use wgpu_dropout::DType;
use wgpu_dropout::gpu::{BackwardMask, BindDescriptor, Binding, Kernels, Operation};

use crate::{Dropout, js_error};

/// What a binding does.
#[derive(Clone, Copy)]
pub(crate) enum Pass {
    Forward,
    Backward,
}

/// A device of this browser's WebGPU and the kernels on it.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Gpu {
    kernels: Kernels,
}

#[wasm_bindgen]
impl Gpu {
    /// Asks for an adapter and a device. Throws where there is none, and says what to do.
    pub async fn request() -> Result<Self, JsError> {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::BROWSER_WEBGPU;
        let instance = wgpu::Instance::new(descriptor);
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance.request_adapter(&options).await.map_err(|error| {
            JsError::new(&format!(
                "this browser offers no WebGPU adapter ({error}). Use a current Chrome, Edge, Safari or Firefox over \
                 https or on localhost, and see chrome://gpu or about:support if it is one"
            ))
        })?;
        let limits = adapter.limits();
        let request = adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("wgpu-dropout"),
            required_features: adapter.features() & Kernels::optional_features(),
            required_limits: limits,
            ..Default::default()
        });
        let (device, queue) = request.await.map_err(|error| js_error(&error))?;
        let kernels = Kernels::new(&device, &queue).map_err(|error| js_error(&error))?;
        Ok(Self { kernels })
    }

    /// Elements that a tensor may have at most where its values are f32.
    #[wasm_bindgen(getter, js_name = maxElements)]
    #[must_use]
    pub fn max_elements(&self) -> f64 {
        (self.device().limits().max_buffer_size / 4) as f64
    }

    /// Training: y of x, as [`Dropout::forward`] on the CPU, to the last bit.
    pub async fn forward(&self, dropout: &Dropout, x: Vec<f32>) -> Result<Vec<f32>, JsError> {
        self.through(dropout, &x, Pass::Forward).await
    }

    /// The gradient: dx of dy; the mask is drawn again.
    pub async fn backward(&self, dropout: &Dropout, dy: Vec<f32>) -> Result<Vec<f32>, JsError> {
        self.through(dropout, &dy, Pass::Backward).await
    }
}

impl Gpu {
    pub(crate) fn device(&self) -> &wgpu::Device {
        self.kernels.device()
    }

    pub(crate) fn queue(&self) -> &wgpu::Queue {
        self.kernels.queue()
    }

    /// A buffer, or an error where the browser has no memory for it.
    pub(crate) async fn buffer(&self, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, JsError> {
        let most = self.device().limits().max_buffer_size;
        if bytes > most {
            return Err(JsError::new(&format!(
                "a tensor of {bytes} bytes is longer than this browser's largest buffer, {most} bytes; cut it, and give \
                 each part its own element offset"
            )));
        }
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("wgpu-dropout"),
            size: bytes.next_multiple_of(16).max(16),
            usage,
            mapped_at_creation: false,
        });
        match scope.pop().await {
            Some(error) => Err(js_error(&error)),
            None => Ok(buffer),
        }
    }

    /// Binds a pass over whole buffers.
    pub(crate) fn bind(
        &self,
        pass: Pass,
        dropout: &Dropout,
        dtype: DType,
        elements: u64,
        [from, to]: [&wgpu::Buffer; 2],
    ) -> Result<Binding, JsError> {
        let (from, to) = (from.as_entire_buffer_binding(), to.as_entire_buffer_binding());
        let operation = match pass {
            Pass::Forward => Operation::Forward {
                x: from,
                y: to,
                store: None,
            },
            Pass::Backward => Operation::Backward {
                dy: from,
                dx: to,
                mask: BackwardMask::Drawn,
            },
        };
        let descriptor = BindDescriptor {
            label: Some("wgpu-dropout"),
            dtype,
            elements,
            map: dropout.map(),
            seeds: None,
            operation,
        };
        self.kernels.bind(&descriptor).map_err(|error| js_error(&error))
    }

    async fn through(&self, dropout: &Dropout, from: &[f32], pass: Pass) -> Result<Vec<f32>, JsError> {
        use wgpu::BufferUsages as Usage;
        let bytes = size_of_val(from) as u64;
        let input = self.buffer(bytes, Usage::STORAGE | Usage::COPY_DST).await?;
        let output = self.buffer(bytes, Usage::STORAGE | Usage::COPY_SRC).await?;
        let binding = self.bind(pass, dropout, DType::F32, from.len() as u64, [&input, &output])?;
        self.queue().write_buffer(&input, 0, bytemuck::cast_slice(from));
        let mut encoder = self
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        binding
            .encode(&mut encoder, dropout.call())
            .map_err(|error| js_error(&error))?;
        self.queue().submit([encoder.finish()]);
        let bytes = self.read(&output, bytes).await?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// Waits until everything submitted so far is done, while the page goes on.
    pub(crate) async fn done(&self) {
        let (send, receive) = oneshot::channel();
        self.queue().on_submitted_work_done(move || {
            // Nobody waits where the promise was dropped.
            let _gone = send.send(());
        });
        let _gone = receive.await;
    }

    /// The first bytes of a buffer.
    pub(crate) async fn read(&self, buffer: &wgpu::Buffer, bytes: u64) -> Result<Vec<u8>, JsError> {
        use wgpu::BufferUsages as Usage;
        let padded = bytes.next_multiple_of(4);
        let staging = self.buffer(padded, Usage::MAP_READ | Usage::COPY_DST).await?;
        let mut encoder = self
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, padded);
        self.queue().submit([encoder.finish()]);
        let (send, receive) = oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            let _gone = send.send(result);
        });
        match receive.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(js_error(&error)),
            Err(_) => return Err(JsError::new("the device is gone")),
        }
        let view = staging.slice(..).get_mapped_range().map_err(|error| js_error(&error))?;
        Ok(view[..bytes as usize].to_vec())
    }
}
