// SPDX-License-Identifier: MIT OR Apache-2.0
// Tiles that follow each other in the stream from the start of a block that a tile may start with: so wherever the
// element offset is a multiple of 16. Expects share.wgsl, blocks.wgsl, IS_EMULATED of the multiply
// file, params.

// What the blocks have in common whose lower word has carried over into the upper one, or has not.
fn neighbours_from(is_carried: bool) -> Neighbours {
    if QUADS == 4u || !IS_EMULATED {
        return neighbours(params.seed, params.origin.y + select(0u, 1u, is_carried));
    }
    // The same for all invocations but those behind a carry: a GPU can compute it once for many of them, where a tile has few
    // blocks to share it and multiplies are long.
    var shared_by = neighbours(params.seed, params.origin.y);
    if is_carried {
        shared_by = neighbours(params.seed, params.origin.y + 1u);
    }
    return shared_by;
}

fn draw_tile(tile: u32) -> Tile {
    let lower = params.origin.x + tile / TILES_PER_BLOCK * BLOCKS_PER_TILE;
    var words = draw_blocks(neighbours_from(lower < params.origin.x), lower);
    words.a = part_of(words.a, tile % TILES_PER_BLOCK);
    return words;
}
