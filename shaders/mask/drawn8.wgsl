// SPDX-License-Identifier: MIT OR Apache-2.0
// Mask drawn with 8 random bits an element: sixteen elements a Philox block.
// Expects draw_tile of the stream file, tile.wgsl, params.

const LANE_BITS: u32 = 4u;

fn keep_bytes(word: u32) -> vec4<bool> {
    let bytes = (vec4<u32>(word | params.drop_all) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(0xffu);
    return bytes <= vec4<u32>(params.keep_limit);
}

fn keep_tile(tile: u32) -> Keep {
    let words = draw_tile(tile).a;
    return Keep(keep_bytes(words.x), keep_bytes(words.y), keep_bytes(words.z), keep_bytes(words.w));
}
