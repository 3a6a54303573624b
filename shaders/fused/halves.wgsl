// SPDX-License-Identifier: MIT OR Apache-2.0
// Neighbours of 16-bit elements: two a word, the first in the low half.
// Expects halves.wgsl of the elements, the fused extent file.

fn residual_tile(tile: u32) -> Tile {
    let index = tile * QUADS / 2u;
    let p = residual_words(index);
    var q: vec4<u32>;
    if QUADS > 2u {
        q = residual_words(index + 1u);
    }
    return tile_present(Tile(unpack(p.xy), unpack(p.zw), unpack(q.xy), unpack(q.zw)), row.has_residual);
}

fn tile_of_bias(tile: u32) -> Tile {
    let index = tile * QUADS / 2u;
    let p = bias_words(index);
    var q: vec4<u32>;
    if QUADS > 2u {
        q = bias_words(index + 1u);
    }
    return Tile(unpack(p.xy), unpack(p.zw), unpack(q.xy), unpack(q.zw));
}

fn bias_element(column: u32) -> u32 {
    return element_of(bias_word(column / 2u), column);
}

// The element of a word, left-aligned.
fn element_of(word: u32, index: u32) -> u32 {
    return select(word << 16u, word & 0xffff0000u, (index & 1u) == 1u);
}

// The word once the element is there too, which come in order.
fn joined(word: u32, element: u32, index: u32) -> u32 {
    return select(element >> 16u, word | element, (index & 1u) == 1u);
}
