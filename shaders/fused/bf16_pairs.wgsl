// SPDX-License-Identifier: MIT OR Apache-2.0
// bf16 elements, two a word, as f32 and back. Expects Pairs of apply_pairs.wgsl.

fn wide_pairs(x: vec4<u32>) -> Pairs {
    return Pairs(x << vec4<u32>(16u), x & vec4<u32>(0xffff0000u));
}

// Added to what is to be cut off, to round to nearest even.
fn to_even(x: vec4<u32>) -> vec4<u32> {
    return x + vec4<u32>(0x7fffu) + ((x >> vec4<u32>(16u)) & vec4<u32>(1u));
}

fn narrow_pairs(sums: Pairs) -> vec4<u32> {
    return (to_even(sums.low) >> vec4<u32>(16u)) | (to_even(sums.high) & vec4<u32>(0xffff0000u));
}
