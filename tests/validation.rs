//! Needs no GPU: naga for every shader variant, wgpu's noop device for what a caller can get wrong.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

#[path = "common/noop.rs"]
mod noop;

use std::sync::LazyLock;

use naga::back::{glsl, hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::proc::BoundsCheckPolicies;
use naga::valid::{Capabilities, FunctionInfo, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Block, Module, ShaderStage, Statement, TypeInner};
use noop::{at, bias_gradient, bind, forward, fused, kernels, kernels_with, noop_with, seeded, storage};
use wgpu::BufferBinding;
use wgpu_dropout::gpu::variant::portable_wgsl;
use wgpu_dropout::gpu::{
    BackwardMask, BindDescriptor, BindError, KernelOptions, Kernels, Multiply, Operation, ParameterPath, RecordError,
    StoredMask, Variant,
};
use wgpu_dropout::{DType, Dropout, IndexMap, Probability, RandomBits};

fn validated(name: &str, text: &str, capabilities: Capabilities) -> (Module, ModuleInfo) {
    let module =
        naga::front::wgsl::parse_str(text).unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(text)));
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(text)));
    (module, info)
}

/// Parsed, validated for no more than the variant may ask for, overrides resolved.
fn compiled(variant: &Variant) -> (Module, ModuleInfo) {
    let mut capabilities = Capabilities::empty();
    capabilities.set(Capabilities::SHADER_INT64, variant.multiply == Multiply::Int64);
    capabilities.set(
        Capabilities::IMMEDIATES,
        variant.parameters == ParameterPath::Immediates,
    );
    let (module, info) = validated(&variant.to_string(), &variant.wgsl(), capabilities);
    let constants = [("workgroup_size".to_owned(), 64.0)].into_iter().collect();
    let (module, info) = process_overrides(&module, &info, None, &constants).unwrap();
    (module.into_owned(), info.into_owned())
}

#[test]
fn every_variant_translates_to_every_language() {
    let entry = || Some((ShaderStage::Compute, "main".to_owned()));
    let hlsl_options = hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_0,
        fake_missing_bindings: true,
        immediates_target: Some(hlsl::BindTarget::default()),
        // What wgpu binds num_workgroups with.
        special_constants_binding: Some(hlsl::BindTarget {
            register: 1,
            ..hlsl::BindTarget::default()
        }),
        ..hlsl::Options::default()
    };
    let msl_options = msl::Options {
        lang_version: (2, 3),
        fake_missing_bindings: true,
        ..msl::Options::default()
    };
    let glsl_options = glsl::Options {
        version: glsl::Version::new_gles(310),
        ..glsl::Options::default()
    };
    for variant in Variant::all() {
        let (module, info) = compiled(&variant);

        let pipeline = spv::PipelineOptions {
            shader_stage: ShaderStage::Compute,
            entry_point: "main".to_owned(),
        };
        let words = spv::write_vec(&module, &info, &spv::Options::default(), Some(&pipeline)).unwrap();
        assert_eq!(words[0], 0x0723_0203, "{variant}");

        let pipeline = msl::PipelineOptions {
            entry_point: entry(),
            ..msl::PipelineOptions::default()
        };
        let (metal, _) = msl::write_string(&module, &info, &msl_options, &pipeline).unwrap();
        assert!(metal.contains("kernel void main_"), "{variant}");

        let mut text = String::new();
        let pipeline = hlsl::PipelineOptions { entry_point: entry() };
        hlsl::Writer::new(&mut text, &hlsl_options, &pipeline)
            .write(&module, &info, None)
            .unwrap();
        assert!(text.contains("[numthreads(64, 1, 1)]"), "{variant}");

        // GLSL ES has no 64-bit integers; wgpu grants them on no GL device.
        if variant.multiply == Multiply::Emulated {
            let mut text = String::new();
            let pipeline = glsl::PipelineOptions {
                shader_stage: ShaderStage::Compute,
                entry_point: "main".to_owned(),
                multiview: None,
            };
            let policies = BoundsCheckPolicies::default();
            let mut writer = glsl::Writer::new(&mut text, &module, &info, &glsl_options, &pipeline, policies).unwrap();
            writer.write().unwrap();
            assert!(text.contains("local_size_x = 64"), "{variant}");
        }
    }
}

/// The shaders that need no optional feature: their names, what naga makes of them, and what it knows of that.
fn portable() -> &'static [(String, Module, ModuleInfo)] {
    static PORTABLE: LazyLock<Vec<(String, Module, ModuleInfo)>> = LazyLock::new(|| {
        let shaders = portable_wgsl().map(|(name, text)| {
            let (module, info) = validated(&name, &text, Capabilities::empty());
            (name, module, info)
        });
        shaders.collect()
    });
    &PORTABLE
}

/// The components of vectors that a block stores to, by address space.
fn component_stores(module: &Module, function: &FunctionInfo, block: &Block, found: &mut Vec<AddressSpace>) {
    for statement in block {
        match statement {
            Statement::Store { pointer, .. } => {
                if let TypeInner::ValuePointer { size: None, space, .. } =
                    *function[*pointer].ty.inner_with(&module.types)
                {
                    found.push(space);
                }
            }
            Statement::Block(block) => component_stores(module, function, block, found),
            Statement::If { accept, reject, .. } => {
                component_stores(module, function, accept, found);
                component_stores(module, function, reject, found);
            }
            Statement::Loop { body, continuing, .. } => {
                component_stores(module, function, body, found);
                component_stores(module, function, continuing, found);
            }
            Statement::Switch { cases, .. } => {
                for case in cases {
                    component_stores(module, function, &case.body, found);
                }
            }
            _ => {}
        }
    }
}

/// WGSL lets a store to a component write the whole vector, and Metal and Direct3D do (<https://github.com/gpuweb/gpuweb/issues/2112>):
/// what another invocation stored to another component would be lost. Drivers of software adapters and of the GPUs that were
/// tested don't.
#[test]
fn no_invocation_stores_to_a_vector_that_another_stores_to() {
    let (mut shaders, mut own) = (0, 0);
    for (name, module, info) in portable() {
        let functions = module
            .functions
            .iter()
            .map(|(handle, function)| (&info[handle], function));
        let entries = module.entry_points.iter().enumerate();
        let entries = entries.map(|(n, entry)| (info.get_entry_point(n), &entry.function));
        for (function_info, function) in functions.chain(entries) {
            let mut found = Vec::new();
            component_stores(module, function_info, &function.body, &mut found);
            let in_shared_memory = found.contains(&AddressSpace::WorkGroup);
            assert!(!in_shared_memory, "{name}: workgroup memory in {:?}", function.name);
            let in_buffers = found.iter().any(|space| matches!(space, AddressSpace::Storage { .. }));
            // A word of a tile, which is whole vectors and one invocation's.
            let is_own = function.name.as_deref() == Some("store_word");
            assert!(!in_buffers || is_own, "{name}: a buffer in {:?}", function.name);
            own += usize::from(in_buffers);
        }
        shaders += 1;
    }
    // Or nothing was looked at.
    assert!(shaders > 1000 && own > 100, "{shaders}, {own}");
}

/// DXC has namespaces that a shader may not name anything after; naga leaves such names as they are.
#[test]
fn no_name_is_a_namespace_of_dxc() {
    const NAMESPACES: [&str; 2] = ["dx", "vk"];
    let mut names = 0;
    for (shader, module, _) in portable() {
        let functions = module.functions.iter().map(|(_, function)| function.name.as_deref());
        let variables = module
            .global_variables
            .iter()
            .map(|(_, variable)| variable.name.as_deref());
        let constants = module.constants.iter().map(|(_, constant)| constant.name.as_deref());
        let types = module.types.iter().map(|(_, of_type)| of_type.name.as_deref());
        for name in functions.chain(variables).chain(constants).chain(types).flatten() {
            assert!(!NAMESPACES.contains(&name), "{shader}: {name}");
            names += 1;
        }
    }
    assert!(names > 10_000, "{names}");
}

#[test]
fn variants_ask_for_no_more_than_they_say() {
    for variant in Variant::all() {
        let text = variant.wgsl();
        assert_eq!(text.contains("u64("), variant.multiply == Multiply::Int64, "{variant}");
        assert_eq!(
            text.contains("var<immediate>"),
            variant.parameters == ParameterPath::Immediates,
            "{variant}"
        );
        for word in ["f16>", "enable ", "requires ", "subgroup"] {
            assert!(!text.contains(word), "{variant}: {word}");
        }
    }
}

fn dispatches(kernels: &Kernels, dtype: DType, elements: u64, operation: Operation<'_>) -> Result<usize, BindError> {
    bind(kernels, dtype, elements, operation).map(|binding| binding.dispatches())
}

#[test]
fn a_map_of_another_tensor_is_refused() {
    let kernels = kernels();
    let (x, y) = (storage(&kernels, 4096), storage(&kernels, 4096));
    let map = IndexMap::channels(&[2, 4, 100]).unwrap();
    let with_elements = |elements| {
        kernels.bind(&BindDescriptor {
            label: None,
            dtype: DType::F32,
            elements,
            map: Some(&map),
            seeds: None,
            operation: forward(at(&x, 0), at(&y, 0)),
        })
    };
    let error = with_elements(801).unwrap_err();
    assert_eq!(
        error,
        BindError::Map {
            elements: 801,
            expected: 800
        }
    );
    let message = "801 elements, but the index map has 800; give the tensor that the map describes";
    assert_eq!(error.to_string(), message);
    // The last decision is stream element 7, however many share it.
    let binding = with_elements(800).unwrap();
    let mut encoder = kernels
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let call = Dropout::new(0.5, 1).unwrap();
    let mut record = |offset| binding.encode(&mut encoder, &call.with_element_offset(offset));
    assert_eq!(record(u64::MAX - 7), Ok(()));
    assert!(matches!(record(u64::MAX - 6), Err(RecordError::Offset(_))));
}

#[test]
fn bindings_that_are_right() {
    let kernels = kernels();
    let (x, y) = (storage(&kernels, 4096), storage(&kernels, 4096));
    let mask = storage(&kernels, 128);
    let entire = wgpu::Buffer::as_entire_buffer_binding;
    assert_eq!(
        dispatches(&kernels, DType::F32, 1024, forward(entire(&x), entire(&y))),
        Ok(1)
    );
    assert_eq!(
        dispatches(&kernels, DType::F32, 1023, forward(entire(&x), entire(&y))),
        Ok(2)
    );
    assert_eq!(
        dispatches(&kernels, DType::Bf16, 2048, forward(entire(&x), entire(&y))),
        Ok(1)
    );
    // In place; apart in one buffer; a mask in that same buffer too.
    assert_eq!(
        dispatches(&kernels, DType::F32, 1024, forward(entire(&x), entire(&x))),
        Ok(1)
    );
    assert_eq!(
        dispatches(&kernels, DType::F32, 512, forward(at(&x, 0), at(&x, 2048))),
        Ok(1)
    );
    let stored = BackwardMask::Stored(StoredMask::Bits(at(&x, 3840)));
    let operation = Operation::Backward {
        dy: at(&x, 0),
        dx: at(&x, 1024),
        mask: stored,
    };
    assert_eq!(dispatches(&kernels, DType::F32, 256, operation), Ok(1));
    let stores = Some(StoredMask::Bits(entire(&mask)));
    let operation = Operation::Forward {
        x: entire(&x),
        y: entire(&y),
        store: stores,
    };
    assert_eq!(dispatches(&kernels, DType::F32, 1024, operation), Ok(1));
    assert_eq!(
        dispatches(&kernels, DType::F32, 0, forward(entire(&x), entire(&y))),
        Ok(0)
    );
    // An odd f16 tensor's last word must be there in whole, and is enough.
    let odd = storage(&kernels, 8);
    assert_eq!(
        dispatches(&kernels, DType::F16, 3, forward(at(&odd, 0), at(&y, 0))),
        Ok(1)
    );
}

#[test]
fn neighbours_in_rows() {
    let dispatched = |kernels: &Kernels, elements, columns| {
        fused(kernels, elements, columns, None).map(|binding| binding.dispatches())
    };
    // Whole tiles, and the rest.
    let whole = kernels();
    assert_eq!(dispatched(&whole, 1024, 64), Ok(1));
    assert_eq!(dispatched(&whole, 1024, 512), Ok(1));
    assert_eq!(dispatched(&whole, 2046, 31), Ok(1));
    // Rows that fit a binding, two of them just not.
    let options = KernelOptions {
        max_binding_bytes: 4096,
        ..KernelOptions::default()
    };
    let short = kernels_with(&options, wgpu::Limits::default()).unwrap();
    assert_eq!(dispatched(&short, 2046, 1023), Ok(2));
}

#[test]
fn scratch_of_bias_gradients() {
    let kernels = kernels();
    let (dx, dbias) = (storage(&kernels, 8192), storage(&kernels, 512));
    let bound = |elements, columns, dx: BufferBinding<'_>, dbias: BufferBinding<'_>| {
        bias_gradient(&kernels, elements, columns, dx, dbias).map(|gradient| gradient.scratch_bytes())
    };
    // One partial sum, and two; whole quads of columns.
    assert_eq!(bound(640, 10, at(&dx, 0), at(&dbias, 0)), Ok(12 * 4));
    assert_eq!(bound(1300, 20, at(&dx, 0), at(&dbias, 0)), Ok(2 * 20 * 4));
    assert_eq!(bound(0, 20, at(&dx, 0), at(&dbias, 0)), Ok(20 * 4));
    assert_eq!(bound(0, 0, at(&dx, 0), at(&dbias, 0)), Ok(0));
}

#[test]
fn seeds_that_just_fit() {
    let kernels = kernels();
    let bound = |elements_per_seed, first_element| seeded(&kernels, elements_per_seed, first_element).map(drop);
    assert_eq!(bound(64, 0), Ok(()));
    assert_eq!(bound(u64::MAX, 7), Ok(()));
}

#[test]
fn kernels_choose_by_features() {
    let plain = kernels();
    assert_eq!(
        (plain.multiply(), plain.parameters()),
        (Multiply::Emulated, ParameterPath::Uniform)
    );
    let limits = wgpu::Limits {
        max_immediate_size: Kernels::IMMEDIATE_BYTES,
        ..wgpu::Limits::default()
    };
    let (device, queue) = noop_with(Kernels::optional_features(), limits);
    let rich = Kernels::new(&device, &queue).unwrap();
    assert_eq!(
        (rich.multiply(), rich.parameters()),
        (Multiply::Int64, ParameterPath::Immediates)
    );
    // The feature without the limit is of no use.
    let (device, queue) = noop_with(wgpu::Features::IMMEDIATES, wgpu::Limits::default());
    assert_eq!(
        Kernels::new(&device, &queue).unwrap().parameters(),
        ParameterPath::Uniform
    );
}

#[test]
fn recordings_that_are_wrong_record_nothing() {
    let kernels = kernels();
    let (x, y) = (storage(&kernels, 4096), storage(&kernels, 4096));
    let operation = forward(at(&x, 0), at(&y, 0));
    let binding = kernels
        .bind(&BindDescriptor {
            label: None,
            dtype: DType::F32,
            elements: 1000,
            map: None,
            seeds: None,
            operation,
        })
        .unwrap();
    let mut encoder = kernels
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let at_end = Dropout::new(0.5, 0).unwrap().with_element_offset(u64::MAX - 998);
    let error = binding.encode(&mut encoder, &at_end).unwrap_err();
    assert!(matches!(error, RecordError::Offset(_)), "{error:?}");
    binding
        .encode(&mut encoder, &at_end.with_element_offset(u64::MAX - 999))
        .unwrap();

    // Inference draws nothing, so its offset may be anything.
    let operation = Operation::Inference {
        x: at(&x, 0),
        y: at(&y, 0),
    };
    let binding = kernels
        .bind(&BindDescriptor {
            label: None,
            dtype: DType::F32,
            elements: 1000,
            map: None,
            seeds: None,
            operation,
        })
        .unwrap();
    binding.encode(&mut encoder, &at_end).unwrap();
    for random_bits in RandomBits::ALL {
        let dropout = at_end.with_probability(Probability::new(0.5, random_bits).unwrap());
        binding.prepare(&dropout).unwrap();
        binding.encode(&mut encoder, &dropout).unwrap();
    }
    kernels.queue().submit([encoder.finish()]);
}

#[test]
fn handles_are_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<Kernels>();
    check::<wgpu_dropout::gpu::Binding>();
    check::<wgpu_dropout::gpu::blocking::Context>();
    check::<RecordError>();
}
