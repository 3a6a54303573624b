// SPDX-License-Identifier: MIT OR Apache-2.0
// Neighbours of a tile of sixteen 16-bit elements, taken apart: one a word. Expects halves.wgsl of the elements, the fused
// extent file.

const MISSING: u32 = MINUS_ZERO;

fn residual_tile(tile: u32) -> Tile {
    let p = residual_words(tile * 2u);
    let q = residual_words(tile * 2u + 1u);
    return Tile(unpack(p.xy), unpack(p.zw), unpack(q.xy), unpack(q.zw));
}

fn tile_of_bias(tile: u32) -> Tile {
    let p = bias_words(tile * 2u);
    let q = bias_words(tile * 2u + 1u);
    return Tile(unpack(p.xy), unpack(p.zw), unpack(q.xy), unpack(q.zw));
}
