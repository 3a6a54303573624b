// SPDX-License-Identifier: MIT OR Apache-2.0
// No mask: every element is kept (inference). Expects tile.wgsl.

fn keep_tile(tile: u32) -> Keep {
    return keep_same(true);
}
