// SPDX-License-Identifier: MIT OR Apache-2.0
// The output (y, or dx in the backward pass).

@group(0) @binding(1) var<storage, read_write> y: array<Cell>;
