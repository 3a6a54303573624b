// SPDX-License-Identifier: MIT OR Apache-2.0
// Neighbours of whole tiles, 128 bits at a time: rows are whole tiles too.
// Expects bias, residual_cell, row, tile_of_bias of the fused element file.

fn residual_words(index: u32) -> vec4<u32> {
    return residual_cell(index);
}

fn residual_word(index: u32) -> u32 {
    return residual_cell(index / 4u)[index % 4u];
}

fn bias_words(index: u32) -> vec4<u32> {
    return bias[index];
}

fn bias_word(index: u32) -> u32 {
    return bias[index / 4u][index % 4u];
}

fn bias_tile(tile: u32) -> Tile {
    let n = row.start / TILE + tile;
    let rows = select(multiply_wide(n, row.reciprocal).y >> row.shift, n, row.reciprocal == 0u);
    return tile_present(tile_of_bias(n - rows * (row.columns / TILE)));
}
