// SPDX-License-Identifier: MIT OR Apache-2.0
// f32 sums on the bits, round to nearest even. Expects narrowed and NAN of the element type as f32.

const SIGN: u32 = 0x80000000u;

// Of any operands; a NaN is the canonical one.
fn sum_exact(a: u32, b: u32) -> u32 {
    let is_less = (a & ~SIGN) < (b & ~SIGN);
    let big = select(a, b, is_less);
    let small = select(b, a, is_less);
    let big_magnitude = big & ~SIGN;
    let small_magnitude = small & ~SIGN;
    let differ = ((big ^ small) & SIGN) != 0u;

    // Significands with the implicit bit, and three bits more: two, and whether anything was below them.
    let exponent = max(big_magnitude >> 23u, 1u);
    let distance = min(exponent - max(small_magnitude >> 23u, 1u), 31u);
    let big_bits = ((big_magnitude & 0x7fffffu) | select(0u, 0x800000u, big_magnitude >= 0x800000u)) << 3u;
    let small_bits = ((small_magnitude & 0x7fffffu) | select(0u, 0x800000u, small_magnitude >= 0x800000u)) << 3u;
    let is_cut = (small_bits & ((1u << distance) - 1u)) != 0u;
    let aligned = (small_bits >> distance) | select(0u, 1u, is_cut);
    let sum = select(big_bits + aligned, big_bits - aligned, differ);

    // The leading bit to bit 26, but no further left than the least exponent allows.
    let carries = sum >= 0x8000000u;
    let left = min(countLeadingZeros(sum | 1u) - select(5u, 4u, carries), exponent - 1u);
    let bits = select(sum << (left & 31u), (sum >> 1u) | (sum & 1u), carries);
    let at = select(exponent - left, exponent + 1u, carries);
    let kept = bits >> 3u;
    let rest = bits & 7u;
    let rounds_up = rest > 4u || (rest == 4u && (kept & 1u) == 1u);
    // The implicit bit and a carry out of the significand add themselves to the exponent.
    let finite = min(((at - 1u) << 23u) + kept + select(0u, 1u, rounds_up), 0x7f800000u) | (big & SIGN);

    let number = select(finite, a & b & SIGN, sum == 0u);
    let infinite = select(big, 0x7fc00000u, small_magnitude == 0x7f800000u && differ);
    return select(select(number, infinite, big_magnitude == 0x7f800000u), 0x7fc00000u, big_magnitude > 0x7f800000u);
}

// To the element type; a NaN is the canonical one.
fn narrowed_any(x: vec4<u32>) -> vec4<u32> {
    let is_nan = (x & vec4<u32>(~SIGN)) > vec4<u32>(0x7f800000u);
    return select(narrowed(x), vec4<u32>(NAN), is_nan);
}
