// SPDX-License-Identifier: MIT OR Apache-2.0
// A stored mask in a buffer that nothing in the dispatch writes.

@group(0) @binding(2) var<storage, read> mask_in: array<u32>;
