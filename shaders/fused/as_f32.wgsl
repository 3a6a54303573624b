// SPDX-License-Identifier: MIT OR Apache-2.0
// f32 elements are the numbers that are reckoned with.

fn widened(x: vec4<u32>) -> vec4<u32> {
    return x;
}

// Of a number that is finite.
fn narrowed(x: vec4<u32>) -> vec4<u32> {
    return x;
}

fn widened_exact(x: u32) -> u32 {
    return x;
}

fn narrowed_exact(x: u32) -> u32 {
    return select(x, 0x7fc00000u, is_nan(x));
}
