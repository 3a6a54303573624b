// SPDX-License-Identifier: MIT OR Apache-2.0
// f16 elements, two a word, as f32 and back, by WGSL's conversions where they have no choice: of what is normal or zero, and to
// what needs no rounding. Expects Pairs of apply_pairs.wgsl.

fn wide_pairs(x: vec4<u32>) -> Pairs {
    let a = bitcast<vec2<u32>>(unpack2x16float(x.x));
    let b = bitcast<vec2<u32>>(unpack2x16float(x.y));
    let c = bitcast<vec2<u32>>(unpack2x16float(x.z));
    let d = bitcast<vec2<u32>>(unpack2x16float(x.w));
    return Pairs(vec4<u32>(a.x, b.x, c.x, d.x), vec4<u32>(a.y, b.y, c.y, d.y));
}

// Whether some sum is neither zero nor rounded to a normal f16.
fn outside_narrow_range(sums: Pairs) -> bool {
    let low = sums.low & vec4<u32>(0x7fffffffu);
    let high = sums.high & vec4<u32>(0x7fffffffu);
    let greatest = max(low, high);
    // Zero wraps to the top, out of the way of the least.
    let least = min(low - vec4<u32>(1u), high - vec4<u32>(1u));
    // Below 65520, from which on they round to infinity, and from 2^-14 on.
    return any(greatest >= vec4<u32>(0x477ff000u)) | any(least < vec4<u32>(0x387fffffu));
}

// To nearest even what an f16 holds.
fn to_even(x: vec4<u32>) -> vec4<f32> {
    let rounded = x + vec4<u32>(0xfffu) + ((x >> vec4<u32>(13u)) & vec4<u32>(1u));
    return bitcast<vec4<f32>>(rounded & vec4<u32>(0xffffe000u));
}

fn narrow_pairs(sums: Pairs) -> vec4<u32> {
    let low = to_even(sums.low);
    let high = to_even(sums.high);
    return vec4<u32>(
        pack2x16float(vec2<f32>(low.x, high.x)),
        pack2x16float(vec2<f32>(low.y, high.y)),
        pack2x16float(vec2<f32>(low.z, high.z)),
        pack2x16float(vec2<f32>(low.w, high.w)),
    );
}
