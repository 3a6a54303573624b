// SPDX-License-Identifier: MIT OR Apache-2.0
// Neighbours of f32 elements: one a word. Expects the fused extent file, fused_exact.

fn residual_tile(tile: u32) -> Tile {
    if row.has_residual == 0u {
        return tile_of(MINUS_ZERO);
    }
    let index = tile * 4u;
    return Tile(
        residual_words(index),
        residual_words(index + 1u),
        residual_words(index + 2u),
        residual_words(index + 3u),
    );
}

fn tile_of_bias(tile: u32) -> Tile {
    let index = tile * 4u;
    return Tile(bias_words(index), bias_words(index + 1u), bias_words(index + 2u), bias_words(index + 3u));
}

fn bias_element(column: u32) -> u32 {
    return bias_word(column);
}

// A word of the output; the lowest bit of keep decides.
fn fused_word_exact(x: u32, column: u32, keep: u32, residual: u32) -> u32 {
    return fused_exact(x, bias_or_none(column), (keep & 1u) == 1u, residual);
}
