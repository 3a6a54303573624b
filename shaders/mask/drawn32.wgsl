// SPDX-License-Identifier: MIT OR Apache-2.0
// Mask drawn with 32 random bits an element: four elements a Philox block.
// Expects draw_tile of the stream file, tile.wgsl, params.

const LANE_BITS: u32 = 2u;

fn keep_words(words: vec4<u32>) -> vec4<bool> {
    return (words | vec4<u32>(params.drop_all)) <= vec4<u32>(params.keep_limit);
}

fn keep_tile(tile: u32) -> Keep {
    let words = draw_tile(tile);
    return Keep(keep_words(words.a), keep_words(words.b), keep_words(words.c), keep_words(words.d));
}
