// SPDX-License-Identifier: MIT OR Apache-2.0
// The gradient where rows are whole quads: one load of four columns. Expects sums, Quad, widened_any.

@group(0) @binding(2) var<storage, read> dx: array<Quad>;

fn dx_quad(row: u32, column: u32) -> vec4<u32> {
    return widened_any(unpacked(dx[(sums.start + row * sums.columns + column) / 4u]));
}
