// SPDX-License-Identifier: MIT OR Apache-2.0
// The random words of a tile that starts with a block whose number is a multiple of the tile's blocks: no carry can then
// fall within it. Twin: integer in src/reference.rs. Expects philox.wgsl, tile.wgsl, BLOCKS_PER_TILE of the mask file.

fn draw_blocks(lower: u32, upper: u32) -> Tile {
    let shared_by = neighbours(params.seed, upper);
    var words: Tile;
    words.a = philox4x32_10(params.seed, shared_by, lower);
    if BLOCKS_PER_TILE > 1u {
        words.b = philox4x32_10(params.seed, shared_by, lower + 1u);
    }
    if BLOCKS_PER_TILE > 2u {
        words.c = philox4x32_10(params.seed, shared_by, lower + 2u);
        words.d = philox4x32_10(params.seed, shared_by, lower + 3u);
    }
    return words;
}
