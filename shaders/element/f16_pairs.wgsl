// SPDX-License-Identifier: MIT OR Apache-2.0
// f16 elements, two a word: a GPU has fewer operations to do than with each in a word of its own. Twin: Kept in
// src/reference.rs. Expects as_f16.wgsl, params.

fn scaled_magnitude(magnitude: vec4<u32>) -> vec4<u32> {
    return narrowed_raised(min(widened_magnitude(magnitude) * bitcast<f32>(params.scale), vec4<f32>(ABOVE_ALL)));
}

// Right where both are finite; the sign goes around the multiply.
fn scale_pairs(x: vec4<u32>) -> vec4<u32> {
    let low = scaled_magnitude((x << vec4<u32>(13u)) & vec4<u32>(0x0fffe000u));
    let high = scaled_magnitude((x >> vec4<u32>(3u)) & vec4<u32>(0x0fffe000u));
    return (low + (high << vec4<u32>(16u)) - vec4<u32>(RAISE_OF_TWO)) | (x & vec4<u32>(0x80008000u));
}
