// SPDX-License-Identifier: MIT OR Apache-2.0
// One tile of y = residual + D(x + bias) where the hardware's arithmetic can't be trusted. Twin: forward_fused in
// src/reference.rs. Expects multiply_exact, sum.wgsl; load_word, store_word of the extent file; the other fused files.

fn fused_exact(x: u32, bias: u32, keep: bool, residual: u32) -> u32 {
    let scaled = multiply_exact(sum_exact(widened_any(vec4<u32>(x)).x, widened_any(vec4<u32>(bias)).x));
    let sum = sum_exact(widened_any(vec4<u32>(residual)).x, select(0u, scaled, keep));
    return narrowed_any(vec4<u32>(sum)).x;
}

// The tile again from memory, element by element, in a loop for the reason given in apply_exact.wgsl: a body that is as small
// as can be, since some drivers go through it once even where no lane wants it.
fn do_tile_exact(tile: u32, keep: Keep) {
    let bits = bits_from_keep(keep);
    var column = (row.start + tile * TILE) % row.columns;
    var word = 0u;
    for (var i = 0u; i < TILE; i += 1u) {
        let index = (tile * TILE + i) / ELEMENTS_PER_WORD;
        let added = element_of(residual_word(index), i);
        var before = MINUS_ZERO;
        if row.has_bias != 0u {
            before = bias_element(column);
        }
        let y = fused_exact(element_of(load_word(index), i), before, ((bits >> i) & 1u) == 1u, added);
        word = joined(word, y, i);
        if (i + 1u) % ELEMENTS_PER_WORD == 0u {
            store_word(index, word);
        }
        column = next_column(column);
    }
}
