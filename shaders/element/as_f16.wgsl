// SPDX-License-Identifier: MIT OR Apache-2.0
// f16 elements, left-aligned, as f32 and back, on integers. Expects nothing.

const NAN: u32 = 0x7e000000u;  // the canonical one

// Exponent bias of f32 over f16, in f32's place.
const REBIAS: u32 = 0x38000000u;  // (127 - 15) << 23

// Of a number that is finite: normal as an f32, or zero.
fn widened(x: vec4<u32>) -> vec4<u32> {
    let magnitude = x & vec4<u32>(0x7fff0000u);
    let normal = (magnitude >> vec4<u32>(3u)) + vec4<u32>(REBIAS);
    // A subnormal f16 is its integer times 2^-24.
    let scaled = bitcast<vec4<u32>>(vec4<f32>(magnitude >> vec4<u32>(16u))) - vec4<u32>(24u << 23u);
    let finite = select(normal, scaled, magnitude < vec4<u32>(0x04000000u));
    return select(finite, vec4<u32>(0u), magnitude == vec4<u32>(0u)) | (x ^ magnitude);
}

// Of any number.
fn widened_any(x: vec4<u32>) -> vec4<u32> {
    let magnitude = x & vec4<u32>(0x7fff0000u);
    let fraction = (magnitude & vec4<u32>(0x03ff0000u)) >> vec4<u32>(3u);
    let special = (x ^ magnitude) | vec4<u32>(0x7f800000u) | fraction;
    return select(widened(x), special, magnitude >= vec4<u32>(0x7c000000u));
}

// Of any number but NaN; what is too great becomes infinite. To nearest even.
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
