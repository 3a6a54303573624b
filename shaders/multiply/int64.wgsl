// SPDX-License-Identifier: MIT OR Apache-2.0
// 32 x 32 -> 64 bit product through the device's 64-bit integers (wgpu's SHADER_INT64).
// Returns (low word, high word).

const IS_EMULATED: bool = false;

fn multiply_wide(a: u32, b: u32) -> vec2<u32> {
    let product = u64(a) * u64(b);
    return vec2<u32>(u32(product), u32(product >> 32u));
}
