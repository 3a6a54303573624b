// SPDX-License-Identifier: MIT OR Apache-2.0
// 16-bit elements in words: two a word, the first in the low half. Expects nothing.

const ELEMENTS_PER_WORD: u32 = 2u;
const MAGNITUDE: u32 = 0x7fff0000u;

fn unpack(words: vec2<u32>) -> vec4<u32> {
    let low = words << vec2<u32>(16u);
    let high = words & vec2<u32>(0xffff0000u);
    return vec4<u32>(low.x, high.x, low.y, high.y);
}

fn pack(low: vec4<u32>, high: vec4<u32>) -> vec4<u32> {
    let first = vec4<u32>(low.xz, high.xz);
    let second = vec4<u32>(low.yw, high.yw);
    return (first >> vec4<u32>(16u)) | second;
}
