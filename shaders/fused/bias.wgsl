// SPDX-License-Identifier: MIT OR Apache-2.0
// The bias: a row's length, whole in every window. Writable, for it may share a buffer with what is written.

@group(0) @binding(5) var<storage, read_write> bias: array<Cell>;
