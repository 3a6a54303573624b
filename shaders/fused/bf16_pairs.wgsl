// SPDX-License-Identifier: MIT OR Apache-2.0
// bf16 elements, two a word, as f32 and back. Expects Pairs of apply_pairs.wgsl.

fn wide_pairs(x: vec4<u32>) -> Pairs {
    return Pairs(x << vec4<u32>(16u), x & vec4<u32>(0xffff0000u));
}

// Added to what is to be cut off, to round to nearest even.
fn to_even(x: vec4<u32>) -> vec4<u32> {
    return x + vec4<u32>(0x7fffu) + ((x >> vec4<u32>(16u)) & vec4<u32>(1u));
}

// No sum of this range becomes a zero that is none; a zero has the sign of of_zeros.
fn narrow_pairs(sums: Pairs, of_zeros: vec4<u32>) -> vec4<u32> {
    let y = (to_even(sums.low) >> vec4<u32>(16u)) | (to_even(sums.high) & vec4<u32>(0xffff0000u));
    let not_zero = (y & vec4<u32>(0x7fff7fffu)) + vec4<u32>(0x7fff7fffu);
    let is_zero = ~not_zero & vec4<u32>(0x80008000u);
    return (y & ~is_zero) | (of_zeros & is_zero);
}
