//! K(x) of the CPU path, contract section 5, as compilers vectorise it.

use half::{bf16, f16};

use super::words::Instructions;

/// K(x), contract section 5, without a branch, so that compilers vectorise it.
pub trait Scale: Copy {
    #[must_use]
    fn scaled(self, scale: f32) -> Self;

    /// Widened to f32 without loss.
    #[must_use]
    fn widened(self) -> f32;

    /// Rounded to nearest even; any NaN becomes the canonical one.
    #[must_use]
    fn narrowed(wide: f32) -> Self;

    /// Thirty-two at once where kept, else +0, by a scale other than 0.
    #[must_use]
    fn dropped_32<I: Instructions>(x: [Self; 32], kept: I::Kept, scale: f32, instructions: I) -> [Self; 32];

    /// Thirty-two at once; which NaN a NaN becomes is open.
    #[must_use]
    fn widened_32(x: [Self; 32], instructions: impl Instructions) -> [f32; 32];

    /// Thirty-two at once.
    #[must_use]
    fn narrowed_32(wide: [f32; 32], instructions: impl Instructions) -> [Self; 32];
}

/// The f32 product; `quiet` marks a NaN operand, infinity times zero gives the canonical NaN.
#[inline(always)]
fn product(x: f32, scale: f32) -> u32 {
    let product = x * scale;
    if product.is_nan() {
        0x7fc0_0000
    } else {
        product.to_bits()
    }
}

impl Scale for f32 {
    #[inline(always)]
    fn dropped_32<I: Instructions>(x: [Self; 32], kept: I::Kept, scale: f32, instructions: I) -> [Self; 32] {
        instructions.dropped_f32(x, kept, scale)
    }

    #[inline(always)]
    fn widened_32(x: [Self; 32], _instructions: impl Instructions) -> [f32; 32] {
        x
    }

    #[inline(always)]
    fn narrowed_32(wide: [f32; 32], instructions: impl Instructions) -> [Self; 32] {
        instructions.narrowed_f32(wide)
    }

    #[inline(always)]
    fn widened(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrowed(wide: f32) -> Self {
        if wide.is_nan() {
            Self::from_bits(0x7fc0_0000)
        } else {
            wide
        }
    }

    #[inline(always)]
    fn scaled(self, scale: f32) -> Self {
        let bits = if self.is_nan() {
            self.to_bits() | 0x0040_0000
        } else {
            product(self, scale)
        };
        Self::from_bits(bits)
    }
}

/// Rounds anything but a NaN to the nearest bf16, ties to even.
#[inline(always)]
fn f32_to_bf16(bits: u32) -> u16 {
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

impl Scale for bf16 {
    #[inline(always)]
    fn dropped_32<I: Instructions>(x: [Self; 32], kept: I::Kept, scale: f32, instructions: I) -> [Self; 32] {
        instructions.dropped_bf16(x, kept, scale)
    }

    #[inline(always)]
    fn widened_32(x: [Self; 32], instructions: impl Instructions) -> [f32; 32] {
        instructions.widened_bf16(x)
    }

    #[inline(always)]
    fn narrowed_32(wide: [f32; 32], instructions: impl Instructions) -> [Self; 32] {
        instructions.narrowed_bf16(wide)
    }

    #[inline(always)]
    fn widened(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn narrowed(wide: f32) -> Self {
        Self::from_bits(if wide.is_nan() {
            0x7fc0
        } else {
            f32_to_bf16(wide.to_bits())
        })
    }

    #[inline(always)]
    fn scaled(self, scale: f32) -> Self {
        let x = self.to_bits();
        let product = product(f32::from_bits(u32::from(x) << 16), scale);
        let narrow = if product & 0x7fff_ffff > 0x7f80_0000 {
            0x7fc0
        } else {
            f32_to_bf16(product)
        };
        Self::from_bits(if x & 0x7fff > 0x7f80 { x | 0x0040 } else { narrow })
    }
}

/// Widens a finite or infinite f16 magnitude exactly.
#[inline(always)]
fn f16_to_f32(magnitude: u16) -> f32 {
    let m = u32::from(magnitude);
    let subnormal = m as f32 * f32::from_bits(103 << 23); // 2^-24
    let rebias = if m >= 0x7c00 { 224 } else { 112 };
    if m < 0x0400 {
        subnormal
    } else {
        f32::from_bits((m << 13) + (rebias << 23))
    }
}

/// Rounds a finite or infinite f32 magnitude to the nearest f16, ties to even.
#[inline(always)]
fn f32_to_f16(magnitude: u32) -> u16 {
    // What is less than 2^-14 becomes subnormal, a multiple of 2^-24: so is every f32 in [1/2, 1), whose rounding that of a
    // sum with 1/2 is. Shifts by a number that differs from element to element are not vectorised everywhere.
    let half = 0.5f32;
    let subnormal = (f32::from_bits(magnitude) + half).to_bits() - half.to_bits();
    let odd = (magnitude >> 13) & 1;
    let normal = (magnitude + 0xfff + odd).wrapping_sub(112 << 23) >> 13;
    let narrow = if magnitude < 113 << 23 {
        subnormal
    } else {
        normal.min(0x7c00)
    };
    narrow as u16
}

impl Scale for f16 {
    #[inline(always)]
    fn dropped_32<I: Instructions>(x: [Self; 32], kept: I::Kept, scale: f32, instructions: I) -> [Self; 32] {
        instructions.dropped_f16(x, kept, scale)
    }

    #[inline(always)]
    fn widened_32(x: [Self; 32], instructions: impl Instructions) -> [f32; 32] {
        instructions.widened_f16(x)
    }

    #[inline(always)]
    fn narrowed_32(wide: [f32; 32], instructions: impl Instructions) -> [Self; 32] {
        instructions.narrowed_f16(wide)
    }

    #[inline(always)]
    fn widened(self) -> f32 {
        let x = self.to_bits();
        f32::from_bits(f16_to_f32(x & 0x7fff).to_bits() | u32::from(x & 0x8000) << 16)
    }

    #[inline(always)]
    fn narrowed(wide: f32) -> Self {
        let bits = wide.to_bits();
        let narrow = (bits >> 16) as u16 & 0x8000 | f32_to_f16(bits & 0x7fff_ffff);
        Self::from_bits(if wide.is_nan() { 0x7e00 } else { narrow })
    }

    #[inline(always)]
    fn scaled(self, scale: f32) -> Self {
        let x = self.to_bits();
        let magnitude = x & 0x7fff;
        let product = product(f16_to_f32(magnitude), scale);
        let narrow = if product > 0x7f80_0000 {
            0x7e00
        } else {
            (x & 0x8000) | f32_to_f16(product)
        };
        Self::from_bits(if magnitude > 0x7c00 { x | 0x0200 } else { narrow })
    }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;
    use crate::reference::Kept;

    /// The upper 23 bits of an f32 are those that round or are rounded to, or ties; of the lower nine it matters whether all are 0.
    #[test]
    fn narrows_as_the_reference() {
        (0..1u32 << 23).into_par_iter().for_each(|high| {
            for low in [0, 1, 0x100, 0x1ff] {
                let wide = f32::from_bits(high << 9 | low);
                assert_eq!(
                    f16::narrowed(wide).to_bits(),
                    <f16 as Kept>::rounded(wide).to_bits(),
                    "{wide:e}"
                );
                assert_eq!(
                    bf16::narrowed(wide).to_bits(),
                    <bf16 as Kept>::rounded(wide).to_bits(),
                    "{wide:e}"
                );
            }
        });
    }

    #[test]
    fn widens_as_the_reference() {
        for bits in 0..=u16::MAX {
            let (x, y) = (f16::from_bits(bits), bf16::from_bits(bits));
            // Which NaN one becomes is open, except that it stays one.
            let same = |narrow: f32, wide: f32| narrow.to_bits() == wide.to_bits() || narrow.is_nan() && wide.is_nan();
            assert!(same(x.widened(), <f16 as Kept>::wide(x)), "f16 {bits:04x}");
            assert!(same(y.widened(), <bf16 as Kept>::wide(y)), "bf16 {bits:04x}");
        }
    }
}
