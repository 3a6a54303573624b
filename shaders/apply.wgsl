// SPDX-License-Identifier: MIT OR Apache-2.0
// Mask and scale of one tile: y = K(x) where kept, else +0. Forward and backward alike.
// Twin: forward and backward in src/reference.rs.
// Expects outside_fast_range; store_tile, scale_fast of the element file; do_tile_exact of apply_exact.wgsl.

fn do_kept_tile(tile: u32, x: Tile, keep: Keep) {
    if outside_fast_range(x) {
        do_tile_exact(tile, keep);
    } else {
        let dropped = vec4<u32>(0u);
        store_tile(tile, Tile(
            select(dropped, scale_fast(x.a), keep.a),
            select(dropped, scale_fast(x.b), keep.b),
            select(dropped, scale_fast(x.c), keep.c),
            select(dropped, scale_fast(x.d), keep.d),
        ));
    }
}
