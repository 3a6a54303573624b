// SPDX-License-Identifier: MIT OR Apache-2.0
// Mask drawn with 32 random bits an element: four elements a Philox block.
// Expects philox.wgsl, tile.wgsl, params.

fn keep_tile(tile: u32) -> Keep {
    if params.draw != DRAW_PHILOX {
        return keep_same(params.draw == DRAW_ALL);
    }
    let block = tile * 4u;
    var a = draw_block(block);
    var b = draw_block(block + 1u);
    var c = draw_block(block + 2u);
    var d = draw_block(block + 3u);
    if !stream_is_aligned() {
        a = stream_shifted(a, b);
        b = stream_shifted(b, c);
        c = stream_shifted(c, d);
        d = stream_shifted(d, draw_block(block + 4u));
    }
    let limit = vec4<u32>(params.keep_limit);
    return Keep(a <= limit, b <= limit, c <= limit, d <= limit);
}
