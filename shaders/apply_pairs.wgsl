// SPDX-License-Identifier: MIT OR Apache-2.0
// Mask and scale of one tile of 16-bit elements, two a word: y = K(x) where kept, else +0. Forward and backward alike.
// Twin: forward and backward in src/reference.rs.
// Expects outside_fast_range; pairs.wgsl; scale_pairs of the element file; do_tile_exact of apply_exact.wgsl.

fn do_kept_tile(tile: u32, x: Tile, keep: Keep) {
    if outside_fast_range(x.a) {
        do_tile_exact(tile, keep);
    } else {
        var y: Tile;
        y.a = scale_pairs(x.a) & kept_halves(keep);
        store_tile(tile, y);
    }
}
