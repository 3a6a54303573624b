//! A process may have its processor flush subnormals, round another way or trap: the same bits there, and what it asked for
//! still in force afterwards.

#![cfg(any(target_feature = "sse", target_arch = "aarch64"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

mod common;

use common::{Bits, ordinary, painted};
use half::{bf16, f16};
use rayon::{ThreadPool, ThreadPoolBuilder};
use wgpu_dropout::{Dropout, Element, IndexMap, Neighbours, Probability, RandomBits, ScaleMode, cpu, reference};

/// The register that floating-point operations obey.
#[allow(unsafe_code, reason = "Rust has no other word for it")]
mod register {
    use core::arch::asm;

    #[cfg(target_feature = "sse")]
    pub fn read() -> u64 {
        let mut control = 0u32;
        // SAFETY: stores the register in a place of its size.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut control, options(nostack, preserves_flags)) };
        // Without what was raised.
        u64::from(control & !0x3f)
    }

    #[cfg(target_feature = "sse")]
    pub fn write(control: u64) {
        let control = control as u32;
        // SAFETY: loads the register from a place of its size, with no bit that is reserved.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const control, options(nostack, preserves_flags)) };
    }

    #[cfg(target_arch = "aarch64")]
    pub fn read() -> u64 {
        let control: u64;
        // SAFETY: any program may read it.
        unsafe { asm!("mrs {}, fpcr", out(reg) control, options(nostack, preserves_flags)) };
        control
    }

    #[cfg(target_arch = "aarch64")]
    pub fn write(control: u64) {
        // SAFETY: any program may write it.
        unsafe { asm!("msr fpcr, {}", in(reg) control, options(nostack, preserves_flags)) };
    }
}

/// What a process may ask for, as bits of the register beside what it asks for of old.
#[cfg(target_feature = "sse")]
const ENVIRONMENTS: [(&str, u64); 6] = [
    (
        "subnormal results are zero, as libraries linked with -ffast-math leave it",
        1 << 15,
    ),
    ("subnormal operands are zero", 1 << 6),
    ("both", 1 << 15 | 1 << 6),
    ("down", 1 << 13),
    ("up", 2 << 13),
    ("toward zero, subnormals zero", 3 << 13 | 1 << 15 | 1 << 6),
];
#[cfg(target_arch = "aarch64")]
const ENVIRONMENTS: [(&str, u64); 4] = [
    ("subnormals are zero", 1 << 24),
    ("up", 1 << 22),
    ("down", 2 << 22),
    (
        "toward zero, subnormals zero, NaN the default one",
        3 << 22 | 1 << 24 | 1 << 25,
    ),
];

/// Small enough for one thread, or so long that threads share it.
fn tensors<T: Element + Bits>(elements: usize) -> [Vec<T>; 2] {
    // Subnormals of f32 and bf16, and numbers whose products and sums are.
    let small = (0..elements as u32).map(|i| {
        let bits = i.wrapping_mul(2_654_435_761) & 0x817f_ffff;
        T::from_bits32(if size_of::<T>() == 2 { bits >> 16 } else { bits })
    });
    let mut x: Vec<T> = small.collect();
    let mut residual = painted(elements);
    for (at, (x, residual)) in x.chunks_mut(64).zip(residual.chunks_mut(64)).enumerate() {
        match at % 3 {
            0 => residual.copy_from_slice(&ordinary(residual.len())),
            1 => residual.copy_from_slice(x),
            _ => x.copy_from_slice(&ordinary(x.len())),
        }
    }
    [x, residual]
}

fn add<T: Bits>(to: &mut Vec<u32>, elements: &[T]) {
    to.extend(elements.iter().map(|element| element.bits32()));
}

/// The bits of all that is computed in floating point.
fn everything<T: Element + Bits>([x, residual]: &[Vec<T>; 2]) -> Vec<u32> {
    let columns = 64;
    let map = IndexMap::drop_path(&[(x.len() / columns) as u64, columns as u64]).unwrap();
    let mut bits = Vec::new();
    for mode in [ScaleMode::Inverted, ScaleMode::Classic] {
        let dropout = Dropout::new(0.3, 6).unwrap().with_scale_mode(mode);
        for draw in [(&dropout).into(), dropout.over(&map)] {
            let neighbours = Neighbours {
                bias: Some(&residual[..columns]),
                residual: Some(&residual[..]),
            };
            macro_rules! path {
                ($path:ident) => {
                    let mut y = x.clone();
                    $path::forward(draw, x, &mut y).unwrap();
                    add(&mut bits, &y);
                    $path::backward_in_place(draw, &mut y).unwrap();
                    add(&mut bits, &y);
                    $path::inference(draw, x, &mut y).unwrap();
                    add(&mut bits, &y);
                    $path::forward_fused(draw, x, neighbours, &mut y).unwrap();
                    add(&mut bits, &y);
                    $path::bias_gradient(x, &mut y[..columns]).unwrap();
                    add(&mut bits, &y[..columns]);
                };
            }
            path!(reference);
            path!(cpu);
        }
    }
    bits
}

/// Thresholds and scales.
fn probabilities(ps: &[f64]) -> Vec<u64> {
    ps.iter()
        .flat_map(|&p| RandomBits::ALL.map(|bits| Probability::new(p, bits).unwrap()))
        .flat_map(|p| {
            let scales = [
                p.training_scale(ScaleMode::Inverted),
                p.inference_scale(ScaleMode::Classic).unwrap(),
            ];
            [p.threshold(), scales[0].to_bits().into(), scales[1].to_bits().into()]
        })
        .collect()
}

fn in_environment<R>(bits: u64, work: impl FnOnce() -> R) -> R {
    let before = register::read();
    register::write(before | bits);
    let result = work();
    let after = register::read();
    register::write(before);
    assert_eq!(after, before | bits, "what was asked for is lost");
    result
}

#[test]
fn probabilities_are_the_same_in_any_environment() {
    let ps = (0..2000).map(|i| f64::from(i) / 1999.0);
    // A subnormal is no zero.
    let ps: Vec<_> = ps.chain([f64::from_bits(1), 1e-310, 1e-12]).collect();
    let expected = probabilities(&ps);
    for (name, bits) in ENVIRONMENTS {
        assert!(in_environment(bits, || probabilities(&ps)) == expected, "{name}");
    }
}

fn same_bits<T: Element + Bits>() {
    // Short ones in this thread; long ones in a pool, whose threads have it from the start, as they inherit it.
    let pool = |bits| -> ThreadPool {
        let start = move |_| register::write(register::read() | bits);
        ThreadPoolBuilder::new()
            .num_threads(2)
            .start_handler(start)
            .build()
            .unwrap()
    };
    let (short, long) = (tensors::<T>(1 << 12), tensors::<T>(1 << 18));
    let (expected, expected_long) = (everything(&short), everything(&long));
    for (name, bits) in ENVIRONMENTS {
        let actual = in_environment(bits, || everything(&short));
        u32::assert_same(&actual, &expected, &format!("{:?}, {name}", T::DTYPE));
        let actual = pool(bits).install(|| everything(&long));
        u32::assert_same(&actual, &expected_long, &format!("{:?}, {name}, in a pool", T::DTYPE));
    }
}

#[test]
fn f32_is_the_same_in_any_environment() {
    same_bits::<f32>();
}

#[test]
fn f16_is_the_same_in_any_environment() {
    same_bits::<f16>();
}

#[test]
fn bf16_is_the_same_in_any_environment() {
    same_bits::<bf16>();
}

/// A program that wants to hear of invalid operations: x86-64 would kill it at infinity times zero.
#[test]
#[cfg(target_feature = "sse")]
fn nothing_traps() {
    let tensors = tensors::<f32>(1 << 12);
    let before = register::read();
    register::write(before & !(0x3f << 7));
    let bits = everything(&tensors);
    register::write(before);
    assert!(bits == everything(&tensors));
}
