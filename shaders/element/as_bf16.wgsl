// SPDX-License-Identifier: MIT OR Apache-2.0
// bf16 elements, left-aligned, as f32: the same bits, rounded to nearest even at the end. Expects nothing.

const NAN: u32 = 0x7fc00000u;  // the canonical one

// Of a number that is finite.
fn widened(x: vec4<u32>) -> vec4<u32> {
    return x;
}

// Of any number.
fn widened_any(x: vec4<u32>) -> vec4<u32> {
    return x;
}

// Of any number but NaN; a carry out of the largest finite value gives infinity.
fn narrowed(x: vec4<u32>) -> vec4<u32> {
    let odd = (x >> vec4<u32>(16u)) & vec4<u32>(1u);
    return (x + vec4<u32>(0x7fffu) + odd) & vec4<u32>(0xffff0000u);
}
