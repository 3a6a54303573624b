// SPDX-License-Identifier: MIT OR Apache-2.0
// Tiles that follow each other in the stream from the start of a block that a tile may start with: so wherever the
// element offset is a multiple of 16. Expects share.wgsl, blocks.wgsl, params.

fn draw_tile(tile: u32) -> Tile {
    let lower = params.origin.x + tile / TILES_PER_BLOCK * BLOCKS_PER_TILE;
    var words = draw_blocks(lower, params.origin.y + select(0u, 1u, lower < params.origin.x));
    words.a = part_of(words.a, tile % TILES_PER_BLOCK);
    return words;
}
