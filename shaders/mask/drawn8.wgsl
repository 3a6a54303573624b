// SPDX-License-Identifier: MIT OR Apache-2.0
// Mask drawn with 8 random bits an element: sixteen elements a Philox block.
// Expects philox.wgsl, tile.wgsl, params.

fn keep_bytes(word: u32) -> vec4<bool> {
    let bytes = (vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(0xffu);
    return bytes <= vec4<u32>(params.keep_limit);
}

fn keep_tile(tile: u32) -> Keep {
    if params.draw != DRAW_PHILOX {
        return keep_same(params.draw == DRAW_ALL);
    }
    var a = draw_block(tile);
    if !stream_is_aligned() {
        a = stream_shifted(a, draw_block(tile + 1u));
    }
    return Keep(keep_bytes(a.x), keep_bytes(a.y), keep_bytes(a.z), keep_bytes(a.w));
}
