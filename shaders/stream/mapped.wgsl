// SPDX-License-Identifier: MIT OR Apache-2.0
// The keep decisions of a tile whose elements lie in the stream as an index map says: run by run of the innermost
// dimension, and block by block. Twin: keeps in src/reference.rs, index in src/index_map.rs.
// Expects philox.wgsl, wide.wgsl, map, tile.wgsl, LANE_BITS and kept_lanes of the mask file, params.

const LANES: u32 = 1u << LANE_BITS;

struct Place {
    index: vec2<u32>,  // in the stream: low, high
    left: u32,         // elements from here on to the end of the innermost dimension, or of those of its seed
    seed: vec2<u32>,
}

// From where the dispatch starts: so many steps ahead in a dimension, and each time it starts again a jump, which is
// a step in the next one out.
fn place_of(element: u32) -> Place {
    var place = Place(add_wide(params.origin, multiply_long(element, map.stride)), 0u, params.seed);
    var steps = element;
    for (var n = 0u; n < map.count; n += 1u) {
        let length = map.dimensions[n].length;
        let position = map.dimensions[n].start + steps;
        let rounds = position / length;
        if n == 0u {
            place.left = length - (position - rounds * length);
        }
        place.index = add_wide(place.index, multiply_long(rounds, map.dimensions[n].jump));
        steps = rounds;
        if steps == 0u {
            break;
        }
    }
    if map.seed_length != 0u {
        let position = map.seed_start + element;
        let n = position / map.seed_length;
        // Of elements past the end, the last one's, whatever checks an engine makes.
        place.seed = seeds[min(map.first_seed + n, arrayLength(&seeds) - 1u)];
        place.left = min(place.left, map.seed_length - (position - n * map.seed_length));
    }
    return place;
}

fn keep_tile(tile: u32) -> Keep {
    let is_shared = all(map.stride == vec2<u32>(0u));
    let is_dense = all(map.stride == vec2<u32>(1u, 0u));
    var bits = 0u;
    var at = 0u;
    var kept = 0u;
    var drawn = Place();
    // Run by run, and where a run takes from several blocks, block by block. One that the run before took from is not
    // drawn again.
    loop {
        let place = place_of(tile * TILE + at);
        let block = block_of(place.index, LANE_BITS);
        if at == 0u || any(block != drawn.index) || any(place.seed != drawn.seed) {
            kept = kept_lanes(philox4x32_10(place.seed, neighbours(place.seed, block.y), block.x));
            drawn = Place(block, 0u, place.seed);
        }
        let lane = place.index.x % LANES;
        let here = kept >> lane;
        let decisions = select(here, select(0u, 0xffffu, (here & 1u) == 1u), is_shared);
        let dense = select(1u, LANES - lane, is_dense);
        let decided = min(min(place.left, TILE), select(dense, TILE, is_shared));
        bits |= (decisions & ((1u << decided) - 1u)) << at;
        at += decided;
        if at >= TILE {
            break;
        }
    }
    return keep_from_bits(bits);
}
