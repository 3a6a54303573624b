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
