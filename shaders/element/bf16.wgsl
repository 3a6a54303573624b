// SPDX-License-Identifier: MIT OR Apache-2.0
// bf16 elements, left-aligned: the upper half of an f32. Twin: Kept in src/reference.rs.
// Expects packed.wgsl, as_bf16.wgsl, multiply_exact, params.

// Right where x is zero or in the fast range; the sign goes around the multiply.
fn scale_fast(x: vec4<u32>) -> vec4<u32> {
    let magnitude = x & vec4<u32>(MAGNITUDE);
    let product = bitcast<vec4<f32>>(magnitude) * bitcast<f32>(params.scale);
    return narrowed(bitcast<vec4<u32>>(product)) | (x ^ magnitude);
}

fn scale_exact(x: u32) -> u32 {
    let product = multiply_exact(x);
    if (product & 0x7fffffffu) > 0x7f800000u {
        return product;  // a NaN of x, or the canonical one: its low half is clear already
    }
    return narrowed(vec4<u32>(product)).x;
}
