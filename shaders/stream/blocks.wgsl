// SPDX-License-Identifier: MIT OR Apache-2.0
// The random words of a tile that starts with a block whose number is a multiple of the tile's blocks: no carry can then
// fall within it. Twin: integer in src/reference.rs. Expects philox.wgsl, tile.wgsl, BLOCKS_PER_TILE of share.wgsl.

// The block with this lower word and the next.
fn draw_two(shared_by: Neighbours, lower: u32) -> Pair {
    let a = first_rounds(params.seed, shared_by, lower);
    return last_rounds_of_two(params.seed, Pair(a, first_rounds(params.seed, shared_by, lower + 1u)));
}

fn draw_blocks(shared_by: Neighbours, lower: u32) -> Tile {
    var words: Tile;
    if BLOCKS_PER_TILE == 1u {
        words.a = philox4x32_10(params.seed, shared_by, lower);
    } else {
        let two = draw_two(shared_by, lower);
        words.a = two.a;
        words.b = two.b;
    }
    if BLOCKS_PER_TILE > 2u {
        let two = draw_two(shared_by, lower + 2u);
        words.c = two.a;
        words.d = two.b;
    }
    return words;
}
