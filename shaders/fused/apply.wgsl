// SPDX-License-Identifier: MIT OR Apache-2.0
// One tile of y = residual + D(x + bias): three f32 operations, each rounded by itself, the result rounded to the
// element type. Twin: forward_fused in src/reference.rs.
// Expects keep_tile of the mask file; outside_fast_range; load_tile, store_tile of the element file; load_word,
// store_word of the extent file; the other fused files.

// A product and a sum that meet may be made one operation by a driver, rounded once; but not across integers
// that it does not know.
fn fused_fast(x: vec4<u32>, bias: vec4<u32>, keep: vec4<bool>, residual: vec4<u32>) -> vec4<u32> {
    let sum = sum_fast(widened(x), widened(bias));
    let magnitude = sum & vec4<u32>(~SIGN);
    let product = bitcast<vec4<u32>>(bitcast<vec4<f32>>(magnitude) * bitcast<f32>(params.scale));
    let scaled = (product ^ vec4<u32>(row.always_zero)) | (sum ^ magnitude);
    return narrowed(sum_fast(widened(residual), select(vec4<u32>(0u), scaled, keep)));
}

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
        var added = MINUS_ZERO;
        if row.has_residual != 0u {
            added = element_of(residual_word(index), i);
        }
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

fn do_tile(tile: u32) -> Keep {
    let x = load_tile(tile);
    let bias = bias_tile(tile);
    let residual = residual_tile(tile);
    let keep = keep_tile(tile);
    if outside_fast_range(x) || outside_fast_range(bias) || outside_fast_range(residual) {
        do_tile_exact(tile, keep);
    } else {
        store_tile(tile, Tile(
            fused_fast(x.a, bias.a, keep.a, residual.a),
            fused_fast(x.b, bias.b, keep.b, residual.b),
            fused_fast(x.c, bias.c, keep.c, residual.c),
            fused_fast(x.d, bias.d, keep.d, residual.d),
        ));
    }
    return keep;
}
