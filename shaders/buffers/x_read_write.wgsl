// SPDX-License-Identifier: MIT OR Apache-2.0
// The input in a buffer that the dispatch also writes elsewhere: WebGPU then wants every binding of it writable.

@group(0) @binding(0) var<storage, read_write> x: array<Cell>;

fn x_cell(index: u32) -> Cell {
    return x[index];
}
