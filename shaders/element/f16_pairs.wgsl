// SPDX-License-Identifier: MIT OR Apache-2.0
// f16 elements, two a word: a GPU has fewer operations to do than with each in a word of its own. WGSL's conversions are used
// where they have no choice, and no support of f16 is asked of the device. Twin: Kept in src/reference.rs. Expects params.

// The f32 products of two magnitudes, rounded to nearest even to what an f16 holds.
fn rounded_products(magnitudes: vec2<f32>) -> vec2<f32> {
    let product = bitcast<vec2<u32>>(magnitudes * bitcast<f32>(params.scale));
    let odd = (product >> vec2<u32>(13u)) & vec2<u32>(1u);
    return bitcast<vec2<f32>>((product + vec2<u32>(0xfffu) + odd) & vec2<u32>(0xffffe000u));
}

// Right where both are zero or in the fast range: x is normal or zero, which no conversion flushes, and so is the product,
// which no conversion rounds again.
fn scale_pair(x: u32) -> u32 {
    return pack2x16float(rounded_products(unpack2x16float(x & 0x7fff7fffu))) | (x & 0x80008000u);
}

fn scale_pairs(x: vec4<u32>) -> vec4<u32> {
    return vec4<u32>(scale_pair(x.x), scale_pair(x.y), scale_pair(x.z), scale_pair(x.w));
}
