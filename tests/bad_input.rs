//! What a caller of the library can get wrong, each with the error that it gets: the tables of docs/errors.md.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail loudly")]

#[path = "common/documented.rs"]
mod documented;
#[path = "common/noop.rs"]
mod noop;

use std::path::Path;

use documented::{Table, check};
use noop::{at, bias_gradient, bind, buffer, forward, fused, kernels, kernels_with, noop_with, seeded, storage};
use wgpu::{BufferBinding, BufferUsages};
use wgpu_dropout::gpu::blocking::Context;
use wgpu_dropout::gpu::variant::{Access, Input, TileSize};
use wgpu_dropout::gpu::{
    AdvanceDescriptor, BackwardMask, BindDescriptor, DeviceCallDescriptor, KernelOptions, Multiply, Operation,
    ParameterPath, RecipeDescriptor, RecipeOperation, SamplesDescriptor, StoredMask,
};
use wgpu_dropout::{
    DType, Draw, Dropout, DropoutState, IndexMap, MaskFormat, Neighbours, Probability, RandomBits, cpu, reference,
};

#[test]
fn errors_are_the_documented_ones() {
    let tables = [
        probabilities_and_calls(),
        slices(),
        index_maps(),
        devices_and_options(),
        buffers(),
        neighbours_and_seeds(),
        recordings(),
        recipes(),
    ];
    assert!(tables.iter().map(|table| table.rows.len()).sum::<usize>() >= 60);
    check(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md"),
        "library",
        &tables,
    );
}

fn dropout() -> Dropout {
    Dropout::new(0.5, 1).unwrap()
}

fn probabilities_and_calls() -> Table {
    let mut table = Table::new("Probabilities and calls");
    for p in [
        -0.1,
        -f64::MIN_POSITIVE,
        1.0 + f64::EPSILON,
        17.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ] {
        table.refused(&format!("p = {p:?}"), Probability::new(p, RandomBits::B32));
    }
    let far = |offset| dropout().with_element_offset(offset);
    table.refused("2 elements from global index 2^64 - 1 on", far(u64::MAX).check_len(2));
    table.refused("2^64 - 1 elements from global index 2 on", far(2).check_len(u64::MAX));
    let mut state = DropoutState::new(0.5, 7).unwrap();
    state.next_calls(u64::MAX).unwrap();
    table.refused(
        "2 more calls of a state that has handed out 2^64 - 1",
        state.next_calls(2),
    );
    state.next_call().unwrap();
    table.refused("a call of a state that has handed out 2^64", state.next_call());
    table
}

/// A context on wgpu's noop device, which checks as any other.
fn context() -> Context {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::NOOP;
    descriptor.backend_options.noop = wgpu::NoopBackendOptions::enabled();
    descriptor.backend_options.noop.limits = Some(wgpu::Limits::default());
    let instance = wgpu::Instance::new(descriptor);
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::NOOP));
    Context::with_adapter(&adapters[0], &KernelOptions::default()).unwrap()
}

/// The same of the reference, the CPU path and the GPU's convenience layer: one row, once they agree.
macro_rules! on_every_path {
    ($table:ident, $what:expr, $operation:ident($($argument:expr),*)) => {
        let errors = [
            reference::$operation($($argument),*).map_err(|error| error.to_string()),
            cpu::$operation($($argument),*).map_err(|error| error.to_string()),
            context().$operation($($argument),*).map_err(|error| error.to_string()),
        ];
        assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
        let [error, ..] = errors;
        $table.refused($what, error);
    };
}

fn slices() -> Table {
    let mut table = Table::new("Slices: the reference, the CPU path and the GPU's convenience layer alike");
    let (call, x) = (dropout(), [1.0f32; 70]);
    let far = call.with_element_offset(u64::MAX - 60);
    let (mut y, mut words, mut bytes) = ([9.0f32; 70], [9u32; 3], [9u8; 70]);
    let none = Neighbours {
        bias: None,
        residual: None,
    };
    on_every_path!(
        table,
        "an output shorter than the input",
        forward(&call, &x, &mut y[..69])
    );
    on_every_path!(
        table,
        "an output longer than the input",
        forward(&call, &x[..69], &mut y)
    );
    on_every_path!(table, "a gradient of another length", backward(&call, &x, &mut y[..1]));
    on_every_path!(table, "no output at all", inference(&call, &x, &mut y[..0]));
    on_every_path!(
        table,
        "too few words for the bit mask",
        forward_with_bit_mask(&call, &x, &mut y, &mut words[..2])
    );
    on_every_path!(
        table,
        "too many words for the bit mask",
        bit_mask(&call, 64, &mut words)
    );
    on_every_path!(
        table,
        "too few bytes for the byte mask",
        forward_with_byte_mask(&call, &x, &mut y, &mut bytes[..69])
    );
    on_every_path!(
        table,
        "a stored bit mask that ends early",
        backward_from_bit_mask(&call, &x, &[0, 0], &mut y)
    );
    on_every_path!(
        table,
        "a stored byte mask that ends early",
        backward_from_byte_mask(&call, &x, &[1; 64], &mut y)
    );
    on_every_path!(
        table,
        "a stored byte mask that is too long, in place",
        backward_from_byte_mask_in_place(&call, &mut y, &[1; 71])
    );
    on_every_path!(
        table,
        "70 elements from global index 2^64 - 61 on",
        forward(&far, &x, &mut y)
    );
    on_every_path!(table, "the same for a mask alone", byte_mask(&far, &mut bytes));
    on_every_path!(table, "the same, fused", forward_fused(&far, &x, none, &mut y));
    let map = IndexMap::channels(&[2, 5, 8]).unwrap();
    on_every_path!(
        table,
        "another tensor's index map",
        forward(call.over(&map), &x, &mut y)
    );
    on_every_path!(
        table,
        "seeds for 69 of 70 elements",
        forward(Draw::from(&call).with_seeds(&[1, 2, 3], 23), &x, &mut y)
    );
    on_every_path!(
        table,
        "seeds of 0 elements each",
        forward(Draw::from(&call).with_seeds(&[1, 2], 0), &x, &mut y)
    );
    let bias = |bias| Neighbours {
        bias: Some(bias),
        residual: None,
    };
    on_every_path!(
        table,
        "a bias that no whole rows fit",
        forward_fused(&call, &x, bias(&x[..3]), &mut y)
    );
    on_every_path!(table, "an empty bias", forward_fused(&call, &x, bias(&[]), &mut y));
    let residual = Neighbours {
        bias: None,
        residual: Some(&x[..69]),
    };
    on_every_path!(
        table,
        "a residual of another length",
        forward_fused(&call, &x, residual, &mut y)
    );
    on_every_path!(
        table,
        "a bias gradient that no whole rows fit",
        bias_gradient(&x, &mut y[..3])
    );
    assert!(y.iter().all(|y| y.to_bits() == 9.0f32.to_bits()), "written");
    assert_eq!((words, bytes), ([9; 3], [9; 70]), "written");
    table
}

fn index_maps() -> Table {
    let mut table = Table::new("Index maps");
    let plain = IndexMap::plain(&[4, 6]).unwrap();
    table.refused("strides for 2 of 3 dimensions", IndexMap::new(&[2, 3, 4], &[12, 4]));
    table.refused("a shape of 2^64 elements", IndexMap::plain(&[1 << 32, 1 << 32]));
    table.refused("a stride that leads past 2^64", IndexMap::new(&[3], &[1 << 63]));
    table.refused(
        "a noise shape of 1 dimension for 2",
        IndexMap::noise_shape(&[4, 6], &[4]),
    );
    table.refused(
        "a noise shape that does not broadcast",
        IndexMap::noise_shape(&[4, 6], &[4, 3]),
    );
    table.refused("a noise shape of 0", IndexMap::noise_shape(&[4, 6], &[0, 6]));
    table.refused("channels of a tensor of 1 dimension", IndexMap::channels(&[4]));
    table.refused("drop path without a dimension", IndexMap::drop_path(&[]));
    table.refused(
        "the same over a dimension that is not there",
        IndexMap::same_over(&[4, 6], 2),
    );
    table.refused(
        "a shard of 1 range for 2 dimensions",
        plain.shard(std::slice::from_ref(&(0..4))),
    );
    table.refused("a shard that reaches out", plain.shard(&[0..4, 5..7]));
    #[expect(clippy::reversed_empty_ranges, reason = "the mistake")]
    table.refused("a shard that ends before it starts", plain.shard(&[3..2, 0..6]));
    table.refused("an order that names a dimension twice", plain.permuted(&[0, 0]));
    table.refused("an order that leaves one out", plain.permuted(&[1]));
    table.refused("an order of a dimension that is not there", plain.permuted(&[0, 2]));
    table.refused("a window that reaches out", plain.window(20, 5));
    table.refused("a window that ends past 2^64", plain.window(u64::MAX, 2));
    table
}

fn devices_and_options() -> Table {
    let mut table = Table::new("Devices and options");
    let mut refused = |what: &str, options: KernelOptions, limits| table.refused(what, kernels_with(&options, limits));
    let (default, limits) = (KernelOptions::default, wgpu::Limits::default);
    refused(
        "64-bit multiplies of a device without them",
        KernelOptions {
            multiply: Some(Multiply::Int64),
            ..default()
        },
        limits(),
    );
    refused(
        "immediates of a device without them",
        KernelOptions {
            parameters: Some(ParameterPath::Immediates),
            ..default()
        },
        limits(),
    );
    refused(
        "workgroups of 0",
        KernelOptions {
            workgroup_size: 0,
            ..default()
        },
        limits(),
    );
    refused(
        "workgroups of 257",
        KernelOptions {
            workgroup_size: 257,
            ..default()
        },
        limits(),
    );
    refused(
        "0 parameter slots",
        KernelOptions {
            parameter_slots: 0,
            ..default()
        },
        limits(),
    );
    refused(
        "a device with too few storage buffers",
        default(),
        wgpu::Limits {
            max_storage_buffers_per_shader_stage: 2,
            ..limits()
        },
    );
    table
}

fn buffers() -> Table {
    let mut table = Table::new("Buffers");
    let kernels = kernels();
    let (x, y) = (storage(&kernels, 4096), storage(&kernels, 4096));
    let (short, copies) = (storage(&kernels, 60), buffer(&kernels, 4096, BufferUsages::COPY_DST));
    let mut refused = |what: &str, elements, operation| {
        table.refused(what, bind(&kernels, DType::F32, elements, operation));
    };
    refused(
        "a buffer that ends before the tensor",
        1025,
        forward(at(&x, 0), at(&y, 0)),
    );
    refused("an offset behind the buffer's end", 1, forward(at(&x, 8192), at(&y, 0)));
    let sized = BufferBinding {
        size: wgpu::BufferSize::new(2044),
        ..at(&y, 0)
    };
    refused("a binding that is sized too small", 512, forward(at(&x, 0), sized));
    refused("an offset that the device can't bind", 1, forward(at(&x, 4), at(&y, 0)));
    refused("an input without STORAGE", 4, forward(at(&copies, 0), at(&y, 0)));
    refused("an output without STORAGE", 4, forward(at(&x, 0), at(&copies, 0)));
    refused("an output over half of the input", 512, forward(at(&x, 0), at(&x, 256)));
    refused(
        "an output one page before the input",
        512,
        forward(at(&x, 256), at(&x, 0)),
    );
    let store = |mask| Operation::Forward {
        x: at(&x, 0),
        y: at(&y, 0),
        store: Some(mask),
    };
    refused(
        "a mask stored into the output",
        512,
        store(StoredMask::Bits(at(&y, 256))),
    );
    refused("a mask stored into the input", 512, store(StoredMask::Bytes(at(&x, 0))));
    refused(
        "too small a buffer for the bits",
        512,
        Operation::Mask {
            store: StoredMask::Bits(at(&short, 0)),
        },
    );
    let stored = |mask| Operation::Backward {
        dy: at(&x, 0),
        dx: at(&y, 0),
        mask: BackwardMask::Stored(mask),
    };
    refused(
        "a stored byte mask that ends early",
        61,
        stored(StoredMask::Bytes(at(&short, 0))),
    );
    refused(
        "a stored mask in the gradient's place",
        512,
        stored(StoredMask::Bits(at(&y, 0))),
    );
    refused("2^62 f32", 1 << 62, forward(at(&x, 0), at(&y, 0)));
    table.refused(
        "2^63 f16",
        bind(&kernels, DType::F16, 1 << 63, forward(at(&x, 0), at(&y, 0))),
    );

    let scope = kernels.device().push_error_scope(wgpu::ErrorFilter::Validation);
    let invalid = storage(&kernels, kernels.device().limits().max_buffer_size + 4);
    assert!(pollster::block_on(scope.pop()).is_some());
    let error = bind(&kernels, DType::F32, 4, forward(at(&invalid, 0), at(&y, 0))).unwrap_err();
    table.refused("a buffer that wgpu could not make", Err::<(), _>(error));

    let options = KernelOptions {
        max_binding_bytes: 100,
        ..KernelOptions::default()
    };
    let small = kernels_with(&options, wgpu::Limits::default()).unwrap();
    let z = storage(&small, 4096);
    table.refused(
        "bindings of at most 100 bytes",
        bind(&small, DType::F32, 4, forward(at(&z, 0), at(&z, 0))),
    );
    let limits = wgpu::Limits {
        max_compute_workgroups_per_dimension: 3,
        ..wgpu::Limits::default()
    };
    let options = KernelOptions {
        workgroup_size: 1,
        ..KernelOptions::default()
    };
    let narrow = kernels_with(&options, limits).unwrap();
    let z = storage(&narrow, 4096);
    table.refused(
        "a device of 3 workgroups a dimension",
        bind(&narrow, DType::F32, 1024, forward(at(&z, 0), at(&z, 0))),
    );
    let map = IndexMap::channels(&[2, 4, 100]).unwrap();
    let mapped = kernels.bind(&BindDescriptor {
        label: None,
        dtype: DType::F32,
        elements: 801,
        map: Some(&map),
        seeds: None,
        operation: forward(at(&x, 0), at(&y, 0)),
    });
    table.refused("another tensor's index map", mapped);
    let samples = |ys: &[BufferBinding<'_>]| {
        kernels.bind_samples(&SamplesDescriptor {
            label: None,
            dtype: DType::F32,
            elements: 512,
            map: None,
            x: at(&x, 0),
            ys,
        })
    };
    table.refused("two samples in one place", samples(&[at(&y, 0), at(&y, 0)]));
    table.refused("a sample over the input", samples(&[at(&x, 0)]));
    table
}

fn neighbours_and_seeds() -> Table {
    let mut table = Table::new("Bias, residual, bias gradient and seeds in buffers");
    let kernels = kernels();
    table.refused("1000 elements in rows of 64", fused(&kernels, 1000, 64, None));
    table.refused("rows of 0", fused(&kernels, 1000, 0, None));
    table.refused("more rows than x has", fused(&kernels, 4096, 4096, None));
    table.refused(
        "an output over a part of the residual",
        fused(&kernels, 1024, 64, Some(256)),
    );
    let limits = wgpu::Limits {
        max_storage_buffers_per_shader_stage: 3,
        ..wgpu::Limits::default()
    };
    let few = kernels_with(&KernelOptions::default(), limits).unwrap();
    table.refused(
        "x, bias, residual and y on a device of 3 buffers",
        fused(&few, 1024, 64, None),
    );
    let options = KernelOptions {
        max_binding_bytes: 4096,
        ..KernelOptions::default()
    };
    let short = kernels_with(&options, wgpu::Limits::default()).unwrap();
    table.refused("a row longer than a binding", fused(&short, 2048, 2048, None));

    let (dx, dbias) = (storage(&kernels, 8192), storage(&kernels, 512));
    let gradient = |elements, columns, dx: BufferBinding<'_>, dbias: BufferBinding<'_>| {
        bias_gradient(&kernels, elements, columns, dx, dbias)
    };
    table.refused(
        "a bias gradient of 641 elements in rows of 10",
        gradient(641, 10, at(&dx, 0), at(&dbias, 0)),
    );
    table.refused(
        "a bias gradient of rows of 0",
        gradient(640, 0, at(&dx, 0), at(&dbias, 0)),
    );
    table.refused(
        "a bias gradient of more than dx",
        gradient(3000, 10, at(&dx, 0), at(&dbias, 0)),
    );
    table.refused(
        "a bias gradient of more columns than dbias",
        gradient(160, 160, at(&dx, 0), at(&dbias, 0)),
    );
    table.refused("a bias gradient into dx", gradient(160, 16, at(&dx, 0), at(&dx, 256)));

    table.refused(
        "a bias gradient at an offset that the device can't bind",
        gradient(160, 16, at(&dx, 4), at(&dbias, 0)),
    );
    let options = KernelOptions {
        max_binding_bytes: 768,
        ..KernelOptions::default()
    };
    let tiny = kernels_with(&options, wgpu::Limits::default()).unwrap();
    table.refused(
        "a bias gradient where a binding does not hold the rows of a sum",
        bias_gradient(&tiny, 160, 16, at(&dx, 0), at(&dbias, 0)),
    );
    let seeded = |elements_per_seed, first_element| seeded(&kernels, elements_per_seed, first_element);
    table.refused("33 seeds in 256 bytes, the first for a part", seeded(64, 1));
    table.refused("33 seeds in 256 bytes, the last for a part", seeded(63, 0));
    table.refused("a seed for each 0 elements", seeded(0, 0));
    table.refused("seeds from element 2^64 - 1 on", seeded(1, u64::MAX));
    table.refused(
        "a seed that ends in the tensor, at element 2^64 - 1",
        seeded(u64::MAX, u64::MAX),
    );
    table
}

fn recordings() -> Table {
    let mut table = Table::new("Recordings");
    let options = KernelOptions {
        parameter_slots: 3,
        ..KernelOptions::default()
    };
    let kernels = kernels_with(&options, wgpu::Limits::default()).unwrap();
    let (x, y) = (storage(&kernels, 4096), storage(&kernels, 4096));
    let binding = bind(&kernels, DType::F32, 1000, forward(at(&x, 0), at(&y, 0))).unwrap();
    let mut encoder = kernels
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let call = dropout();
    let far = call.with_element_offset(u64::MAX - 998);
    table.refused(
        "1000 elements from global index 2^64 - 999 on",
        binding.encode(&mut encoder, &far),
    );
    for _ in 0..3 / binding.dispatches() {
        binding.encode(&mut encoder, &call).unwrap();
    }
    table.refused(
        "more recordings before a submission than there are slots",
        binding.encode(&mut encoder, &call),
    );
    let samples = kernels.bind_samples(&SamplesDescriptor {
        label: None,
        dtype: DType::F32,
        elements: 256,
        map: None,
        x: at(&x, 0),
        ys: &[at(&y, 0), at(&y, 1024)],
    });
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    let last = call.with_subsequence(u64::MAX);
    table.refused(
        "2 samples from the last subsequence on",
        samples.unwrap().record(&mut pass, &last),
    );
    drop(pass);

    let on_device = |state: BufferBinding<'_>, length: Option<BufferBinding<'_>>, dropout: &Dropout| {
        binding.on_device(&DeviceCallDescriptor {
            label: None,
            dropout,
            state,
            length,
        })
    };
    let copies = buffer(&kernels, 256, BufferUsages::COPY_DST);
    let small = storage(&kernels, 8);
    table.refused(
        "a state on the device of 8 bytes",
        on_device(at(&small, 0), None, &call),
    );
    table.refused(
        "a state at an offset that the device can't bind",
        on_device(at(&x, 16), None, &call),
    );
    table.refused("a state without STORAGE", on_device(at(&copies, 0), None, &call));
    table.refused(
        "a length without STORAGE",
        on_device(at(&x, 0), Some(at(&copies, 0)), &call),
    );
    table.refused(
        "a call on the device that passes 2^64",
        on_device(at(&x, 0), None, &far),
    );
    let advance = kernels.bind_advance(&AdvanceDescriptor {
        label: None,
        state: at(&small, 0),
        by: 1,
    });
    table.refused("an advance of a state of 8 bytes", advance);
    kernels.queue().submit([encoder.finish()]);
    table
}

fn recipes() -> Table {
    let mut table = Table::new("Recipes for other engines");
    let (device, _) = noop_with(wgpu::Features::empty(), wgpu::Limits::default());
    let limits = wgpu_dropout::gpu::plan::PlanLimits {
        max_binding_bytes: device.limits().max_storage_buffer_binding_size,
        offset_alignment: 256,
        max_workgroups_per_dimension: 65_535,
        workgroup_size: 64,
    };
    let map = IndexMap::channels(&[2, 4, 100]).unwrap();
    let recipe = RecipeDescriptor {
        dtype: DType::F32,
        elements: 1000,
        map: None,
        seeds: None,
        operation: RecipeOperation::Forward {
            input: Input::Apart(Access::Read),
            store: Some(MaskFormat::Bits),
        },
        multiply: Multiply::Emulated,
        tile: TileSize::Elements16,
        limits,
    };
    let far = dropout().with_element_offset(u64::MAX - 998);
    table.refused(
        "1000 elements from global index 2^64 - 999 on",
        recipe.recipes(&far).map(drop),
    );
    let mapped = RecipeDescriptor {
        map: Some(&map),
        ..recipe
    };
    table.refused("another tensor's index map", mapped.recipes(&dropout()).map(drop));
    let narrow = RecipeDescriptor {
        limits: wgpu_dropout::gpu::plan::PlanLimits {
            max_binding_bytes: 64,
            ..limits
        },
        ..recipe
    };
    table.refused("bindings of at most 64 bytes", narrow.recipes(&dropout()).map(drop));
    table
}
