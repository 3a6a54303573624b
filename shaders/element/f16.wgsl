// SPDX-License-Identifier: MIT OR Apache-2.0
// f16 elements, left-aligned, by integer conversions: no f16 support is asked of the device, and drivers
// differ in how theirs round, flush and keep NaN payloads. Twin: Kept in src/reference.rs.
// Expects packed.wgsl, params.

// Exponent bias of f32 over f16, in f32's place.
const REBIAS: u32 = 0x38000000u;  // (127 - 15) << 23

// Right where x is zero or in the fast range: x and the product are then normal in f16 too.
fn scale_fast(x: vec4<u32>) -> vec4<u32> {
    let magnitude = x & vec4<u32>(MAGNITUDE);
    let wide = (magnitude >> vec4<u32>(3u)) + vec4<u32>(REBIAS);
    let product = bitcast<vec4<u32>>(bitcast<vec4<f32>>(wide) * bitcast<f32>(params.scale));
    let odd = (product >> vec4<u32>(13u)) & vec4<u32>(1u);
    let narrow = ((product - vec4<u32>(REBIAS) + vec4<u32>(0xfffu) + odd) << vec4<u32>(3u)) & vec4<u32>(MAGNITUDE);
    return select(narrow, vec4<u32>(0u), magnitude == vec4<u32>(0u)) | (x ^ magnitude);
}

// Without a branch, for the reason given in exact.wgsl.
fn scale_exact(x: u32) -> u32 {
    let magnitude = x & MAGNITUDE;
    let sign = x ^ magnitude;
    // Every f16 is normal as an f32, and so is its product with a factor in [2^-32, 2^32]. A subnormal f16 is
    // its integer times 2^-24.
    let is_subnormal = magnitude < 0x04000000u;
    let from_integer = bitcast<u32>(f32(magnitude >> 16u)) - (24u << 23u);
    let wide = select((magnitude >> 3u) + REBIAS, from_integer, is_subnormal);
    let is_zero = (magnitude == 0u) | (params.scale == 0u);
    // Not from zero: an operand that is no number the driver knows may not spoil what is selected.
    let product = bitcast<u32>(bitcast<f32>(select(wide, 0x3f800000u, is_zero)) * bitcast<f32>(params.scale));
    // Drop 13 bits of the significand, more where the result is subnormal; 25 leave nothing to round up.
    let exponent = product >> 23u;
    let significand = (product & 0x7fffffu) | 0x800000u;
    let shift = clamp(126u - min(exponent, 126u), 13u, 25u);
    let odd = (significand >> shift) & 1u;
    let result = (significand + (1u << (shift - 1u)) - 1u + odd) >> shift;
    let narrow = ((max(exponent, 113u) - 113u) << 10u) + result;
    let finite = sign | select(min(narrow, 0x7c00u) << 16u, 0u, is_zero);
    let infinite = select(x, 0x7e000000u, params.scale == 0u);
    return select(select(finite, infinite, magnitude == 0x7c000000u), x | params.quiet, magnitude > 0x7c000000u);
}
