// SPDX-License-Identifier: MIT OR Apache-2.0
// One tile of y = residual + D(x + bias): three f32 operations, each rounded by itself, the result rounded to the
// element type. Twin: forward_fused in src/reference.rs.
// Expects keep_tile of the mask file; outside_fast_range; load_tile, store_tile of the element file; the other fused files.

// A product and a sum that meet may be made one operation by a driver, rounded once; but not across integers
// that it does not know. The sign of a zero, which drivers need not keep, is put right at the end: minus only where all that
// was added up is minus zero. Until then nothing depends on it.
fn fused_fast(x: vec4<u32>, bias: vec4<u32>, keep: vec4<bool>, residual: vec4<u32>) -> vec4<u32> {
    let none = vec4<u32>(0u);
    let wide_x = widened(x);
    let wide_bias = widened(bias);
    let wide_residual = widened(residual);
    let sum = bitcast<vec4<u32>>(bitcast<vec4<f32>>(wide_x) + bitcast<vec4<f32>>(wide_bias));
    let product = bitcast<vec4<u32>>(bitcast<vec4<f32>>(sum) * bitcast<f32>(params.scale));
    let kept = select(none, product ^ vec4<u32>(row.always_zero), keep);
    let y = bitcast<vec4<u32>>(bitcast<vec4<f32>>(wide_residual) + bitcast<vec4<f32>>(kept));
    let signs = select(none, wide_x & wide_bias & wide_residual & vec4<u32>(SIGN), keep);
    return narrowed(select(y, signs, (y & vec4<u32>(~SIGN)) == none));
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
