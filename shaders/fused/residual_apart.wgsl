// SPDX-License-Identifier: MIT OR Apache-2.0
// The residual in memory of its own. Writable, for it may share a buffer with what is written.

@group(0) @binding(6) var<storage, read_write> residual: array<Cell>;

fn residual_cell(index: u32) -> Cell {
    return residual[index];
}
