// SPDX-License-Identifier: MIT OR Apache-2.0
// The mask to store.

@group(0) @binding(3) var<storage, read_write> mask_out: array<u32>;
