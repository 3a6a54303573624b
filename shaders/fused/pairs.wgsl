// SPDX-License-Identifier: MIT OR Apache-2.0
// Neighbours of a tile of eight 16-bit elements, left as they are: two a word, all in a. Expects the fused extent file.

const MISSING: u32 = 0x80008000u;  // minus zeros

fn residual_tile(tile: u32) -> Tile {
    var x: Tile;
    x.a = residual_words(tile);
    return x;
}

fn tile_of_bias(tile: u32) -> Tile {
    var x: Tile;
    x.a = bias_words(tile);
    return x;
}
