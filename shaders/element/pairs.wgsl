// SPDX-License-Identifier: MIT OR Apache-2.0
// Loads and stores of a tile of eight 16-bit elements, left as they are: two a word, all in a. Expects tile.wgsl,
// load_words and store_words of the extent file.

fn load_tile(tile: u32) -> Tile {
    var x: Tile;
    x.a = load_words(tile);
    return x;
}

fn store_tile(tile: u32, y: Tile) {
    store_words(tile, y.a);
}
