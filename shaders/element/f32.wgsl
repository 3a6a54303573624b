// SPDX-License-Identifier: MIT OR Apache-2.0
// f32 elements: one a word. Twin: Kept in src/reference.rs.
// Expects tile.wgsl, load_words and store_words of the extent file, multiply_exact, params.

const ELEMENTS_PER_WORD: u32 = 1u;
const MAGNITUDE: u32 = 0x7fffffffu;

fn load_tile(tile: u32) -> Tile {
    let index = tile * QUADS;
    var x: Tile;
    x.a = load_words(index);
    if QUADS > 1u {
        x.b = load_words(index + 1u);
        x.c = load_words(index + 2u);
        x.d = load_words(index + 3u);
    }
    return x;
}

fn store_tile(tile: u32, y: Tile) {
    let index = tile * QUADS;
    store_words(index, y.a);
    if QUADS > 1u {
        store_words(index + 1u, y.b);
        store_words(index + 2u, y.c);
        store_words(index + 3u, y.d);
    }
}

// Right where x is zero or in the fast range. The sign goes around the multiply, so that a driver that
// takes no care of signed zeros can't lose it.
fn scale_fast(x: vec4<u32>) -> vec4<u32> {
    let magnitude = x & vec4<u32>(MAGNITUDE);
    let product = bitcast<vec4<f32>>(magnitude) * bitcast<f32>(params.scale);
    return bitcast<vec4<u32>>(product) | (x ^ magnitude);
}

// A word of the output; the lowest bit of keep decides.
fn decided_exact(word: u32, keep: u32) -> u32 {
    return select(0u, multiply_exact(word), (keep & 1u) == 1u);
}
