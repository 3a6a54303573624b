// SPDX-License-Identifier: MIT OR Apache-2.0
// The f32 product x * scale on the bits, round to nearest even, for every operand: what the hardware's
// multiply can't be trusted with (subnormal, infinite, NaN, overflowing). Without a branch: drivers on which
// every way is executed, taken or not, pay for each. Expects multiply_wide and params.

fn multiply_exact(x: u32) -> u32 {
    let magnitude = x & 0x7fffffffu;
    let sign = x ^ magnitude;
    // x = significand * 2^(exponent - 150), bit 23 of the significand set unless x is zero. The scale is normal or 0.
    let field = magnitude >> 23u;
    let is_subnormal = field == 0u;
    let raise = countLeadingZeros(magnitude) - 8u;
    let significand = select((magnitude & 0x7fffffu) | 0x800000u, magnitude << (raise & 31u), is_subnormal);
    let exponent = select(i32(field), 1 - i32(raise), is_subnormal);

    // The scale's significand with bit 31 set: the product's upper word has 23 or 24 bits, made 24.
    let product = multiply_wide(significand, (params.scale << 8u) | 0x80000000u);
    let is_short = product.y < 0x800000u;
    let high = select(product.y, (product.y << 1u) | (product.x >> 31u), is_short);
    let low = select(product.x, product.x << 1u, is_short);
    let biased = exponent + i32(params.scale >> 23u) - select(126, 127, is_short);

    // A subnormal result: its bits in line with the least exponent. 25 places leave nothing to round up.
    let down = u32(clamp(1 - biased, 0, 25));
    let up = (32u - down) & 31u;
    let is_moved = down != 0u;
    let kept = high >> down;
    let rest = select(low, (high << up) | (low >> down), is_moved);
    let lost = select(0u, low << up, is_moved);
    let rounds_up = ((rest << 1u) | lost | (kept & 1u)) != 0u;
    let increment = select(0u, rest >> 31u, rounds_up);

    // The implicit bit and a carry out of the significand add themselves to the exponent.
    let sum = (u32(max(biased, 1) - 1) << 23u) + kept + increment;
    let is_zero = (magnitude == 0u) | (params.scale == 0u);
    let finite = sign | select(min(sum, 0x7f800000u), 0u, is_zero);
    // Infinity times zero is the one operation here that makes a NaN.
    let infinite = select(x, 0x7fc00000u, params.scale == 0u);
    return select(select(finite, infinite, magnitude == 0x7f800000u), x | params.quiet, magnitude > 0x7f800000u);
}
