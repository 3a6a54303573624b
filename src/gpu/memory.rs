//! Every buffer of the library is made here, so that tests can have any of them fail.

/// A buffer. Where it could not be had, the caller's error scope tells.
pub(crate) fn create_buffer(device: &wgpu::Device, descriptor: &wgpu::BufferDescriptor<'_>) -> wgpu::Buffer {
    #[cfg(test)]
    let descriptor = &faults::pass(descriptor);
    device.create_buffer(descriptor)
}

#[cfg(test)]
pub(crate) mod faults {
    use core::cell::Cell;

    thread_local! {
        /// Buffers of this thread until the one that fails.
        static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
    }

    /// Counts a buffer, and makes the one that is to fail larger than any address space.
    pub(super) fn pass<'a>(descriptor: &wgpu::BufferDescriptor<'a>) -> wgpu::BufferDescriptor<'a> {
        let left = LEFT.get();
        LEFT.set(left.wrapping_sub(1));
        let size = if left == 0 { 1 << 62 } else { descriptor.size };
        wgpu::BufferDescriptor {
            size,
            ..descriptor.clone()
        }
    }

    /// Runs with the n-th buffer failing; how many were made.
    pub(crate) fn failing<R>(n: u64, f: impl FnOnce() -> R) -> (R, u64) {
        LEFT.set(n);
        let result = f();
        let made = n.wrapping_sub(LEFT.replace(u64::MAX));
        (result, made)
    }
}

#[cfg(test)]
mod tests {
    use super::faults::failing;
    use crate::gpu::blocking::{Context, ContextError};
    use crate::gpu::{
        BindError, DeviceError, KernelOptions, Kernels, KernelsError, ParameterPath, RecordError, RunError,
    };
    use crate::{Draw, Dropout, IndexMap, Neighbours};

    fn context(adapter: &wgpu::Adapter, parameters: ParameterPath) -> Result<Context, ContextError> {
        let options = KernelOptions {
            parameters: Some(parameters),
            ..KernelOptions::default()
        };
        Context::with_adapter(adapter, &options)
    }

    /// A call of the convenience layer, over outputs that hold 9 before.
    type Call = fn(&Context, &mut [f32; 96], &mut [u32; 3], &mut [u8; 96]) -> Result<(), RunError>;

    const X: [f32; 96] = [1.0; 96];

    fn dropout() -> Dropout {
        Dropout::new(0.5, 1).expect("a probability")
    }

    fn calls() -> Vec<(&'static str, Call)> {
        vec![
            ("forward", |gpu, y, _, _| gpu.forward(&dropout(), &X, y)),
            ("forward in place", |gpu, y, _, _| gpu.forward_in_place(&dropout(), y)),
            ("forward with bits", |gpu, y, bits, _| {
                gpu.forward_with_bit_mask(&dropout(), &X, y, bits)
            }),
            ("forward with bytes", |gpu, y, _, bytes| {
                gpu.forward_with_byte_mask(&dropout(), &X, y, bytes)
            }),
            ("forward over a map", |gpu, y, _, _| {
                let map = IndexMap::channels(&[2, 4, 12]).expect("a map");
                gpu.forward(dropout().over(&map), &X, y)
            }),
            ("forward with seeds", |gpu, y, _, _| {
                gpu.forward(Draw::from(&dropout()).with_seeds(&[7, 8], 48), &X, y)
            }),
            ("forward fused", |gpu, y, _, _| {
                let neighbours = Neighbours {
                    bias: Some(&X[..8]),
                    residual: Some(&X[..]),
                };
                gpu.forward_fused(&dropout(), &X, neighbours, y)
            }),
            ("bias gradient", |gpu, y, _, _| gpu.bias_gradient(&X, &mut y[..8])),
            ("backward", |gpu, y, _, _| gpu.backward(&dropout(), &X, y)),
            ("backward from bits", |gpu, y, _, _| {
                gpu.backward_from_bit_mask(&dropout(), &X, &[5; 3], y)
            }),
            ("backward from bytes in place", |gpu, y, _, _| {
                gpu.backward_from_byte_mask_in_place(&dropout(), y, &[1; 96])
            }),
            ("bits", |gpu, _, bits, _| gpu.bit_mask(&dropout(), 96, bits)),
            ("bytes", |gpu, _, _, bytes| gpu.byte_mask(&dropout(), bytes)),
            ("inference", |gpu, y, _, _| gpu.inference(&dropout(), &X, y)),
        ]
    }

    fn is_out_of_memory(error: &RunError) -> bool {
        matches!(
            error,
            RunError::Device(DeviceError::OutOfMemory(_))
                | RunError::Bind(BindError::Device(DeviceError::OutOfMemory(_)))
                | RunError::Record(RecordError::Device(DeviceError::OutOfMemory(_)))
        )
    }

    /// Each of the buffers in turn: the error says so, the outputs are as they were, and the next call succeeds.
    #[test]
    fn any_buffer_may_fail() {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::NOOP;
        // No bound on a buffer but the allocator's.
        descriptor.flags.remove(wgpu::InstanceFlags::VALIDATION_INDIRECT_CALL);
        let noop = &mut descriptor.backend_options.noop;
        noop.enable = true;
        noop.limits = Some(wgpu::Limits {
            max_buffer_size: u64::MAX,
            max_immediate_size: Kernels::IMMEDIATE_BYTES,
            ..wgpu::Limits::default()
        });
        let instance = wgpu::Instance::new(descriptor);
        let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::NOOP));
        let adapter = &adapters[0];
        for parameters in [ParameterPath::Immediates, ParameterPath::Uniform] {
            // Those of the kernels themselves.
            let (made, buffers) = failing(u64::MAX, || context(adapter, parameters));
            made.expect("nothing fails");
            assert_eq!(
                buffers,
                u64::from(parameters == ParameterPath::Uniform),
                "{parameters:?}"
            );
            for n in 0..buffers {
                let error = failing(n, || context(adapter, parameters)).0.expect_err("a failure");
                let out_of_memory = matches!(
                    error,
                    ContextError::Kernels(KernelsError::Device(DeviceError::OutOfMemory(_)))
                );
                assert!(out_of_memory, "{error:?}");
            }
            for (name, call) in calls() {
                let new = || context(adapter, parameters).expect("a context");
                let run = |gpu: &Context, n| {
                    let mut outputs = ([9.0; 96], [9; 3], [9; 96]);
                    let (result, made) = failing(n, || call(gpu, &mut outputs.0, &mut outputs.1, &mut outputs.2));
                    (result, made, outputs)
                };
                let (result, buffers, _) = run(&new(), u64::MAX);
                result.expect(name);
                assert!(buffers >= 8, "{name}: {buffers}");
                for n in 0..buffers {
                    // Some are made at a device's first call only.
                    let gpu = new();
                    let (result, _, outputs) = run(&gpu, n);
                    let Err(error) = result else {
                        panic!("{name}, buffer {n} of {buffers}")
                    };
                    assert!(is_out_of_memory(&error), "{name}, buffer {n}: {error:?}");
                    assert!(
                        error.to_string().contains("free buffers or work in smaller pieces"),
                        "{error}"
                    );
                    let is_untouched = outputs.0.iter().all(|y| y.to_bits() == 9.0f32.to_bits())
                        && outputs.1 == [9; 3]
                        && outputs.2 == [9; 96];
                    assert!(is_untouched, "{name}, buffer {n}");
                    run(&gpu, u64::MAX).0.expect(name);
                }
            }
        }
    }
}
