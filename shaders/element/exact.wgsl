// SPDX-License-Identifier: MIT OR Apache-2.0
// The f32 product x * scale on the bits, round to nearest even, for every operand: what the hardware's
// multiply can't be trusted with (subnormal, infinite, NaN, overflowing). Expects multiply_wide and params.

fn multiply_exact(x: u32) -> u32 {
    let sign = x & 0x80000000u;
    let magnitude = x & 0x7fffffffu;
    if magnitude > 0x7f800000u {
        return x | params.quiet;
    }
    if magnitude == 0x7f800000u {
        // Infinity times zero is the one operation here that makes a NaN.
        return select(x, 0x7fc00000u, params.scale == 0u);
    }
    if magnitude == 0u || params.scale == 0u {
        return sign;
    }

    // x = significand * 2^(exponent - 150) with bit 23 of the significand set. The scale is normal.
    var significand = magnitude & 0x7fffffu;
    var exponent = i32(magnitude >> 23u);
    if exponent == 0 {
        let shift = countLeadingZeros(significand) - 8u;
        significand = significand << shift;
        exponent = 1 - i32(shift);
    } else {
        significand = significand | 0x800000u;
    }
    let scale_significand = (params.scale & 0x7fffffu) | 0x800000u;
    let scale_exponent = i32(params.scale >> 23u);

    // The product has 47 or 48 bits: keep the upper 32 of 48, the rest as a sticky bit, then set bit 31.
    let product = multiply_wide(significand, scale_significand);
    var top = (product.y << 16u) | (product.x >> 16u);
    var sticky = (product.x & 0xffffu) != 0u;
    var biased = exponent + scale_exponent - 126;
    if (top & 0x80000000u) == 0u {
        top = (top << 1u) | ((product.x >> 15u) & 1u);
        sticky = (product.x & 0x7fffu) != 0u;
        biased -= 1;
    }
    if biased >= 255 {
        return sign | 0x7f800000u;
    }
    if biased < 1 {
        // A subnormal result: line its bits up with the least exponent.
        let shift = u32(1 - biased);
        if shift > 31u {
            sticky = true;
            top = 0u;
        } else {
            sticky = sticky || (top << (32u - shift)) != 0u;
            top = top >> shift;
        }
        biased = 1;
    }
    var result = top >> 8u;
    let rest = top & 0xffu;
    if rest > 0x80u || (rest == 0x80u && (sticky || (result & 1u) == 1u)) {
        result += 1u;
    }
    // The implicit bit, where there is one, and a carry out of the significand add themselves to the exponent.
    return sign | ((u32(biased - 1) << 23u) + result);
}
