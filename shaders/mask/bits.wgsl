// SPDX-License-Identifier: MIT OR Apache-2.0
// Mask read from a bit mask: element i is bit i mod 32 of word i / 32, 1 = kept.
// Expects mask_in, tile.wgsl.

fn keep_tile(tile: u32) -> Keep {
    return keep_from_bits(mask_in[tile / TILES_PER_WORD] >> (tile % TILES_PER_WORD * TILE));
}
