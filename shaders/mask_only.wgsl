// SPDX-License-Identifier: MIT OR Apache-2.0
// The mask alone, no tensor. Twin: bit_mask and byte_mask in src/reference.rs.
// Expects keep_tile of the mask file.

fn do_tile(tile: u32) -> Keep {
    return keep_tile(tile);
}
