// SPDX-License-Identifier: MIT OR Apache-2.0
// Which tiles of 16-bit elements, two a word, the hardware's arithmetic can be trusted with, and which of them are kept.
// Expects tile.wgsl, params.

// Bit 15 and bit 31 of a word: whether the element in its half is neither zero nor in the fast range. Sums of halves, none of
// which carries into the next.
fn outside_fast_range(x: vec4<u32>) -> bool {
    let magnitudes = x & vec4<u32>(0x7fff7fffu);
    let above = magnitudes + vec4<u32>((0x7fffu - (params.fast_max >> 16u)) * 0x10001u);
    let below = ~(magnitudes + vec4<u32>((0x8000u - (params.fast_min >> 16u)) * 0x10001u));
    let not_zero = magnitudes + vec4<u32>(0x7fff7fffu);
    let outside = above | (below & not_zero);
    return ((outside.x | outside.y | outside.z | outside.w) & 0x80008000u) != 0u;
}

// All ones in the halves of what is kept.
fn kept_halves(keep: Keep) -> vec4<u32> {
    let none = vec4<u32>(0u);
    let low = select(none, vec4<u32>(0xffffu), vec4<bool>(keep.a.xz, keep.b.xz));
    let high = select(none, vec4<u32>(0xffff0000u), vec4<bool>(keep.a.yw, keep.b.yw));
    return low | high;
}
