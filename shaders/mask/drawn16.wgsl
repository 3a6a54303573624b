// SPDX-License-Identifier: MIT OR Apache-2.0
// Mask drawn with 16 random bits an element: eight elements a Philox block.
// Expects philox.wgsl, tile.wgsl, params.

fn keep_halves(words: vec2<u32>) -> vec4<bool> {
    let low = words & vec2<u32>(0xffffu);
    let high = words >> vec2<u32>(16u);
    return vec4<u32>(low.x, high.x, low.y, high.y) <= vec4<u32>(params.keep_limit);
}

fn keep_tile(tile: u32) -> Keep {
    if params.draw != DRAW_PHILOX {
        return keep_same(params.draw == DRAW_ALL);
    }
    let block = tile * 2u;
    var a = draw_block(block);
    var b = draw_block(block + 1u);
    if !stream_is_aligned() {
        a = stream_shifted(a, b);
        b = stream_shifted(b, draw_block(block + 2u));
    }
    return Keep(keep_halves(a.xy), keep_halves(a.zw), keep_halves(b.xy), keep_halves(b.zw));
}
