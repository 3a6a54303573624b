// SPDX-License-Identifier: MIT OR Apache-2.0
// How tiles and blocks lie to each other: a tile has whole blocks, or a block whole tiles. Expects TILE, LANE_BITS of the
// mask file.

const LANES: u32 = 1u << LANE_BITS;
const BLOCKS_PER_TILE: u32 = max(TILE / LANES, 1u);
const TILES_PER_BLOCK: u32 = max(LANES / TILE, 1u);

// The words of a block from those of its tile with this number on.
fn part_of(block: vec4<u32>, part: u32) -> vec4<u32> {
    var words = block;
    if TILES_PER_BLOCK == 2u {
        words = select(words, words.zwxy, part == 1u);
    }
    if TILES_PER_BLOCK == 4u {
        words = select(words, words.zwxy, (part & 2u) != 0u);
        words = select(words, words.yzwx, (part & 1u) != 0u);
    }
    return words;
}
