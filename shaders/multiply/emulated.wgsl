// SPDX-License-Identifier: MIT OR Apache-2.0
// 32 x 32 -> 64 bit product from 16-bit halves: WGSL without 64-bit integers has no high product.
// Returns (low word, high word).

const IS_EMULATED: bool = true;

fn multiply_wide(a: u32, b: u32) -> vec2<u32> {
    let a_low = a & 0xffffu;
    let a_high = a >> 16u;
    let b_low = b & 0xffffu;
    let b_high = b >> 16u;
    // No sum below can exceed 32 bits: (2^16 - 1)^2 + 2 * (2^16 - 1) = 2^32 - 1.
    let low = a_low * b_low;
    let middle = a_high * b_low + (low >> 16u);
    let cross = a_low * b_high + (middle & 0xffffu);
    return vec2<u32>(a * b, a_high * b_high + (middle >> 16u) + (cross >> 16u));
}
