// SPDX-License-Identifier: MIT OR Apache-2.0
// The input (x, or dy in the backward pass) in a buffer that nothing in the dispatch writes.

@group(0) @binding(0) var<storage, read> x: array<Cell>;

fn x_cell(index: u32) -> Cell {
    return x[index];
}
