// SPDX-License-Identifier: MIT OR Apache-2.0
// Neighbours of 16-bit elements, taken apart: one a word. Expects halves.wgsl of the elements, the fused extent file.

const MISSING: u32 = MINUS_ZERO;

fn residual_tile(tile: u32) -> Tile {
    let index = tile * QUADS / 2u;
    let p = residual_words(index);
    var q: vec4<u32>;
    if QUADS > 2u {
        q = residual_words(index + 1u);
    }
    return tile_present(Tile(unpack(p.xy), unpack(p.zw), unpack(q.xy), unpack(q.zw)), row.has_residual);
}

fn tile_of_bias(tile: u32) -> Tile {
    let index = tile * QUADS / 2u;
    let p = bias_words(index);
    var q: vec4<u32>;
    if QUADS > 2u {
        q = bias_words(index + 1u);
    }
    return Tile(unpack(p.xy), unpack(p.zw), unpack(q.xy), unpack(q.zw));
}
