// SPDX-License-Identifier: MIT OR Apache-2.0
// Loads and stores of 16-bit elements.
// Expects tile.wgsl, halves.wgsl, load_words and store_words of the extent file, scale_exact of the element file.

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

// A word of the output; the lowest two bits of keep decide.
fn decided_exact(word: u32, keep: u32) -> u32 {
    let low = select(0u, scale_exact(word << 16u), (keep & 1u) == 1u);
    let high = select(0u, scale_exact(word & 0xffff0000u), (keep & 2u) == 2u);
    return (low >> 16u) | high;
}
