// SPDX-License-Identifier: MIT OR Apache-2.0
// Which tiles of f16 elements, one a word, the fast way takes: those of numbers that are finite, whatever the scale. Expects
// tile.wgsl.

// Bit 31 of a sum: whether the element is infinite or NaN.
fn outside_fast_range(x: Tile) -> bool {
    let m = vec4<u32>(0x7fff0000u);
    let above = vec4<u32>(0x04000000u);
    let outside = ((x.a & m) + above) | ((x.b & m) + above) | ((x.c & m) + above) | ((x.d & m) + above);
    return ((outside.x | outside.y | outside.z | outside.w) & 0x80000000u) != 0u;
}
