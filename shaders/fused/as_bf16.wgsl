// SPDX-License-Identifier: MIT OR Apache-2.0
// bf16 elements, left-aligned, as f32: the same bits, rounded at the end. Expects rounded of bf16.wgsl.

fn widened(x: vec4<u32>) -> vec4<u32> {
    return x;
}

// Of a number that is finite.
fn narrowed(x: vec4<u32>) -> vec4<u32> {
    return rounded(x);
}

fn widened_exact(x: u32) -> u32 {
    return x;
}

fn narrowed_exact(x: u32) -> u32 {
    return select(rounded(vec4<u32>(x)).x, 0x7fc00000u, is_nan(x));
}
