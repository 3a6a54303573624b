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

// Where a sum is no zero its own sign, for it may become one.
fn sign_of(sum: vec4<u32>, of_zero: vec4<u32>) -> vec4<u32> {
    return select(sum, of_zero, bitcast<vec4<f32>>(sum) == vec4<f32>(0.0)) & vec4<u32>(SIGN);
}

fn narrow_pairs(sums: Pairs, of_zeros: vec4<u32>) -> vec4<u32> {
    let magnitudes = narrow_raised(sums.low) + (narrow_raised(sums.high) << vec4<u32>(16u)) - vec4<u32>(RAISE_OF_TWO);
    let low = sign_of(sums.low, of_zeros << vec4<u32>(16u));
    return magnitudes | (low >> vec4<u32>(16u)) | sign_of(sums.high, of_zeros);
}
