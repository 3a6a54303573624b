// SPDX-License-Identifier: MIT OR Apache-2.0
// f16 elements, left-aligned, as f32 and back, on integers. Expects f16.wgsl.

// Of a number that is finite: normal as an f32, or zero.
fn widened(x: vec4<u32>) -> vec4<u32> {
    let magnitude = x & vec4<u32>(MAGNITUDE);
    let normal = (magnitude >> vec4<u32>(3u)) + vec4<u32>(REBIAS);
    // A subnormal f16 is its integer times 2^-24.
    let scaled = bitcast<vec4<u32>>(vec4<f32>(magnitude >> vec4<u32>(16u))) - vec4<u32>(24u << 23u);
    let finite = select(normal, scaled, magnitude < vec4<u32>(0x04000000u));
    return select(finite, vec4<u32>(0u), magnitude == vec4<u32>(0u)) | (x ^ magnitude);
}

// Of any number but NaN; what is too great becomes infinite.
fn narrowed(x: vec4<u32>) -> vec4<u32> {
    let magnitude = x & vec4<u32>(0x7fffffffu);
    // Drop 13 bits of the significand, more where the result is subnormal; 25 leave nothing to round up.
    let exponent = magnitude >> vec4<u32>(23u);
    let significand = (magnitude & vec4<u32>(0x7fffffu)) | vec4<u32>(0x800000u);
    let shift = clamp(vec4<u32>(126u) - min(exponent, vec4<u32>(126u)), vec4<u32>(13u), vec4<u32>(25u));
    let odd = (significand >> shift) & vec4<u32>(1u);
    let half = (vec4<u32>(1u) << (shift - vec4<u32>(1u))) - vec4<u32>(1u);
    let result = (significand + half + odd) >> shift;
    let narrow = ((max(exponent, vec4<u32>(113u)) - vec4<u32>(113u)) << vec4<u32>(10u)) + result;
    return (min(narrow, vec4<u32>(0x7c00u)) << vec4<u32>(16u)) | (x ^ magnitude);
}

fn widened_exact(x: u32) -> u32 {
    let magnitude = x & MAGNITUDE;
    let special = (x ^ magnitude) | 0x7f800000u | ((magnitude & 0x03ff0000u) >> 3u);
    return select(widened(vec4<u32>(x)).x, special, magnitude >= 0x7c000000u);
}

fn narrowed_exact(x: u32) -> u32 {
    return select(narrowed(vec4<u32>(x)).x, 0x7e000000u, is_nan(x));
}
