// SPDX-License-Identifier: MIT OR Apache-2.0
// bf16 elements, two a word: a GPU has fewer operations to do than with each in a word of its own. Twin: Kept in
// src/reference.rs. Expects params.

// The f32 product of an element, its low half to be cut off: rounded to nearest even.
fn rounded_product(x: vec4<u32>) -> vec4<u32> {
    let product = bitcast<vec4<u32>>(bitcast<vec4<f32>>(x) * bitcast<f32>(params.scale));
    let odd = (product >> vec4<u32>(16u)) & vec4<u32>(1u);
    return product + vec4<u32>(0x7fffu) + odd;
}

// Right where each is zero or in the fast range; a zero's sign goes around the multiply, too, where a driver may lose it.
fn scale_pairs(x: vec4<u32>) -> vec4<u32> {
    let low = rounded_product(x << vec4<u32>(16u)) >> vec4<u32>(16u);
    let high = rounded_product(x & vec4<u32>(0xffff0000u)) & vec4<u32>(0xffff0000u);
    return low | high | (x & vec4<u32>(0x80008000u));
}
