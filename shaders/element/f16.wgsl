// SPDX-License-Identifier: MIT OR Apache-2.0
// f16 elements, left-aligned: no f16 support is asked of the device, and drivers differ in how theirs round, flush and keep
// NaN payloads. Twin: Kept in src/reference.rs. Expects packed.wgsl, as_f16.wgsl, params.

// Of what is finite. The sign goes around the multiply.
fn scale_fast(x: vec4<u32>) -> vec4<u32> {
    let magnitude = x & vec4<u32>(MAGNITUDE);
    let product = widened_magnitude(magnitude >> vec4<u32>(3u)) * bitcast<f32>(params.scale);
    // As integers, for drivers for processors that look for a NaN in every minimum of f32.
    let limited = min(bitcast<vec4<i32>>(product), vec4<i32>(bitcast<i32>(ABOVE_ALL)));
    let narrow = narrowed_raised(bitcast<vec4<f32>>(limited)) - vec4<u32>(RAISE);
    return (narrow << vec4<u32>(16u)) | (x ^ magnitude);
}

fn scale_exact(x: u32) -> u32 {
    let magnitude = x & MAGNITUDE;
    let infinite = select(x, NAN, params.scale == 0u);
    let not_nan = select(scale_fast(vec4<u32>(x)).x, infinite, magnitude == 0x7c000000u);
    return select(not_nan, x | params.quiet, magnitude > 0x7c000000u);
}
