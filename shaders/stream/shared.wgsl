// SPDX-License-Identifier: MIT OR Apache-2.0
// The keep decisions of tiles whose elements share one each: where as many whole tiles do. Twin: keeps in
// src/reference.rs. Expects philox.wgsl, index.wgsl, tile.wgsl, LANE_BITS and kept_lanes of the mask file, params.

fn keep_tile(tile: u32) -> Keep {
    let index = index_of(tile * TILE);
    let block = block_of(index, LANE_BITS);
    let kept = kept_lanes(philox4x32_10(params.seed, neighbours(params.seed, block.y), block.x));
    return keep_same(((kept >> (index.x % (1u << LANE_BITS))) & 1u) == 1u);
}
