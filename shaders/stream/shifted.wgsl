// SPDX-License-Identifier: MIT OR Apache-2.0
// The random words of a tile that starts anywhere in a block: for element offsets that are no multiple of 16.
// Twin: integer in src/reference.rs. Expects share.wgsl, philox.wgsl, tile.wgsl, params.

fn begun(block: u32) -> vec4<u32> {
    let lower = params.origin.x + block;
    let upper = params.origin.y + select(0u, 1u, lower < block);
    return first_rounds(params.seed, neighbours(params.seed, upper), lower);
}

// A block and the next.
fn draw_two(block: u32) -> Pair {
    return last_rounds_of_two(params.seed, Pair(begun(block), begun(block + 1u)));
}

// The 128 bits that start so many words and bit_shift bits into the 256 bits of a, b. Without a branch:
// drivers on which every way is executed pay for each, and one takes a minute to compile them.
fn shifted(a: vec4<u32>, b: vec4<u32>, word_shift: u32) -> vec4<u32> {
    let by_two = (word_shift & 2u) != 0u;
    let by_one = (word_shift & 1u) != 0u;
    let front = select(a, vec4<u32>(a.zw, b.xy), by_two);
    let back = select(b.xy, b.zw, by_two);
    let these = select(front, vec4<u32>(front.yzw, back.x), by_one);
    let next = vec4<u32>(these.yzw, select(back.x, back.y, by_one));
    // In two steps, since a shift by 32 is none.
    let bits = vec4<u32>(params.bit_shift);
    return (these >> bits) | ((next << vec4<u32>(1u)) << (vec4<u32>(31u) - bits));
}

fn draw_tile(tile: u32) -> Tile {
    var first = tile / TILES_PER_BLOCK * BLOCKS_PER_TILE;
    var shift = params.word_shift;
    if TILES_PER_BLOCK > 1u {
        shift += tile % TILES_PER_BLOCK * (4u / TILES_PER_BLOCK);
        first += shift / 4u;
        shift %= 4u;
    }
    let ab = draw_two(first);
    var words: Tile;
    words.a = shifted(ab.a, ab.b, shift);
    if BLOCKS_PER_TILE == 2u {
        words.b = shifted(ab.b, last_rounds(params.seed, begun(first + 2u)), shift);
    }
    if BLOCKS_PER_TILE > 2u {
        let cd = draw_two(first + 2u);
        words.b = shifted(ab.b, cd.a, shift);
        words.c = shifted(cd.a, cd.b, shift);
        words.d = shifted(cd.b, last_rounds(params.seed, begun(first + 4u)), shift);
    }
    return words;
}
