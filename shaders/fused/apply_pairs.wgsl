// SPDX-License-Identifier: MIT OR Apache-2.0
// One tile of y = residual + D(x + bias) of 16-bit elements, two a word. As in apply.wgsl; twin: forward_fused in
// src/reference.rs.
// Expects keep_tile of the mask file; outside_fast_range; load_tile, store_tile of pairs.wgsl; the other fused files.

// Elements of the low halves and of the high ones, as f32.
struct Pairs {
    low: vec4<u32>,
    high: vec4<u32>,
}

// The sign of a zero is left open.
fn fused_fast(x: vec4<u32>, bias: vec4<u32>, keep: vec4<bool>, residual: vec4<u32>) -> vec4<u32> {
    let sum = bitcast<vec4<u32>>(bitcast<vec4<f32>>(x) + bitcast<vec4<f32>>(bias));
    let product = bitcast<vec4<u32>>(bitcast<vec4<f32>>(sum) * bitcast<f32>(params.scale));
    let kept = select(vec4<u32>(0u), product ^ vec4<u32>(row.always_zero), keep);
    return bitcast<vec4<u32>>(bitcast<vec4<f32>>(residual) + bitcast<vec4<f32>>(kept));
}

fn do_tile(tile: u32) -> Keep {
    let x = load_tile(tile).a;
    let bias = bias_tile(tile).a;
    let residual = residual_tile(tile).a;
    let keep = keep_tile(tile);
    let a = wide_pairs(x);
    let b = wide_pairs(bias);
    let c = wide_pairs(residual);
    let sums = Pairs(
        fused_fast(a.low, b.low, vec4<bool>(keep.a.xz, keep.b.xz), c.low),
        fused_fast(a.high, b.high, vec4<bool>(keep.a.yw, keep.b.yw), c.high),
    );
    if outside_fast_range(x) | outside_fast_range(bias) | outside_fast_range(residual) {
        do_tile_exact(tile, keep);
    } else {
        var y: Tile;
        // A zero is minus only where all that was added up is minus zero.
        y.a = narrow_pairs(sums, x & bias & residual & kept_halves(keep));
        store_tile(tile, y);
    }
    return keep;
}
