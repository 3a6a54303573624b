// SPDX-License-Identifier: MIT OR Apache-2.0
// f32 elements are the numbers that are reckoned with. Expects nothing.

const NAN: u32 = 0x7fc00000u;  // the canonical one

// Of a number that is finite.
fn widened(x: vec4<u32>) -> vec4<u32> {
    return x;
}

// Of any number.
fn widened_any(x: vec4<u32>) -> vec4<u32> {
    return x;
}

// Of any number but NaN.
fn narrowed(x: vec4<u32>) -> vec4<u32> {
    return x;
}
