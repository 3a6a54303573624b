// SPDX-License-Identifier: MIT OR Apache-2.0
// The random words of a tile where tiles start with a block whose number is a multiple of the tile's
// blocks: so wherever the element offset is a multiple of 16. No carry can then fall within a tile.
// Twin: integer in src/reference.rs. Expects philox.wgsl, tile.wgsl, BLOCKS_PER_TILE of the mask file, params.

fn draw_tile(tile: u32) -> Tile {
    let lower = params.origin.x + tile * BLOCKS_PER_TILE;
    let upper = params.origin.y + select(0u, 1u, lower < params.origin.x);
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
