// SPDX-License-Identifier: MIT OR Apache-2.0
// Loads and stores of a tile of sixteen 16-bit elements, taken apart: one a word. Of eight: pairs.wgsl.
// Expects tile.wgsl, halves.wgsl, load_words and store_words of the extent file.

fn load_tile(tile: u32) -> Tile {
    let index = tile * 2u;
    let p = load_words(index);
    let q = load_words(index + 1u);
    return Tile(unpack(p.xy), unpack(p.zw), unpack(q.xy), unpack(q.zw));
}

fn store_tile(tile: u32, y: Tile) {
    let index = tile * 2u;
    store_words(index, pack(y.a, y.b));
    store_words(index + 1u, pack(y.c, y.d));
}
