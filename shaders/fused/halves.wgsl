// SPDX-License-Identifier: MIT OR Apache-2.0
// Neighbours of 16-bit elements: two a word, the first in the low half.
// Expects packed.wgsl, the fused extent file, fused_exact.

fn residual_tile(tile: u32) -> Tile {
    if row.has_residual == 0u {
        return tile_of(MINUS_ZERO);
    }
    let p = residual_words(tile * 2u);
    let q = residual_words(tile * 2u + 1u);
    return Tile(unpack(p.xy), unpack(p.zw), unpack(q.xy), unpack(q.zw));
}

fn tile_of_bias(tile: u32) -> Tile {
    let p = bias_words(tile * 2u);
    let q = bias_words(tile * 2u + 1u);
    return Tile(unpack(p.xy), unpack(p.zw), unpack(q.xy), unpack(q.zw));
}

fn bias_element(column: u32) -> u32 {
    let word = bias_word(column / 2u);
    return select(word << 16u, word & 0xffff0000u, (column & 1u) == 1u);
}

// A word of the output; the lowest two bits of keep decide.
fn fused_word_exact(x: u32, column: u32, keep: u32, residual: u32) -> u32 {
    let low = fused_exact(x << 16u, bias_or_none(column), (keep & 1u) == 1u, residual << 16u);
    let after = bias_or_none(next_column(column));
    let high = fused_exact(x & 0xffff0000u, after, (keep & 2u) == 2u, residual & 0xffff0000u);
    return (low >> 16u) | high;
}
