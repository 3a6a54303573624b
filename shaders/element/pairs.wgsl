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

// All ones in the halves of what is kept.
fn kept_halves(keep: Keep) -> vec4<u32> {
    let none = vec4<u32>(0u);
    let low = select(none, vec4<u32>(0xffffu), vec4<bool>(keep.a.xz, keep.b.xz));
    let high = select(none, vec4<u32>(0xffff0000u), vec4<bool>(keep.a.yw, keep.b.yw));
    return low | high;
}
