//! What the test binaries share: vectors, painted inputs, equality on bits.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod backend;
pub mod checks;
pub mod vectors;

use half::{bf16, f16};
use wgpu_dropout::{DType, Element};

/// Element types by their bits.
pub trait Bits: Copy {
    fn from_bits32(bits: u32) -> Self;
    fn bits32(self) -> u32;

    fn from_hex(hex: &[String]) -> Vec<Self> {
        hex.iter()
            .map(|hex| Self::from_bits32(u32::from_str_radix(hex, 16).unwrap()))
            .collect()
    }

    fn assert_same(actual: &[Self], expected: &[Self], context: &str) {
        assert_eq!(actual.len(), expected.len(), "{context}: length");
        for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
            let (a, e) = (a.bits32(), e.bits32());
            assert!(a == e, "{context}: element {i} is {a:08x}, expected {e:08x}");
        }
    }
}

impl Bits for f32 {
    fn from_bits32(bits: u32) -> Self {
        Self::from_bits(bits)
    }

    fn bits32(self) -> u32 {
        self.to_bits()
    }
}

impl Bits for u32 {
    fn from_bits32(bits: u32) -> Self {
        bits
    }

    fn bits32(self) -> u32 {
        self
    }
}

impl Bits for f16 {
    fn from_bits32(bits: u32) -> Self {
        Self::from_bits(bits as u16)
    }

    fn bits32(self) -> u32 {
        self.to_bits().into()
    }
}

impl Bits for bf16 {
    fn from_bits32(bits: u32) -> Self {
        Self::from_bits(bits as u16)
    }

    fn bits32(self) -> u32 {
        self.to_bits().into()
    }
}

/// Elements that differ from their neighbours, a block or a task away: all sorts of bit patterns, NaN,
/// infinities, subnormals and zeros among them.
pub fn painted<T: Element + Bits>(length: usize) -> Vec<T> {
    (0..length as u32)
        .map(|i| match i % 251 {
            0 => 0,
            1 => 0x8000_8000,
            2 => 0x7f80_7c00,
            3 => 0x7fa5_7d01,
            4 => 0x0000_0001 | i << 16,
            _ => i.wrapping_mul(2_654_435_761).rotate_left(i % 13),
        })
        .map(|bits| {
            if size_of::<T>() == 2 {
                T::from_bits32(bits >> (i32::from(bits % 3 == 0) * 16))
            } else {
                T::from_bits32(bits)
            }
        })
        .collect()
}

/// Ordinary numbers, whose sum depends on the order.
pub fn ordinary<T: Element + Bits>(length: usize) -> Vec<T> {
    (0..length)
        .map(|i| rounded((i as f32 * 0.37).sin() * f32::from_bits(0x3f80_1234)))
        .collect()
}

/// A number as an element.
pub fn rounded<T: Element + Bits>(value: f32) -> T {
    T::from_bits32(match T::DTYPE {
        DType::F32 => value.to_bits(),
        DType::F16 => f16::from_f32(value).to_bits().into(),
        DType::Bf16 => bf16::from_f32(value).to_bits().into(),
    })
}

/// Stretches of 64 that are ordinary, of every kind, subnormal as f16, as f32; what they add up to is near zero or too much.
pub fn operands<T: Element + Bits>(elements: usize, salt: u32) -> Vec<T> {
    let mut x = painted::<T>(elements);
    let common = ordinary::<T>(elements);
    for (at, x) in x.iter_mut().enumerate() {
        let bits = (at as u32 ^ salt).wrapping_mul(2_654_435_761);
        let (sign, fraction) = (bits & 0x8000_0000, bits >> 1);
        let pattern = match (T::DTYPE, at / 64 % 8) {
            (_, 0) => continue,
            (_, 1) => common[at].bits32(),
            (DType::F32, 2) => sign | fraction & 0x00ff_ffff,
            (DType::F32, 3) => sign | 0x3f80_0000 | fraction & 3,
            (DType::F32, 4) => sign | 0x7e00_0000 | fraction & 0x00ff_ffff,
            (DType::F32, 5) => sign | ((fraction & 0x3fff_ffff) + 0x2000_0000),
            (DType::F32, _) => sign | 0x4000_0000 | fraction & 0x007f_ffff,
            (DType::F16, 2) => (sign | fraction & 0x03ff_0000) >> 16,
            (DType::F16, 3) => sign >> 16 | fraction & 7,
            (DType::F16, 4) => (sign | (fraction & 0x7fff_0000).min(0x7bff_0000)) >> 16,
            (DType::F16, 5) => sign >> 16 | 0x3c00 | fraction & 3,
            (DType::F16, _) => (sign | 0x4000_0000 | fraction & 0x03ff_0000) >> 16,
            (DType::Bf16, 2) => (sign | fraction & 0x00ff_0000) >> 16,
            (DType::Bf16, 3) => sign >> 16 | 0x3f80 | fraction & 3,
            (DType::Bf16, 4) => (sign | 0x7e00_0000 | fraction & 0x00ff_0000) >> 16,
            (DType::Bf16, 5) => (sign | ((fraction & 0x3fff_0000) + 0x2000_0000)) >> 16,
            (DType::Bf16, _) => (sign | 0x4000_0000 | fraction & 0x007f_0000) >> 16,
        };
        *x = T::from_bits32(pattern);
    }
    x
}

/// `Sums` of `shaders/bias_gradient/sums.wgsl`: all rows and columns at once, for a bias of so many columns.
pub fn sums([rows, columns]: [usize; 2], dbias_columns: usize) -> Vec<u8> {
    let [rows, columns, quads, dbias_columns] = [rows, columns, columns.div_ceil(4), dbias_columns].map(|n| n as u32);
    let sums = [columns, 0, quads, 0, rows, 0, 0, dbias_columns, 0, 0, 0, 0];
    bytemuck::cast_slice(&sums).to_vec()
}
