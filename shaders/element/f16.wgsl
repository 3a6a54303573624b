// SPDX-License-Identifier: MIT OR Apache-2.0
// f16 elements, left-aligned, by integer conversions: no f16 support is asked of the device, and drivers
// differ in how theirs round, flush and keep NaN payloads. Twin: Kept in src/reference.rs.
// Expects packed.wgsl, as_f16.wgsl, params.

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
    // Every f16 is normal as an f32, and so is its product with a factor in [2^-32, 2^32].
    let wide = widened(vec4<u32>(magnitude)).x;
    let is_zero = (magnitude == 0u) | (params.scale == 0u);
    // Not from zero: an operand that is no number the driver knows may not spoil what is selected.
    let product = bitcast<u32>(bitcast<f32>(select(wide, 0x3f800000u, is_zero)) * bitcast<f32>(params.scale));
    let finite = sign | select(narrowed(vec4<u32>(product)).x, 0u, is_zero);
    let infinite = select(x, NAN, params.scale == 0u);
    return select(select(finite, infinite, magnitude == 0x7c000000u), x | params.quiet, magnitude > 0x7c000000u);
}
