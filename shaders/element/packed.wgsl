// SPDX-License-Identifier: MIT OR Apache-2.0
// Loads and stores of 16-bit elements: two a word, the first in the low half.
// Expects tile.wgsl, load_words and store_words of the extent file, scale_exact of the element file.

const ELEMENTS_PER_WORD: u32 = 2u;
const WORDS_PER_TILE: u32 = 8u;
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

fn load_tile(tile: u32) -> Tile {
    let index = tile * 2u;
    let p = load_words(index);
    let q = load_words(index + 1u);
    return Tile(unpack(p.xy), unpack(p.zw), unpack(q.xy), unpack(q.zw));
}

fn store_tile(tile: u32, y: Tile) {
    let index = tile * 2u;
    store_words(index, pack(y.a, y.b));
    store_words(index + 1u, pack(y.c, y.d));
}

// A word of the output; the lowest two bits of keep decide.
fn decided_exact(word: u32, keep: u32) -> u32 {
    let low = select(0u, scale_exact(word << 16u), (keep & 1u) == 1u);
    let high = select(0u, scale_exact(word & 0xffff0000u), (keep & 2u) == 2u);
    return (low >> 16u) | high;
}
