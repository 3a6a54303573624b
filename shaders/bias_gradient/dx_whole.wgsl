// SPDX-License-Identifier: MIT OR Apache-2.0
// Rows that are whole quads: one load of four columns. Expects sums, Quad of the file of the element type.

@group(0) @binding(2) var<storage, read> terms: array<Quad>;

fn dx_quad(row: u32, column: u32) -> Quad {
    return terms[(sums.start + row * sums.columns + column) / 4u];
}
