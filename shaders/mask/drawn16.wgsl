// SPDX-License-Identifier: MIT OR Apache-2.0
// Mask drawn with 16 random bits an element: eight elements a Philox block.
// Expects draw_tile of the stream file, tile.wgsl, params.

const LANE_BITS: u32 = 3u;

fn keep_halves(pair: vec2<u32>) -> vec4<bool> {
    let words = pair | vec2<u32>(params.drop_all);
    let low = words & vec2<u32>(0xffffu);
    let high = words >> vec2<u32>(16u);
    return vec4<u32>(low.x, high.x, low.y, high.y) <= vec4<u32>(params.keep_limit);
}

fn keep_tile(tile: u32) -> Keep {
    let words = draw_tile(tile);
    return Keep(keep_halves(words.a.xy), keep_halves(words.a.zw), keep_halves(words.b.xy), keep_halves(words.b.zw));
}
