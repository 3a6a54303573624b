// SPDX-License-Identifier: MIT OR Apache-2.0
// Tiles that each lie in one run of the stream, from a block on that a tile may start with: where rows are whole tiles and
// start as tiles do. Expects blocks.wgsl, index.wgsl, TILE, BLOCKS_PER_TILE of the mask file.

fn draw_tile(tile: u32) -> Tile {
    // 4, 2 or 1 blocks a tile are of 4, 8 or 16 elements.
    let block = block_of(index_of(tile * TILE), 4u - BLOCKS_PER_TILE / 2u);
    return draw_blocks(block.x, block.y);
}
