// SPDX-License-Identifier: MIT OR Apache-2.0
// Neighbours word by word, of any length and of rows that end anywhere in a tile.
// Expects bias, residual_cell, row, bias_element of the fused element file.

fn residual_words(index: u32) -> vec4<u32> {
    let first = index * 4u;
    return vec4<u32>(
        residual_word(first),
        residual_word(first + 1u),
        residual_word(first + 2u),
        residual_word(first + 3u),
    );
}

fn residual_word(index: u32) -> u32 {
    return residual_cell(within(index, ELEMENTS_PER_WORD));
}

fn bias_words(index: u32) -> vec4<u32> {
    let first = index * 4u;
    return vec4<u32>(bias[first], bias[first + 1u], bias[first + 2u], bias[first + 3u]);
}

fn bias_word(index: u32) -> u32 {
    return bias[index];
}

// Four elements of the bias from a column on, and the column after them.
struct Quad {
    values: vec4<u32>,
    next: u32,
}

fn bias_quad(column: u32) -> Quad {
    let b = next_column(column);
    let c = next_column(b);
    let d = next_column(c);
    let values = vec4<u32>(bias_element(column), bias_element(b), bias_element(c), bias_element(d));
    return Quad(values, next_column(d));
}

fn bias_tile(tile: u32) -> Tile {
    let a = bias_quad((row.start + tile * TILE) % row.columns);
    let b = bias_quad(a.next);
    let c = bias_quad(b.next);
    let d = bias_quad(c.next);
    return tile_present(Tile(a.values, b.values, c.values, d.values));
}
