// SPDX-License-Identifier: MIT OR Apache-2.0
// Places in the stream are 64 bits wide. Expects multiply_wide.

fn add_wide(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

// a times b, modulo 2^64.
fn multiply_long(a: u32, b: vec2<u32>) -> vec2<u32> {
    let product = multiply_wide(a, b.x);
    return vec2<u32>(product.x, product.y + a * b.y);
}

// The number of the block that an element lies in, of 2^lane_bits each.
fn block_of(index: vec2<u32>, lane_bits: u32) -> vec2<u32> {
    return vec2<u32>((index.x >> lane_bits) | (index.y << (32u - lane_bits)), index.y >> lane_bits);
}
