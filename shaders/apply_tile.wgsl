// SPDX-License-Identifier: MIT OR Apache-2.0
// A tile whose decisions come from the mask file: loaded before they are drawn, so that memory works meanwhile.
// Expects keep_tile of the mask file, load_tile of the element file, do_kept_tile of apply.wgsl.

fn do_tile(tile: u32) -> Keep {
    let x = load_tile(tile);
    let keep = keep_tile(tile);
    do_kept_tile(tile, x, keep);
    return keep;
}
