// SPDX-License-Identifier: MIT OR Apache-2.0
// Where the rows of a window lie, and whether there is a bias. A neighbour that is missing is minus zero
// everywhere: x + -0 is x for every x, zeros of either sign too.
// Host side: `Row` in src/gpu/row.rs; a test holds the two layouts equal.

struct Row {
    columns: u32,       // of a row
    start: u32,         // column of the window's first element
    has_bias: u32,
    always_zero: u32,   // 0, which the driver's compiler does not know
    // Of the tiles of a row, where rows are whole tiles: n / tiles is the upper word of n * reciprocal, shifted down; a
    // reciprocal of 0 stands for one tile.
    reciprocal: u32,
    shift: u32,
}

const MINUS_ZERO: u32 = 0x80000000u;

@group(0) @binding(7) var<uniform> row: Row;

fn next_column(column: u32) -> u32 {
    return select(column + 1u, 0u, column + 1u == row.columns);
}
