// SPDX-License-Identifier: MIT OR Apache-2.0
// Tiles that each lie in one run of the stream, from a block on that a tile may start with: where rows are whole tiles and
// start as tiles do. Expects share.wgsl, blocks.wgsl, index.wgsl, LANE_BITS of the mask file.

fn draw_tile(tile: u32) -> Tile {
    let index = index_of(tile * TILE);
    let block = block_of(index, LANE_BITS);
    var words = draw_blocks(neighbours(params.seed, block.y), block.x);
    words.a = part_of(words.a, index.x % LANES / TILE);
    return words;
}
