// SPDX-License-Identifier: MIT OR Apache-2.0
// A tile of a tail: less than one invocation's elements, so that the fast way is not worth its code, which drivers take
// long to compile. Expects keep_tile of the mask file, do_tile_exact of apply_exact.wgsl.

fn do_tile(tile: u32) -> Keep {
    let keep = keep_tile(tile);
    do_tile_exact(tile, keep);
    return keep;
}
