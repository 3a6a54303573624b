//! Needs adapters: every path of the GPU against vectors and reference, one test an adapter and check.
//!
//! No silent skip: no adapter is a failure, and so is the lack of one that `WGPU_DROPOUT_ADAPTERS` names
//! (as `name/backend`, separated by commas; `cargo xtask test` sets it to what it has provided).
//!
//! Sweeps over every variant, every f32 pattern and more than 2^32 elements take many minutes, most of them the drivers'
//! compilers': they are ignored unless asked for, `cargo test --test gpu -- --ignored`. `parts` says how adapters share the first.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

mod common;

use std::collections::HashMap;
use std::sync::Arc;

use common::backend::Backend;
use common::{Bits, checks, ordinary, painted, rounded};
use half::{bf16, f16};
use libtest_mimic::{Arguments, Failed, Trial};
use wgpu_dropout::gpu::blocking::{self, Context};
use wgpu_dropout::gpu::plan::PlanLimits;
use wgpu_dropout::gpu::self_test::{self, Comparison, Coverage};
use wgpu_dropout::gpu::variant::{Access, Input, TileSize};
use wgpu_dropout::gpu::{
    AdvanceDescriptor, BackwardMask, BindDescriptor, BindError, DeviceCallDescriptor, DeviceError, KernelOptions,
    Kernels, Multiply, Operation, ParameterPath, Recipe, RecipeBuffer, RecipeDescriptor, RecipeFused, RecipeOperation,
    RecipeResource, RecipeSeeds, RecordError, RowBias, RunError, STATE_BYTES, SamplesDescriptor, Seeds, StoredMask,
    state_bytes,
};
use wgpu_dropout::{
    DType, Draw, Dropout, Element, IndexMap, MaskFormat, Neighbours, Probability, RandomBits, SliceError,
    bit_mask_words, cpu, reference,
};

fn main() {
    let arguments = Arguments::from_args();
    let adapters = blocking::adapters().unwrap();
    let mut trials = vec![Trial::test("adapters", {
        let found: Vec<String> = adapters.iter().map(adapter_name).collect();
        move || expected_adapters(&found)
    })];
    let test = |adapter: &wgpu::Adapter, check: &str, run: fn(&wgpu::Adapter)| {
        let name = adapter_name(adapter);
        let adapter = adapter.clone();
        Trial::test(format!("{name}: {check}"), move || {
            run(&adapter);
            Ok(())
        })
    };
    // The longest first, for they are begun in this order: none is left to one core in the end.
    for adapter in &adapters {
        for part in parts(adapter) {
            let name = format!("{}: every variant of {part:?}", adapter_name(adapter));
            let adapter = adapter.clone();
            let trial = Trial::test(name, move || {
                every_variant(&adapter, part);
                Ok(())
            });
            trials.push(trial.with_ignored_flag(true));
        }
    }
    for adapter in &adapters {
        if is_quick(adapter) {
            let mut long = |check: &str, run: fn(&wgpu::Adapter)| {
                trials.push(test(adapter, check, run).with_ignored_flag(true));
            };
            long("every f32 pattern", every_f32_pattern);
            long("a mask of more than 2^32 elements", beyond_two_to_the_32);
            long(
                "an index map's dimension of more than 2^32 elements",
                mapped_beyond_two_to_the_32,
            );
        }
        let mut trial = |check: &str, run: fn(&wgpu::Adapter)| trials.push(test(adapter, check, run));
        trial("every 16-bit pattern", every_16_bit_pattern);
        trial("dropout vectors", |adapter| checks::dropout_vectors(&context(adapter)));
        trial("inference vectors", |adapter| {
            checks::inference_vectors(&context(adapter));
        });
        trial("vectors of the neighbours", |adapter| {
            for context in context_of_each_tile(adapter) {
                checks::fused_vectors(&context);
            }
        });
        trial("neighbours cut into windows anywhere", neighbours_in_windows);
        trial("digests", |adapter| checks::digests(&context(adapter)));
        trial("slice errors", |adapter| checks::slice_errors(&context(adapter)));
        trial("a stored mask decides", |adapter| {
            checks::a_stored_mask_decides(&context(adapter));
        });
        trial("empty tensors", empty_tensors);
        trial("same bits for any window and workgroup size", any_shape);
        trial("a tensor longer than a binding", longer_than_a_binding);
        trial("several buffers, one tensor", several_buffers);
        trial("recipes followed by hand", recipes_by_hand);
        trial("index maps cut into windows anywhere", mapped_windows);
        trial("seeds of rows that windows cut anywhere", seeds_in_windows);
        trial("samples of one input in one recording", samples);
        trial("recordings change parameters, not objects", parameters_change);
        trial("calls whose state lies in a buffer", device_state);
        trial("calls whose length lies in a buffer", device_length);
        trial("calls with neighbours whose state lies in a buffer", device_neighbours);
        trial("parameter slots run out and come back", slots);
        trial("recorded in parallel", recorded_in_parallel);
        trial("ten thousand recordings leave nothing behind", many_recordings);
        trial("a lost device is an error", lost_device);
        trial("a device lost while it works", lost_while_working);
        trial("several devices at once", several_devices);
        if adapter.features().contains(wgpu::Features::PIPELINE_CACHE) {
            trial("the caller's pipeline cache is used", pipeline_cache);
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// The name as in `WGPU_DROPOUT_ADAPTERS`: driver's name and wgpu's backend.
fn adapter_name(adapter: &wgpu::Adapter) -> String {
    let info = adapter.get_info();
    format!("{}/{}", info.name, info.backend).to_lowercase()
}

fn expected_adapters(found: &[String]) -> Result<(), Failed> {
    if found.is_empty() {
        return Err("no adapter: run `cargo xtask test`, which provides one, or install a Vulkan driver".into());
    }
    let Ok(wanted) = std::env::var("WGPU_DROPOUT_ADAPTERS") else {
        return Ok(());
    };
    for wanted in wanted.to_lowercase().split(',') {
        let (name, backend) = wanted.split_once('/').unwrap_or((wanted, ""));
        let there = |found: &&String| found.starts_with(name) && found.ends_with(backend);
        if !found.iter().any(|found| there(&found)) {
            return Err(format!("WGPU_DROPOUT_ADAPTERS wants {wanted}, but there are only {found:?}").into());
        }
    }
    Ok(())
}

/// The tile that an adapter's kernels do not have unless they are told to.
fn other_tile(adapter: &wgpu::Adapter) -> TileSize {
    match context(adapter).kernels().tile() {
        TileSize::Elements16 => TileSize::Bytes16,
        TileSize::Bytes16 => TileSize::Elements16,
    }
}

fn context(adapter: &wgpu::Adapter) -> Context {
    Context::with_adapter(adapter, &KernelOptions::default()).unwrap()
}

fn context_of_each_tile(adapter: &wgpu::Adapter) -> impl Iterator<Item = Context> {
    [TileSize::Elements16, TileSize::Bytes16].into_iter().map(|tile| {
        let options = KernelOptions {
            tile: Some(tile),
            ..KernelOptions::default()
        };
        Context::with_adapter(adapter, &options).unwrap()
    })
}

fn assert_equal(comparisons: &[Comparison]) {
    let different: Vec<String> = comparisons
        .iter()
        .filter_map(|c| Some(format!("{} [{}]: {}", c.operation, c.kernels, c.difference.as_ref()?)))
        .collect();
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n")
    );
}

/// What an adapter is swept with: every variant. Where `WGPU_DROPOUT_SWEEP` is `shared`, software adapters share them: llvmpipe
/// (Vulkan) multiplies in 64 bits, SwiftShader has what any browser has, llvmpipe (GL) what it would choose. Parameters, which are
/// read in one place of the text, then come by one way each.
fn parts(adapter: &wgpu::Adapter) -> Vec<Coverage> {
    let mut parts = Coverage::parts(adapter.features(), &adapter.limits());
    let info = adapter.get_info();
    let shared = std::env::var("WGPU_DROPOUT_SWEEP").is_ok_and(|sweep| sweep == "shared");
    if shared && info.device_type == wgpu::DeviceType::Cpu {
        match (parts[0], info.backend) {
            (Coverage::Ways(Multiply::Int64, _), _) => parts.truncate(1),
            (_, wgpu::Backend::Gl) => parts = vec![Coverage::Chosen],
            _ => parts = parts.split_off(parts.len() - 1),
        }
    }
    parts
}

fn every_variant(adapter: &wgpu::Adapter, part: Coverage) {
    let context = context(adapter);
    let kernels = context.kernels();
    let comparisons = pollster::block_on(self_test::run(kernels.device(), kernels.queue(), part, |_, _| {})).unwrap();
    // The multiply, 6 masks alone and 64 operations for each element type; all of the latter but the gradient of a bias again with
    // tiles of the other size.
    let again = if part == Coverage::Chosen { 0 } else { 3 * 63 };
    assert_eq!(comparisons.len(), 1 + 6 + 3 * 64 + again);
    assert!(comparisons.iter().all(|comparison| comparison.cases > 0));
    assert_equal(&comparisons);
}

fn every_16_bit_pattern(adapter: &wgpu::Adapter) {
    for context in context_of_each_tile(adapter) {
        for dtype in [DType::F16, DType::Bf16] {
            let comparisons = pollster::block_on(self_test::sweep(context.kernels(), dtype, |_, _| {})).unwrap();
            assert!(comparisons.iter().all(|comparison| comparison.elements == 1 << 16));
            assert_equal(&comparisons);
        }
    }
}

/// 2^32 elements take long on the slower software adapters; one of them, and every real GPU, will do.
fn is_quick(adapter: &wgpu::Adapter) -> bool {
    let info = adapter.get_info();
    info.device_type != wgpu::DeviceType::Cpu
        || (info.backend == wgpu::Backend::Vulkan && info.name.to_lowercase().contains("llvmpipe"))
}

fn every_f32_pattern(adapter: &wgpu::Adapter) {
    let context = context(adapter);
    let comparisons = pollster::block_on(self_test::sweep(context.kernels(), DType::F32, |_, _| {})).unwrap();
    assert_eq!(comparisons.len(), 4);
    assert_equal(&comparisons);
    assert!(comparisons.iter().all(|comparison| comparison.elements == 1 << 32));
}

fn empty_tensors(adapter: &wgpu::Adapter) {
    let context = context(adapter);
    let dropout = Dropout::new(0.5, 1).unwrap().with_element_offset(u64::MAX);
    context.forward::<f32>(&dropout, &[], &mut []).unwrap();
    context.forward_in_place::<f16>(&dropout, &mut []).unwrap();
    context.bit_mask(&dropout, 0, &mut []).unwrap();
    let kernels = context.kernels();
    let buffer = buffer(kernels, 256);
    let binding = kernels.bind(&forward(DType::F32, 0, &buffer, &buffer)).unwrap();
    assert_eq!(binding.dispatches(), 0);
    run(kernels, |pass| binding.record(pass, &dropout).unwrap());
}

/// Digests again, with windows of a few KiB, workgroups from 1 invocation to 256, both ways to multiply,
/// both ways of the parameters and both tiles. Workgroups of 1 pass 65,535 of them in a dimension.
fn any_shape(adapter: &wgpu::Adapter) {
    let has_int64 = context(adapter).kernels().multiply() == Multiply::Int64;
    let shapes = [
        (u64::MAX, 1),
        (u64::MAX, 256),
        (1 << 20, 32),
        (300_000, 64),
        (65_536, 7),
    ];
    for (n, (max_binding_bytes, workgroup_size)) in shapes.into_iter().enumerate() {
        let options = KernelOptions {
            multiply: Some(if has_int64 && n % 2 == 0 {
                Multiply::Int64
            } else {
                Multiply::Emulated
            }),
            parameters: Some(if n % 3 == 0 {
                ParameterPath::Immediates
            } else {
                ParameterPath::Uniform
            }),
            tile: Some(if n % 4 < 2 {
                TileSize::Bytes16
            } else {
                TileSize::Elements16
            }),
            max_binding_bytes,
            workgroup_size,
            ..KernelOptions::default()
        };
        let context = Context::with_adapter(adapter, &options).unwrap();
        checks::digests(&context);
    }
}

fn buffer(kernels: &Kernels, bytes: u64) -> wgpu::Buffer {
    kernels.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: bytes.next_multiple_of(4),
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

fn forward<'a>(dtype: DType, elements: u64, x: &'a wgpu::Buffer, y: &'a wgpu::Buffer) -> BindDescriptor<'a> {
    BindDescriptor {
        label: None,
        dtype,
        elements,
        map: None,
        seeds: None,
        operation: Operation::Forward {
            x: x.as_entire_buffer_binding(),
            y: y.as_entire_buffer_binding(),
            store: None,
        },
    }
}

/// Records into one pass of the test's own, submits and waits.
fn run(kernels: &Kernels, record: impl FnOnce(&mut wgpu::ComputePass<'_>)) {
    let mut encoder = kernels
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
    kernels.queue().submit([encoder.finish()]);
    kernels.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
}

fn read(kernels: &Kernels, buffer: &wgpu::Buffer) -> Vec<u8> {
    let staging = kernels.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: buffer.size(),
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = kernels
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
    kernels.queue().submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
    kernels.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let bytes = staging.get_mapped_range(..).unwrap();
    bytes.to_vec()
}

fn read_as<T: bytemuck::Pod>(kernels: &Kernels, buffer: &wgpu::Buffer) -> Vec<T> {
    bytemuck::pod_collect_to_vec(&read(kernels, buffer))
}

/// 160 MiB and an odd end: more than the 128 MiB that software Vulkan binds at once, and more than its
/// 65,535 workgroups; everywhere else windows of 60 MiB make it as many.
fn longer_than_a_binding(adapter: &wgpu::Adapter) {
    let options = KernelOptions {
        max_binding_bytes: 60 << 20,
        tile: Some(other_tile(adapter)),
        ..KernelOptions::default()
    };
    let elements = (40 << 20) + 13;
    let x = painted::<f32>(elements);
    // Philox blocks pass 2^32 within the tensor, and no window starts at a block's first lane.
    let dropout = Dropout::new(0.1, 5)
        .unwrap()
        .with_element_offset((1 << 34) - 20_000_001);
    let mut expected = vec![0.0f32; elements];
    let mut expected_mask = vec![0u32; bit_mask_words(elements as u64) as usize];
    cpu::forward_with_bit_mask(&dropout, &x, &mut expected, &mut expected_mask).unwrap();
    let windows_of_its_own = adapter.limits().max_storage_buffer_binding_size < 160 << 20;
    for options in [KernelOptions::default(), options] {
        let context = Context::with_adapter(adapter, &options).unwrap();
        let kernels = context.kernels();
        let (input, output) = (
            buffer(kernels, elements as u64 * 4),
            buffer(kernels, elements as u64 * 4),
        );
        let mask = buffer(kernels, expected_mask.len() as u64 * 4);
        kernels.queue().write_buffer(&input, 0, bytemuck::cast_slice(&x));
        let binding = kernels
            .bind(&BindDescriptor {
                label: None,
                dtype: DType::F32,
                elements: elements as u64,
                map: None,
                seeds: None,
                operation: Operation::Forward {
                    x: input.as_entire_buffer_binding(),
                    y: output.as_entire_buffer_binding(),
                    store: Some(StoredMask::Bits(mask.as_entire_buffer_binding())),
                },
            })
            .unwrap();
        if windows_of_its_own || options.max_binding_bytes < u64::MAX {
            assert!(binding.dispatches() > 2, "{binding:?}");
        }
        run(kernels, |pass| binding.record(pass, &dropout).unwrap());
        f32::assert_same(&read_as(kernels, &output), &expected, "output");
        u32::assert_same(&read_as(kernels, &mask), &expected_mask, "mask");
    }
}

/// One recording of 2^32 + 77 elements, as a bit mask: half a GiB. The CPU path checks both ends and the
/// surroundings of every 2^30th element, where windows meet, 2^32 among them.
fn beyond_two_to_the_32(adapter: &wgpu::Adapter) {
    let context = context(adapter);
    let kernels = context.kernels();
    let elements = (1u64 << 32) + 77;
    let dropout = Dropout::new(0.3, 8).unwrap().with_element_offset(6);
    let mask = buffer(kernels, bit_mask_words(elements) * 4);
    let store = StoredMask::Bits(mask.as_entire_buffer_binding());
    let operation = Operation::Mask { store };
    let descriptor = BindDescriptor {
        label: None,
        dtype: DType::F32,
        elements,
        map: None,
        seeds: None,
        operation,
    };
    let binding = kernels.bind(&descriptor).unwrap();
    assert!(binding.dispatches() >= 5);
    run(kernels, |pass| binding.record(pass, &dropout).unwrap());
    let words: Vec<u32> = read_as(kernels, &mask);
    let around = 1u64 << 20;
    for boundary in (0..=4).map(|n| n << 30).chain([elements]) {
        let first = boundary.saturating_sub(around);
        let length = elements.min(boundary + around) - first;
        let mut expected = vec![0u32; bit_mask_words(length) as usize];
        let part = dropout.with_element_offset(dropout.element_offset + first / 32 * 32);
        let length = length + first % 32;
        expected.resize(bit_mask_words(length) as usize, 0);
        cpu::bit_mask(&part, length as usize, &mut expected).unwrap();
        let start = (first / 32) as usize;
        u32::assert_same(
            &words[start..start + expected.len()],
            &expected,
            &format!("around element {boundary:#x}"),
        );
    }
}

/// Sample k is subsequence + k; where one can't be recorded, none is.
fn samples(adapter: &wgpu::Adapter) {
    const SAMPLES: u64 = 5;
    let elements = 1001u64;
    let x = painted::<f16>(elements as usize);
    let dropout = Dropout::new(0.3, 4).unwrap().with_subsequence(u64::MAX - SAMPLES + 1);
    for parameters in [None, Some(ParameterPath::Uniform)] {
        let options = KernelOptions {
            parameters,
            // Each sample takes two dispatches: too few for a sixth.
            parameter_slots: 11,
            ..KernelOptions::default()
        };
        let context = Context::with_adapter(adapter, &options).unwrap();
        let kernels = context.kernels();
        let (input, outputs) = (buffer(kernels, 2048), buffer(kernels, 2048 * (SAMPLES + 1)));
        let mut bytes = bytemuck::cast_slice(&x).to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        kernels.queue().write_buffer(&input, 0, &bytes);
        let at = |buffer, offset| wgpu::BufferBinding {
            buffer,
            offset,
            size: None,
        };
        let ys: Vec<_> = (0..=SAMPLES).map(|k| at(&outputs, k * 2048)).collect();
        let bind = |ys: &[wgpu::BufferBinding<'_>]| {
            kernels.bind_samples(&SamplesDescriptor {
                label: None,
                dtype: DType::F16,
                elements,
                map: None,
                x: at(&input, 0),
                ys,
            })
        };
        let one_too_many = bind(&ys).unwrap();
        run(kernels, |pass| {
            let error = one_too_many.record(pass, &dropout).unwrap_err();
            assert!(matches!(error, RecordError::Subsequence { samples: 6, .. }), "{error}");
            if kernels.parameters() == ParameterPath::Uniform {
                let error = one_too_many.record(pass, &dropout.with_subsequence(0)).unwrap_err();
                assert!(matches!(error, RecordError::Slots { .. }), "{error}");
            }
        });
        assert!(read(kernels, &outputs).iter().all(|&byte| byte == 0));

        let samples = bind(&ys[..SAMPLES as usize]).unwrap();
        run(kernels, |pass| samples.record(pass, &dropout).unwrap());
        let outputs = read_as::<f16>(kernels, &outputs);
        for (k, y) in outputs.chunks(1024).take(SAMPLES as usize).enumerate() {
            let mut expected = vec![f16::ZERO; x.len()];
            let call = dropout.with_subsequence(dropout.subsequence + k as u64);
            reference::forward(&call, &x, &mut expected).unwrap();
            f16::assert_same(&y[..x.len()], &expected, &format!("sample {k}"));
        }
        for wrong in [at(&input, 0), ys[2].clone()] {
            let error = bind(&[ys[2].clone(), wrong]).unwrap_err();
            assert!(matches!(error, BindError::Overlap { .. }), "{error}");
        }
    }
}

/// Shards along each dimension, other orders, shared decisions: whole, and in short windows.
fn mapped_windows(adapter: &wgpu::Adapter) {
    let small = KernelOptions {
        tile: Some(other_tile(adapter)),
        // One aligned window of a bit mask where offsets are multiples of 256 bytes.
        max_binding_bytes: 9000,
        workgroup_size: 32,
        ..KernelOptions::default()
    };
    let contexts = [KernelOptions::default(), small].map(|options| Context::with_adapter(adapter, &options).unwrap());
    let shape = [5u64, 12, 70];
    let whole = IndexMap::plain(&shape).unwrap();
    let tiles = IndexMap::plain(&[5, 12, 64]).unwrap();
    let maps = [
        whole.clone(),
        whole.shard(&[2..5, 0..12, 0..70]).unwrap(),
        whole.shard(&[0..5, 5..11, 0..70]).unwrap(),
        whole.shard(&[0..5, 0..12, 3..66]).unwrap(),
        whole.shard(&[0..5, 2..9, 9..70]).unwrap(),
        whole.permuted(&[0, 2, 1]).unwrap(),
        whole.permuted(&[2, 1, 0]).unwrap(),
        whole.permuted(&[1, 0, 2]).unwrap(),
        IndexMap::channels(&shape).unwrap(),
        IndexMap::drop_path(&shape).unwrap(),
        IndexMap::same_over(&shape, 1).unwrap(),
        IndexMap::noise_shape(&[35, 4, 3, 10], &[35, 1, 3, 1]).unwrap(),
        whole.permuted(&[1, 2, 0]).unwrap().window(1001, 2345).unwrap(),
        // Whole tiles, which the kernels have a short cut for, unless a window starts within one.
        tiles.shard(&[0..5, 3..9, 0..64]).unwrap(),
        tiles.permuted(&[1, 0, 2]).unwrap(),
        tiles.permuted(&[1, 0, 2]).unwrap().window(1008, 2345).unwrap(),
        tiles.permuted(&[1, 0, 2]).unwrap().window(1001, 2345).unwrap(),
        IndexMap::channels(&[3, 5, 16, 16]).unwrap(),
        IndexMap::channels(&[3, 5, 16, 16]).unwrap().window(640, 2100).unwrap(),
        IndexMap::noise_shape(&[4, 3, 5, 32], &[4, 1, 5, 1]).unwrap(),
        IndexMap::same_over(&[4, 6, 48], 1).unwrap(),
        // The same to tiles of 16 bytes alone.
        IndexMap::plain(&[5, 12, 100]).unwrap().permuted(&[1, 0, 2]).unwrap(),
        IndexMap::plain(&[5, 12, 100])
            .unwrap()
            .permuted(&[1, 0, 2])
            .unwrap()
            .window(1012, 3344)
            .unwrap(),
        IndexMap::channels(&[3, 5, 14, 14]).unwrap(),
        IndexMap::channels(&[3, 5, 14, 14]).unwrap().window(204, 2300).unwrap(),
        IndexMap::plain(&[3, 20, 67]).unwrap().permuted(&[0, 2, 1]).unwrap(),
        // Columns that are runs of the stream, in windows that begin and end anywhere in a panel.
        tiles.permuted(&[0, 2, 1]).unwrap(),
        IndexMap::plain(&[3, 32, 49]).unwrap().permuted(&[0, 2, 1]).unwrap(),
        IndexMap::plain(&[80, 61]).unwrap().permuted(&[1, 0]).unwrap(),
        IndexMap::plain(&[3, 64, 35])
            .unwrap()
            .permuted(&[0, 2, 1])
            .unwrap()
            .window(1584, 3721)
            .unwrap(),
        IndexMap::plain(&[3, 16, 7])
            .unwrap()
            .shard(&[0..3, 0..16, 3..5])
            .unwrap()
            .permuted(&[0, 2, 1])
            .unwrap(),
    ];
    let offsets = [(1 << 34) - 2000, (1 << 34) - 2001];
    for (random_bits, offset) in RandomBits::ALL
        .into_iter()
        .flat_map(|bits| offsets.map(|offset| (bits, offset)))
    {
        let dropout = Dropout::new(0.4, 77)
            .unwrap()
            .with_probability(Probability::new(0.4, random_bits).unwrap())
            .with_element_offset(offset);
        for map in &maps {
            let x = painted::<f32>(map.elements() as usize);
            let mut expected = vec![0.0; x.len()];
            let mut expected_mask = vec![0; bit_mask_words(map.elements()) as usize];
            reference::forward_with_bit_mask(dropout.over(map), &x, &mut expected, &mut expected_mask).unwrap();
            for context in &contexts {
                let (mut y, mut mask) = (vec![7.0; x.len()], vec![7; expected_mask.len()]);
                context.forward(dropout.over(map), &x, &mut y).unwrap();
                f32::assert_same(&y, &expected, &format!("{random_bits:?} {map:?}"));
                context
                    .forward_with_bit_mask(dropout.over(map), &x, &mut y, &mut mask)
                    .unwrap();
                f32::assert_same(&y, &expected, &format!("{random_bits:?} {map:?}, storing"));
                u32::assert_same(&mask, &expected_mask, "mask");
                let mut dx = x.clone();
                context.backward_in_place(dropout.over(map), &mut dx).unwrap();
                f32::assert_same(&dx, &expected, "backward in place");
            }
        }
    }
    // A tensor that the map does not describe, and an index past the end: nothing is done.
    let far = IndexMap::new(&[2, 2], &[u64::MAX - 1, 0]).unwrap();
    let dropout = Dropout::new(0.5, 1).unwrap().with_element_offset(2);
    let mut y = [7.0f32; 4];
    let error = contexts[0].forward(dropout.over(&far), &[1.0; 4], &mut y).unwrap_err();
    assert!(matches!(error, RunError::Slice(SliceError::Offset(_))), "{error}");
    let error = contexts[0]
        .forward(dropout.over(&maps[0]), &[1.0; 4], &mut y)
        .unwrap_err();
    assert!(matches!(error, RunError::Slice(SliceError::Map { .. })), "{error}");
    f32::assert_same(&y, &[7.0; 4], "untouched");
}

/// A seed for each row, rows longer than a window and shorter than a tile among them.
fn seeds_in_windows(adapter: &wgpu::Adapter) {
    let small = KernelOptions {
        tile: Some(other_tile(adapter)),
        max_binding_bytes: 9000,
        workgroup_size: 32,
        ..KernelOptions::default()
    };
    let contexts = [KernelOptions::default(), small].map(|options| Context::with_adapter(adapter, &options).unwrap());
    let seeds: Vec<u64> = (0..1100u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    for (rows, columns) in [(3, 10_007), (1100, 5), (90, 64), (1000, 1)] {
        let (seeds, each) = (&seeds[..rows], columns as u64);
        let x = painted::<f16>(rows * columns);
        let alike = IndexMap::same_over(&[rows as u64, each], 0).unwrap();
        for random_bits in RandomBits::ALL {
            let dropout = Dropout::new(0.4, 77)
                .unwrap()
                .with_probability(Probability::new(0.4, random_bits).unwrap())
                .with_element_offset((1 << 34) - 2001);
            for draw in [Draw::from(&dropout), dropout.over(&alike)] {
                let draw = draw.with_seeds(seeds, each);
                let mut expected = x.clone();
                let mut expected_mask = vec![0; bit_mask_words(x.len() as u64) as usize];
                reference::forward_with_bit_mask(draw, &x, &mut expected, &mut expected_mask).unwrap();
                for context in &contexts {
                    let (mut y, mut mask) = (x.clone(), vec![7; expected_mask.len()]);
                    context.forward_with_bit_mask(draw, &x, &mut y, &mut mask).unwrap();
                    f16::assert_same(&y, &expected, &format!("{random_bits:?}, {rows} rows of {columns}"));
                    u32::assert_same(&mask, &expected_mask, "mask");
                    y.copy_from_slice(&x);
                    context.backward_in_place(draw, &mut y).unwrap();
                    f16::assert_same(&y, &expected, "backward");
                }
            }
        }
    }
    let dropout = Dropout::new(0.5, 1).unwrap();
    let many = vec![1; 2000];
    let draw = Draw::from(&dropout).with_seeds(&many, 1);
    let mut y = vec![9.0f32; 2000];
    let error = contexts[1].forward_in_place(draw, &mut y).unwrap_err();
    let is_known = matches!(error, RunError::Bind(BindError::ManySeeds { seeds: 2000, .. }));
    assert!(is_known, "{error}");
    f32::assert_same(&y, &[9.0; 2000], "untouched");
    contexts[0].forward_in_place(draw, &mut y).unwrap();
}

/// Rows that windows cut anywhere, and partial sums too.
fn neighbours_in_windows(adapter: &wgpu::Adapter) {
    fn check<T: Element + Bits>(context: &Context) {
        for (rows, columns) in [(801, 7), (90, 64), (59, 100), (83, 72), (5, 999), (40_003, 1)] {
            let elements = rows * columns;
            let painted = painted::<T>(3 * elements);
            let (x, rest) = painted.split_at(elements);
            let (residual, rest) = rest.split_at(elements);
            let neighbours = Neighbours {
                bias: Some(&rest[..columns]),
                residual: Some(residual),
            };
            let dropout = Dropout::new(0.3, 6).unwrap().with_element_offset((1 << 34) - 501);
            let (mut y, mut expected) = (vec![x[0]; elements], vec![x[0]; elements]);
            reference::forward_fused(&dropout, x, neighbours, &mut expected).unwrap();
            context.forward_fused(&dropout, x, neighbours, &mut y).unwrap();
            let shape = format!("{:?} {rows} x {columns}", T::DTYPE);
            T::assert_same(&y, &expected, &shape);

            for dx in [&ordinary(elements), x] {
                let (mut dbias, mut expected) = (vec![x[0]; columns], vec![x[0]; columns]);
                reference::bias_gradient(dx, &mut expected).unwrap();
                context.bias_gradient(dx, &mut dbias).unwrap();
                T::assert_same(&dbias, &expected, &format!("{shape}, gradient of the bias"));
            }
        }

        // Zeros of either sign and numbers that cancel, each beside each: nothing that hardware is not trusted with.
        let values = [0.0, -0.0, 1.5, -1.5].map(rounded::<T>);
        let (rows, columns) = (16, 64);
        let of = |value: fn(usize, usize) -> usize| -> Vec<T> {
            let all = (0..rows).flat_map(|row| (0..columns).map(move |column| value(row, column) % 4));
            all.map(|n| values[n]).collect()
        };
        let (x, bias, residual) = (of(|row, _| row), of(|_, column| column), of(|row, _| row / 4));
        for (has_bias, has_residual) in [(true, true), (true, false), (false, true)] {
            let neighbours = Neighbours {
                bias: has_bias.then_some(&bias[..columns]),
                residual: has_residual.then_some(&residual[..]),
            };
            let dropout = Dropout::new(0.3, 6).unwrap();
            let (mut y, mut expected) = (x.clone(), x.clone());
            reference::forward_fused(&dropout, &x, neighbours, &mut expected).unwrap();
            context.forward_fused(&dropout, &x, neighbours, &mut y).unwrap();
            let which = format!("{:?}, zeros, bias {has_bias}, residual {has_residual}", T::DTYPE);
            T::assert_same(&y, &expected, &which);
        }
        // Columns of minus zeros, of numbers that cancel, of minus zeros and one plus zero, of numbers that don't.
        let dx: Vec<T> = (0..64 * columns)
            .map(|i| match (i / columns, i % columns % 4) {
                (_, 0) => 1,
                (row, 1) => 2 + row % 2,
                (row, 2) => usize::from(row != 9),
                (row, _) => 2 + usize::from(row < 5),
            })
            .map(|n| values[n])
            .collect();
        let (mut dbias, mut expected) = (vec![x[0]; columns], vec![x[0]; columns]);
        reference::bias_gradient(&dx, &mut expected).unwrap();
        context.bias_gradient(&dx, &mut dbias).unwrap();
        T::assert_same(
            &dbias,
            &expected,
            &format!("{:?}, zeros, gradient of the bias", T::DTYPE),
        );
    }
    let small = KernelOptions {
        tile: Some(other_tile(adapter)),
        max_binding_bytes: 9000,
        workgroup_size: 32,
        ..KernelOptions::default()
    };
    for options in [KernelOptions::default(), small] {
        let context = Context::with_adapter(adapter, &options).unwrap();
        check::<f32>(&context);
        check::<f16>(&context);
        check::<bf16>(&context);
    }
}

/// 2^33 + 14 elements as a bit mask: a dimension that 32 bits don't count starts again within a dispatch.
fn mapped_beyond_two_to_the_32(adapter: &wgpu::Adapter) {
    let context = context(adapter);
    let kernels = context.kernels();
    let length = (1u64 << 32) + 7;
    let map = IndexMap::new(&[2, length], &[1 << 33, 1]).unwrap();
    let dropout = Dropout::new(0.3, 8).unwrap().with_element_offset(6);
    let mask = buffer(kernels, bit_mask_words(2 * length) * 4);
    let binding = kernels
        .bind(&BindDescriptor {
            label: None,
            dtype: DType::F32,
            elements: 2 * length,
            map: Some(&map),
            seeds: None,
            operation: Operation::Mask {
                store: StoredMask::Bits(mask.as_entire_buffer_binding()),
            },
        })
        .unwrap();
    run(kernels, |pass| binding.record(pass, &dropout).unwrap());
    let words: Vec<u32> = read_as(kernels, &mask);
    for first in [0, length - 1000, 2 * length - 2000].map(|first| first / 32 * 32) {
        let elements = 2000.min(2 * length - first);
        let window = map.window(first, elements).unwrap();
        let mut expected = vec![0u32; bit_mask_words(elements) as usize];
        reference::bit_mask(dropout.over(&window), elements as usize, &mut expected).unwrap();
        // The last word of a window within the tensor goes on there.
        let whole = (elements / 32) as usize;
        let start = (first / 32) as usize;
        u32::assert_same(
            &words[start..start + whole],
            &expected[..whole],
            &format!("from element {first:#x}"),
        );
    }
}

/// A tensor over three buffers is three recordings with their own `element_offset`.
fn several_buffers(adapter: &wgpu::Adapter) {
    let context = context(adapter);
    let kernels = context.kernels();
    let lengths = [10_001usize, 4096, 333];
    let x = painted::<f16>(lengths.iter().sum());
    let dropout = Dropout::new(0.4, 3).unwrap().with_element_offset(u64::MAX - 20_000);
    let mut expected = vec![f16::ZERO; x.len()];
    reference::forward(&dropout, &x, &mut expected).unwrap();
    let mut first = 0;
    for length in lengths {
        let (input, output) = (buffer(kernels, length as u64 * 2), buffer(kernels, length as u64 * 2));
        let mut bytes = bytemuck::cast_slice(&x[first..first + length]).to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        kernels.queue().write_buffer(&input, 0, &bytes);
        let binding = kernels
            .bind(&forward(DType::F16, length as u64, &input, &output))
            .unwrap();
        let part = dropout.with_element_offset(dropout.element_offset + first as u64);
        run(kernels, |pass| binding.record(pass, &part).unwrap());
        let y: Vec<f16> = read_as(kernels, &output);
        f16::assert_same(&y[..length], &expected[first..first + length], "part");
        first += length;
    }
}

/// Does what recipes say with nothing else of the crate, as another engine would.
fn follow(kernels: &Kernels, recipes: &[Recipe], buffers: &[(RecipeBuffer, &wgpu::Buffer)]) {
    let device = kernels.device();
    let filled = |bytes: &[u8], usage| {
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes.len() as u64,
            usage: usage | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        kernels.queue().write_buffer(&buffer, 0, bytes);
        buffer
    };
    let mut pipelines = HashMap::new();
    for recipe in recipes {
        let pipeline = pipelines.entry(recipe.variant).or_insert_with(|| {
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: None,
                source: wgpu::ShaderSource::Wgsl(recipe.variant.wgsl().into()),
            });
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: None,
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            })
        });
        let whole = |buffer: wgpu::Buffer| {
            let size = buffer.size();
            (buffer, 0..size)
        };
        let bound: Vec<_> = recipe
            .bindings
            .iter()
            .map(|binding| {
                let (buffer, bytes) = match &binding.resource {
                    RecipeResource::Buffer(wanted, bytes) => {
                        let (_, buffer) = buffers.iter().find(|(which, _)| which == wanted).unwrap();
                        ((*buffer).clone(), bytes.clone())
                    }
                    RecipeResource::Uniform(bytes) => whole(filled(bytes, wgpu::BufferUsages::UNIFORM)),
                    RecipeResource::Nothing => whole(filled(&[0; 16], wgpu::BufferUsages::STORAGE)),
                };
                (binding.index, buffer, bytes)
            })
            .collect();
        let (uniform, all) = whole(filled(&recipe.parameters, wgpu::BufferUsages::UNIFORM));
        let groups = [bound, vec![(0, uniform, all)]]
            .into_iter()
            .zip(0..)
            .map(|(bound, group)| {
                let entries: Vec<_> = bound
                    .iter()
                    .map(|(binding, buffer, bytes)| wgpu::BindGroupEntry {
                        binding: *binding,
                        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                            buffer,
                            offset: bytes.start,
                            size: wgpu::BufferSize::new(bytes.end - bytes.start),
                        }),
                    })
                    .collect();
                device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: None,
                    layout: &pipeline.get_bind_group_layout(group),
                    entries: &entries,
                })
            });
        run(kernels, |pass| {
            pass.set_pipeline(pipeline);
            for (group, n) in groups.zip(0..) {
                pass.set_bind_group(n, &group, &[]);
            }
            let [x, y] = recipe.workgroups;
            pass.dispatch_workgroups(x, y, 1);
        });
    }
}

/// Recipes, cut into windows of a few KiB; under another compiler, every variant is in `web/browser/wgsl.test.mjs`.
fn recipes_by_hand(adapter: &wgpu::Adapter) {
    fn uploaded<T: Element>(kernels: &Kernels, elements: &[T]) -> wgpu::Buffer {
        let mut bytes = bytemuck::cast_slice::<_, u8>(elements).to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let buffer = buffer(kernels, bytes.len() as u64);
        kernels.queue().write_buffer(&buffer, 0, &bytes);
        buffer
    }

    fn recipe<'a, T: Element>(kernels: &Kernels, elements: usize, operation: RecipeOperation) -> RecipeDescriptor<'a> {
        RecipeDescriptor {
            dtype: T::DTYPE,
            elements: elements as u64,
            map: None,
            seeds: None,
            operation,
            multiply: kernels.multiply(),
            tile: kernels.tile(),
            // 64 invocations a workgroup: what the text has unless the pipeline says otherwise.
            limits: PlanLimits {
                max_binding_bytes: 8192,
                ..kernels.limits()
            },
        }
    }

    fn check<T: Element + Bits>(context: &Context, input: Input, dropout: &Dropout) {
        let kernels = context.kernels();
        let x = painted::<T>(10_007);
        let mut expected = x.clone();
        reference::forward(dropout, &x, &mut expected).unwrap();
        let (source, output) = (uploaded(kernels, &x), uploaded(kernels, &x));
        let tensor = recipe::<T>(kernels, x.len(), RecipeOperation::Forward { input, store: None });
        for tile in [TileSize::Elements16, TileSize::Bytes16] {
            kernels.queue().write_buffer(&output, 0, &read(kernels, &source));
            let recipes: Vec<_> = RecipeDescriptor { tile, ..tensor }.recipes(dropout).unwrap().collect();
            assert!(recipes.len() > 2, "several windows and a tail");
            let buffers = [(RecipeBuffer::Input, &source), (RecipeBuffer::Output, &output)];
            follow(kernels, &recipes, &buffers[usize::from(input == Input::InPlace)..]);
            T::assert_same(&read_as::<T>(kernels, &output)[..x.len()], &expected, "by hand");
        }
    }

    let context = context(adapter);
    let kernels = context.kernels();
    let dropout = Dropout::new(0.3, 9).unwrap().with_subsequence(5);
    for input in [
        Input::Apart(Access::Read),
        Input::Apart(Access::ReadWrite),
        Input::InPlace,
    ] {
        for offset in [(1 << 36) - 48, u64::MAX - 20_000] {
            let dropout = dropout.with_element_offset(offset);
            check::<f32>(&context, input, &dropout);
            check::<f16>(&context, input, &dropout);
            check::<bf16>(&context, input, &dropout);
        }
    }

    // A map and seeds, and the mask stored.
    let map = IndexMap::same_over(&[90, 3, 37], 1).unwrap();
    let seeds: Vec<u64> = (0..90u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let x = painted::<f16>(90 * 3 * 37);
    let (mut expected, mut expected_mask) = (x.clone(), vec![0; bit_mask_words(x.len() as u64) as usize]);
    let draw = dropout.over(&map).with_seeds(&seeds, 3 * 37);
    reference::forward_with_bit_mask(draw, &x, &mut expected, &mut expected_mask).unwrap();
    let forward = RecipeOperation::Forward {
        input: Input::Apart(Access::Read),
        store: Some(MaskFormat::Bits),
    };
    let tensor = RecipeDescriptor {
        map: Some(&map),
        seeds: Some(RecipeSeeds {
            elements_per_seed: 3 * 37,
            first_element: 0,
        }),
        ..recipe::<f16>(kernels, x.len(), forward)
    };
    let recipes: Vec<_> = tensor.recipes(&dropout).unwrap().collect();
    let (source, output) = (uploaded(kernels, &x), uploaded(kernels, &x));
    let mask = buffer(kernels, expected_mask.len() as u64 * 4);
    let seed_words = buffer(kernels, seeds.len() as u64 * 8);
    let halves: Vec<u32> = seeds
        .iter()
        .flat_map(|&seed| [seed as u32, (seed >> 32) as u32])
        .collect();
    kernels
        .queue()
        .write_buffer(&seed_words, 0, bytemuck::cast_slice(&halves));
    let buffers = [
        (RecipeBuffer::Input, &source),
        (RecipeBuffer::Output, &output),
        (RecipeBuffer::Mask, &mask),
        (RecipeBuffer::Seeds, &seed_words),
    ];
    follow(kernels, &recipes, &buffers);
    f16::assert_same(&read_as::<f16>(kernels, &output), &expected, "mapped, by hand");
    u32::assert_same(&read_as::<u32>(kernels, &mask), &expected_mask, "mask, by hand");

    // Neighbours, over the residual; rows that windows cut.
    for columns in [48, 61] {
        let (x, residual) = (painted::<f32>(columns * 101), painted::<f32>(columns * 103));
        let (bias, residual) = (&residual[..columns], &residual[columns..columns * 102]);
        let neighbours = Neighbours {
            bias: Some(bias),
            residual: Some(residual),
        };
        let mut expected = x.clone();
        reference::forward_fused(&dropout, &x, neighbours, &mut expected).unwrap();
        let fused = RecipeOperation::ForwardFused {
            columns: Some(columns as u64),
            has_residual: true,
            output: RecipeFused::ResidualInPlace,
        };
        let tensor = recipe::<f32>(kernels, x.len(), fused);
        let recipes: Vec<_> = tensor.recipes(&dropout).unwrap().collect();
        assert!(recipes.len() > 2);
        let [source, bias, output] = [&x, bias, residual].map(|elements| uploaded(kernels, elements));
        let buffers = [
            (RecipeBuffer::Input, &source),
            (RecipeBuffer::Output, &output),
            (RecipeBuffer::Bias, &bias),
        ];
        follow(kernels, &recipes, &buffers);
        f32::assert_same(&read_as::<f32>(kernels, &output), &expected, "fused, by hand");
    }
}

/// One binding recorded many times in one pass, each time with other parameters; what the last one
/// leaves is read, and one binding a step shows every step.
fn parameters_change(adapter: &wgpu::Adapter) {
    for parameters in [ParameterPath::Immediates, ParameterPath::Uniform] {
        let options = KernelOptions {
            parameters: Some(parameters),
            ..KernelOptions::default()
        };
        let context = Context::with_adapter(adapter, &options).unwrap();
        let kernels = context.kernels();
        let elements = 1000u64;
        let x = painted::<f32>(elements as usize);
        let input = buffer(kernels, elements * 4);
        kernels.queue().write_buffer(&input, 0, bytemuck::cast_slice(&x));
        let steps: Vec<(Dropout, wgpu::Buffer)> = (0..8u64)
            .map(|step| {
                let dropout = Dropout::new(step as f64 / 7.0, step * 1_000_003)
                    .unwrap()
                    .with_subsequence(step << 40)
                    .with_element_offset(step * 5);
                (dropout, buffer(kernels, elements * 4))
            })
            .collect();
        let scratch = buffer(kernels, elements * 4);
        let once = kernels.bind(&forward(DType::F32, elements, &input, &scratch)).unwrap();
        let bindings: Vec<_> = steps
            .iter()
            .map(|(_, y)| kernels.bind(&forward(DType::F32, elements, &input, y)).unwrap())
            .collect();
        run(kernels, |pass| {
            for ((dropout, _), binding) in steps.iter().zip(&bindings) {
                once.record(pass, dropout).unwrap();
                binding.record(pass, dropout).unwrap();
            }
        });
        let mut expected = vec![0.0f32; elements as usize];
        for (dropout, y) in &steps {
            reference::forward(dropout, &x, &mut expected).unwrap();
            f32::assert_same(&read_as(kernels, y), &expected, &format!("{dropout:?}"));
        }
        f32::assert_same(&read_as(kernels, &scratch), &expected, "recorded last");
    }
}

/// Forward and backward of two layers a step, recorded word for word again with an advance between, or without.
fn device_state(adapter: &wgpu::Adapter) {
    for parameters in [None, Some(ParameterPath::Uniform)] {
        let options = KernelOptions {
            parameters,
            tile: Some(if parameters.is_none() {
                TileSize::Elements16
            } else {
                TileSize::Bytes16
            }),
            max_binding_bytes: 9000,
            ..KernelOptions::default()
        };
        let context = Context::with_adapter(adapter, &options).unwrap();
        let kernels = context.kernels();
        // Several windows and a tail.
        let elements = 6007u64;
        let x = painted::<f32>(elements as usize);
        let input = buffer(kernels, elements * 4);
        kernels.queue().write_buffer(&input, 0, bytemuck::cast_slice(&x));
        let state = buffer(kernels, 256 + STATE_BYTES);
        // The step passes 2^64, from which the state comes back to 0.
        let (seed, first) = (0x1234_5678_9abc_def0, u64::MAX - 4);
        kernels.queue().write_buffer(&state, 256, &state_bytes(seed, first));
        let state = wgpu::BufferBinding {
            buffer: &state,
            offset: 256,
            size: None,
        };
        let layer = |n: u64| {
            Dropout::new(0.3, 999)
                .unwrap()
                .with_subsequence(n)
                .with_element_offset(n * 5)
        };
        let advance = kernels
            .bind_advance(&AdvanceDescriptor {
                label: None,
                state: state.clone(),
                by: 3,
            })
            .unwrap();
        let outputs: Vec<wgpu::Buffer> = (0..2).map(|_| buffer(kernels, elements * 4)).collect();
        let calls: Vec<_> = outputs
            .iter()
            .zip(0..)
            .map(|(y, n)| {
                let binding = kernels.bind(&forward(DType::F32, elements, &input, y)).unwrap();
                let descriptor = DeviceCallDescriptor {
                    label: None,
                    dropout: &layer(n),
                    state: state.clone(),
                    length: None,
                };
                binding.on_device(&descriptor).unwrap()
            })
            .collect();
        let mut subsequence = first;
        for advances in [false, true, true, false] {
            run(kernels, |pass| {
                if advances {
                    advance.record(pass);
                }
                for call in &calls {
                    call.record(pass);
                }
            });
            subsequence = subsequence.wrapping_add(if advances { 3 } else { 0 });
            for (y, n) in outputs.iter().zip(0..) {
                let call = Dropout {
                    seed,
                    ..layer(n).with_subsequence(subsequence.wrapping_add(n))
                };
                let mut expected = vec![0.0f32; x.len()];
                reference::forward(&call, &x, &mut expected).unwrap();
                f32::assert_same(&read_as(kernels, y), &expected, &format!("{call:?}"));
            }
        }
    }
}

/// Bias, residual, an index map and seeds, with state and length in buffers.
fn device_neighbours(adapter: &wgpu::Adapter) {
    for tile in [TileSize::Elements16, TileSize::Bytes16] {
        device_neighbours_by(adapter, tile);
    }
}

fn device_neighbours_by(adapter: &wgpu::Adapter, tile: TileSize) {
    let options = KernelOptions {
        tile: Some(tile),
        max_binding_bytes: 9000,
        workgroup_size: 32,
        ..KernelOptions::default()
    };
    let context = Context::with_adapter(adapter, &options).unwrap();
    let kernels = context.kernels();
    let (seed, subsequence) = (0xfeed_0000_beef, 41);
    for (rows, columns, has_seeds) in [(150usize, 48usize, false), (801, 7, false), (90, 64, true)] {
        let elements = rows * columns;
        let painted = painted::<f32>(3 * elements);
        let (x, rest) = painted.split_at(elements);
        let (residual, rest) = rest.split_at(elements);
        let seeds: Vec<u64> = (0..rows as u64).map(|n| n << 31 | n).collect();
        let uploaded = |bytes: &[u8]| {
            let uploaded = buffer(kernels, bytes.len() as u64);
            kernels.queue().write_buffer(&uploaded, 0, bytes);
            uploaded
        };
        let [input, added, bias] = [x, residual, &rest[..columns]].map(|x| uploaded(bytemuck::cast_slice(x)));
        let words: Vec<u32> = seeds
            .iter()
            .flat_map(|&seed| [seed as u32, (seed >> 32) as u32])
            .collect();
        let values = uploaded(bytemuck::cast_slice(&words));
        let (output, length) = (buffer(kernels, elements as u64 * 4), buffer(kernels, 4));
        let state = uploaded(&state_bytes(seed, subsequence));
        let map = IndexMap::drop_path(&[rows as u64, columns as u64]).unwrap();
        let binding = kernels
            .bind(&BindDescriptor {
                label: None,
                dtype: DType::F32,
                elements: elements as u64,
                map: Some(&map),
                seeds: has_seeds.then(|| Seeds {
                    values: values.as_entire_buffer_binding(),
                    elements_per_seed: columns as u64,
                    first_element: 0,
                }),
                operation: Operation::ForwardFused {
                    x: input.as_entire_buffer_binding(),
                    bias: Some(RowBias {
                        values: bias.as_entire_buffer_binding(),
                        columns: columns as u64,
                    }),
                    residual: Some(added.as_entire_buffer_binding()),
                    y: output.as_entire_buffer_binding(),
                },
            })
            .unwrap();
        let dropout = Dropout::new(0.4, 0).unwrap().with_element_offset(77);
        let call = binding
            .on_device(&DeviceCallDescriptor {
                label: None,
                dropout: &dropout.with_subsequence(2),
                state: state.as_entire_buffer_binding(),
                length: Some(length.as_entire_buffer_binding()),
            })
            .unwrap();
        let call_on_host = dropout.with_seed(seed).with_subsequence(subsequence + 2);
        let mut draw = call_on_host.over(&map);
        if has_seeds {
            draw = draw.with_seeds(&seeds, columns as u64);
        }
        let neighbours = Neighbours {
            bias: Some(&rest[..columns]),
            residual: Some(residual),
        };
        let mut expected = vec![0.0; elements];
        reference::forward_fused(draw, x, neighbours, &mut expected).unwrap();
        for here in [0, 1, columns, 2249, elements - 1, elements, elements + 5] {
            kernels.queue().write_buffer(&length, 0, &(here as u32).to_ne_bytes());
            kernels
                .queue()
                .write_buffer(&output, 0, bytemuck::cast_slice(&vec![7.5f32; elements]));
            run(kernels, |pass| call.record(pass));
            let mut expected = expected.clone();
            expected[here.min(elements)..].fill(7.5);
            f32::assert_same(
                &read_as(kernels, &output),
                &expected,
                &format!("{here} of {rows} x {columns}"),
            );
        }
    }
}

/// Every length from nothing to more than is bound, of tensors and masks in several windows; what lies behind it
/// stays as it was.
fn device_length(adapter: &wgpu::Adapter) {
    for tile in [TileSize::Elements16, TileSize::Bytes16] {
        device_length_by(adapter, tile);
    }
}

fn device_length_by(adapter: &wgpu::Adapter, tile: TileSize) {
    let options = KernelOptions {
        tile: Some(tile),
        max_binding_bytes: 9000,
        workgroup_size: 32,
        ..KernelOptions::default()
    };
    let context = Context::with_adapter(adapter, &options).unwrap();
    let kernels = context.kernels();
    let most = 9001usize;
    let x = painted::<f16>(most);
    let dropout = Dropout::new(0.3, 17).unwrap().with_element_offset(32);
    let words = most.div_ceil(2);
    let (input, output) = (buffer(kernels, words as u64 * 4), buffer(kernels, words as u64 * 4));
    let mask = buffer(kernels, bit_mask_words(most as u64) * 4);
    let (state, length) = (buffer(kernels, STATE_BYTES), buffer(kernels, 4));
    let mut bytes = bytemuck::cast_slice(&x).to_vec();
    bytes.resize(words * 4, 0);
    kernels.queue().write_buffer(&input, 0, &bytes);
    kernels.queue().write_buffer(&state, 0, &state_bytes(17, 0));
    let bind = |operation| {
        let binding = kernels
            .bind(&BindDescriptor {
                label: None,
                dtype: DType::F16,
                elements: most as u64,
                map: None,
                seeds: None,
                operation,
            })
            .unwrap();
        let descriptor = DeviceCallDescriptor {
            label: None,
            dropout: &dropout,
            state: state.as_entire_buffer_binding(),
            length: Some(length.as_entire_buffer_binding()),
        };
        binding.on_device(&descriptor).unwrap()
    };
    let store = || StoredMask::Bits(mask.as_entire_buffer_binding());
    let operations = [
        (
            true,
            bind(Operation::Forward {
                x: input.as_entire_buffer_binding(),
                y: output.as_entire_buffer_binding(),
                store: Some(store()),
            }),
        ),
        (false, bind(Operation::Mask { store: store() })),
    ];
    let sentinel = f16::from_bits(0x7abc);
    for elements in [
        0,
        1,
        2,
        15,
        16,
        17,
        31,
        32,
        33,
        4095,
        4096,
        4097,
        8192,
        8999,
        9000,
        9001,
        9002,
        u32::MAX,
    ] {
        kernels.queue().write_buffer(&length, 0, &elements.to_ne_bytes());
        let here = most.min(elements as usize);
        let mut expected = vec![sentinel; 2 * words];
        reference::forward(&dropout, &x[..here], &mut expected[..here]).unwrap();
        let mut expected_mask = vec![u32::MAX; bit_mask_words(most as u64) as usize];
        let mask_words = bit_mask_words(here as u64) as usize;
        reference::bit_mask(&dropout, here, &mut expected_mask[..mask_words]).unwrap();
        for (has_tensor, call) in &operations {
            let untouched = vec![sentinel; 2 * words];
            kernels
                .queue()
                .write_buffer(&output, 0, bytemuck::cast_slice(&untouched));
            kernels
                .queue()
                .write_buffer(&mask, 0, &vec![0xff; expected_mask.len() * 4]);
            run(kernels, |pass| call.record(pass));
            let expected = if *has_tensor { &expected } else { &untouched };
            f16::assert_same(&read_as(kernels, &output), expected, &format!("{elements} elements"));
            u32::assert_same(&read_as(kernels, &mask), &expected_mask, &format!("mask of {elements}"));
        }
    }
}

fn slots(adapter: &wgpu::Adapter) {
    let options = KernelOptions {
        parameters: Some(ParameterPath::Uniform),
        parameter_slots: 3,
        ..KernelOptions::default()
    };
    let context = Context::with_adapter(adapter, &options).unwrap();
    let kernels = context.kernels();
    let (x, y) = (buffer(kernels, 4096), buffer(kernels, 4096));
    // Two dispatches: whole tiles, and a tail.
    let binding = kernels.bind(&forward(DType::F32, 1023, &x, &y)).unwrap();
    assert_eq!(binding.dispatches(), 2);
    let dropout = Dropout::new(0.5, 1).unwrap();
    let encoder = || {
        kernels
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    };
    let full = Err(RecordError::Slots {
        needed: 2,
        free: 1,
        slots: 3,
    });

    // Thrown away unsubmitted: the slots are free again.
    for _ in 0..3 {
        let mut thrown_away = encoder();
        binding.encode(&mut thrown_away, &dropout).unwrap();
        assert_eq!(binding.encode(&mut thrown_away, &dropout), full);
    }
    // Submitted and done: free again.
    for _ in 0..3 {
        let mut submitted = encoder();
        binding.encode(&mut submitted, &dropout).unwrap();
        assert_eq!(binding.encode(&mut submitted, &dropout), full);
        kernels.queue().submit([submitted.finish()]);
        kernels.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    }
}

fn recorded_in_parallel(adapter: &wgpu::Adapter) {
    let context = context(adapter);
    let kernels = context.kernels();
    let elements = 5000u64;
    let x = painted::<f32>(elements as usize);
    let input = buffer(kernels, elements * 4);
    kernels.queue().write_buffer(&input, 0, bytemuck::cast_slice(&x));
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (x, input) = (&x, &input);
            scope.spawn(move || {
                let random_bits = RandomBits::ALL[thread as usize % 3];
                let dropout = Dropout::new(0.3, thread)
                    .unwrap()
                    .with_probability(Probability::new(0.3, random_bits).unwrap());
                let y = buffer(kernels, elements * 4);
                let binding = kernels.bind(&forward(DType::F32, elements, input, &y)).unwrap();
                let mut encoder = kernels
                    .device()
                    .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                binding.encode(&mut encoder, &dropout).unwrap();
                kernels.queue().submit([encoder.finish()]);
                let mut expected = vec![0.0f32; elements as usize];
                reference::forward(&dropout, x, &mut expected).unwrap();
                f32::assert_same(&read_as(kernels, &y), &expected, &format!("thread {thread}"));
            });
        }
    });
}

/// What a device holds: objects of each kind that calls could leave behind, and the bytes of its buffers.
fn held(device: &wgpu::Device) -> [isize; 7] {
    let held = device.get_internal_counters().hal;
    [
        held.buffers,
        held.buffer_memory,
        held.memory_allocations,
        held.bind_groups,
        held.compute_pipelines,
        held.shader_modules,
        held.command_encoders,
    ]
    .map(|count| count.read())
}

/// Forward and backward recorded and run, and calls of the convenience layer: what was held before, and no more.
fn many_recordings(adapter: &wgpu::Adapter) {
    let context = context(adapter);
    let kernels = context.kernels();
    let elements = 1001u64;
    let (input, output) = (buffer(kernels, elements * 4), buffer(kernels, elements * 4));
    let once = kernels.bind(&forward(DType::F32, elements, &input, &output)).unwrap();
    let back = kernels
        .bind(&BindDescriptor {
            operation: Operation::Backward {
                dy: output.as_entire_buffer_binding(),
                dx: input.as_entire_buffer_binding(),
                mask: BackwardMask::Drawn,
            },
            ..forward(DType::F32, elements, &input, &output)
        })
        .unwrap();
    let steps = |steps: std::ops::Range<u64>| {
        run(kernels, |pass| {
            for step in steps {
                let dropout = Dropout::new(0.1, 42).unwrap().with_subsequence(step);
                once.record(pass, &dropout).unwrap();
                back.record(pass, &dropout).unwrap();
            }
        });
    };
    let x = painted::<f32>(elements as usize);
    let mut y = x.clone();
    let mut mask = vec![0u32; bit_mask_words(elements) as usize];
    let mut call = |step: u64| {
        let dropout = Dropout::new(0.1, 42).unwrap().with_subsequence(step);
        context.forward_with_bit_mask(&dropout, &x, &mut y, &mut mask).unwrap();
    };
    // What is made once, and pools that grow to their size.
    (0..10).for_each(|n| steps(n..n + 20));
    (0..10).for_each(&mut call);
    let before = held(kernels.device());
    (0..500).for_each(|n| steps(20 * n..20 * n + 20));
    assert_eq!(held(kernels.device()), before, "recordings");
    (0..100).for_each(&mut call);
    assert_eq!(held(kernels.device()), before, "calls");
    // The counts count.
    let kept = buffer(kernels, 4);
    assert_ne!(held(kernels.device()), before, "{kept:?}");
}

fn pipeline_cache(adapter: &wgpu::Adapter) {
    let device = || {
        pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            required_features: wgpu::Features::PIPELINE_CACHE,
            ..wgpu::DeviceDescriptor::default()
        }))
        .unwrap()
    };
    #[allow(unsafe_code, reason = "no data from outside is handed in")]
    let cache_of = |device: &wgpu::Device| {
        // SAFETY: an empty cache.
        unsafe {
            device.create_pipeline_cache(&wgpu::PipelineCacheDescriptor {
                label: None,
                data: None,
                fallback: true,
            })
        }
    };
    let ((device, queue), (other, _)) = (device(), device());
    let prepare = |cache| {
        let options = KernelOptions {
            pipeline_cache: Some(cache),
            ..KernelOptions::default()
        };
        let kernels = Kernels::with_options(&device, &queue, &options).unwrap();
        let tensor = buffer(&kernels, 4096);
        let binding = kernels.bind(&forward(DType::F32, 1024, &tensor, &tensor)).unwrap();
        binding.prepare(&Dropout::new(0.5, 1).unwrap())
    };
    assert_eq!(prepare(cache_of(&device)), Ok(()));
    // One of another device is refused, so it is really handed on.
    let error = prepare(cache_of(&other)).unwrap_err();
    assert!(
        matches!(error, RecordError::Device(DeviceError::Validation(_))),
        "{error:?}"
    );
}

fn lost_device(adapter: &wgpu::Adapter) {
    let doomed = Arc::new(context(adapter));
    let dropout = Dropout::new(0.5, 1).unwrap();
    let (x, mut y) = (vec![1.0f32; 1000], vec![7.0f32; 1000]);
    doomed.kernels().device().destroy();
    let error = doomed.forward(&dropout, &x, &mut y).unwrap_err();
    assert!(matches!(error, RunError::Device(DeviceError::Lost(_))), "{error:?}");
    assert!(error.to_string().contains("create a new device"), "{error}");
    assert_eq!(y, [7.0; 1000]);
    let mut mask = [7u32; 4];
    doomed.bit_mask(&dropout, 100, &mut mask).unwrap_err();
    assert_eq!(mask, [7; 4]);
    // Binding and recording on it give errors or nothing, but no panic.
    let kernels = doomed.kernels();
    let scope = kernels.device().push_error_scope(wgpu::ErrorFilter::Validation);
    let lost = buffer(kernels, 4096);
    if let Ok(binding) = kernels.bind(&BindDescriptor {
        label: None,
        dtype: DType::F32,
        elements: 1000,
        map: None,
        seeds: None,
        operation: Operation::Backward {
            dy: lost.as_entire_buffer_binding(),
            dx: lost.as_entire_buffer_binding(),
            mask: BackwardMask::Drawn,
        },
    }) {
        let mut encoder = kernels
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let _ = binding.encode(&mut encoder, &dropout);
    }
    drop(scope);

    // The process is none the worse: a new device works.
    let fresh = context(adapter);
    assert!(!fresh.name().is_empty());
    fresh.forward(&dropout, &x, &mut y).unwrap();
    let mut expected = vec![0.0f32; 1000];
    reference::forward(&dropout, &x, &mut expected).unwrap();
    assert_eq!(y, expected);
}

/// Destroyed at moments from before the first upload until after the last download: a call is done and right, or an error
/// that leaves the output as it was, and nothing waits for ever.
fn lost_while_working(adapter: &wgpu::Adapter) {
    let dropout = Dropout::new(0.5, 1).unwrap();
    let x = ordinary::<f32>(1 << 20);
    let mut expected = x.clone();
    cpu::forward(&dropout, &x, &mut expected).unwrap();
    let once = {
        let context = context(adapter);
        let mut y = x.clone();
        context.forward(&dropout, &x, &mut y).unwrap();
        let start = std::time::Instant::now();
        context.forward(&dropout, &x, &mut y).unwrap();
        start.elapsed()
    };
    let mut outcomes = [0; 2];
    for moment in 0..12 {
        let doomed = context(adapter);
        doomed.forward(&dropout, &x[..64], &mut [0.0; 64]).unwrap();
        let device = doomed.kernels().device().clone();
        let mut y = vec![7.0f32; x.len()];
        let done = std::thread::scope(|threads| {
            let call = threads.spawn(|| doomed.forward(&dropout, &x, &mut y));
            std::thread::sleep(once * moment / 8);
            device.destroy();
            call.join().unwrap()
        });
        outcomes[usize::from(done.is_ok())] += 1;
        match done {
            Ok(()) => f32::assert_same(&y, &expected, "done before the device was lost"),
            Err(error) => {
                assert!(matches!(error, RunError::Device(DeviceError::Lost(_))), "{error:?}");
                f32::assert_same(&y, &vec![7.0; x.len()], "untouched");
            }
        }
        doomed.forward(&dropout, &x, &mut y).unwrap_err();
    }
    assert_eq!(outcomes.iter().sum::<i32>(), 12);
    let mut y = x.clone();
    context(adapter).forward(&dropout, &x, &mut y).unwrap();
    f32::assert_same(&y, &expected, "a new device works");
}

/// Each thread with a device of its own, all at once.
fn several_devices(adapter: &wgpu::Adapter) {
    let x = painted::<f16>(100_003);
    std::thread::scope(|threads| {
        for thread in 0..4u64 {
            let x = &x;
            threads.spawn(move || {
                let context = context(adapter);
                for step in 0..5 {
                    let dropout = Dropout::new(0.3, thread).unwrap().with_subsequence(step);
                    let (mut y, mut expected) = (x.clone(), x.clone());
                    context.forward(&dropout, x, &mut y).unwrap();
                    reference::forward(&dropout, x, &mut expected).unwrap();
                    f16::assert_same(&y, &expected, "a device of several");
                }
            });
        }
    });
}
