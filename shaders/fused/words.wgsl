// SPDX-License-Identifier: MIT OR Apache-2.0
// Neighbours of f32 elements: one a word. Expects the fused extent file.

const MISSING: u32 = MINUS_ZERO;

fn residual_tile(tile: u32) -> Tile {
    let index = tile * QUADS;
    var x: Tile;
    x.a = residual_words(index);
    if QUADS > 1u {
        x.b = residual_words(index + 1u);
        x.c = residual_words(index + 2u);
        x.d = residual_words(index + 3u);
    }
    return x;
}

fn tile_of_bias(tile: u32) -> Tile {
    let index = tile * QUADS;
    var x: Tile;
    x.a = bias_words(index);
    if QUADS > 1u {
        x.b = bias_words(index + 1u);
        x.c = bias_words(index + 2u);
        x.d = bias_words(index + 3u);
    }
    return x;
}

fn bias_element(column: u32) -> u32 {
    return bias_word(column);
}

// The element of a word, left-aligned.
fn element_of(word: u32, index: u32) -> u32 {
    return word;
}

// The word once the element is there too.
fn joined(word: u32, element: u32, index: u32) -> u32 {
    return element;
}
