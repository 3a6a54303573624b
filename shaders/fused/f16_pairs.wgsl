// SPDX-License-Identifier: MIT OR Apache-2.0
// f16 elements, two a word, as f32 and back. Expects as_f16.wgsl, Pairs of apply_pairs.wgsl.

// Magnitudes in f32's place, and the words with the sign of each in bit 31.
fn widened_signed(magnitude: vec4<u32>, signs: vec4<u32>) -> vec4<u32> {
    let wide = bitcast<vec4<u32>>(widened_magnitude(magnitude));
    return (wide & vec4<u32>(~SIGN)) | (signs & vec4<u32>(SIGN));
}

fn wide_pairs(x: vec4<u32>) -> Pairs {
    return Pairs(
        widened_signed((x << vec4<u32>(13u)) & vec4<u32>(0x0fffe000u), x << vec4<u32>(16u)),
        widened_signed((x >> vec4<u32>(3u)) & vec4<u32>(0x0fffe000u), x),
    );
}

fn narrow_raised(sums: vec4<u32>) -> vec4<u32> {
    return narrowed_raised(min(abs(bitcast<vec4<f32>>(sums)), vec4<f32>(ABOVE_ALL)));
}

fn narrow_pairs(sums: Pairs) -> vec4<u32> {
    let magnitudes = narrow_raised(sums.low) + (narrow_raised(sums.high) << vec4<u32>(16u)) - vec4<u32>(RAISE_OF_TWO);
    let signs = ((sums.low & vec4<u32>(SIGN)) >> vec4<u32>(16u)) | (sums.high & vec4<u32>(SIGN));
    return magnitudes | signs;
}
