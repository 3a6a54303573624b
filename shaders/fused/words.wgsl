// SPDX-License-Identifier: MIT OR Apache-2.0
// Neighbours of f32 elements: one a word. Expects the fused extent file.

fn residual_tile(tile: u32) -> Tile {
    let index = tile * 4u;
    return tile_present(Tile(
        residual_words(index),
        residual_words(index + 1u),
        residual_words(index + 2u),
        residual_words(index + 3u),
    ), row.has_residual);
}

fn tile_of_bias(tile: u32) -> Tile {
    let index = tile * 4u;
    return Tile(bias_words(index), bias_words(index + 1u), bias_words(index + 2u), bias_words(index + 3u));
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
