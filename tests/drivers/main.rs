//! The kernels as drivers of GPUs compile them, without the GPUs. Mesa's compilers for the GPUs of AMD, Intel, NVIDIA and Qualcomm work
//! on any machine, over devices that do nothing. What they make of a kernel, after all of their optimisations, is taken from them as
//! text and run here: their ways to multiply, their selections, loops and buffers, not ours and not naga's. What follows, the choice of
//! instructions and registers, is not seen.
//!
//! Needs such a driver, so that a plain `cargo test` ignores most; `cargo xtask drivers` provides them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail loudly"
)]
#![allow(clippy::print_stdout, reason = "which driver it was, with --nocapture")]

#[path = "../common/mod.rs"]
mod common;

mod buffers;
mod gpu;
mod machine;
mod nir;
mod vulkan;

use std::collections::BTreeMap;

use common::backend::Backend as _;
use common::{Bits, checks, operands, sums};
use gpu::{Gpu, Kernels, bytes};
use half::{bf16, f16};
use rayon::prelude::*;
use vulkan::Driver;
use wgpu_dropout::gpu::variant::{Access, TileSize, portable_wgsl};
use wgpu_dropout::gpu::{Multiply, RecipeFused, Variant};
use wgpu_dropout::rand_core::Rng as _;
use wgpu_dropout::{
    Draw, Dropout, Element, IndexMap, Neighbours, Philox4x32, Probability, RandomBits, ScaleMode, bit_mask_words,
    reference,
};

const FUSED: [RecipeFused; 3] = [RecipeFused::Apart, RecipeFused::InPlace, RecipeFused::ResidualInPlace];

/// Each way to multiply, each tile, and GPUs that flush subnormal numbers as well as others.
fn ways(kernels: &Kernels) -> Vec<Gpu<'_>> {
    let mut ways = Vec::new();
    for multiply in [Multiply::Int64, Multiply::Emulated] {
        for tile in [TileSize::Bytes16, TileSize::Elements16] {
            for (flushes, access) in [(true, Access::Read), (false, Access::ReadWrite)] {
                ways.push(Gpu {
                    kernels,
                    multiply,
                    tile,
                    flushes,
                    map: None,
                    seeds: None,
                    access,
                    fused: RecipeFused::Apart,
                });
            }
        }
    }
    ways
}

#[test]
#[ignore = "needs a driver"]
fn vectors() {
    let kernels = Kernels::new();
    for gpu in ways(&kernels) {
        checks::dropout_vectors(&gpu);
        checks::mapped_vectors(|map| Gpu {
            map: Some(map),
            ..gpu.clone()
        });
        checks::inference_vectors(&gpu);
        for fused in FUSED {
            checks::fused_vectors(&Gpu { fused, ..gpu.clone() });
        }
        checks::a_stored_mask_decides(&gpu);
    }
    println!("{}: {} kernels", kernels.driver.name, kernels.count());
}

/// A call as it comes: what it is over, with which seeds, and which neighbours.
struct Call {
    dropout: Dropout,
    shape: Vec<u64>,
    map: Option<IndexMap>,
    seeds: Option<(Vec<u64>, u64)>,
    columns: Option<usize>,
    has_residual: bool,
    salt: u32,
}

impl Call {
    /// Broadcast, permuted, or a part of a longer tensor; or plain.
    fn any(random: &mut Philox4x32) -> Self {
        let mut below = |n: u64| random.next_u64() % n;
        let mut shape = Vec::new();
        for _ in 0..=below(4) {
            let length = [1, 2, 3, 7, 8, 15, 16, 32, 33, 49, 64, 100, 128][below(13) as usize];
            if shape.iter().product::<u64>() * length <= 4096 {
                shape.push(length);
            }
        }
        let elements: u64 = shape.iter().product();
        let mut order: Vec<_> = (0..shape.len()).collect();
        if below(3) == 0 {
            order.rotate_left(1);
        }
        let (shared, mut stride, mut strides) = (below(16), 1, vec![0; shape.len()]);
        for &dimension in order.iter().rev() {
            if shared >= 8 || shared >> (dimension % 3) & 1 == 0 {
                strides[dimension] = stride;
                stride *= shape[dimension] * (1 + below(3) / 2);
            }
        }
        let map = (below(4) > 0).then(|| IndexMap::new(&shape, &strides).unwrap());

        let random_bits = RandomBits::ALL[below(3) as usize];
        let p = [0.0, 1e-3, 0.1, 0.1, 0.5, 0.9, 1.0][below(7) as usize];
        let offsets = [
            0,
            16 * below(1000),
            below(1000),
            (1 << 34) - below(2000),
            (1 << 34) + below(5000),
            1 << 62,
        ];
        let dropout = Dropout::new(p, below(u64::MAX))
            .unwrap()
            .with_probability(Probability::new(p, random_bits).unwrap())
            .with_scale_mode([ScaleMode::Inverted, ScaleMode::Classic][below(2) as usize])
            .with_subsequence(below(u64::MAX))
            .with_element_offset(offsets[below(6) as usize]);

        let per_seed = [1, 5, 16, 33][below(4) as usize];
        let seeds = (below(4) == 0 && elements % per_seed == 0)
            .then(|| ((0..elements / per_seed).map(|_| below(u64::MAX)).collect(), per_seed));
        let columns = [*shape.last().unwrap_or(&1), 1, elements, 16, 64][below(5) as usize];
        let columns = (below(3) > 0 && elements % columns == 0).then_some(columns as usize);
        Self {
            dropout,
            map,
            seeds,
            columns,
            has_residual: below(2) == 0,
            salt: below(1000) as u32,
            shape,
        }
    }

    fn check<T: Element + Bits>(&self, gpu: &Gpu<'_>, context: &str) {
        let elements = self.shape.iter().product::<u64>() as usize;
        let plain = IndexMap::new(&[elements as u64], &[1]).unwrap();
        let mut draw = self.dropout.over(self.map.as_ref().unwrap_or(&plain));
        if let Some((seeds, per_seed)) = &self.seeds {
            draw = draw.with_seeds(seeds, *per_seed);
        }
        let x = operands::<T>(elements, self.salt);
        let words = bit_mask_words(elements as u64) as usize;
        let (mut expected, mut expected_bits) = (x.clone(), vec![0; words]);
        reference::forward_with_bit_mask(draw, &x, &mut expected, &mut expected_bits).unwrap();

        let (mut y, mut bits) = (x.clone(), vec![0xcaca_caca; words]);
        gpu.forward_with_bit_mask(&self.dropout, &x, &mut y, &mut bits).unwrap();
        T::assert_same(&y, &expected, context);
        assert_eq!(bits, expected_bits, "{context}");
        let mut y = x.clone();
        gpu.forward(&self.dropout, &x, &mut y).unwrap();
        T::assert_same(&y, &expected, context);
        let mut y = x.clone();
        gpu.forward_in_place(&self.dropout, &mut y).unwrap();
        T::assert_same(&y, &expected, context);
        let mut y = x.clone();
        gpu.backward_from_bit_mask(&self.dropout, &x, &bits, &mut y).unwrap();
        T::assert_same(&y, &expected, context);
        let mut bits = vec![0xcaca_caca; words];
        gpu.bit_mask(&self.dropout, elements, &mut bits).unwrap();
        assert_eq!(bits, expected_bits, "{context}");
        let (mut y, mut kept, mut expected_kept) = (x.clone(), vec![0xca; elements], vec![0; elements]);
        gpu.forward_with_byte_mask(&self.dropout, &x, &mut y, &mut kept)
            .unwrap();
        reference::byte_mask(draw, &mut expected_kept).unwrap();
        T::assert_same(&y, &expected, context);
        assert_eq!(kept, expected_kept, "{context}");

        self.check_neighbours(gpu, draw, &x, context);
    }

    fn check_neighbours<T: Element + Bits>(&self, gpu: &Gpu<'_>, draw: Draw<'_>, x: &[T], context: &str) {
        let bias = self.columns.map(|columns| operands::<T>(columns, self.salt + 1));
        let residual = self.has_residual.then(|| operands::<T>(x.len(), self.salt + 2));
        let neighbours = || Neighbours {
            bias: bias.as_deref(),
            residual: residual.as_deref(),
        };
        let (mut y, mut expected) = (x.to_vec(), x.to_vec());
        gpu.forward_fused(&self.dropout, x, neighbours(), &mut y).unwrap();
        reference::forward_fused(draw, x, neighbours(), &mut expected).unwrap();
        T::assert_same(&y, &expected, &format!("neighbours, {context}"));
    }
}

#[test]
#[ignore = "needs a driver"]
fn any_calls() {
    let kernels = Kernels::new();
    for (way, gpu) in ways(&kernels).into_iter().enumerate() {
        let mut random = Philox4x32::new(2026, way as u64);
        for case in 0..100 {
            let call = Call::any(&mut random);
            let gpu = Gpu {
                map: call.map.clone(),
                seeds: call.seeds.clone(),
                access: [Access::Read, Access::ReadWrite][case / 3 % 2],
                fused: FUSED[case / 6 % 3],
                ..gpu.clone()
            };
            let Call {
                dropout, shape, map, ..
            } = &call;
            let context = format!("call {case}, {shape:?}, {map:?}, {dropout:?}, {}", gpu.name());
            match case % 3 {
                0 => call.check::<f32>(&gpu, &context),
                1 => call.check::<f16>(&gpu, &context),
                _ => call.check::<bf16>(&gpu, &context),
            }
        }
    }
    println!("{}: {} kernels", kernels.driver.name, kernels.count());
}

fn bias_gradient<T: Element + Bits>(kernels: &Kernels, [rows, columns]: [usize; 2], salt: u32, flushes: bool) {
    let texts: BTreeMap<_, _> = portable_wgsl().collect();
    let dx = operands::<T>(rows * columns, salt);
    let mut expected = vec![T::from_bits32(0); columns];
    reference::bias_gradient(&dx, &mut expected).unwrap();

    let (partial_rows, quads) = (rows.div_ceil(64), columns.div_ceil(4));
    let run = |stage: &str, sums: Vec<u8>, output: usize, input: Vec<u8>| {
        let name = format!("{} bias-gradient {stage}", T::DTYPE);
        let buffers = BTreeMap::from([((0, 0), sums), ((0, 1), vec![0; output * 16]), ((0, 2), input)]);
        let workgroups = [output.div_ceil(machine::LANES) as u32, 1];
        let mut after = kernels.dispatch(&name, || texts[&name].clone(), workgroups, buffers, flushes);
        after.remove(&(0, 1)).unwrap()
    };
    let stage = if columns.is_multiple_of(4) {
        "whole partial"
    } else {
        "tail partial"
    };
    let partial = run(stage, sums([rows, columns], columns), partial_rows * quads, bytes(&dx));
    let dbias = run("whole total", sums([partial_rows, quads * 4], columns), quads, partial);
    let dbias: Vec<T> = bytemuck::pod_collect_to_vec(&dbias[..size_of_val(&expected[..])]);
    let context = format!(
        "{} gradient of a bias, {rows} rows of {columns}, {}",
        T::DTYPE,
        kernels.driver.name
    );
    T::assert_same(&dbias, &expected, &context);
}

#[test]
#[ignore = "needs a driver"]
fn gradients_of_a_bias() {
    let kernels = Kernels::new();
    for shape in [[83, 803], [200, 36], [64, 7]] {
        for salt in 0..4 {
            for flushes in [true, false] {
                bias_gradient::<f32>(&kernels, shape, salt, flushes);
                bias_gradient::<f16>(&kernels, shape, salt, flushes);
                bias_gradient::<bf16>(&kernels, shape, salt, flushes);
            }
        }
    }
}

/// What the drivers call registers that went to memory.
const SPILLS: [&str; 5] = [
    "Spilled SGPRs",
    "Spilled VGPRs",
    "Spills to memory",
    "STP Count",
    "Scratch Memory Size",
];

#[test]
#[ignore = "needs a driver"]
fn every_variant_compiles_and_spills_nothing() {
    let driver = Driver::new();
    let variants: Vec<_> = Variant::all().collect();
    variants.par_iter().for_each(|variant| {
        let compiled = driver.compile(&variant.to_string(), &variant.wgsl());
        let spilled: Vec<_> = SPILLS
            .iter()
            .filter_map(|name| compiled.statistics.get(*name))
            .collect();
        assert!(!spilled.is_empty(), "{}: {:?}", driver.name, compiled.statistics);
        assert!(
            spilled.iter().all(|count| **count == 0),
            "{variant}: {:?}",
            compiled.statistics
        );
    });
    for (name, text) in portable_wgsl() {
        driver.compile(&name, &text);
    }
    println!("{}: {} variants", driver.name, variants.len());
}
