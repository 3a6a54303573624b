// SPDX-License-Identifier: MIT OR Apache-2.0
// A stored mask in a buffer that the dispatch also writes elsewhere.

@group(0) @binding(2) var<storage, read_write> mask_in: array<u32>;
