// SPDX-License-Identifier: MIT OR Apache-2.0
// bf16 elements, left-aligned: the upper half of an f32. Twin: Kept in src/reference.rs.
// Expects packed.wgsl, multiply_exact, params.

// Nearest even on a finite or infinite f32; a carry out of the largest finite value gives infinity.
fn rounded(x: vec4<u32>) -> vec4<u32> {
    let odd = (x >> vec4<u32>(16u)) & vec4<u32>(1u);
    return (x + vec4<u32>(0x7fffu) + odd) & vec4<u32>(0xffff0000u);
}

// Right where x is zero or in the fast range; the sign goes around the multiply.
fn scale_fast(x: vec4<u32>) -> vec4<u32> {
    let magnitude = x & vec4<u32>(MAGNITUDE);
    let product = bitcast<vec4<f32>>(magnitude) * bitcast<f32>(params.scale);
    return rounded(bitcast<vec4<u32>>(product)) | (x ^ magnitude);
}

fn scale_exact(x: u32) -> u32 {
    let product = multiply_exact(x);
    if (product & 0x7fffffffu) > 0x7f800000u {
        return product;  // a NaN of x, or the canonical one: its low half is clear already
    }
    return rounded(vec4<u32>(product)).x;
}
