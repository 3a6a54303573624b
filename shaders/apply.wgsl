// SPDX-License-Identifier: MIT OR Apache-2.0
// Mask and scale of one tile: y = K(x) where kept, else +0. Forward and backward alike.
// Twin: forward and backward in src/reference.rs.
// Expects outside_fast_range; store_tile, scale_fast, decided_exact of the element file; load_word, store_word of the extent file.

// The tile again from memory, word by word. A rolled loop without copies of the tile: the way is rare,
// so it shall cost the common one no registers and drivers no time to compile.
fn do_tile_exact(tile: u32, keep: Keep) {
    let bits = bits_from_keep(keep);
    for (var i = 0u; i < WORDS_PER_TILE; i += 1u) {
        let index = tile * WORDS_PER_TILE + i;
        store_word(index, decided_exact(load_word(index), bits >> (i * ELEMENTS_PER_WORD)));
    }
}

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
