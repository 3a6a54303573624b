// SPDX-License-Identifier: MIT OR Apache-2.0
// Mask and scale of one tile where the hardware's multiply can't be trusted. Twin: forward and backward in
// src/reference.rs. Expects decided_exact of the element file; load_word, store_word of the extent file.

const WORDS_PER_TILE: u32 = TILE / ELEMENTS_PER_WORD;

// The tile again from memory, word by word. A rolled loop without copies of the tile: the way is rare,
// so it shall cost the common one no registers and drivers no time to compile.
fn do_tile_exact(tile: u32, keep: Keep) {
    let bits = bits_from_keep(keep);
    for (var i = 0u; i < WORDS_PER_TILE; i += 1u) {
        let index = tile * WORDS_PER_TILE + i;
        store_word(index, decided_exact(load_word(index), bits >> (i * ELEMENTS_PER_WORD)));
    }
}
