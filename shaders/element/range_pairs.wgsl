// SPDX-License-Identifier: MIT OR Apache-2.0
// Which tiles of bf16 elements, two a word, the hardware's arithmetic can be trusted with. Expects params.

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
